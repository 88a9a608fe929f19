/**
 * One SQLite file: migrated room by room, written in transactions that survive a kill at once, and a power cut as soon as
 * they are settled. See docs/decisions/0003-group-commit.md.
 */
import { close, fdatasync, openSync } from 'node:fs';
import { backup, DatabaseSync, type StatementSync } from 'node:sqlite';
import { promisify } from 'node:util';
import { Checkpoints } from './checkpoint.ts';
import { toFault } from './fault.ts';

const sync = promisify(fdatasync);

type Row = Record<string, unknown>;
type Parameter = string | number | bigint | null | Uint8Array;

/** A prepared statement whose rows have a stated shape; its failures are faults. */
export class Statement<R extends Row = Row> {
  readonly #statement: StatementSync;
  readonly #wrote: () => void;

  /** `wrote` hears of each change. */
  constructor(statement: StatementSync, wrote: () => void) {
    this.#statement = statement;
    this.#wrote = wrote;
  }

  run(...parameters: Parameter[]): { changes: number; lastInsertRowid: number } {
    try {
      const { changes, lastInsertRowid } = this.#statement.run(...parameters);
      this.#wrote();
      return { changes: Number(changes), lastInsertRowid: Number(lastInsertRowid) };
    } catch (error) {
      throw toFault(error, 'writing to the store');
    }
  }

  get(...parameters: Parameter[]): R | undefined {
    try {
      return this.#statement.get(...parameters) as R | undefined; // the SQL text beside each use states the shape
    } catch (error) {
      throw toFault(error, 'reading from the store');
    }
  }

  all(...parameters: Parameter[]): R[] {
    try {
      return this.#statement.all(...parameters) as R[]; // as above
    } catch (error) {
      throw toFault(error, 'reading from the store');
    }
  }
}

/**
 * Pages of the log, 64 MiB, after which they are moved into the main file by whoever writes: a bound for when the thread that
 * does it earlier cannot keep up, or cannot be had.
 */
const CHECKPOINT_PAGES = 16_000;

/** Turns of the event loop in which what is said to those who were just told comes in: some 10 µs each where nothing does. */
const ANSWER_TURNS = 8;
/** Turns after which what came during a sync is written: chores are done by then. */
const EARLY_TURNS = 4;

/** Pages copied at once: 4 MiB, some milliseconds. */
const SNAPSHOT_PAGES = 1024;

const turns = (count: number, then: () => void): void =>
  void setImmediate(() => (count > 1 ? turns(count - 1, then) : then()));

/** What is written together at the end of a transaction. */
class Gathered<T> {
  readonly #write: (items: readonly T[]) => void;
  #items: T[] = [];

  constructor(write: (items: readonly T[]) => void) {
    this.#write = write;
  }

  get length(): number {
    return this.#items.length;
  }

  add(item: T): void {
    this.#items.push(item);
  }

  cut(length: number): void {
    this.#items.length = length;
  }

  flush(): void {
    if (this.#items.length === 0) return;
    const items = this.#items;
    this.#items = [];
    this.#write(items);
  }
}

/** One of the works that share a transaction. */
type Grouped = { run(): void; done(): void; fail(error: unknown): void; again: boolean };

export class Store implements Disposable {
  readonly #db: DatabaseSync;
  readonly #walPath: string | undefined;
  #wal: number | undefined;
  #depth = 0;
  #after: (() => void)[] = [];
  readonly #gathered: Pick<Gathered<unknown>, 'length' | 'cut' | 'flush'>[] = [];
  #group: Grouped[] = [];
  #undone = 0;
  /** Counts changes; all up to `#safe` are on the disk. Chores are not among them. */
  #written = 0;
  #safe = 0;
  /** Counts changes, those of chores as well. */
  #changes = 0;
  readonly #chores = new Set<() => void>();
  #isChore = false;
  #syncing: Promise<void> | undefined;
  /** After a sync, where works share transactions: until what is said to those who were told is there. */
  #answering: Promise<void> | undefined;
  /** Some of the next group was written during this sync. */
  #wroteEarly = false;
  #isShared = false;
  /** Who asks before anything else is written waits for the same. */
  #settling: { upTo: number; done: Promise<void> } | undefined;
  readonly #checkpoints: Checkpoints | undefined;
  readonly #wrote = (): void => {
    this.#changes += 1;
    if (!this.#isChore) this.#written += 1;
  };

  /** `path` is a file, or ':memory:'. Opens it, so only a `start()` calls this. */
  constructor(path: string) {
    this.#walPath = path === ':memory:' ? undefined : `${path}-wal`;
    if (path !== ':memory:') this.#checkpoints = new Checkpoints(path, () => this.#restartLog());
    try {
      this.#db = new DatabaseSync(path, { timeout: 5000 });
      // NORMAL does not wait for the disk at each commit; `settled` does, once for all that commit meanwhile.
      this.#db.exec(
        `PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;
         PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES};`,
      );
      this.#db.exec(
        'CREATE TABLE IF NOT EXISTS schema_version (room TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT, WITHOUT ROWID',
      );
    } catch (error) {
      throw toFault(error, `opening the store "${path}"`, 'corrupt');
    }
  }

  /** Brings a room's tables up to date: step n is run once ever, in order. Steps are only ever added. */
  migrate(room: string, steps: readonly string[]): void {
    const row = this.prepare<{ version: number }>('SELECT version FROM schema_version WHERE room = ?').get(room);
    for (const [index, step] of steps.entries()) {
      if (index < (row?.version ?? 0)) continue;
      this.transaction(() => {
        this.#db.exec(step);
        this.prepare('INSERT OR REPLACE INTO schema_version (room, version) VALUES (?, ?)').run(room, index + 1);
      });
    }
  }

  prepare<R extends Row>(sql: string): Statement<R> {
    return new Statement<R>(this.#db.prepare(sql), this.#wrote);
  }

  /** Makes a pure function of texts known to the SQL of this store, and of nobody else's. */
  define(name: string, pure: (text: string) => string | number): void {
    this.#db.function(name, { deterministic: true, directOnly: true }, (text) => pure(String(text)));
  }

  /** Copies the store as it is at one moment to a new file, while it is used; the work stands aside for others. Throws `disk_full`. */
  async snapshot(path: string): Promise<void> {
    try {
      await backup(this.#db, path, { rate: SNAPSHOT_PAGES });
    } catch (error) {
      throw toFault(error, `copying the store to "${path}"`, 'unwritable');
    }
  }

  /** All or nothing. Nested calls join the outer one. `work` must not wait. */
  transaction<T>(work: () => T): T {
    if (this.#depth > 0) return work();
    const result = this.#commit(work);
    this.#tellAfter();
    return result;
  }

  #tellAfter(): void {
    const after = this.#after;
    this.#after = [];
    for (const tell of after) {
      try {
        tell();
      } catch (error) {
        // What is committed is done, whatever a listener makes of it; the other listeners still hear of it.
        process.emitWarning(toFault(error, 'telling of a committed change'));
      }
    }
  }

  /**
   * As `transaction`, together with all others that are asked for in this turn of the event loop, and while the disk takes what was
   * written before: one commit serves all, and each stands or falls by itself. `work` must not wait. `again`: it does nothing but
   * write to this store, so it may be run once more where another one failed; of such works none pays for being undone alone unless
   * one has to be.
   */
  grouped<T>(work: () => T, { again = false } = {}): Promise<T> {
    this.#isShared = true;
    return new Promise<T>((resolve, reject) => {
      let result: { value: T } | undefined;
      const run = (): void => {
        result = { value: work() };
      };
      const done = (): void => {
        if (result) resolve(result.value);
      };
      this.#group.push({ run, done, fail: reject, again });
      if (this.#group.length === 1) setImmediate(() => this.#startGroup());
    });
  }

  /** While the disk is busy what is there already is written, once; it is synced with what comes later. */
  #startGroup(): void {
    if (this.#answering) return; // its end runs all that is there
    if (!this.#syncing) return this.#runGroup();
    if (this.#wroteEarly) return;
    this.#wroteEarly = true;
    turns(EARLY_TURNS, () => {
      if (this.#syncing && this.#group.length > 0) this.#runGroup();
    });
  }

  /**
   * Whoever waited for the disk was told, and what is said to that, some turns later, comes along; only then the disk is asked again. Else half of
   * what is under way would be told while the other half is written, and nothing would keep these halves from being one and all the rest: each costs
   * a sync, and a write to everybody.
   */
  #hearAnswers(): void {
    this.#answering = new Promise((over) => {
      turns(ANSWER_TURNS, () => {
        this.#answering = undefined;
        this.#wroteEarly = false;
        if (this.#group.length > 0) this.#runGroup(); // asks the disk, for those as well who wait for the end of this
        over();
      });
    });
  }

  #runGroup(): void {
    const group = this.#group;
    this.#group = [];
    const kept: Grouped[] = [];
    try {
      if (group.every(({ again }) => again) && this.#runPlainly(group)) return;
      this.#commitGroup(() => {
        for (const each of group) {
          const failed = this.#within(() => each.run());
          if (failed) each.fail(failed.error);
          else kept.push(each);
        }
      });
    } catch (error) {
      for (const each of group) each.fail(error);
      return;
    }
    for (const each of kept) each.done();
  }

  /** All of them without a savepoint, for which each would pay as much as for a row; false where one failed, and nothing is done. */
  #runPlainly(group: readonly Grouped[]): boolean {
    try {
      this.#commitGroup(() => {
        for (const each of group) each.run();
      });
    } catch {
      return false; // the one that failed does so again, and is told why
    }
    for (const each of group) each.done();
    return true;
  }

  /** Whoever shares a commit is about to wait for the disk: it begins before anybody is told of anything. */
  #commitGroup(work: () => void): void {
    this.#commit(work);
    this.settled()?.catch(() => {}); // who waits for it hears why
    this.#tellAfter();
  }

  /** Undoes what `work` did, and that alone, if it throws; gives what it threw. */
  #within(work: () => void): { error: unknown } | undefined {
    const heard = this.#after.length;
    const gathered = this.#gathered.map(({ length }) => length);
    this.#db.exec('SAVEPOINT one');
    try {
      work();
      this.#db.exec('RELEASE one');
      return undefined;
    } catch (error) {
      if (!this.#db.isTransaction) throw error; // SQLite gave all of it up: a full disk, perhaps
      this.#db.exec('ROLLBACK TO one; RELEASE one');
      this.#after.length = heard;
      for (const [index, each] of this.#gathered.entries()) each.cut(gathered[index] ?? 0);
      this.#undone += 1;
      return { error: toFault(error, 'writing to the store') };
    }
  }

  /**
   * Has `work` done soon, once however often that is asked for, in a transaction of its own: best while the disk takes what was
   * written before, for nobody waits for the disk to have this. So it may write what can be made anew from other rows, and nothing
   * else. Where it fails, all that was to be done with it is undone, and done no more until it is asked for again.
   */
  meanwhile(work: () => void): void {
    this.#chores.add(work);
    // By the third turn those who wait for the disk have asked it.
    if (this.#chores.size === 1) setImmediate(() => setImmediate(() => setImmediate(() => this.#doChores())));
  }

  #doChores(): void {
    const chores = [...this.#chores];
    this.#chores.clear();
    if (!this.#db.isOpen) return;
    this.#isChore = true;
    try {
      this.transaction(() => {
        for (const chore of chores) chore();
      });
    } catch (error) {
      // Of a full disk whoever writes what cannot be made anew is told.
      const fault = toFault(error, 'writing what can be made anew');
      if (fault.code !== 'disk_full') process.emitWarning(fault);
    } finally {
      this.#isChore = false;
    }
  }

  /** Counts transactions that were undone: what somebody keeps in memory of one of them is not so. */
  get undone(): number {
    return this.#undone;
  }

  #commit<T>(work: () => T): T {
    try {
      this.#db.exec('BEGIN IMMEDIATE');
      this.#depth = 1;
      const result = work();
      for (const each of this.#gathered) each.flush();
      this.#db.exec('COMMIT');
      this.#wrote();
      this.#checkpoints?.wrote(this.#changes);
      return result;
    } catch (error) {
      this.#after = [];
      for (const each of this.#gathered) each.cut(0);
      this.#undone += 1;
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
      throw toFault(error, 'writing to the store');
    } finally {
      this.#depth = 0;
    }
  }

  #restartLog(): void {
    if (this.#db.isOpen && this.#depth === 0) this.#db.exec('PRAGMA wal_checkpoint(PASSIVE)');
  }

  /** Runs `tell` once the transaction around it is committed, or at once outside of one; never after a rollback. */
  afterCommit(tell: () => void): void {
    if (this.#depth > 0) this.#after.push(tell);
    else tell();
  }

  /**
   * A way to have things written together: `write` gets all that one transaction has for it, in their order, just before that is
   * committed, and what is given outside of one at once. What is undone is not written.
   */
  gathering<T>(write: (items: readonly T[]) => void): (item: T) => void {
    const gathered = new Gathered(write);
    this.#gathered.push(gathered);
    return (item) => {
      if (this.#depth > 0) gathered.add(item);
      else write([item]);
    };
  }

  /**
   * Settles when everything written so far survives a power cut too; undefined if it does already. One call to the disk
   * serves all who wait (group commit), and the event loop goes on meanwhile.
   */
  settled(): Promise<void> | undefined {
    if (this.#safe >= this.#written || this.#walPath === undefined) return undefined;
    if (this.#settling?.upTo !== this.#written) {
      this.#settling = { upTo: this.#written, done: this.#settle(this.#written, this.#walPath) };
    }
    return this.#settling.done;
  }

  async #settle(upTo: number, path: string): Promise<void> {
    while (this.#safe < upTo && this.#db.isOpen) {
      await (this.#answering ?? this.#synced(path));
    }
  }

  #synced(path: string): Promise<void> {
    this.#syncing ??= this.#sync(path).finally(() => {
      this.#syncing = undefined;
      if (this.#isShared) this.#hearAnswers();
    });
    return this.#syncing;
  }

  /** What FULL does after each commit: the log is synced; a checkpoint of SQLite's own syncs whatever it moves. */
  async #sync(path: string): Promise<void> {
    const written = this.#written;
    try {
      // Only the main file and its `-shm` carry SQLite's locks, so closing this one again drops none.
      this.#wal ??= openSync(path, 'r+');
      await sync(this.#wal);
    } catch (error) {
      throw toFault(error, 'syncing the store', 'unwritable');
    }
    this.#safe = Math.max(this.#safe, written);
  }

  [Symbol.dispose](): void {
    if (!this.#db.isOpen) return;
    this.#checkpoints?.[Symbol.dispose]();
    this.#db.close(); // moves the log into the main file, and syncs it
    if (this.#wal !== undefined) close(this.#wal);
  }
}
