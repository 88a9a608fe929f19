/** The event log: what happened on this node, numbered, kept for a bounded while, followed from a cursor. */
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { Statement, Store } from '../base/sqlite.ts';
import { matcher } from './patterns.ts';

export type NodeEvent = { cursor: number; at: string; type: string; data: Record<string, unknown> };

/** Events kept at most, and milliseconds that one is kept; what is beyond is dropped. Counted in steps of `TRIM`. [E-2] */
const KEPT = 20_000;
const KEPT_MS = 7 * 86_400_000;
const TRIM = 1000;
/** Milliseconds between two looks for events that are too old. */
const AGE_CHECK_MS = 3_600_000;
const PAGE = 200;
/** Events that share a row at most, and their characters unless the first alone has more: what fits a page of the store. A row is dropped whole. */
const RUN = { events: 256, characters: 3000 };
/** More events than can happen until the disk has them: what cursors skip after an unclean end. */
const UNSEEN = 10_000;
/** More events than a home can have had after the backup from which it was restored. */
const UNSEEN_SINCE_BACKUP = 1_000_000_000;

export type Follow = {
  /** Events after this cursor; 0: all that are kept. */
  from: number;
  match?: readonly string[] | undefined;
  signal?: AbortSignal | undefined;
  /** Told a cursor up to which nothing that was not given is wanted. */
  passed?: ((cursor: number) => void) | undefined;
};

/** A run of events of one type that were written together: `cursor` is that of the last of them, `data` a list where there are several. */
type Row = { cursor: number; at: number; type: string; data: string; count: number };

/** `text`: its data, as they were when it happened. */
type Emitted = { type: string; text: string };

export class EventLog implements Disposable {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #insert: Statement;
  readonly #page: Statement<Row>;
  readonly #trim: Statement;
  readonly #dropped: Statement;
  readonly #old: Statement<{ cursor: number | null }>;
  readonly #count: Statement<{ n: number }>;
  readonly #oldest: Statement<{ cursor: number; count: number }>;
  readonly #add: (event: Emitted) => void;
  readonly #followers = new Set<() => void>();
  #last: number;
  /** The last cursor that was given to an event, be it one whose transaction was undone. */
  #given: number;
  /** Events that are kept. */
  #kept = 0;
  #undone = 0;
  /** The newest cursor that was dropped; 0 if none was. */
  #floor: number;
  /** The newest cursor that may ever have been seen: beyond `last` after an unclean end. */
  #highest: number;
  #aged: number;

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
    // AUTOINCREMENT, so that a cursor is never given twice, also after the newest event was dropped.
    store.migrate('events', [
      `CREATE TABLE events (
         cursor INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, type TEXT NOT NULL, data TEXT NOT NULL
       ) STRICT`,
      `CREATE TABLE events_open (since INTEGER NOT NULL) STRICT`,
      // One row: up to which cursor events were dropped.
      `CREATE TABLE events_dropped (cursor INTEGER NOT NULL) STRICT;
       INSERT INTO events_dropped (cursor) SELECT coalesce(min(cursor) - 1, 0) FROM events`,
      // Events that were written together share a row; cursor is that of the last of them.
      'ALTER TABLE events ADD COLUMN count INTEGER NOT NULL DEFAULT 1',
    ]);
    this.#reopen();
    this.#insert = store.prepare('INSERT INTO events (cursor, at, type, data, count) VALUES (?, ?, ?, ?, ?)');
    this.#page = store.prepare(
      `SELECT cursor, at, type, data, count FROM events WHERE cursor > ? ORDER BY cursor LIMIT ${PAGE}`,
    );
    this.#trim = store.prepare('DELETE FROM events WHERE cursor <= ?');
    this.#dropped = store.prepare('UPDATE events_dropped SET cursor = max(cursor, ?)');
    this.#old = store.prepare('SELECT max(cursor) AS cursor FROM events WHERE at < ?');
    this.#count = store.prepare('SELECT coalesce(sum(count), 0) AS n FROM events WHERE cursor <= ?');
    this.#oldest = store.prepare(`SELECT cursor, count FROM events WHERE cursor > ? ORDER BY cursor LIMIT ${PAGE}`);
    this.#add = store.gathering((events) => this.#write(events));
    const one = (sql: string): number => store.prepare<{ value: number | null }>(sql).get()?.value ?? 0;
    this.#last = one('SELECT max(cursor) AS value FROM events');
    this.#recount();
    this.#floor = one('SELECT cursor AS value FROM events_dropped');
    this.#highest = one("SELECT seq AS value FROM sqlite_sequence WHERE name = 'events'");
    this.#given = this.#highest;
    this.#aged = clock.now();
    store.transaction(() => this.#dropOld());
  }

  /**
   * Followers see events before a power cut could no longer take them, so after anything but a clean end cursors go on far
   * beyond those that may have been seen: none is ever given to two events. [E-1]
   */
  #reopen(): void {
    this.#store.transaction(() => {
      const unclean = this.#store.prepare('SELECT since FROM events_open').get() !== undefined;
      if (unclean) this.#store.prepare("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'events'").run(UNSEEN);
      else this.#store.prepare('INSERT INTO events_open (since) VALUES (?)').run(this.#clock.now());
    });
  }

  /** To be called at a clean end, before the store is closed. */
  [Symbol.dispose](): void {
    this.#store.prepare('DELETE FROM events_open').run();
  }

  /** Cursor of the newest event; 0 if there was none. */
  get last(): number {
    return this.#last;
  }

  /** Every event after this cursor is kept; those up to it were dropped. */
  get floor(): number {
    return this.#floor;
  }

  /** Writes an event, as part of the transaction under way if there is one; followers see it once it is committed. */
  emit(type: string, data: Record<string, unknown>): void {
    this.#add({ type, text: JSON.stringify(data) });
  }

  /** Those of one type that follow each other share a row. */
  #write(events: readonly Emitted[]): void {
    const from = this.#given;
    let run: string[] = [];
    let length = 0;
    for (const [index, { type, text }] of events.entries()) {
      run.push(text);
      length += text.length;
      const goesOn = run.length < RUN.events && length < RUN.characters;
      if (goesOn && events[index + 1]?.type === type) continue;
      this.#given += run.length;
      this.#insert.run(this.#given, this.#clock.now(), type, run.length === 1 ? text : `[${run.join()}]`, run.length);
      run = [];
      length = 0;
    }
    const upTo = this.#given;
    this.#kept += events.length;
    if (Math.floor(upTo / TRIM) > Math.floor(from / TRIM)) this.#dropSurplus();
    if (this.#clock.now() - this.#aged >= AGE_CHECK_MS) this.#dropOld();
    this.#store.afterCommit(() => {
      this.#last = upTo;
      this.#highest = upTo;
      for (const wake of this.#followers) wake();
    });
  }

  /** Found from the old end: to walk back over all that is kept takes milliseconds, and so does counting them. */
  #dropSurplus(): void {
    if (this.#undone !== this.#store.undone) this.#recount(); // some may have been counted that were not kept
    let surplus = this.#kept - KEPT;
    let upTo = 0;
    while (surplus > 0) {
      const rows = this.#oldest.all(upTo);
      for (const { cursor, count } of rows) {
        surplus -= count;
        if (surplus < 0) break; // a row goes whole, once all of it is too much
        upTo = cursor;
      }
      if (rows.length === 0) break;
    }
    if (upTo > 0) this.#drop(upTo);
  }

  #recount(): void {
    this.#undone = this.#store.undone;
    this.#kept = this.#count.get(Number.MAX_SAFE_INTEGER)?.n ?? 0;
  }

  #dropOld(): void {
    this.#aged = this.#clock.now();
    this.#drop(this.#old.get(this.#aged - KEPT_MS)?.cursor ?? 0);
  }

  #drop(upTo: number): void {
    if (upTo <= this.#floor) return;
    this.#kept -= this.#count.get(upTo)?.n ?? 0;
    this.#trim.run(upTo);
    this.#dropped.run(upTo);
    this.#store.afterCommit(() => {
      this.#floor = Math.max(this.#floor, upTo);
    });
  }

  /**
   * Events after `from`, kept ones first, then live ones until `signal` aborts, of those that fit one of the patterns. Each
   * follower reads from the log at its own speed, so a slow one costs no memory. Throws `cursor_gone`, at once or later, where
   * events between its place and the next one are no longer kept, and for a cursor that was never given. [E-3]
   */
  follow(options: Follow): AsyncGenerator<NodeEvent, void, void> {
    const { from } = options;
    if (from > this.#highest) {
      throw new Fault(
        'cursor_gone',
        `following events from cursor ${from}: this home has given none beyond ${this.#highest}; follow from 0 for all that is kept`,
        { data: { oldest: this.#floor + 1, last: this.#highest } },
      );
    }
    if (from > 0) this.#check(from);
    return this.#read({ ...options, from: Math.max(from, from > 0 ? 0 : this.#floor) });
  }

  #check(cursor: number): void {
    if (cursor >= this.#floor) return;
    throw new Fault(
      'cursor_gone',
      `following events from cursor ${cursor}: the oldest kept is ${this.#floor + 1}; follow from 0 for all that is kept`,
      { data: { oldest: this.#floor + 1, last: this.#highest } },
    );
  }

  async *#read({ from, match, signal, passed }: Follow): AsyncGenerator<NodeEvent, void, void> {
    const fits = matcher(match);
    let cursor = from;
    while (!signal?.aborted) {
      this.#check(cursor);
      const rows = this.#page.all(cursor);
      for (const row of rows) {
        for (const event of eventsOf(row)) {
          if (event.cursor <= cursor) continue; // within this row the follower stands
          cursor = event.cursor;
          if (fits(event)) yield event;
          if (signal?.aborted) return;
        }
      }
      passed?.(cursor);
      if (rows.length === 0) await this.#next(cursor, signal);
    }
  }

  /** Resolves when there is an event after `cursor`, or `signal` aborts. */
  async #next(cursor: number, signal: AbortSignal | undefined): Promise<void> {
    if (this.#last > cursor || signal?.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = (): void => resolve();
    this.#followers.add(wake);
    signal?.addEventListener('abort', wake);
    try {
      await promise;
    } finally {
      this.#followers.delete(wake);
      signal?.removeEventListener('abort', wake);
    }
  }
}

function eventsOf({ cursor, at, type, data, count }: Row): NodeEvent[] {
  const held: Record<string, unknown>[] = count === 1 ? [JSON.parse(data)] : JSON.parse(data);
  const time = new Date(at).toISOString();
  return held.map((each, index) => ({ cursor: cursor - count + 1 + index, at: time, type, data: each }));
}

/** For a home that was restored from a backup: its cursors go on beyond all that the home it is a copy of may have given. */
export function skipCursors(store: Store): void {
  store.prepare("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'events'").run(UNSEEN_SINCE_BACKUP);
}
