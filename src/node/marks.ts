/** What the user knows or has decided about accounts: whom they verified, and whom they blocked. Durable, and told to nobody. */
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { Statement, Store } from '../base/sqlite.ts';
import { MOST_HIDDEN_FROM } from '../directory/hiding.ts';
import type { Compared } from '../directory/safety.ts';

export type Mark = {
  /** When and in which form the safety number was compared; null: never, or not with this key. */
  readonly verified: { readonly at: number; readonly by: Compared } | null;
  readonly blocked: boolean;
};

const NONE: Mark = { verified: null, blocked: false };

type Row = { account: string; verified_at: number | null; verified_by: Compared | null; blocked_at: number | null };

export class Marks {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #marks = new Map<string, Mark>();
  readonly #put: Statement;

  /** `store` is open; its table is made and read here. */
  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
    store.migrate('marks', [
      `CREATE TABLE marks (
         account TEXT PRIMARY KEY, verified_at INTEGER, verified_by TEXT, blocked_at INTEGER
       ) STRICT, WITHOUT ROWID`,
    ]);
    this.#put = store.prepare(
      'INSERT OR REPLACE INTO marks (account, verified_at, verified_by, blocked_at) VALUES (?, ?, ?, ?)',
    );
    for (const row of store.prepare<Row>('SELECT * FROM marks').all()) {
      const { account, verified_at: at, verified_by: by } = row;
      this.#marks.set(account, { verified: at !== null && by ? { at, by } : null, blocked: row.blocked_at !== null });
    }
  }

  of(account: string): Mark {
    return this.#marks.get(account) ?? NONE;
  }

  /** Everybody who is blocked, in the order of account ids. */
  blocked(): string[] {
    return [...this.#marks].flatMap(([account, { blocked }]) => (blocked ? account : [])).sort();
  }

  verify(account: string, by: Compared): void {
    this.#set(account, { ...this.of(account), verified: { at: this.#clock.now(), by } });
  }

  /** Throws `too_many`. */
  block(account: string): void {
    if (this.of(account).blocked) return;
    if (this.blocked().length >= MOST_HIDDEN_FROM) {
      throw new Fault(
        'too_many',
        `blocking "${account}": ${MOST_HIDDEN_FROM} accounts are blocked already; unblock some`,
      );
    }
    this.#set(account, { ...this.of(account), blocked: true });
  }

  unblock(account: string): void {
    if (this.of(account).blocked) this.#set(account, { ...this.of(account), blocked: false });
  }

  /** A person has another key now: what was verified of the old one says nothing of it; who was blocked stays blocked. */
  move(before: string, after: string): void {
    const { verified, blocked } = this.of(before);
    if (verified) this.#set(before, { verified: null, blocked });
    if (blocked) this.block(after);
  }

  #set(account: string, mark: Mark): void {
    const now = this.#clock.now();
    this.#put.run(account, mark.verified?.at ?? null, mark.verified?.by ?? null, mark.blocked ? now : null);
    this.#store.afterCommit(() => this.#marks.set(account, mark));
  }
}
