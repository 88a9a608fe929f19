/** A tracker's side of the directory: answers nodes, watches their links, and tells watchers what changed. */
import { sleep } from '../base/async.ts';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { Rate } from '../base/rate.ts';
import { type Scope, scopeOf } from '../link/address.ts';
import { Around } from '../link/answers.ts';
import type { Link } from '../link/link.ts';
import { Encoded, encodeNotice } from '../link/message.ts';
import { needsAccount, type Quick, type Router } from '../link/router.ts';
import { candidates, type DialBack } from './dialback.ts';
import type { Asker } from './hiding.ts';
import type { Joining } from './joining.ts';
import * as messages from './messages.ts';
import type { DirectoryRecord } from './record.ts';
import type { LiveRow, Row } from './row.ts';
import type { DirectoryTable, DirectoryWriter } from './table.ts';
import { audience, besidesRecord, entryText, hostOf, pageFor, pages } from './view.ts';

/** Milliseconds that the answer to an announce waits for dial-backs; later ones are pushed as changes. [D-11] */
const ANSWER_AFTER_MS = 2000;
/** Announces and renewals of one link in a minute: twice a second while somebody types a status. [D-14] */
const MOST_ANNOUNCES = 120;
/** Lists and finds of one link in a minute, unless said otherwise. A page is half a MiB, so a reader at full speed gets 5 MiB/s. */
const MOST_READS = 600;
/** Milliseconds from sweep to sweep: how late an expiry may show. */
const SWEEP_MS = 1000;
const FORGET_EVERY_MS = 3600_000;

type RateOptions = ConstructorParameters<typeof Rate>[0];

/** What is known of one link; it is the owner of what the link announced. */
type Guest = {
  link: Link;
  host: string;
  scope: Scope;
  /** Whose record it announced. */
  account: string | undefined;
  /** Whom alone it watches; undefined: everybody. [Z-30] */
  only: ReadonlySet<string> | undefined;
  /** Who asks: the account that vouches for the node at its end. */
  asker: Asker;
  announces: Rate;
  reads: Rate;
};

const said = (row: Row, { host, scope }: Guest): Encoded => new Encoded(`{"entry":${entryText(row, host, scope)}}`);

/** `directory.changed`, whose entries are encoded already. */
const changedText = (version: string, entries: string, gone: readonly string[], more: boolean): string =>
  encodeNotice(
    messages.changed.name,
    new Encoded(`{"version":"${version}","entries":${entries},"gone":${JSON.stringify(gone)},"more":${more}}`),
  );

export class DirectoryServer implements Disposable {
  readonly zones: readonly string[];
  readonly #table: DirectoryTable;
  readonly #writer: DirectoryWriter;
  readonly #dialBack: DialBack;
  readonly #joining: Joining | undefined;
  readonly #log: Log;
  /** Of each link. */
  readonly #announces: RateOptions;
  readonly #reads: RateOptions;
  readonly #returnWithinMs: () => number | undefined;
  readonly #guests = new WeakMap<Link, Guest>();
  readonly #watchers = new Set<Guest>();
  readonly #changed = new Set<string>();
  readonly #unlisten: () => void;
  /** Most lookups: of somebody who goes by exactly this handle. Whether it is one needs no look, for only handles lead to rows. */
  readonly #quickFind: Quick<Guest, LiveRow> = {
    param: 'handle',
    askerOf: (link) => this.#guest(link),
    find: (bytes, from, to, { asker }) => this.#table.knownAs(bytes, from, to, asker),
    take: (many, { reads }) => reads.take(many),
    giveBack: (many, { reads }) => reads.giveBack(many),
    around: new Around('{"entry":{"record":', '}'),
    bodyOf: (row) => row.text,
    tailOf: (row, { host, scope }) => besidesRecord(row, host, scope),
  };
  #timers: NodeJS.Timeout[] = [];
  #flushing = false;
  /** Counter of the version up to which watchers were told. */
  #told = 0;

  constructor(options: {
    table: DirectoryTable;
    /** What changes the table; without, the table itself. */
    writer?: DirectoryWriter | undefined;
    dialBack: DialBack;
    /** Whom the zones take in; default: anybody. */
    joining?: Joining | undefined;
    zones: readonly string[];
    clock: Clock;
    log: Log;
    /** Lists, finds and watches of one link in a minute; default 600. [D-14] */
    readsPerMinute?: number | undefined;
    /** Milliseconds over which nodes are to come back after all have lost their links; default: nothing is said of it. [D-75] */
    returnWithinMs?: (() => number) | undefined;
  }) {
    this.#table = options.table;
    this.#writer = options.writer ?? options.table;
    this.#told = options.table.counter;
    this.#dialBack = options.dialBack;
    this.#joining = options.joining;
    this.zones = options.zones;
    this.#log = options.log;
    const perMinute = (most: number): RateOptions => ({ burst: most, perSecond: most / 60, clock: options.clock });
    this.#announces = perMinute(MOST_ANNOUNCES);
    this.#reads = perMinute(options.readsPerMinute ?? MOST_READS);
    this.#returnWithinMs = options.returnWithinMs ?? (() => undefined);
    this.#unlisten = this.#table.onChange((account) => this.#tellSoon(account));
  }

  /** Puts the methods into the tracker's table. */
  attach(router: Router): this {
    router
      .handle(messages.announce, ({ record, token }, { link }) => this.#announce(record, token, this.#guest(link)), {
        needs: needsAccount,
      })
      .handle(
        messages.renew,
        (renewal, { link }) => {
          const guest = this.#guest(link);
          this.#limit(guest.announces, 'renewing');
          this.#writer.renew(guest.account ?? '', renewal, guest);
          return {
            version: this.#table.version,
            ttlMs: this.#table.ttlMs,
            returnWithinMs: this.#returnWithinMs(),
          };
        },
        { needs: needsAccount },
      )
      .handle(
        messages.hide,
        (hiding, { link }) => {
          const guest = this.#guest(link);
          this.#limit(guest.announces, 'hiding');
          const hidden = this.#writer.hide(link.account?.account ?? '', hiding);
          return hidden ? hidden.then(() => ({})) : {};
        },
        { needs: needsAccount },
      )
      .handle(messages.goodbye, (_params, { link }) => {
        const guest = this.#guest(link);
        if (guest.account !== undefined) this.#writer.goodbye(guest.account, guest);
        return {};
      })
      .handle(messages.list, ({ since, after }, { link }) => {
        const guest = this.#guest(link);
        this.#limit(guest.reads, 'listing');
        return new Encoded(pageFor(this.#table, guest, since, after));
      })
      .handle(messages.find, (wanted, { link }) => {
        const guest = this.#guest(link);
        this.#limit(guest.reads, 'finding');
        return said(this.#find(wanted, guest.asker), guest);
      })
      .handle(messages.watch, ({ since, accounts }, { link }) =>
        accounts ? this.#watchSome(this.#guest(link), accounts) : this.#watch(this.#guest(link), since),
      )
      .quick(messages.find, this.#quickFind);
    return this;
  }

  /** Starts to take offline whose time is over. */
  start(): void {
    const sweep = (work: () => void) => () => {
      try {
        work();
      } catch (error) {
        this.#log.error({ err: error }, 'the directory cannot write to its store; it tries again');
      }
    };
    this.#timers = [
      setInterval(
        sweep(() => this.sweep()),
        SWEEP_MS,
      ).unref(),
      setInterval(
        sweep(() => this.#writer.forget()),
        FORGET_EVERY_MS,
      ).unref(),
    ];
  }

  /** What the timer does once a second. */
  sweep(): void {
    this.#writer.sweep();
  }

  /** Links to which changes are pushed. */
  get watchers(): number {
    return this.#watchers.size;
  }

  #guest(link: Link): Guest {
    const known = this.#guests.get(link);
    if (known) return known;
    const host = hostOf(link.address);
    const guest: Guest = {
      link,
      host,
      scope: scopeOf(host),
      account: undefined,
      only: undefined,
      asker: link.account?.account,
      announces: new Rate(this.#announces),
      reads: new Rate(this.#reads),
    };
    this.#guests.set(link, guest);
    void link.closed.then(() => {
      this.#watchers.delete(guest);
      if (guest.account !== undefined) this.#writer.linkEnded(guest.account, guest);
    });
    return guest;
  }

  #limit(rate: Rate, what: string): void {
    if (rate.take()) return;
    const retryAfterMs = rate.waitMs;
    throw new Fault('too_many', `${what}: too often on this link; wait ${Math.ceil(retryAfterMs / 1000)} s`, {
      data: { retryAfterMs },
    });
  }

  async #announce(
    said: DirectoryRecord,
    token: string | undefined,
    guest: Guest,
  ): Promise<ReturnType<typeof messages.announce.result.parse>> {
    this.#limit(guest.announces, `announcing "${said.handle}"`);
    this.#admit(said, guest.link);
    // The link has the same ids in memory already.
    const record = { ...said, node: guest.link.peer, account: guest.asker ?? said.account };
    const { node, addresses } = record;
    const observed = guest.host;
    const reached = (): string[] => {
      const now = this.#table.get(record.account)?.record;
      return now?.node === node ? this.#dialBack.reached(node, now.addresses, observed) : [];
    };
    const admit = (): void => this.#joining?.admit(record.handle, record.account, token);
    const taken = this.#writer.announce(record, observed, guest, this.#knownGood(record, observed), admit, token);
    if (taken instanceof Promise) await taken;
    guest.account = record.account;
    // A link may end while its last request waits its turn; its owner would stay online for a whole TTL.
    if (!guest.link.open) this.#writer.linkEnded(record.account, guest);
    const settle = (): void => this.#writer.setVerified(record.account, node, reached());
    const growing = (): void => {
      const found = reached();
      const before = this.#table.get(record.account)?.verified ?? [];
      if (before.every((address) => found.includes(address))) settle();
    };
    // What was good before stays offered until all dials are over: a restart here is no news about a node.
    const checks = this.#dialBack.verify(node, addresses, observed, growing).then(settle);
    await Promise.race([checks, sleep(ANSWER_AFTER_MS)]);
    return {
      version: this.#table.version,
      ttlMs: this.#table.ttlMs,
      observed,
      checked: reached(),
      zones: [...this.zones],
      returnWithinMs: this.#returnWithinMs(),
    };
  }

  /** Addresses of the record that answered lately, and those that were good when its node was here last. */
  #knownGood({ account, node, addresses }: DirectoryRecord, observed: string): string[] {
    const last = this.#table.get(account);
    const before = last?.record.node === node && last.observed === observed ? last.verified : [];
    const now = this.#dialBack.reached(node, addresses, observed);
    return candidates(addresses, observed).filter((address) => now.includes(address) || before.includes(address));
  }

  /** Who announces is who signed: neither for another account nor for another node. [D-10] */
  #admit(record: DirectoryRecord, link: Link): void {
    const what = `announcing "${record.handle}"`;
    if (link.account?.account !== record.account) {
      throw new Fault('forbidden', `${what}: the record is of another account than this link's`);
    }
    if (link.peer !== record.node) {
      throw new Fault('forbidden', `${what}: the record names another node than the one at this link's end`);
    }
    const zone = record.handle.slice(record.handle.indexOf('@') + 1);
    if (!this.zones.includes(zone)) {
      throw new Fault('unknown_zone', `${what}: this tracker serves ${this.zones.join(', ')}, not "${zone}"`);
    }
  }

  #find(wanted: { handle: string } | { account: string }, asker: Asker): Row {
    if ('handle' in wanted) return this.#table.find(wanted.handle, asker);
    const found = this.#table.get(wanted.account);
    const row = found && this.#table.shown(found, asker);
    if (!row)
      throw new Fault('unknown_handle', `finding "${wanted.account}": this account has not announced itself here`);
    return row;
  }

  /** Throws `wrong_state` where what changed since then is more than a page: then a list is the better way. [D-17] */
  #watch(guest: Guest, since: string | undefined): { version: string } {
    this.#limit(guest.reads, 'watching');
    this.#flush(); // what is pending goes to those who watch already; this one starts after it
    const { version } = this.#table;
    if (since !== undefined && since !== version) {
      const { full, rows, gone } = this.#table.since(since, guest.asker);
      const { value: page } = pages(rows, guest.host).next();
      if (full || !page || page.more) {
        throw new Fault('wrong_state', 'watching: too much has changed since then; list first');
      }
      guest.link.notifyEncoded(changedText(version, page.entries, gone, false));
    }
    guest.only = undefined;
    this.#watchers.add(guest);
    return { version };
  }

  /** Whoever is of another zone watches those that it has to do with, and nobody else. [Z-30] */
  #watchSome(guest: Guest, accounts: readonly string[]): { version: string } {
    this.#limit(guest.reads, 'watching');
    this.#flush();
    const { version } = this.#table;
    const known = accounts.flatMap((account) => this.#table.get(account) ?? []);
    const rows = known.flatMap((row) => this.#table.shown(row, guest.asker) ?? []);
    if (rows.length > 0) for (const frame of this.#encode(rows, [], guest.host)) guest.link.notifyEncoded(frame);
    guest.only = new Set(accounts);
    this.#watchers.add(guest);
    return { version };
  }

  #tellSoon(account: string): void {
    this.#changed.add(account);
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => this.#flush());
  }

  /** All that changed in this tick, once to each watcher, encoded once for all who may see the same. [D-18] */
  #flush(): void {
    this.#flushing = false;
    const accounts = [...this.#changed];
    this.#changed.clear();
    const before = this.#told;
    this.#told = this.#table.counter;
    if (accounts.length === 0 || this.#watchers.size === 0) return;
    const rows = accounts.flatMap((account) => this.#table.get(account) ?? []);
    const gone = accounts.filter((account) => !this.#table.get(account));
    const encoded = new Map<string, string[]>();
    for (const { link, host, asker, only } of this.#watchers) {
      if (only) {
        const [wanted, left] = [rows.filter(({ account }) => only.has(account)), gone.filter((id) => only.has(id))];
        const seen = this.#seen(wanted, asker, before);
        if (seen.length + left.length > 0)
          for (const frame of this.#encode(seen, left, host)) link.notifyEncoded(frame);
        continue;
      }
      const seen = this.#seen(rows, asker, before);
      if (seen.length + gone.length === 0) continue; // nothing that this one may see has changed
      const key = audience(rows, host);
      const frames = (seen === rows && encoded.get(key)) || this.#encode(seen, gone, host);
      if (seen === rows) encoded.set(key, frames);
      for (const frame of frames) link.notifyEncoded(frame);
    }
  }

  /** What of `rows` is news to `asker`: of somebody who hides from them, only that they went. [D-51] */
  #seen(rows: readonly Row[], asker: Asker, before: number): readonly Row[] {
    const shown = rows.map((row) => this.#table.shown(row, asker));
    if (shown.every((row, at) => row === rows[at])) return rows;
    return shown.flatMap((row, at) => (row && (row === rows[at] || row.changed > before) ? row : []));
  }

  #encode(rows: readonly Row[], gone: readonly string[], host: string): string[] {
    const { version } = this.#table;
    return [...pages(rows, host)].map(({ entries, more }, index) =>
      changedText(version, entries, index === 0 ? gone : [], more),
    );
  }

  [Symbol.dispose](): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#unlisten();
    this.#watchers.clear();
    this.#writer.flush();
  }
}
