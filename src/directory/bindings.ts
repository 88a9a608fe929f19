/** What a tracker must not forget: which key owns a handle, and what each account said last. */
import { Fault } from '../base/fault.ts';
import type { Statement, Store } from '../base/sqlite.ts';
import { HandleMarks } from './handle-marks.ts';
import { LiveRow } from './row.ts';

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
  'ALTER TABLE directory_records ADD COLUMN sum INTEGER',
];

/** Handles that one account may own: a name, and a few later ones. [D-6] */
const MOST_HANDLES = 8;

/** Rows that a start reads in one text of about 600 KB. */
const LOADED_AT_ONCE = 1000;
/** Rows whose texts are their own: lookups are quicker then by a tenth, and a start of a million slower by a second. */
const MOST_COPIED = 100_000;

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
      `INSERT OR REPLACE INTO directory_records (account, record, verified, observed, online, last_seen, sum)
       VALUES (?, ?, ?, ?, ?, ?, ?)`,
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
   * Gives the handle to the account for good, if nobody has it and `admit`, in the same transaction, throws nothing. Throws as
   * `mayClaim`. [D-5]
   */
  claim(handle: string, account: string, now: number, admit?: () => void): void {
    if (!this.mayClaim(handle, account)) return;
    this.#store.transaction(() => {
      admit?.();
      this.#bind.run(handle, account, now);
    });
  }

  /**
   * Whether it is free for the account; false where it is the account's already. Throws `name_taken`, `too_many`, `revoked` or
   * `renamed`.
   */
  mayClaim(handle: string, account: string): boolean {
    const owner = this.ownerOf(handle);
    if (owner === account) {
      this.marks.check(handle);
      return false;
    }
    if (owner !== undefined) {
      throw new Fault(
        'name_taken',
        `announcing "${handle}": this name belongs to another key since it was first used here; choose another name, or bring back the key that owns it`,
      );
    }
    if ((this.#count.get(account)?.count ?? 0) >= MOST_HANDLES) {
      throw new Fault('too_many', `announcing "${handle}": this account owns ${MOST_HANDLES} names already`);
    }
    return true;
  }

  /** Writes down what was agreed upon elsewhere; whoever has the handle already keeps it. */
  take(handle: string, account: string, now: number): void {
    if (this.ownerOf(handle) === undefined) this.#bind.run(handle, account, now);
  }

  /**
   * All records that were kept, in the order of account ids; one that is damaged is left out, for its owner will announce it
   * again. A thousand come as one text of lines: row by row, a million took three times as long, and their texts, each on
   * its own, half as much memory again.
   */
  *load(): Generator<LiveRow> {
    const some = this.#store.prepare<{ lines: string | null; last: string | null }>(
      `SELECT group_concat(line, char(10)) AS lines, max(account) AS last FROM (
         SELECT account, record || char(9) || verified || char(9) || observed || char(9) || online || char(9) || last_seen ||
           char(9) || ifnull(sum, '') AS line
         FROM directory_records WHERE account > ? ORDER BY account LIMIT ${LOADED_AT_ONCE})`,
    );
    let count = 0;
    for (let read = some.get(''); read?.lines; read = some.get(read.last ?? '')) {
      const { lines } = read;
      count += LOADED_AT_ONCE;
      for (let from = 0; from < lines.length; ) {
        const end = lines.indexOf('\n', from);
        const row = fromLine(lines, from, end < 0 ? lines.length : end, count <= MOST_COPIED);
        if (row) yield row;
        from = end < 0 ? lines.length : end + 1;
      }
    }
  }

  /** Writes what changed in one transaction. */
  keep(rows: readonly LiveRow[], forgotten: readonly string[]): void {
    if (rows.length + forgotten.length === 0) return;
    this.#store.transaction(() => {
      for (const { account, stored } of rows) {
        const { record, verified, observed, online, lastSeen, sum } = stored;
        this.#keep.run(account, record, verified, observed, online ? 1 : 0, lastSeen, sum ?? null);
      }
      for (const account of forgotten) this.#forget.run(account);
    });
  }
}

/** Neither line feeds nor tabs stand in JSON or in a host; a damaged row in which they do is none. */
function fromLine(lines: string, from: number, end: number, copies: boolean): LiveRow | undefined {
  let at = from;
  const next = (): string => {
    const tab = lines.indexOf('\t', at);
    const field = lines.slice(at, tab < 0 || tab > end ? end : tab);
    at += field.length + 1;
    return field;
  };
  const [record, verified, observed, online, lastSeen, sum] = [next(), next(), next(), next(), Number(next()), next()];
  if (at !== end + 1 || !Number.isSafeInteger(lastSeen)) return undefined;
  return LiveRow.from(
    { record, verified, observed, online: online === '1', lastSeen, sum: sum === '' ? undefined : Number(sum) },
    copies,
  );
}
