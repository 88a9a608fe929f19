/** What admins did to handles: revoked, or renamed. The binding itself stays, so that nobody else gets the name. */
import { Fault } from '../base/fault.ts';
import type { Statement, Store } from '../base/sqlite.ts';

type HandleState = 'bound' | 'revoked' | 'renamed';

/** One handle as an admin sees it. */
export type HandleRow = {
  handle: string;
  account: string;
  /** Unix milliseconds at which it was bound. */
  since: number;
  state: HandleState;
  /** What it was renamed to. */
  to: string | null;
};

type Mark = { state: 'revoked' | 'renamed'; target: string | null };

const SCHEMA = [
  `CREATE TABLE directory_handle_marks (
     handle TEXT PRIMARY KEY, state TEXT NOT NULL, target TEXT, at INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX directory_handle_marks_target ON directory_handle_marks (target);`,
];

export class HandleMarks {
  readonly #store: Store;
  readonly #get: Statement<Mark>;

  /** `store` has the handles already; the marks' table is made here. */
  constructor(store: Store) {
    this.#store = store;
    store.migrate('directory-handle-marks', SCHEMA);
    this.#get = store.prepare('SELECT state, target FROM directory_handle_marks WHERE handle = ?');
  }

  /** Throws `revoked` or `renamed` where an admin has taken the handle from its own account. */
  check(handle: string): void {
    const mark = this.#get.get(handle);
    if (mark?.state === 'revoked') {
      throw new Fault(
        'revoked',
        `announcing "${handle}": an admin of its zone has revoked this name; ask one of them, or take another name with "netapp up --name NAME"`,
        { data: { handle } },
      );
    }
    if (mark) {
      const to = mark.target ?? '';
      throw new Fault('renamed', `announcing "${handle}": an admin of its zone has renamed it to "${to}"; use that`, {
        data: { handle: to },
      });
    }
  }

  /** In the order of handles, after `after`. */
  list(zone: string, after: string, most: number): HandleRow[] {
    type Row = { handle: string; account: string; since: number; state: string | null; target: string | null };
    const rows = this.#store
      .prepare<Row>(
        `SELECT h.handle, h.account, h.since, m.state, m.target FROM directory_handles AS h
         LEFT JOIN directory_handle_marks AS m ON m.handle = h.handle
         WHERE h.handle > ? AND substr(h.handle, instr(h.handle, '@') + 1) = ? ORDER BY h.handle LIMIT ?`,
      )
      .all(after, zone, most);
    return rows.map(({ state, target, ...row }) => ({ ...row, state: stateOf(state), to: target }));
  }

  /** Throws `unknown_handle`. */
  show(handle: string): HandleRow {
    type Row = { account: string; since: number };
    const bound = this.#store.prepare<Row>('SELECT account, since FROM directory_handles WHERE handle = ?').get(handle);
    if (!bound) throw new Fault('unknown_handle', `administering "${handle}": nobody has this name here`);
    const mark = this.#get.get(handle);
    return { handle, ...bound, state: stateOf(mark?.state ?? null), to: mark?.target ?? null };
  }

  /** The name stays its account's, and nobody goes by it. What was renamed to it leads nowhere any more. */
  revoke(handle: string, now: number): void {
    this.#store.transaction(() => {
      this.#put(handle, 'revoked', null, now);
      this.#store
        .prepare("UPDATE directory_handle_marks SET state = 'revoked', target = NULL, at = ? WHERE target = ?")
        .run(now, handle);
    });
  }

  isRevoked(handle: string): boolean {
    return this.#get.get(handle)?.state === 'revoked';
  }

  /** Whether the account of `handle` has `to` already, and may go by it. Throws `unknown_handle`, `name_taken`. */
  checkTarget(handle: string, to: string): boolean {
    const { account } = this.show(handle);
    const there = this.#store
      .prepare<{ account: string }>('SELECT account FROM directory_handles WHERE handle = ?')
      .get(to);
    if (there && (there.account !== account || this.isRevoked(to))) {
      throw new Fault(
        'name_taken',
        `renaming "${handle}" to "${to}": this name has an owner, or was revoked; see "netapp handles list", and free it first if nobody is to have it back`,
      );
    }
    return there !== undefined;
  }

  /** Gives the account of `handle` the name `to` instead. Throws `name_taken`. */
  rename(handle: string, to: string, now: number): void {
    this.#store.transaction(() => {
      const { account } = this.show(handle);
      if (!this.checkTarget(handle, to)) {
        this.#store
          .prepare('INSERT INTO directory_handles (handle, account, since) VALUES (?, ?, ?)')
          .run(to, account, now);
      }
      this.#store.prepare('DELETE FROM directory_handle_marks WHERE handle = ?').run(to);
      this.#put(handle, 'renamed', to, now);
      // Who was away for several renames goes by the last one at once.
      this.#store.prepare('UPDATE directory_handle_marks SET target = ? WHERE target = ?').run(to, handle);
    });
  }

  /** Forgets who had the name: the next who announces it owns it. */
  free(handle: string): void {
    this.#store.transaction(() => {
      this.#store.prepare('DELETE FROM directory_handles WHERE handle = ?').run(handle);
      this.#store.prepare('DELETE FROM directory_handle_marks WHERE handle = ?').run(handle);
    });
  }

  #put(handle: string, state: 'revoked' | 'renamed', target: string | null, now: number): void {
    this.#store
      .prepare('INSERT OR REPLACE INTO directory_handle_marks (handle, state, target, at) VALUES (?, ?, ?, ?)')
      .run(handle, state, target, now);
  }
}

const stateOf = (mark: string | null): HandleState => (mark === 'revoked' || mark === 'renamed' ? mark : 'bound');
