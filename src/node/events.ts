/** The event log: what happened on this node, numbered, kept for a bounded while, followed from a cursor. */
import type { Clock } from '../base/clock.ts';
import type { Statement, Store } from '../base/sqlite.ts';

export type NodeEvent = { cursor: number; at: string; type: string; data: Record<string, unknown> };

/** Events kept; older ones are dropped in steps of `TRIM`. A follower that is further behind goes on at the oldest kept. */
const KEPT = 20_000;
const TRIM = 1000;
const PAGE = 200;
/** More events than can happen until the disk has them: what cursors skip after an unclean end. */
const UNSEEN = 10_000;

type Row = { cursor: number; at: number; type: string; data: string };

export class EventLog implements Disposable {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #insert: Statement;
  readonly #page: Statement<Row>;
  readonly #trim: Statement;
  readonly #followers = new Set<() => void>();
  #last: number;

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
    // AUTOINCREMENT, so that a cursor is never given twice, also after the newest event was dropped.
    store.migrate('events', [
      `CREATE TABLE events (
         cursor INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, type TEXT NOT NULL, data TEXT NOT NULL
       ) STRICT`,
      `CREATE TABLE events_open (since INTEGER NOT NULL) STRICT`,
    ]);
    this.#reopen();
    this.#insert = store.prepare('INSERT INTO events (at, type, data) VALUES (?, ?, ?)');
    this.#page = store.prepare(
      `SELECT cursor, at, type, data FROM events WHERE cursor > ? ORDER BY cursor LIMIT ${PAGE}`,
    );
    this.#trim = store.prepare('DELETE FROM events WHERE cursor <= ?');
    const row = store.prepare<{ last: number | null }>('SELECT max(cursor) AS last FROM events').get();
    this.#last = row?.last ?? 0;
  }

  /**
   * Followers see events before a power cut could no longer take them, so after anything but a clean end cursors go on far
   * beyond those that may have been seen: none is ever given to two events.
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

  /** Writes an event, as part of the transaction under way if there is one; followers see it once it is committed. */
  emit(type: string, data: Record<string, unknown>): void {
    const { lastInsertRowid } = this.#insert.run(this.#clock.now(), type, JSON.stringify(data));
    if (lastInsertRowid % TRIM === 0) this.#trim.run(lastInsertRowid - KEPT);
    this.#store.afterCommit(() => {
      this.#last = Math.max(this.#last, lastInsertRowid);
      for (const wake of this.#followers) wake();
    });
  }

  /**
   * Events after `from`, kept ones first, then live ones until `signal` aborts. `match`: a type (`file.done`), a prefix
   * (`message.*`) or nothing for all. Each follower reads from the log at its own speed, so a slow one costs no memory.
   */
  async *follow(options: {
    from: number;
    match?: string | undefined;
    signal?: AbortSignal | undefined;
  }): AsyncGenerator<NodeEvent> {
    const { signal } = options;
    const matches = matcher(options.match);
    let cursor = options.from;
    while (!signal?.aborted) {
      const rows = this.#page.all(cursor);
      for (const row of rows) {
        cursor = row.cursor;
        if (matches(row.type)) yield eventOf(row);
        if (signal?.aborted) return;
      }
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

const eventOf = (row: Row): NodeEvent => ({
  cursor: row.cursor,
  at: new Date(row.at).toISOString(),
  type: row.type,
  data: JSON.parse(row.data),
});

function matcher(match: string | undefined): (type: string) => boolean {
  if (match === undefined || match === '*') return () => true;
  if (!match.endsWith('*')) return (type) => type === match;
  const prefix = match.slice(0, -1);
  return (type) => type.startsWith(prefix);
}
