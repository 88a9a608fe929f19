/** One program per home: a lock that the kernel lets go of when its holder dies, however it dies. */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Fault, toFault } from './fault.ts';

/** SQLite's result code for "another connection holds the lock" (https://sqlite.org/rescode.html#busy). */
const SQLITE_BUSY = 5;

/**
 * Holds the file at `path` for itself until disposed of, or until the process ends in whatever way. SQLite's own locking
 * does the work: Node has no call for file locks of its own. POSIX drops such a lock when any descriptor of the file is
 * closed, so nothing else in the process may open it.
 */
export class Lock implements Disposable {
  readonly #db: DatabaseSync;

  private constructor(db: DatabaseSync) {
    this.#db = db;
  }

  /** `who` names the program in the message, e.g. `agent`. Throws `agent_running` where somebody else holds the lock. */
  static take(path: string, who: string): Lock {
    let db: DatabaseSync | undefined;
    try {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      db = new DatabaseSync(path, { timeout: 0 });
      db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
      return new Lock(db);
    } catch (error) {
      db?.close();
      if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY) {
        throw new Fault(
          'agent_running',
          `starting on "${dirname(path)}": another ${who} runs on this home; stop it first, or choose another home`,
        );
      }
      throw toFault(error, `locking "${path}"`, 'unwritable');
    }
  }

  [Symbol.dispose](): void {
    if (this.#db.isOpen) this.#db.close();
  }
}
