/** What a tracker must not forget: which key owns a handle, and what each account said last. */
import { Fault } from '../base/fault.ts';
import type { Statement, Store } from '../base/sqlite.ts';
import { HandleMarks } from './handle-marks.ts';
import { type DirectoryRecord, record } from './record.ts';

const SCHEMA = [
  `CREATE TABLE directory_handles (
     handle TEXT PRIMARY KEY, account TEXT NOT NULL, since INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX directory_handles_account ON directory_handles (account);
   CREATE TABLE directory_records (
     account TEXT PRIMARY KEY, record TEXT NOT NULL, verified TEXT NOT NULL, observed TEXT NOT NULL,
     online INTEGER NOT NULL, last_seen INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE directory_epoch (one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL) STRICT;`,
];

/** Handles that one account may own: a name, and a few later ones. [D-6] */
const MOST_HANDLES = 8;

export type Kept = {
  record: DirectoryRecord;
  verified: readonly string[];
  observed: string;
  online: boolean;
  lastSeen: number;
};

type KeptRow = { record: string; verified: string; observed: string; online: number; last_seen: number };

export class Bindings {
  /** What admins did to handles. */
  readonly marks: HandleMarks;
  readonly #store: Store;
  readonly #owner: Statement<{ account: string }>;
  readonly #count: Statement<{ count: number }>;
  readonly #live: Statement<{ live: number }>;
  readonly #bind: Statement;
  readonly #keep: Statement;
  readonly #forget: Statement;

  /** `store` is open; its tables are made here. */
  constructor(store: Store) {
    this.#store = store;
    store.migrate('directory', SCHEMA);
    this.marks = new HandleMarks(store);
    this.#owner = store.prepare('SELECT account FROM directory_handles WHERE handle = ?');
    this.#count = store.prepare('SELECT count(*) AS count FROM directory_handles WHERE account = ?');
    this.#live = store.prepare(
      `SELECT EXISTS (
         SELECT 1 FROM directory_handles AS h LEFT JOIN directory_handle_marks AS m ON m.handle = h.handle
         WHERE h.account = ? AND m.state IS NOT 'revoked'
       ) AS live`,
    );
    this.#bind = store.prepare('INSERT INTO directory_handles (handle, account, since) VALUES (?, ?, ?)');
    this.#keep = store.prepare(
      `INSERT OR REPLACE INTO directory_records (account, record, verified, observed, online, last_seen)
       VALUES (?, ?, ?, ?, ?, ?)`,
    );
    this.#forget = store.prepare('DELETE FROM directory_records WHERE account = ?');
  }

  /** A number greater than at any start before, also where the file was lost in between: Unix milliseconds, mostly. */
  nextEpoch(now: number): number {
    return this.#store.transaction(() => {
      const last = this.#store.prepare<{ epoch: number }>('SELECT epoch FROM directory_epoch').get();
      const epoch = Math.max(now, (last?.epoch ?? 0) + 1);
      this.#store.prepare('INSERT OR REPLACE INTO directory_epoch (one, epoch) VALUES (1, ?)').run(epoch);
      return epoch;
    });
  }

  /** Handles that have an owner. */
  get size(): number {
    return this.#store.prepare<{ count: number }>('SELECT count(*) AS count FROM directory_handles').get()?.count ?? 0;
  }

  ownerOf(handle: string): string | undefined {
    return this.#owner.get(handle)?.account;
  }

  /** Whether the account has a handle that nobody has revoked. */
  isBound(account: string): boolean {
    return this.#live.get(account)?.live === 1;
  }

  /**
   * Gives the handle to the account for good, if nobody has it and `admit`, in the same transaction, throws nothing. Throws
   * `name_taken`, `too_many`, `revoked` or `renamed`. [D-5]
   */
  claim(handle: string, account: string, now: number, admit?: () => void): void {
    const owner = this.ownerOf(handle);
    if (owner === account) return this.marks.check(handle);
    if (owner !== undefined) {
      throw new Fault(
        'name_taken',
        `announcing "${handle}": this name belongs to another key since it was first used here; choose another name, or bring back the key that owns it`,
      );
    }
    if ((this.#count.get(account)?.count ?? 0) >= MOST_HANDLES) {
      throw new Fault('too_many', `announcing "${handle}": this account owns ${MOST_HANDLES} names already`);
    }
    this.#store.transaction(() => {
      admit?.();
      this.#bind.run(handle, account, now);
    });
  }

  /** All records that were kept; one that is damaged is left out, for its owner will announce it again. */
  load(): Kept[] {
    const rows = this.#store.prepare<KeptRow>('SELECT * FROM directory_records').all();
    return rows.flatMap((row) => {
      const parsed = record.safeParse(parseJson(row.record));
      const verified = parseJson(row.verified);
      if (!parsed.success || !Array.isArray(verified)) return [];
      return {
        record: parsed.data,
        verified: verified.map(String),
        observed: row.observed,
        online: row.online === 1,
        lastSeen: row.last_seen,
      };
    });
  }

  /** Writes what changed in one transaction. */
  keep(rows: readonly Kept[], forgotten: readonly string[]): void {
    if (rows.length + forgotten.length === 0) return;
    this.#store.transaction(() => {
      for (const { record, verified, observed, online, lastSeen } of rows) {
        const [said, reached] = [JSON.stringify(record), JSON.stringify(verified)];
        this.#keep.run(record.account, said, reached, observed, online ? 1 : 0, lastSeen);
      }
      for (const account of forgotten) this.#forget.run(account);
    });
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
