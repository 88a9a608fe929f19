/** A tracker's table: who is online and where, who was, and what changed since when. */
import { getHeapStatistics } from 'node:v8';
import type { Clock } from '../base/clock.ts';
import { canonical } from '../base/encoding.ts';
import { Fault } from '../base/fault.ts';
import type { Store } from '../base/sqlite.ts';
import { Bindings } from './bindings.ts';
import { type Asker, type Hiding, Hidings } from './hiding.ts';
import { TTL_MS } from './messages.ts';
import { type DirectoryRecord, type Renewal, recordHolds, renewed } from './record.ts';
import { LiveRow, type Row } from './row.ts';
import { SortedRows } from './sorted-rows.ts';

/** Milliseconds after the end of its link before somebody counts as gone: a redial takes less. [D-13] */
const GRACE_MS = 3000;
/** Milliseconds after which somebody who never came back leaves the list; the handle stays theirs. */
const FORGET_MS = 180 * 24 * 3600_000;
/** A record may hold for a day at most, so that an old one cannot be shown for ever. [D-4] */
const MOST_UNTIL_MS = 24 * 3600_000;
/** Accounts in the table, and the share of the memory that may be had for them: past either, new ones are refused. */
const MOST_ACCOUNTS = 2_000_000;
const MOST_TEXT_BYTES = getHeapStatistics().heap_size_limit / 2;
/** Departures that are remembered for those who ask what changed; who asks from before gets the whole list. */
const MOST_GONE = 1000;

/** Changes that are remembered in their order, for those who ask what is new; who asks from before has all rows looked at. */
const MOST_CHANGES = 100_000;

/** `rows` can be read once. */
export type Change = { full: boolean; rows: Iterable<Row>; gone: string[] };

export class DirectoryTable {
  readonly ttlMs: number;
  readonly #clock: Clock;
  readonly #graceMs: number;
  readonly #bindings: Bindings;
  readonly #hidings: Hidings;
  /** Accounts by the node that announced them last. */
  readonly #nodes = new Map<string, string>();
  readonly #rows = new Map<string, LiveRow>();
  /** Rows by the handle that they go by now: a lookup would otherwise ask the store. */
  readonly #handles = new Map<string, LiveRow>();
  /** All rows in the order of account ids. */
  readonly #order = new SortedRows();
  /** Rows in the order in which they changed, from the version `#changesFrom` on; those that changed again stand there twice. */
  readonly #changes: (LiveRow | undefined)[] = [];
  #changesFrom = 1;
  #textBytes = 0;
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
    for (const row of this.#bindings.load()) {
      // Who was here when the tracker stopped a moment ago will be back in a moment; others are not told of the gap.
      row.online = row.online && now - row.lastSeen < this.ttlMs;
      row.expires = now + this.#graceMs;
      this.#put(row);
    }
  }

  #put(row: LiveRow): void {
    this.#rows.set(row.account, row);
    this.#nodes.set(row.node, row.account);
    this.#handles.set(row.handle, row);
    this.#order.add(row);
    this.#textBytes += row.text.length;
    if (row.online) this.#online.add(row);
  }

  /** Out of all that leads to it. */
  #drop(row: LiveRow): void {
    this.#rows.delete(row.account);
    if (this.#nodes.get(row.node) === row.account) this.#nodes.delete(row.node);
    if (this.#handles.get(row.handle) === row) this.#handles.delete(row.handle);
    this.#textBytes -= row.text.length;
    this.#online.delete(row);
    this.#unsaved.delete(row);
  }

  /** Puts what its account says now in the place of what it said. */
  #say(row: LiveRow, record: DirectoryRecord): void {
    const { node, handle, text } = row;
    row.record = record;
    this.#textBytes += row.text.length - text.length;
    if (row.node !== node && this.#nodes.get(node) === row.account) this.#nodes.delete(node);
    if (row.handle !== handle && this.#handles.get(handle) === row) this.#handles.delete(handle);
    this.#nodes.set(row.node, row.account);
    this.#handles.set(row.handle, row);
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
   * newer one is known), `name_taken`, `too_many`.
   */
  announce(record: DirectoryRecord, observed: string, owner: object, reached: readonly string[]): Row {
    const now = this.#clock.now();
    const row = this.#rows.get(record.account);
    this.#check(record, row?.record, now);
    if (!row && (this.#rows.size >= MOST_ACCOUNTS || this.#textBytes >= MOST_TEXT_BYTES)) {
      const known = `this tracker knows ${this.#rows.size} accounts already`;
      throw new Fault('too_many', `announcing "${record.handle}": ${known}, which is all that it may keep in mind`);
    }
    this.#bindings.claim(record.handle, record.account, now);
    if (!row) {
      const fresh = LiveRow.of(record, { verified: reached, observed, online: true, lastSeen: now });
      fresh.owner = owner;
      this.#put(fresh);
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
    this.#say(row, record);
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
    if (row?.node !== node || sameList(row.verified, verified)) return;
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
    row.changed = this.#count(row);
    this.#unsaved.add(row);
    this.#hidings.moved(row);
    for (const listener of this.#listeners) listener(row.account);
  }

  /** The next version, of which this row is what changed; undefined: somebody left the list. */
  #count(row: LiveRow | undefined): number {
    this.#changes.push(row);
    if (this.#changes.length > 2 * MOST_CHANGES) this.#changesFrom += this.#changes.splice(0, MOST_CHANGES).length;
    return ++this.#counter;
  }

  /** Takes offline whose time is over, and writes what is not on disk yet. To be called about once a second. */
  sweep(): void {
    const now = this.#clock.now();
    for (const row of this.#online) if (row.expires <= now) this.#leave(row);
    this.flush();
  }

  /** Takes those out of the list who have not been here for half a year. To be called about once an hour. */
  forget(): void {
    const now = this.#clock.now();
    for (const [account, row] of this.#rows) {
      if (row.online || now - row.lastSeen < FORGET_MS) continue;
      if (this.#forgotten.length >= MOST_GONE) break; // the rest at the next call: a notice has a bound
      this.#drop(row);
      this.#hidings.forget(account);
      this.#forgotten.push(account);
      this.#gone.push({ account, at: this.#count(undefined) });
      for (const listener of this.#listeners) listener(account);
    }
    if (this.#forgotten.length > 0) this.#order.keep((row) => this.#rows.has(row.account));
    const dropped = this.#gone.splice(0, Math.max(0, this.#gone.length - MOST_GONE));
    this.#goneSince = dropped.at(-1)?.at ?? this.#goneSince;
    this.flush();
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
    return this.known(handle, asker) ?? this.#findOwner(handle, asker);
  }

  /** As `find`, where it needs no look at the store; undefined where it does. */
  known(handle: string, asker?: Asker): Row | undefined {
    const row = this.#handles.get(handle);
    return row && this.shown(row, asker) === row ? row : undefined;
  }

  #findOwner(handle: string, asker: Asker): Row {
    const owner = this.#bindings.ownerOf(handle);
    const row = owner === undefined ? undefined : this.#rows.get(owner);
    const shown = row && this.shown(row, asker);
    if (!shown) throw new Fault('unknown_handle', `finding "${handle}": nobody has announced this name here`);
    if (shown.record.handle === handle) return shown;
    // Also of a name that was taken up while its owner hid: as far as this asker is told, nobody has it.
    if (row !== shown && row?.handle === handle) {
      throw new Fault('unknown_handle', `finding "${handle}": nobody has announced this name here`);
    }
    throw new Fault('unknown_handle', `finding "${handle}": its owner goes by "${shown.record.handle}" now`);
  }

  /**
   * What `asker` may see of what changed since a version of this epoch, or of everybody; in the order of account ids, behind
   * `after` where that is given.
   */
  since(version: string | undefined, asker?: Asker, after?: string): Change {
    const [epoch, counter] = (version ?? '').split('-').map(Number);
    const known = epoch === this.#epoch && counter !== undefined && counter <= this.#counter;
    const full = !known || counter < this.#goneSince;
    if (full) return { full, rows: this.#shownOf(this.#order.after(after), asker, -1), gone: [] };
    const gone = this.#gone.filter(({ at }) => at > counter).map(({ account }) => account);
    return {
      full,
      rows: this.#shownOf(this.#changedSince(counter, after), asker, counter),
      gone: gone.filter((account) => !this.#rows.has(account)),
    };
  }

  /** Rows that changed after a version, in the order of account ids, perhaps with others between. */
  #changedSince(counter: number, after: string | undefined): Iterable<LiveRow> {
    const from = counter + 1 - this.#changesFrom;
    if (from < 0) return this.#order.after(after);
    const last = this.#changes.slice(from).filter((row, at) => row?.changed === counter + 1 + at);
    return last
      .flatMap((row) => (row && row.account > (after ?? '') && this.#rows.has(row.account) ? row : []))
      .sort((a, b) => (a.account < b.account ? -1 : 1));
  }

  /** Rows as the asker sees them, that changed after `counter` in these eyes. */
  *#shownOf(rows: Iterable<LiveRow>, asker: Asker, counter: number): Generator<Row> {
    for (const row of rows) {
      const shown = this.shown(row, asker);
      if (shown && shown.changed > counter) yield shown;
    }
  }
}

const sameList = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((text, index) => text === b[index]);

/** Whether two records say the same to a reader, whenever they were signed. */
function sameClaim(a: DirectoryRecord, b: DirectoryRecord): boolean {
  const said = ({ seq, until, sig, ...rest }: DirectoryRecord): string => canonical(rest);
  return said(a) === said(b);
}
