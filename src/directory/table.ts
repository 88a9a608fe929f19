/** A tracker's table: who is online and where, who was, and what changed since when. */
import type { Clock } from '../base/clock.ts';
import { canonical } from '../base/encoding.ts';
import { Fault } from '../base/fault.ts';
import type { Store } from '../base/sqlite.ts';
import { Bindings } from './bindings.ts';
import type { HandleRow } from './handle-marks.ts';
import { type Asker, type Hiding, Hidings } from './hiding.ts';
import { TTL_MS } from './messages.ts';
import { type DirectoryRecord, type Renewal, recordHolds, renewed } from './record.ts';

/** Milliseconds after the end of its link before somebody counts as gone: a redial takes less. [D-13] */
const GRACE_MS = 3000;
/** Milliseconds after which somebody who never came back leaves the list; the handle stays theirs. */
const FORGET_MS = 180 * 24 * 3600_000;
/** A record may hold for a day at most, so that an old one cannot be shown for ever. [D-4] */
const MOST_UNTIL_MS = 24 * 3600_000;
/** Accounts in the table; past it, new ones are refused. At the usual 1 KiB each that is 200 MB, at the most that an announce may have 1.6 GB. */
const MOST_ACCOUNTS = 200_000;
/** Departures that are remembered for those who ask what changed; who asks from before gets the whole list. */
const MOST_GONE = 1000;

export type Row = {
  readonly record: DirectoryRecord;
  /** Addresses that the tracker reached. */
  readonly verified: readonly string[];
  /** Host that the announcing link came from. */
  readonly observed: string;
  readonly online: boolean;
  /** Unix milliseconds. */
  readonly lastSeen: number;
  /** Counter of the version that last changed what others see of it. */
  readonly changed: number;
};

type LiveRow = { -readonly [K in keyof Row]: Row[K] } & {
  /** Unix milliseconds at which it goes offline, if nothing is heard until then. */
  expires: number;
  /** The link that announced it; undefined when that has ended. */
  owner: object | undefined;
};

export type Change = { full: boolean; rows: Row[]; gone: string[] };

export class DirectoryTable {
  readonly ttlMs: number;
  readonly #clock: Clock;
  readonly #graceMs: number;
  readonly #bindings: Bindings;
  readonly #hidings: Hidings;
  /** Accounts by the node that announced them last. */
  readonly #nodes = new Map<string, string>();
  readonly #rows = new Map<string, LiveRow>();
  readonly #online = new Set<LiveRow>();
  readonly #unsaved = new Set<LiveRow>();
  readonly #forgotten: string[] = [];
  readonly #listeners = new Set<(account: string) => void>();
  #gone: { account: string; at: number }[] = [];
  /** Versions of this epoch before this one lack departures. */
  #goneSince = 0;
  readonly #epoch: number;
  #counter = 0;

  /** `store` is open, and read here, so only a `start()` calls this. */
  constructor(options: { store: Store; clock: Clock; ttlMs?: number; graceMs?: number }) {
    this.#clock = options.clock;
    this.ttlMs = options.ttlMs ?? TTL_MS;
    this.#graceMs = options.graceMs ?? GRACE_MS;
    this.#bindings = new Bindings(options.store);
    this.#hidings = new Hidings(options.store);
    const now = this.#clock.now();
    this.#epoch = this.#bindings.nextEpoch(now);
    for (const kept of this.#bindings.load()) {
      // Who was here when the tracker stopped a moment ago will be back in a moment; others are not told of the gap.
      const online = kept.online && now - kept.lastSeen < this.ttlMs;
      const row = { ...kept, online, changed: 0, expires: now + this.#graceMs, owner: undefined };
      this.#rows.set(row.record.account, row);
      this.#nodes.set(row.record.node, row.record.account);
      if (online) this.#online.add(row);
    }
  }

  /** `<epoch>-<counter>`; the epoch grows with each start. [D-15] */
  get version(): string {
    return `${this.#epoch}-${this.#counter}`;
  }

  /** The part of the version that grows with each change. */
  get counter(): number {
    return this.#counter;
  }

  get size(): number {
    return this.#rows.size;
  }

  get online(): number {
    return this.#online.size;
  }

  /** Handles that are bound. */
  get bound(): number {
    return this.#bindings.size;
  }

  /** Whether askers differ in what they may see. */
  get hides(): boolean {
    return this.#hidings.any;
  }

  /** Calls `listener` for each account whose entry changed. The result ends that. */
  onChange(listener: (account: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Takes a record from the link `owner`. Throws `bad_signature`, `invalid_argument` (its time is over), `wrong_state` (a
   * newer one is known), `name_taken`, `too_many`, `revoked`, `renamed`, and what `admit` does, which is asked before a handle is bound.
   */
  announce(
    record: DirectoryRecord,
    observed: string,
    owner: object,
    reached: readonly string[],
    admit?: () => void,
  ): Row {
    const now = this.#clock.now();
    const row = this.#rows.get(record.account);
    this.#check(record, row?.record, now);
    if (!row && this.#rows.size >= MOST_ACCOUNTS) {
      throw new Fault(
        'too_many',
        `announcing "${record.handle}": this tracker knows ${MOST_ACCOUNTS} accounts already`,
      );
    }
    this.#bindings.claim(record.handle, record.account, now, admit);
    if (!row) {
      const fresh = { record, verified: reached, observed, online: true, lastSeen: now, changed: 0, expires: 0, owner };
      this.#rows.set(record.account, fresh);
      this.#heard(fresh, record, now);
      this.#bump(fresh);
      this.flush(); // a newcomer is as durable as their name; what they say later, they would say again
      return fresh;
    }
    const same =
      row.online && row.observed === observed && sameList(row.verified, reached) && sameClaim(row.record, record);
    row.owner = owner;
    row.observed = observed;
    row.verified = reached;
    this.#heard(row, record, now);
    if (!same) this.#bump(row);
    return row;
  }

  /** Throws as `announce` does; `wrong_state` where this link has not announced (any more). [D-12] */
  renew(account: string, renewal: Renewal, owner: object): void {
    const row = this.#rows.get(account);
    if (!row || row.owner !== owner)
      throw new Fault('wrong_state', 'renewing: nothing is announced here; announce first');
    const now = this.#clock.now();
    const record = renewed(row.record, renewal);
    this.#check(record, row.record, now);
    const wasOnline = row.online;
    this.#heard(row, record, now);
    if (!wasOnline) this.#bump(row);
  }

  #check(record: DirectoryRecord, known: DirectoryRecord | undefined, now: number): void {
    if (!recordHolds(record)) {
      throw new Fault('bad_signature', `announcing "${record.handle}": its account did not sign this record`);
    }
    if (record.until <= now || record.until > now + MOST_UNTIL_MS) {
      throw new Fault(
        'invalid_argument',
        `announcing "${record.handle}": it holds until ${new Date(record.until).toISOString()}, and here it is ${new Date(now).toISOString()}; check the clocks of both machines`,
        { data: { now } },
      );
    }
    if (known && record.seq <= known.seq) {
      throw new Fault(
        'wrong_state',
        `announcing "${record.handle}": its seq ${record.seq} is not newer than ${known.seq}, which is known`,
      );
    }
  }

  #heard(row: LiveRow, record: DirectoryRecord, now: number): void {
    if (this.#nodes.get(row.record.node) === record.account) this.#nodes.delete(row.record.node);
    this.#nodes.set(record.node, record.account);
    row.record = record;
    row.lastSeen = now;
    row.expires = Math.min(record.until, now + this.ttlMs);
    row.online = true;
    this.#online.add(row);
    this.#unsaved.add(row);
  }

  /** The announcer says that it leaves. [D-19] */
  goodbye(account: string, owner: object): void {
    const row = this.#rows.get(account);
    if (row?.owner !== owner) return;
    row.lastSeen = this.#clock.now();
    this.#leave(row);
  }

  /** The announcer's link ended without a goodbye; it has the grace to come back. [D-13] */
  linkEnded(account: string, owner: object): void {
    const row = this.#rows.get(account);
    if (row?.owner !== owner) return;
    const now = this.#clock.now();
    row.owner = undefined;
    if (row.online) row.lastSeen = now; // the link lived until now
    row.expires = Math.min(row.expires, now + this.#graceMs);
  }

  /** Addresses of the present record that answered the dial-back. */
  setVerified(account: string, node: string, verified: readonly string[]): void {
    const row = this.#rows.get(account);
    if (row?.record.node !== node || sameList(row.verified, verified)) return;
    row.verified = verified;
    this.#unsaved.add(row);
    this.#bump(row);
  }

  #leave(row: LiveRow): void {
    row.online = false;
    row.owner = undefined;
    this.#online.delete(row);
    this.#unsaved.add(row);
    this.#bump(row);
  }

  #bump(row: LiveRow): void {
    row.changed = ++this.#counter;
    this.#unsaved.add(row);
    this.#hidings.moved(row);
    for (const listener of this.#listeners) listener(row.record.account);
  }

  /** Takes offline whose time is over, and writes what is not on disk yet. To be called about once a second. */
  sweep(): void {
    const now = this.#clock.now();
    for (const row of [...this.#online]) if (row.expires <= now) this.#leave(row);
    this.flush();
  }

  /** Takes those out of the list who have not been here for half a year. To be called about once an hour. */
  forget(): void {
    const now = this.#clock.now();
    for (const row of this.#rows.values()) {
      if (row.online || now - row.lastSeen < FORGET_MS) continue;
      if (this.#forgotten.length >= MOST_GONE) break; // the rest at the next call: a notice has a bound
      this.#drop(row);
    }
    this.#boundGone();
    this.flush();
  }

  /** Out of the list, and told of in `gone`. */
  #drop(row: LiveRow): void {
    const { account, node } = row.record;
    this.#rows.delete(account);
    this.#online.delete(row);
    if (this.#nodes.get(node) === account) this.#nodes.delete(node);
    this.#hidings.forget(account);
    this.#unsaved.delete(row);
    this.#forgotten.push(account);
    this.#gone.push({ account, at: ++this.#counter });
    for (const listener of this.#listeners) listener(account);
  }

  #boundGone(): void {
    const dropped = this.#gone.splice(0, Math.max(0, this.#gone.length - MOST_GONE));
    this.#goneSince = dropped.at(-1)?.at ?? this.#goneSince;
  }

  /** Handles of a zone with what became of them, in their order, after `after`. */
  handles(zone: string, after: string, most: number): HandleRow[] {
    return this.#bindings.marks.list(zone, after, most);
  }

  /** Nobody goes by this handle any more, and its owner leaves the list. Throws `unknown_handle`. */
  revoke(handle: string): HandleRow {
    const { marks } = this.#bindings;
    const { account } = marks.show(handle);
    marks.revoke(handle, this.#clock.now());
    const row = this.#rows.get(account);
    if (row?.record.handle === handle) {
      this.#drop(row);
      this.#boundGone();
      this.flush();
    }
    return marks.show(handle);
  }

  /** The account goes by another name from its next record on. Throws `unknown_handle`, `name_taken`. */
  rename(handle: string, to: string): HandleRow {
    const { marks } = this.#bindings;
    const { account, state } = marks.show(handle);
    if (state !== 'bound') {
      throw new Fault('wrong_state', `renaming "${handle}": it was ${state} before; see "netapp handles list"`);
    }
    if (handle === to) throw new Fault('invalid_argument', `renaming "${handle}": that is its name`);
    marks.rename(handle, to, this.#clock.now());
    const row = this.#rows.get(account);
    if (row?.record.handle === handle) row.owner = undefined; // the next renewal is refused: it would prolong the old name
    return marks.show(to);
  }

  /** Forgets who had a name that is not in use. Throws `unknown_handle`, `wrong_state`. */
  free(handle: string): HandleRow {
    const row = this.#bindings.marks.show(handle);
    if (row.state === 'bound') {
      throw new Fault(
        'wrong_state',
        `freeing "${handle}": it has an owner; revoke it first with "netapp handles revoke"`,
      );
    }
    this.#bindings.marks.free(handle);
    return row;
  }

  /** Writes what is not on disk yet. Bindings are there already; the rest its owners would say again. */
  flush(): void {
    this.#bindings.keep([...this.#unsaved], this.#forgotten);
    this.#unsaved.clear();
    this.#forgotten.length = 0;
  }

  /** Whether the account owns a handle here, also if it has not been here for long. */
  isBound(account: string): boolean {
    return this.#bindings.isBound(account);
  }

  /** Takes from whom the account hides; durable when it answers. Throws `too_many`. [D-52] */
  hide(account: string, hiding: Hiding): void {
    if (this.#hidings.isSaid(account, hiding)) return;
    const row = this.#rows.get(account);
    this.#hidings.set(account, hiding, row, { now: this.#clock.now(), changed: this.#counter + 1 });
    if (row?.online) this.#bump(row); // who may see it no more, or again, is told
  }

  /** `row` as `asker` may see it; undefined if not at all. */
  shown(row: Row, asker: Asker): Row | undefined {
    return this.#hidings.shown(row, asker);
  }

  get(account: string): Row | undefined {
    return this.#rows.get(account);
  }

  /** The account whose record names this node; undefined if none does. [D-55] */
  accountAt(node: string): Asker {
    return this.#nodes.get(node);
  }

  /** The record that goes by this handle, as `asker` may see it. Throws `unknown_handle`. */
  find(handle: string, asker?: Asker): Row {
    const owner = this.#bindings.ownerOf(handle);
    const row = owner === undefined ? undefined : this.#rows.get(owner);
    const shown = row && this.shown(row, asker);
    if (!shown) throw new Fault('unknown_handle', `finding "${handle}": nobody has announced this name here`);
    if (shown.record.handle === handle) return shown;
    // Also of a name that was taken up while its owner hid: as far as this asker is told, nobody has it.
    if (row !== shown && row?.record.handle === handle) {
      throw new Fault('unknown_handle', `finding "${handle}": nobody has announced this name here`);
    }
    throw new Fault('unknown_handle', `finding "${handle}": its owner goes by "${shown.record.handle}" now`);
  }

  /** What `asker` may see of what changed since a version of this epoch, or of everybody; in the order of account ids. */
  since(version: string | undefined, asker?: Asker): Change {
    const [epoch, counter] = (version ?? '').split('-').map(Number);
    const known = epoch === this.#epoch && counter !== undefined && counter <= this.#counter;
    const full = !known || counter < this.#goneSince;
    const rows = [...this.#rows.values()]
      .flatMap((row) => this.shown(row, asker) ?? [])
      .filter((row) => full || row.changed > counter);
    rows.sort((a, b) => (a.record.account < b.record.account ? -1 : 1));
    const gone = full ? [] : this.#gone.filter(({ at }) => at > counter).map(({ account }) => account);
    return { full, rows, gone: gone.filter((account) => !this.#rows.has(account)) };
  }
}

const sameList = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((text, index) => text === b[index]);

/** Whether two records say the same to a reader, whenever they were signed. */
function sameClaim(a: DirectoryRecord, b: DirectoryRecord): boolean {
  const said = ({ seq, until, sig, ...rest }: DirectoryRecord): string => canonical(rest);
  return said(a) === said(b);
}
