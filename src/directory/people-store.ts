/** What a node keeps of others across restarts: the first key of each handle, and the last record of each account. */
import { z } from 'zod';
import { Fault } from '../base/fault.ts';
import type { Statement, Store } from '../base/sqlite.ts';
import { type DirectoryRecord, record } from './record.ts';

const SCHEMA = [
  `CREATE TABLE people_pins (
     handle TEXT PRIMARY KEY, account TEXT NOT NULL, since INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE people_records (
     account TEXT PRIMARY KEY, record TEXT NOT NULL, addresses TEXT NOT NULL, last_seen INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;`,
  // Another key that a tracker shows for a handle, until the user decides or the tracker takes it back.
  `CREATE TABLE people_conflicts (
     handle TEXT PRIMARY KEY, shown TEXT NOT NULL, tracker TEXT NOT NULL, record TEXT NOT NULL
   ) STRICT, WITHOUT ROWID`,
];

const json = z.string().transform((text, context): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    context.addIssue('not JSON');
    return z.NEVER;
  }
});

const kept = z.object({
  record: json.pipe(record),
  /** Where it could be dialled. */
  addresses: json.pipe(z.array(z.string())),
  lastSeen: z.number(),
});

export type Kept = z.infer<typeof kept>;

/** Handles that are remembered for good; a tracker that invents more is closed. */
const MOST_PINS = 1_000_000;

/** Another key than the pinned one that a tracker shows for a handle, and by which record of it. */
export type Conflict = { shown: string; tracker: string; record: DirectoryRecord };

const conflict = z.object({ handle: z.string(), shown: z.string(), tracker: z.string(), record: json.pipe(record) });

type KeptRow = { record: string; addresses: string; last_seen: number };

export class PeopleStore {
  readonly #store: Store;
  readonly #pins = new Map<string, string>();
  readonly #pin: Statement;
  readonly #keep: Statement;

  /** `store` is open; its tables are made here, and the pins read. */
  constructor(store: Store) {
    this.#store = store;
    store.migrate('people', SCHEMA);
    this.#pin = store.prepare('INSERT OR REPLACE INTO people_pins (handle, account, since) VALUES (?, ?, ?)');
    this.#keep = store.prepare(
      'INSERT OR REPLACE INTO people_records (account, record, addresses, last_seen) VALUES (?, ?, ?, ?)',
    );
    const rows = store.prepare<{ handle: string; account: string }>('SELECT handle, account FROM people_pins').all();
    for (const { handle, account } of rows) this.#pins.set(handle, account);
  }

  transaction<T>(work: () => T): T {
    return this.#store.transaction(work);
  }

  pinned(handle: string): string | undefined {
    return this.#pins.get(handle);
  }

  /** The account that the handle belongs to: the one seen first, on disk before this answers. [D-8] */
  pin(handle: string, account: string, now: number): string {
    const known = this.#pins.get(handle);
    if (known !== undefined) return known;
    if (this.#pins.size >= MOST_PINS)
      throw new Fault('queue_full', `${MOST_PINS} handles are known: no more are taken`);
    this.#pin.run(handle, account, now);
    this.#pins.set(handle, account);
    return account;
  }

  /** Holds once the transaction around it is committed. */
  repin(handle: string, account: string, now: number): void {
    this.#pin.run(handle, account, now);
    this.afterCommit(() => this.#pins.set(handle, account));
  }

  afterCommit(tell: () => void): void {
    this.#store.afterCommit(tell);
  }

  /** Conflicts, by handle; one that is damaged is left out, for the tracker will show it again. */
  conflicts(): Map<string, Conflict> {
    const rows = this.#store.prepare('SELECT handle, shown, tracker, record FROM people_conflicts').all();
    return new Map(
      rows.flatMap((row) => {
        const parsed = conflict.safeParse(row);
        return parsed.success ? [[parsed.data.handle, parsed.data] as const] : [];
      }),
    );
  }

  keepConflict(handle: string, { shown, tracker, record }: Conflict): void {
    this.#store
      .prepare('INSERT OR REPLACE INTO people_conflicts (handle, shown, tracker, record) VALUES (?, ?, ?, ?)')
      .run(handle, shown, tracker, JSON.stringify(record));
  }

  dropConflict(handle: string): void {
    this.#store.prepare('DELETE FROM people_conflicts WHERE handle = ?').run(handle);
  }

  /** All that was kept; a row that cannot be read is left out, for the trackers will say it again. */
  load(): Kept[] {
    const rows = this.#store.prepare<KeptRow>('SELECT record, addresses, last_seen FROM people_records').all();
    return rows.flatMap((row) => {
      const parsed = kept.safeParse({ record: row.record, addresses: row.addresses, lastSeen: row.last_seen });
      return parsed.success ? [parsed.data] : [];
    });
  }

  keep(people: readonly Kept[]): void {
    if (people.length === 0) return;
    this.#store.transaction(() => {
      for (const { record, addresses, lastSeen } of people) {
        this.#keep.run(record.account, JSON.stringify(record), JSON.stringify(addresses), lastSeen);
      }
    });
  }
}
