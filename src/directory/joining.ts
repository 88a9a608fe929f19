/** Whom a zone takes in: anybody, whoever brings an invite, or nobody new. to */
import { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { Statement, Store } from '../base/sqlite.ts';
import type { Key } from '../link/identity.ts';
import type { Admins } from './admin.ts';
import { type Invitation, readInvitation, signInvitation } from './invitation.ts';

export const POLICIES = ['open', 'invite', 'closed'] as const;

export type Policy = (typeof POLICIES)[number];

/** Why a newcomer may have a handle, as it is said to the others of a cluster; what counts is decided at its place in their order. */
export const admission = z.object({
  /** An admin is let in under every policy. */
  admin: z.boolean(),
  /** What the operator has settled where it was asked; null: the policy that holds at that place. */
  settled: z.enum(POLICIES).nullable(),
  /** What the newcomer brought, where that was looked at. */
  invitation: z.object({ id: z.string(), uses: z.number().int(), until: z.number().int() }).nullable(),
});

export type Admission = z.infer<typeof admission>;

/** Why an invite does not let somebody in. */
type Flaw = 'missing' | 'unreadable' | 'other_zone' | 'not_an_admin' | 'expired' | 'used_up' | 'taken_back';

const WORDS: Record<Flaw, string> = {
  missing: 'you brought none',
  unreadable: 'yours cannot be read or is not signed',
  other_zone: 'yours is for another zone',
  not_an_admin: 'yours was signed by somebody who does not administer it',
  expired: 'the time of yours is over',
  used_up: 'yours has been used as often as it may be',
  taken_back: 'yours was taken back by one of its admins',
};

const SCHEMA = [
  `CREATE TABLE joining_policies (zone TEXT PRIMARY KEY, policy TEXT NOT NULL) STRICT, WITHOUT ROWID;
   CREATE TABLE joining_uses (
     invitation TEXT PRIMARY KEY, used INTEGER NOT NULL, until INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX joining_uses_until ON joining_uses (until);`,
  `CREATE TABLE joining_taken_back (invitation TEXT PRIMARY KEY, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
   CREATE INDEX joining_taken_back_until ON joining_taken_back (until);`,
];

export class Joining {
  readonly #clock: Clock;
  readonly #key: Key;
  readonly #admins: Admins;
  readonly #policies = new Map<string, Policy>();
  readonly #keep: Statement;
  readonly #used: Statement<{ used: number }>;
  readonly #use: Statement;
  readonly #sweep: Statement;
  readonly #isBack: Statement<{ one: number }>;
  readonly #back: Statement;
  readonly #sweepBack: Statement;
  #given: Policy | undefined;

  /** `store` is open; its tables are made and read here. `key` is the tracker's; `given`: what its operator settled. */
  constructor(options: { store: Store; clock: Clock; key: Key; admins: Admins; given?: Policy | undefined }) {
    const { store } = options;
    this.#clock = options.clock;
    this.#key = options.key;
    this.#admins = options.admins;
    this.#given = options.given;
    store.migrate('joining', SCHEMA);
    this.#keep = store.prepare('INSERT OR REPLACE INTO joining_policies (zone, policy) VALUES (?, ?)');
    this.#used = store.prepare('SELECT used FROM joining_uses WHERE invitation = ?');
    this.#use = store.prepare(
      `INSERT INTO joining_uses (invitation, used, until) VALUES (?, 1, ?)
       ON CONFLICT (invitation) DO UPDATE SET used = used + 1`,
    );
    this.#sweep = store.prepare('DELETE FROM joining_uses WHERE until <= ?');
    this.#isBack = store.prepare('SELECT 1 AS one FROM joining_taken_back WHERE invitation = ?');
    this.#back = store.prepare('INSERT OR IGNORE INTO joining_taken_back (invitation, until) VALUES (?, ?)');
    this.#sweepBack = store.prepare('DELETE FROM joining_taken_back WHERE until <= ?');
    type Kept = { zone: string; policy: string };
    for (const { zone, policy } of store.prepare<Kept>('SELECT zone, policy FROM joining_policies').all()) {
      const known = POLICIES.find((each) => each === policy);
      this.#policies.set(zone, known ?? 'closed'); // a later version's word, or a damaged one: nobody slips in by it
    }
  }

  policyOf(zone: string): Policy {
    return this.#given ?? this.#policies.get(zone) ?? 'open';
  }

  /** Durable when it answers. Throws `wrong_state` where the operator has settled it. */
  setPolicy(zone: string, policy: Policy): void {
    this.checkPolicy(zone, policy);
    this.takePolicy(zone, policy);
  }

  /** Throws `wrong_state` where the operator has settled it. */
  checkPolicy(zone: string, policy: Policy): void {
    if (this.#given !== undefined && this.#given !== policy) {
      throw new Fault(
        'wrong_state',
        `setting the policy of "${zone}" to "${policy}": the operator of its tracker has settled it as "${this.#given}", by --policy, NETAPP_POLICY or config.json`,
      );
    }
  }

  /** Writes down what an admin has set, or the processes of a cluster agreed upon. */
  takePolicy(zone: string, policy: Policy): void {
    this.#keep.run(zone, policy);
    this.#policies.set(zone, policy);
  }

  /** What the operator settles from now on; undefined: the admins do. */
  settle(policy: Policy | undefined): void {
    this.#given = policy;
  }

  invite(zone: string, { uses, ttlMs }: { uses: number; ttlMs: number }): Invitation {
    return signInvitation(this.#key, { zone, uses, until: this.#clock.now() + ttlMs });
  }

  /** Lets nobody in by it any more; durable when it answers. Throws `invalid_argument`. */
  takeBack(zone: string, text: string): { until: number } {
    const { id, until } = this.checkTakeBack(zone, text);
    this.takeTakenBack(id, until);
    return { until };
  }

  /** Throws what `takeBack` does. */
  checkTakeBack(zone: string, text: string): Invitation {
    const brought = readInvitation(text);
    const flaw = this.#flaw(zone, text, brought);
    if (brought && (flaw === undefined || flaw === 'used_up' || flaw === 'taken_back')) return brought;
    throw new Fault(
      'invalid_argument',
      `taking back an invite into "${zone}": it lets nobody in, for ${WORDS[flaw ?? 'unreadable']}`,
    );
  }

  /** Writes down what an admin has taken back, or the processes of a cluster agreed upon. */
  takeTakenBack(id: string, until: number): void {
    this.#sweepBack.run(this.#clock.now());
    this.#back.run(id, until);
  }

  /**
   * Lets a new handle be bound, and counts the use of an invite; to be called in the transaction that binds it. Throws
   * `not_invited`.
   */
  admit(handle: string, account: string, invitation: string | undefined): void {
    const { invitation: brought } = this.admission(handle, account, invitation);
    if (!brought) return;
    this.#sweep.run(this.#clock.now());
    this.#use.run(brought.id, brought.until);
  }

  /** Why a new handle may be bound; nothing is counted. Throws `not_invited`. */
  admission(handle: string, account: string, invitation: string | undefined): Admission {
    const zone = handle.slice(handle.indexOf('@') + 1);
    const policy = this.policyOf(zone);
    const settled = this.#given ?? null;
    const admin = this.#admins.has(account);
    if (policy === 'open' || admin) return { admin, settled, invitation: null };
    if (policy === 'closed') {
      throw new Fault(
        'not_invited',
        `announcing "${handle}": the zone "${zone}" is closed, and takes nobody who has no name in it yet; ask one of its admins`,
        { data: { zone, policy } },
      );
    }
    const brought = invitation === undefined ? undefined : readInvitation(invitation);
    const reason = this.#flaw(zone, invitation, brought);
    if (reason === undefined && brought) {
      const { id, uses, until } = brought;
      return { admin, settled, invitation: { id, uses, until } };
    }
    throw new Fault(
      'not_invited',
      `announcing "${handle}": the zone "${zone}" takes newcomers by invite alone, and ${WORDS[reason ?? 'unreadable']}; ask one of its admins for a link of "netapp zones invite", and join with it`,
      { data: { zone, policy, reason } },
    );
  }

  /**
   * Whether who was let in so somewhere in a cluster may have the handle by what came before in its order; then a use is
   * counted. Who may sign invites and when they end was looked at where it was asked: each process would see that differently. [K-12]
   */
  takes(zone: string, { admin, settled, invitation }: Admission): boolean {
    const policy = settled ?? this.#policies.get(zone) ?? 'open';
    if (policy === 'open' || admin) return true;
    if (policy === 'closed' || !invitation) return false;
    if (this.#isBack.get(invitation.id)) return false;
    if ((this.#used.get(invitation.id)?.used ?? 0) >= invitation.uses) return false;
    this.#use.run(invitation.id, invitation.until);
    return true;
  }

  #flaw(zone: string, text: string | undefined, brought: Invitation | undefined): Flaw | undefined {
    if (text === undefined) return 'missing';
    if (!brought) return 'unreadable';
    if (brought.zone !== zone) return 'other_zone';
    if (brought.by !== this.#key.id && !this.#admins.has(brought.by)) return 'not_an_admin';
    if (brought.until <= this.#clock.now()) return 'expired';
    if (this.#isBack.get(brought.id)) return 'taken_back';
    if ((this.#used.get(brought.id)?.used ?? 0) >= brought.uses) return 'used_up';
    return undefined;
  }
}
