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
/** New entries that are written together. */
const TOGETHER = 4096;
/** Entries after which some of those are, twice as many: about as long as the disk takes for what came with them. */
const OWED = 64;

/** The number that an id begins with; undefined for what is no id. */
const headOf = (id: string): number | undefined => base32Number(id, HEAD);

/** As SQL has it, for entries that were kept before there was an index of this kind. */
export const headInSql = (id: string): number => headOf(id) ?? -1;

export class Places {
  readonly #sql: Statements;
  readonly #store: Store;
  /** By the head of the id. One whose transaction was undone may be left here: nothing stands there, or something with another id. */
  #fresh = new Map<number, number>();
  /** On their way to the table: those in `#order` before `#left` are there. */
  #leaving: ReadonlyMap<number, number> = new Map();
  #order = new Float64Array();
  #left = 0;
  /** All up to here are in the table, or leaving. */
  #leavingUpTo = 0;
  /** Entries that came since any left. */
  #owed = 0;
  /** The last place that was given out; undefined before the first use. */
  #last: number | undefined;

  constructor(sql: Statements, store: Store) {
    this.#sql = sql;
    this.#store = store;
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
    this.#keep(head, place);
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
    for (const place of [this.#fresh.get(head), this.#leaving.get(head)]) {
      const found = place === undefined ? undefined : row.get(place, id);
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
    for (const places of [this.#fresh, this.#leaving]) {
      for (const [head, place] of places) {
        if (head < from || head > to) continue;
        const here = id.get(place)?.id;
        if (here?.startsWith(text)) found.add(here);
      }
    }
    return [...found].slice(0, most);
  }

  #keep(head: number, place: number): void {
    // Of two that begin alike the table can have both.
    if (this.#fresh.has(head)) this.#insert(head, place);
    else this.#fresh.set(head, place);
  }

  #insert(head: number, place: number): void {
    this.#sql.of('INSERT OR IGNORE INTO places (head, place) VALUES (?, ?)').run(head, place);
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
      this.#keep(headInSql(id), place);
      this.#last = place;
    }
    return this.#last;
  }

  /** A part of what is leaving goes to the table; where nothing is, all that is fresh is about to. */
  readonly #write = (): void => {
    if (this.#left === this.#order.length) {
      if (this.#fresh.size < TOGETHER) return;
      this.#leaving = this.#fresh;
      this.#leavingUpTo = this.#read();
      this.#order = Float64Array.from(this.#leaving.keys()).sort();
      this.#left = 0;
      this.#fresh = new Map();
    }
    // Twice as fast as more come: all have left before as many are fresh again.
    const end = Math.min(this.#left + 2 * this.#owed, this.#order.length);
    for (const head of this.#order.subarray(this.#left, end)) {
      const place = this.#leaving.get(head);
      if (place !== undefined) this.#insert(head, place);
    }
    if (end === this.#order.length) this.#sql.of('UPDATE places_written SET place = ?').run(this.#leavingUpTo);
    this.#store.afterCommit(() => {
      this.#left = end;
      this.#owed = 0;
    });
  };
}
