/** A tracker's table: who is online and where, who was, and what changed since when. */
import { getHeapStatistics } from 'node:v8';
import type { Clock } from '../base/clock.ts';
import { canonical } from '../base/encoding.ts';
import { Fault } from '../base/fault.ts';
import type { Store } from '../base/sqlite.ts';
import { Bindings } from './bindings.ts';
import { Changes } from './changes.ts';
import type { HandleRow } from './handle-marks.ts';
import { type Asker, type Hiding, Hidings } from './hiding.ts';
import { TTL_MS } from './messages.ts';
import { type DirectoryRecord, type Renewal, recordHolds, renewed } from './record.ts';
import { LiveRow, type Row } from './row.ts';
import { NumberedRows, RowIndex } from './row-index.ts';
import { SortedRows } from './sorted-rows.ts';

/** Milliseconds after the end of its link before somebody counts as gone: a redial takes less. [D-13] */
export const GRACE_MS = 3000;
/** Milliseconds after which somebody who never came back leaves the list; the handle stays theirs. */
const FORGET_MS = 180 * 24 * 3600_000;
/** A record may hold for a day at most, so that an old one cannot be shown for ever. [D-4] */
const MOST_UNTIL_MS = 24 * 3600_000;
/** Accounts in the table, and the share of the memory that may be had for them: past either, new ones are refused. */
const MOST_ACCOUNTS = 2_000_000;
const MOST_TEXT_BYTES = getHeapStatistics().heap_size_limit / 2;
/** Departures that are remembered for those who ask what changed; who asks from before gets the whole list. */
const MOST_GONE = 1000;

/** Characters of an id that tell it from others: 65 bits. */
const ID_CHARS = 13;

/** What trackers that share a table tell each other of an account. */
export type Merged = Pick<Row, 'record' | 'verified' | 'observed' | 'online' | 'lastSeen' | 'changed'>;

/** Changes the table. Embedded it is the table itself, and answers at once; what is shared is agreed upon first. */
export type DirectoryWriter = {
  announce(
    record: DirectoryRecord,
    observed: string,
    owner: object,
    reached: readonly string[],
    admit?: () => void,
    invitation?: string,
  ): Row | Promise<Row>;
  renew(account: string, renewal: Renewal, owner: object): void;
  goodbye(account: string, owner: object): void;
  linkEnded(account: string, owner: object): void;
  setVerified(account: string, node: string, verified: readonly string[]): void;
  hide(account: string, hiding: Hiding): void | Promise<void>;
  sweep(): void;
  forget(): void;
  flush(): void;
};

/** `rows` can be read once. */
export type Change = { full: boolean; rows: Iterable<Row>; gone: string[] };

export class DirectoryTable {
  readonly ttlMs: number;
  readonly #clock: Clock;
  readonly #graceMs: number;
  readonly #bindings: Bindings;
  readonly #hidings: Hidings;
  readonly #numbered = new NumberedRows();
  /** Rows by the node that announced them last. */
  readonly #nodes = new RowIndex(this.#numbered, ({ node }) => node, ID_CHARS);
  readonly #rows = new RowIndex(this.#numbered, ({ account }) => account, ID_CHARS);
  /** Rows by the handle that they go by now: a lookup would otherwise ask the store. */
  readonly #handles = new RowIndex(this.#numbered, ({ handle }) => handle);
  /** All rows in the order of account ids. */
  readonly #order = new SortedRows();
  readonly #changes = new Changes();
  #textBytes = 0;
  readonly #online = new Set<LiveRow>();
  readonly #unsaved = new Set<LiveRow>();
  readonly #forgotten: string[] = [];
  readonly #listeners = new Set<(account: string) => void>();
  /** In what is shared: the place at which an account last said from whom it hides. */
  readonly #hidAt = new Map<string, number>();
  #gone: { account: string; at: number }[] = [];
  /** Versions of this epoch before this one lack departures. */
  #goneSince = 0;
  readonly #epoch: number;
  readonly #isShared: boolean;
  #counter = 0;

  /** `store` is open, and read here, so only a `start()` calls this. `epoch`: of what is shared; without, it is a new one. */
  constructor(options: { store: Store; clock: Clock; ttlMs?: number; graceMs?: number; epoch?: number }) {
    this.#clock = options.clock;
    this.ttlMs = options.ttlMs ?? TTL_MS;
    this.#graceMs = options.graceMs ?? GRACE_MS;
    this.#bindings = new Bindings(options.store);
    this.#hidings = new Hidings(options.store);
    const now = this.#clock.now();
    this.#isShared = options.epoch !== undefined;
    this.#epoch = options.epoch ?? this.#bindings.nextEpoch(now);
    for (const row of this.#bindings.load()) {
      // Who was here when the tracker stopped a moment ago will be back in a moment; others are not told of the gap.
      row.online = row.online && now - row.lastSeen < this.ttlMs;
      row.expires = now + this.#graceMs;
      this.#put(row);
    }
  }

  #put(row: LiveRow): void {
    this.#numbered.add(row);
    this.#rows.set(row);
    this.#nodes.set(row);
    this.#name(row);
    this.#order.add(row);
    this.#textBytes += row.text.length;
    if (row.online) this.#online.add(row);
  }

  /** Its handle leads to it; where two go by one, for it was freed while its former owner was away, to the owner of now. */
  #name(row: LiveRow): void {
    const other = this.#handles.get(row.handle);
    if (other && other !== row && this.#bindings.ownerOf(row.handle) !== row.account) return;
    this.#handles.set(row);
  }

  /** Puts what its account says now in the place of what it said. */
  #say(row: LiveRow, record: DirectoryRecord): void {
    const { text } = row;
    if (row.node !== record.node) this.#nodes.delete(row);
    if (row.handle !== record.handle) this.#handles.delete(row);
    row.record = record;
    this.#textBytes += row.text.length - text.length;
    this.#nodes.set(row);
    this.#name(row);
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
    this.check(record, row?.record);
    this.#bindings.claim(record.handle, record.account, now, admit);
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
    this.check(record, row.record);
    const wasOnline = row.online;
    this.#heard(row, record, now);
    if (!wasOnline) this.#bump(row);
  }

  /** Whether the record may follow on what its account said before. Throws as `announce` does, but for its name. */
  check(record: DirectoryRecord, known: DirectoryRecord | undefined): void {
    const now = this.#clock.now();
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
    if (!known && (this.#rows.size >= MOST_ACCOUNTS || this.#textBytes >= MOST_TEXT_BYTES)) {
      const others = `this tracker knows ${this.#rows.size} accounts already`;
      throw new Fault('too_many', `announcing "${record.handle}": ${others}, which is all that it may keep in mind`);
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
    this.#change(row, this.#counter + 1);
    this.#unsaved.add(row);
    this.#hidings.moved(row);
    for (const listener of this.#listeners) listener(row.account);
  }

  #change(row: LiveRow, at: number): void {
    row.changed = at;
    this.#changes.add(row, at);
    this.#counter = Math.max(this.#counter, at);
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
    for (const account of this.absent(now).slice(0, MOST_GONE - this.#forgotten.length)) {
      const row = this.#rows.get(account);
      if (row) this.#drop(row, this.#counter + 1);
      this.#forgotten.push(account);
    }
    this.flush();
  }

  /** Who has not been here for half a year; at most a thousand at once, for a notice has a bound. */
  absent(now: number): string[] {
    const found: string[] = [];
    for (const row of this.#order.after(undefined)) {
      if (row.online || now - row.lastSeen < FORGET_MS) continue;
      if (found.push(row.account) >= MOST_GONE) break;
    }
    return found;
  }

  /** It leaves the list, and all that leads to it, with a version. */
  #drop(row: LiveRow, at: number): void {
    const { account } = row;
    this.#rows.delete(row);
    this.#nodes.delete(row);
    this.#handles.delete(row);
    this.#numbered.remove(row);
    this.#order.remove(row);
    this.#textBytes -= row.text.length;
    this.#online.delete(row);
    this.#hidings.forget(account);
    this.#unsaved.delete(row);
    this.#left(account, at);
  }

  #left(account: string, at: number): void {
    this.#counter = Math.max(this.#counter, at);
    this.#gone.push({ account, at });
    const dropped = this.#gone.splice(0, Math.max(0, this.#gone.length - MOST_GONE));
    this.#goneSince = dropped.at(-1)?.at ?? this.#goneSince;
    for (const listener of this.#listeners) listener(account);
  }

  /** Takes what all who share the table agreed upon at a place: news where `changed` is 0, else what no asker can see. [K-5] */
  merge(said: Merged, at: number): void {
    const { account } = said.record;
    const known = this.#rows.get(account);
    const changed = Math.max(said.changed || at, this.#hidAt.get(account) ?? 0);
    const row = known ?? LiveRow.of(said.record, said);
    if (known) this.#replace(known, said);
    else this.#put(row);
    if (!known || row.changed !== changed) this.#change(row, changed);
    if (said.changed !== 0) return;
    this.#hidings.moved(row);
    for (const listener of this.#listeners) listener(account);
  }

  #replace(row: LiveRow, { record, verified, observed, online, lastSeen }: Merged): void {
    this.#say(row, record);
    Object.assign(row, { verified, observed, online, lastSeen });
    if (online) this.#online.add(row);
    else this.#online.delete(row);
  }

  /** The same, of an account that is listed no more. */
  mergeGone(account: string, at: number): void {
    const row = this.#rows.get(account);
    if (row) this.#drop(row, at);
    else this.#left(account, at);
  }

  /** The same, of from whom an account hides. */
  mergeHiding(account: string, text: string, at: number): void {
    this.#hidings.take(account, text, at);
    this.#hidAt.set(account, at);
    const row = this.#rows.get(account);
    if (!row) return;
    if (!row.online) return this.#changes.add(row, at); // what its hiding shows is of this version; the row is not
    this.#change(row, at);
    for (const listener of this.#listeners) listener(account);
  }

  /** The same, of whose a handle is. */
  mergeBinding(handle: string, account: string, since: number = this.#clock.now()): void {
    this.#bindings.take(handle, account, since);
  }

  /** Whether nobody owns the handle. */
  isFree(handle: string): boolean {
    return this.#bindings.ownerOf(handle) === undefined;
  }

  isRevoked(handle: string): boolean {
    return this.#bindings.marks.isRevoked(handle);
  }

  /** Whether the handle is free for the account; false where it is the account's already. Throws `name_taken`, `too_many`. */
  mayClaim(handle: string, account: string): boolean {
    return this.#bindings.mayClaim(handle, account);
  }

  /** What `hide` would keep, to be agreed upon first; undefined where it is kept already. Throws `too_many`. */
  hidingText(account: string, hiding: Hiding): string | undefined {
    if (this.#hidings.isSaid(account, hiding)) return undefined;
    return this.#hidings.textOf(account, hiding, this.#rows.get(account), this.#clock.now());
  }

  /** Handles of a zone with what became of them, in their order, after `after`. */
  handles(zone: string, after: string, most: number): HandleRow[] {
    return this.#bindings.marks.list(zone, after, most);
  }

  /** One handle, as an admin sees it. Throws `unknown_handle`. */
  handleRow(handle: string): HandleRow {
    return this.#bindings.marks.show(handle);
  }

  /** Writes down that nobody goes by this handle any more. Throws `unknown_handle`. */
  mark(handle: string, now: number): HandleRow {
    const { marks } = this.#bindings;
    marks.show(handle);
    marks.revoke(handle, now);
    return marks.show(handle);
  }

  /** Nobody goes by this handle any more, and its owner leaves the list. Throws `unknown_handle`. */
  revoke(handle: string): HandleRow {
    const marked = this.mark(handle, this.#clock.now());
    const { account } = marked;
    const row = this.#rows.get(account);
    if (row?.handle === handle) {
      this.#drop(row, this.#counter + 1);
      this.#forgotten.push(account);
      this.flush();
    }
    return marked;
  }

  /** Throws what `rename` would. */
  checkRename(handle: string, to: string): HandleRow {
    const { marks } = this.#bindings;
    const known = marks.show(handle);
    const { state } = known;
    if (state !== 'bound') {
      throw new Fault('wrong_state', `renaming "${handle}": it was ${state} before; see "netapp handles list"`);
    }
    if (handle === to) throw new Fault('invalid_argument', `renaming "${handle}": that is its name`);
    marks.checkTarget(handle, to);
    return known;
  }

  /** The account goes by another name from its next record on. Throws `unknown_handle`, `name_taken`. */
  rename(handle: string, to: string, now: number = this.#clock.now()): HandleRow {
    const { marks } = this.#bindings;
    const { account } = this.checkRename(handle, to);
    marks.rename(handle, to, now);
    const row = this.#rows.get(account);
    if (row?.handle === handle) row.owner = undefined; // the next renewal is refused: it would prolong the old name
    return marks.show(to);
  }

  /** Throws what `free` would. */
  checkFree(handle: string): HandleRow {
    const row = this.#bindings.marks.show(handle);
    if (row.state === 'bound') {
      throw new Fault(
        'wrong_state',
        `freeing "${handle}": it has an owner; revoke it first with "netapp handles revoke"`,
      );
    }
    return row;
  }

  /** Forgets who had a name that is not in use. Throws `unknown_handle`, `wrong_state`. */
  free(handle: string): HandleRow {
    const row = this.checkFree(handle);
    this.#bindings.marks.free(handle);
    const named = this.#handles.get(handle);
    if (named) this.#handles.delete(named); // whoever was away since they were renamed is on the list by it still, and found by it no more
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
    if (this.#bindings.isBound(account)) return true;
    // What is shared says who is on the list and whose a handle is in two orders: the first may be here before the second.
    const row = this.#isShared ? this.#rows.get(account) : undefined;
    return row !== undefined && !this.isRevoked(row.handle);
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
    return this.#nodes.get(node)?.account;
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

  /** As `known`, of a handle in bytes. */
  knownAs(bytes: Uint8Array, from: number, to: number, asker: Asker): LiveRow | undefined {
    const row = this.#handles.find(bytes, from, to);
    return row && (!this.#hidings.any || this.shown(row, asker) === row) ? row : undefined;
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
      gone: gone.filter((account) => !this.#rows.get(account)),
    };
  }

  /** Rows that changed after a version, in the order of account ids, perhaps with others between. */
  #changedSince(counter: number, after = ''): Iterable<LiveRow> {
    const changed = this.#changes.after(counter);
    if (!changed) return this.#order.after(after);
    return [...changed]
      .filter((row) => row.account > after && this.#rows.get(row.account) === row)
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

export const sameList = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((text, index) => text === b[index]);

/** Whether two records say the same to a reader, whenever they were signed. */
export function sameClaim(a: DirectoryRecord, b: DirectoryRecord): boolean {
  const said = ({ seq, until, sig, ...rest }: DirectoryRecord): string => canonical(rest);
  return said(a) === said(b);
}
