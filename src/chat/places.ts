/**
 * Where each entry stands in the log, by its id. An id is a hash, so an index by it is written all over, a page for each entry:
 * what is new stands in memory instead, and is written some thousands at a time, in the order of the index. After a kill it is
 * read again from the entries. See docs/decisions/places-in-the-log.md.
 */
import { base32Number } from '../base/encoding.ts';
import type { Store } from '../base/sqlite.ts';
import type { Statements } from './tables.ts';

/** Characters of an id that the index has: 45 bits, which two of a million entries share in one of seventy logs. */
const HEAD = 9;
/** New entries that are written in one order: the more, the more of them stand on a page. Up to twice as many are in memory, 24 bytes each. */
const TOGETHER = 16_384;
/** Entries after which some of those are, twice as many: some hundred microseconds of work, of which the commit is a small part. */
const OWED = 256;

/** The number that an id begins with; undefined for what is no id. */
const headOf = (id: string): number | undefined => base32Number(id, HEAD);

/** As SQL has it, for entries that were kept before there was an index of this kind. */
export const headInSql = (id: string): number => headOf(id) ?? -1;

/** Places by the heads of ids, in the order in which they came. */
class Fresh {
  readonly heads: number[] = [];
  readonly places: number[] = [];
  /** Where each head of the first `#indexed` came last, and where the same one came before; made when somebody asks. */
  readonly #last = new Map<number, number>();
  readonly #before = new Map<number, number>();
  #indexed = 0;

  add(head: number, place: number): void {
    this.heads.push(head);
    this.places.push(place);
  }

  /** One, but for the few heads that several ids have. */
  of(head: number): number[] {
    for (; this.#indexed < this.heads.length; this.#indexed++) {
      const next = this.heads[this.#indexed] ?? 0;
      const before = this.#last.get(next);
      if (before !== undefined) this.#before.set(this.#indexed, before);
      this.#last.set(next, this.#indexed);
    }
    const found: number[] = [];
    for (let at = this.#last.get(head); at !== undefined; at = this.#before.get(at)) found.push(this.places[at] ?? 0);
    return found;
  }

  between(from: number, to: number): number[] {
    return this.places.filter((_, at) => from <= (this.heads[at] ?? 0) && (this.heads[at] ?? 0) <= to);
  }
}

/** The same, in the order of the heads. */
class Leaving {
  readonly heads: Float64Array;
  readonly places: Float64Array;

  constructor({ heads, places }: Fresh) {
    this.heads = Float64Array.from(heads).sort();
    this.places = new Float64Array(heads.length);
    for (const [at, head] of heads.entries()) {
      let to = this.#from(head);
      while (this.places[to] !== 0) to += 1; // of another id with the same head
      this.places[to] = places[at] ?? 0;
    }
  }

  /** Where the first that is no smaller stands. */
  #from(head: number): number {
    let [low, high] = [0, this.heads.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.heads[middle] ?? 0) < head) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  of(head: number): number[] {
    return this.between(head, head);
  }

  between(from: number, to: number): number[] {
    const found: number[] = [];
    for (let at = this.#from(from); at < this.heads.length && (this.heads[at] ?? 0) <= to; at++)
      found.push(this.places[at] ?? 0);
    return found;
  }
}

export class Places {
  readonly #sql: Statements;
  readonly #store: Store;
  readonly #together: number;
  /** One whose transaction was undone may be left here: nothing stands there. */
  #fresh = new Fresh();
  /** On their way to the table: those before `#left` are there. */
  #leaving = new Leaving(this.#fresh);
  #left = 0;
  /** All up to here are in the table, or leaving. */
  #leavingUpTo = 0;
  /** Entries that came since any left. */
  #owed = 0;
  /** The last place that was given out; undefined before the first use. */
  #last: number | undefined;

  /** `together`: new entries that are written in one order. */
  constructor(sql: Statements, store: Store, { together = TOGETHER } = {}) {
    this.#sql = sql;
    this.#store = store;
    this.#together = together;
  }

  /** A place for an entry that is about to be appended. None is ever given twice; one that is not used leaves a hole. */
  next(): number {
    const place = this.#read() + 1;
    this.#last = place;
    return place;
  }

  /** Within the transaction that appends the entry. */
  add(id: string, place: number): void {
    const head = headOf(id);
    if (head === undefined) throw new Error(`"${id}" is no id of an entry`);
    this.#fresh.add(head, place);
    this.#owed += 1;
    if (this.#owed % OWED === 0) this.#store.meanwhile(this.#write);
  }

  /** Within the transaction that deletes the entry. */
  drop(id: string, place: number): void {
    this.#sql.of('DELETE FROM places WHERE head = ? AND place = ?').run(headInSql(id), place);
  }

  of(id: string): number | undefined {
    return this.entry<{ place: number }>('place', id)?.place;
  }

  /** Columns of the entry with this id, as `R` states them. */
  entry<R extends Record<string, unknown>>(columns: string, id: string): R | undefined {
    const head = headOf(id);
    if (head === undefined) return undefined;
    this.#read();
    const row = this.#sql.of<R>(`SELECT ${columns} FROM entries WHERE place = ? AND id = ?`);
    const inMemory = [...this.#fresh.of(head), ...this.#leaving.of(head)];
    for (const place of inMemory) {
      const found = row.get(place, id);
      if (found) return found;
    }
    for (const { place } of this.#sql.of<{ place: number }>('SELECT place FROM places WHERE head = ?').all(head)) {
      const found = row.get(place, id);
      if (found) return found;
    }
    return undefined;
  }

  /** Ids that begin with `text`: at most `most`. */
  beginning(text: string, most: number): string[] {
    const from = headOf(text.padEnd(HEAD, 'a'));
    const to = headOf(text.padEnd(HEAD, '7'));
    if (from === undefined || to === undefined) return [];
    this.#read();
    const ids = this.#sql.of<{ id: string }>(
      `SELECT e.id FROM places p JOIN entries e ON e.place = p.place
       WHERE p.head BETWEEN ? AND ? AND substr(e.id, 1, ?) = ? LIMIT ?`,
    );
    const id = this.#sql.of<{ id: string }>('SELECT id FROM entries WHERE place = ?');
    const found = new Set(ids.all(from, to, text.length, text, most).map((row) => row.id));
    for (const place of [...this.#fresh.between(from, to), ...this.#leaving.between(from, to)]) {
      const here = id.get(place)?.id;
      if (here?.startsWith(text)) found.add(here);
    }
    return [...found].slice(0, most);
  }

  /** Reads, once, what the table lacks. Gives the last place that was given out. */
  #read(): number {
    if (this.#last !== undefined) return this.#last;
    const upTo = this.#sql.of<{ place: number }>('SELECT place FROM places_written').get()?.place ?? 0;
    this.#last = upTo;
    const rows = this.#sql
      .of<{ place: number; id: string }>('SELECT place, id FROM entries WHERE place > ? ORDER BY place')
      .all(upTo);
    for (const { place, id } of rows) {
      this.#fresh.add(headInSql(id), place);
      this.#last = place;
    }
    return this.#last;
  }

  /** A part of what is leaving goes to the table; where nothing is, all that is fresh is about to. */
  readonly #write = (): void => {
    if (this.#left === this.#leaving.heads.length) {
      if (this.#fresh.heads.length < this.#together) return;
      this.#leaving = new Leaving(this.#fresh);
      this.#leavingUpTo = this.#read();
      this.#left = 0;
      this.#fresh = new Fresh();
    }
    const { heads, places } = this.#leaving;
    // Twice as fast as more come: all have left before as many are fresh again.
    const end = Math.min(this.#left + 2 * this.#owed, heads.length);
    const insert = this.#sql.of('INSERT OR IGNORE INTO places (head, place) VALUES (?, ?)');
    for (let at = this.#left; at < end; at++) insert.run(heads[at] ?? 0, places[at] ?? 0);
    if (end === heads.length) this.#sql.of('UPDATE places_written SET place = ?').run(this.#leavingUpTo);
    this.#store.afterCommit(() => {
      this.#left = end;
      this.#owed = 0;
    });
  };
}
