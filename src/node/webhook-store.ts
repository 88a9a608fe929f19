/** What is kept of webhooks: where each stands in the event log, and its dead letters. */
import type { Statement, Store } from '../base/sqlite.ts';

/** Dead letters kept for one hook; the oldest give way. */
const MOST_DEAD = 1000;

export type Hook = {
  id: string;
  url: string;
  match: readonly string[];
  secret: string;
  at: number;
  /** Everything up to this event is done. */
  cursor: number;
  delivered: number;
};

export type DeadLetter = {
  letter: number;
  cursor: number;
  /** Null where events were dropped from the log before they could be posted. */
  type: string | null;
  body: string | null;
  at: number;
  attempts: number;
  code: string;
  message: string;
};

type HookRow = Omit<Hook, 'match'> & { match: string };

export class WebhookStore {
  readonly #store: Store;
  readonly #insert: Statement;
  readonly #all: Statement<HookRow>;
  readonly #advance: Statement;
  readonly #remove: Statement;
  readonly #bury: Statement;
  readonly #trim: Statement;
  readonly #dead: Statement<DeadLetter>;
  readonly #count: Statement<{ count: number }>;
  readonly #unbury: Statement;

  constructor(store: Store) {
    this.#store = store;
    store.migrate('webhooks', [
      `CREATE TABLE webhooks (
         id TEXT PRIMARY KEY, url TEXT NOT NULL, match TEXT NOT NULL, secret TEXT NOT NULL, at INTEGER NOT NULL,
         cursor INTEGER NOT NULL, delivered INTEGER NOT NULL DEFAULT 0
       ) STRICT, WITHOUT ROWID;
       CREATE TABLE webhook_dead (
         letter INTEGER PRIMARY KEY AUTOINCREMENT, hook TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
         cursor INTEGER NOT NULL, type TEXT, body TEXT, at INTEGER NOT NULL, attempts INTEGER NOT NULL,
         code TEXT NOT NULL, message TEXT NOT NULL
       ) STRICT;
       CREATE INDEX webhook_dead_of ON webhook_dead (hook, letter)`,
    ]);
    this.#insert = store.prepare('INSERT INTO webhooks (id, url, match, secret, at, cursor) VALUES (?, ?, ?, ?, ?, ?)');
    this.#all = store.prepare('SELECT id, url, match, secret, at, cursor, delivered FROM webhooks ORDER BY at, id');
    this.#advance = store.prepare('UPDATE webhooks SET cursor = ?, delivered = delivered + ? WHERE id = ?');
    this.#remove = store.prepare('DELETE FROM webhooks WHERE id = ?');
    this.#bury = store.prepare(
      'INSERT INTO webhook_dead (hook, cursor, type, body, at, attempts, code, message) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
    );
    this.#trim = store.prepare(
      `DELETE FROM webhook_dead WHERE hook = ?1 AND letter <=
         (SELECT letter FROM webhook_dead WHERE hook = ?1 ORDER BY letter DESC LIMIT 1 OFFSET ${MOST_DEAD})`,
    );
    this.#dead = store.prepare(
      'SELECT letter, cursor, type, body, at, attempts, code, message FROM webhook_dead WHERE hook = ? ORDER BY letter',
    );
    this.#count = store.prepare('SELECT count(*) AS count FROM webhook_dead WHERE hook = ?');
    this.#unbury = store.prepare('DELETE FROM webhook_dead WHERE hook = ? AND letter = ?');
  }

  all(): Hook[] {
    return this.#all.all().map(({ match, ...row }) => ({ ...row, match: JSON.parse(match) }));
  }

  add({ id, url, match, secret, at, cursor }: Hook): void {
    this.#insert.run(id, url, JSON.stringify(match), secret, at, cursor);
  }

  remove(id: string): void {
    this.#remove.run(id);
  }

  /** `delivered`: how many events were taken since the last call. */
  advance(id: string, cursor: number, delivered: number): void {
    this.#advance.run(cursor, delivered, id);
  }

  /** Gives an event up, and goes on after it, in one step. */
  bury(id: string, dead: Omit<DeadLetter, 'letter'>): void {
    const { cursor, type, body, at, attempts, code, message } = dead;
    this.#store.transaction(() => {
      this.#bury.run(id, cursor, type, body, at, attempts, code, message);
      this.#trim.run(id);
      this.#advance.run(cursor, 0, id);
    });
  }

  dead(id: string): DeadLetter[] {
    return this.#dead.all(id);
  }

  deadCount(id: string): number {
    return this.#count.get(id)?.count ?? 0;
  }

  unbury(id: string, letter: number): void {
    this.#unbury.run(id, letter);
  }
}
