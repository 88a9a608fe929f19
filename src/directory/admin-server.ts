/** A tracker's side of administration: whom its zones take in, and whose handles are whose. */

import { Fault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Link } from '../link/link.ts';
import type { Router } from '../link/router.ts';
import { type Admins, needsAdmin } from './admin.ts';
import * as wire from './admin-wire.ts';
import type { HandleRow } from './handle-marks.ts';
import { encodeInvitation } from './invitation.ts';
import { formatInvite, type Invite } from './invite.ts';
import type { Joining, Policy } from './joining.ts';
import type { DirectoryTable } from './table.ts';

/** Changes handles and policies for all processes of a cluster; each settles once it is agreed upon. */
export type SharedAdministration = {
  revoke(handle: string): Promise<HandleRow>;
  rename(handle: string, to: string): Promise<HandleRow>;
  free(handle: string): Promise<HandleRow>;
  setPolicy(zone: string, policy: Policy): Promise<void>;
  takeBack(zone: string, text: string): Promise<{ until: number }>;
  /** Calls `listener` for the account of a handle that was revoked or renamed, at whichever process. */
  onMarked(listener: (change: { account: string }) => void): void;
};

export class AdminServer {
  readonly #table: DirectoryTable;
  readonly #joining: Joining;
  readonly #shared: SharedAdministration | undefined;
  readonly #admins: Admins;
  readonly #zones: readonly string[];
  readonly #inviteOf: (zone: string) => Invite;
  readonly #links: () => Iterable<Link>;
  readonly #log: Log;

  constructor(options: {
    table: DirectoryTable;
    joining: Joining;
    /** What changes them in a cluster; without: table and joining themselves. */
    shared?: SharedAdministration | undefined;
    admins: Admins;
    zones: readonly string[];
    /** The invite by which others find the tracker. */
    inviteOf(zone: string): Invite;
    /** All links that stand. */
    links(): Iterable<Link>;
    log: Log;
  }) {
    this.#table = options.table;
    this.#joining = options.joining;
    this.#shared = options.shared;
    this.#admins = options.admins;
    this.#zones = options.zones;
    this.#inviteOf = options.inviteOf;
    this.#links = options.links;
    this.#log = options.log;
  }

  /** Puts the methods into the tracker's table. */
  attach(router: Router): this {
    const needs = { needs: needsAdmin(this.#admins) };
    const shared = this.#shared;
    const handles = shared ?? this.#table;
    const policies = shared ?? this.#joining;
    shared?.onMarked(({ account }) => this.#tell(account));
    router
      .handle(
        wire.policy,
        async ({ zone, policy }, { link }) => {
          this.#serves(zone);
          if (policy !== undefined && policy !== this.#joining.policyOf(zone)) {
            await policies.setPolicy(zone, policy);
            this.#log.info({ zone, policy, by: link.account?.account }, 'the policy of a zone was set');
          }
          return { zone, policy: this.#joining.policyOf(zone) };
        },
        needs,
      )
      .handle(
        wire.invite,
        ({ zone, uses, ttlMs }, { link }) => {
          this.#serves(zone);
          const made = this.#joining.invite(zone, { uses, ttlMs });
          this.#log.info({ zone, uses, until: made.until, by: link.account?.account }, 'an invite was made');
          const invite = formatInvite({ ...this.#inviteOf(zone), zone, token: encodeInvitation(made) });
          return { invite, uses, until: made.until };
        },
        needs,
      )
      .handle(
        wire.uninvite,
        async ({ zone, token }, { link }) => {
          this.#serves(zone);
          const { until } = await policies.takeBack(zone, token);
          this.#log.info({ zone, until, by: link.account?.account }, 'an invite was taken back');
          return { zone, until };
        },
        needs,
      )
      .handle(
        wire.list,
        ({ zone, after }) => {
          this.#serves(zone);
          const rows = this.#table.handles(zone, after ?? '', wire.PAGE_HANDLES + 1);
          const handles = rows.slice(0, wire.PAGE_HANDLES).map((row) => this.#entry(row));
          return { handles, next: rows.length > handles.length ? (handles.at(-1)?.handle ?? null) : null };
        },
        needs,
      )
      .handle(
        wire.revoke,
        async ({ handle }, { link }) => {
          this.#serves(zoneOf(handle));
          const row = await handles.revoke(handle);
          this.#log.info({ handle, account: row.account, by: link.account?.account }, 'a handle was revoked');
          if (!shared) this.#tell(row.account);
          return { handle: this.#entry(row) };
        },
        needs,
      )
      .handle(
        wire.rename,
        async ({ handle, to }, { link }) => {
          this.#serves(zoneOf(handle));
          if (zoneOf(handle) !== zoneOf(to)) {
            throw new Fault('invalid_argument', `renaming "${handle}" to "${to}": that is a name of another zone`);
          }
          const row = await handles.rename(handle, to);
          this.#log.info({ handle, to, account: row.account, by: link.account?.account }, 'a handle was renamed');
          if (!shared) this.#tell(row.account);
          return { handle: this.#entry(row) };
        },
        needs,
      )
      .handle(
        wire.free,
        async ({ handle }, { link }) => {
          this.#serves(zoneOf(handle));
          const { account } = await handles.free(handle);
          this.#log.info({ handle, account, by: link.account?.account }, 'a handle was freed');
          return {};
        },
        needs,
      );
    return this;
  }

  #serves(zone: string): void {
    if (this.#zones.includes(zone)) return;
    throw new Fault('unknown_zone', `administering "${zone}": this tracker serves ${this.#zones.join(', ')}`);
  }

  #entry(row: HandleRow): wire.HandleEntry {
    const there = this.#table.get(row.account);
    const shown = there?.record.handle === row.handle ? there : undefined;
    return { ...row, online: shown?.online ?? false, lastSeen: shown?.lastSeen ?? null };
  }

  /** Its node hears at once what became of its name; one that does not know the word hears of it when it renews. */
  #tell(account: string): void {
    for (const link of this.#links()) if (link.account?.account === account) link.notify(wire.reannounce, {});
  }
}

const zoneOf = (handle: string): string => handle.slice(handle.indexOf('@') + 1);
