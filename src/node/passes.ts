/** Keys that open the agent's doors for a while: tokens of programs and sessions of browsers. Kept as hashes. [E-12] */
import { createHash, randomBytes } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { toBase32 } from '../base/encoding.ts';
import { Fault } from '../base/fault.ts';
import type { Statement, Store } from '../base/sqlite.ts';

/** 256 bits: not to be guessed. */
const SECRET_BYTES = 32;
/** 40 bits: told apart by people. */
const ID_BYTES = 5;
/** Keys of one kind at once; more is a program that runs wild. */
const MOST = 256;
/** How long a key is listed after it has ended. */
const REMEMBERED_MS = 30 * 86_400_000;
/** Its last use is written at most so often. */
const USE_STEP_MS = 60_000;
/** The longest wait of a timer of Node. */
const MOST_TIMER_MS = 2 ** 31 - 1;

export type PassKind = 'token' | 'session';

/** What is known of a key; never the key itself. */
export type Pass = {
  id: string;
  name: string;
  scopes: readonly string[];
  at: number;
  expires: number;
  usedAt: number | null;
  ended: boolean;
};

type Row = {
  id: string;
  name: string;
  scopes: string;
  at: number;
  expires: number;
  used: number | null;
  ended: number;
};

type Ending = { controller: AbortController; timer: NodeJS.Timeout | undefined };

const hashOf = (secret: string): Uint8Array => createHash('sha256').update(secret).digest();

export class Passes implements Disposable {
  readonly #clock: Clock;
  readonly #store: Store;
  readonly #insert: Statement;
  readonly #bySecret: Statement<Row>;
  readonly #byId: Statement<Row>;
  readonly #all: Statement<Row>;
  readonly #count: Statement<{ count: number }>;
  readonly #use: Statement;
  readonly #end: Statement;
  readonly #sweep: Statement;
  /** Of the keys that were shown since the start, what ends with them. */
  readonly #endings = new Map<string, Ending>();

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
    store.migrate('passes', [
      `CREATE TABLE passes (
         kind TEXT NOT NULL, id TEXT NOT NULL, hash BLOB NOT NULL UNIQUE, name TEXT NOT NULL, scopes TEXT NOT NULL,
         at INTEGER NOT NULL, expires INTEGER NOT NULL, used INTEGER, ended INTEGER NOT NULL DEFAULT 0,
         PRIMARY KEY (kind, id)
       ) STRICT, WITHOUT ROWID`,
    ]);
    const columns = 'id, name, scopes, at, expires, used, ended';
    this.#insert = store.prepare(
      'INSERT INTO passes (kind, id, hash, name, scopes, at, expires) VALUES (?, ?, ?, ?, ?, ?, ?)',
    );
    this.#bySecret = store.prepare(`SELECT ${columns} FROM passes WHERE kind = ? AND hash = ?`);
    this.#byId = store.prepare(`SELECT ${columns} FROM passes WHERE kind = ? AND substr(id, 1, ?) = ?`);
    this.#all = store.prepare(`SELECT ${columns} FROM passes WHERE kind = ? ORDER BY at, id`);
    this.#count = store.prepare('SELECT count(*) AS count FROM passes WHERE kind = ? AND ended = 0 AND expires > ?');
    this.#use = store.prepare('UPDATE passes SET used = ? WHERE kind = ? AND id = ?');
    this.#end = store.prepare('UPDATE passes SET ended = 1, expires = min(expires, ?) WHERE kind = ? AND id = ?');
    this.#sweep = store.prepare('DELETE FROM passes WHERE expires < ?');
  }

  /** The secret is given here and never again. Throws `too_many`. */
  create(
    kind: PassKind,
    options: { name: string; scopes: readonly string[]; ttlMs: number },
  ): Pass & { secret: string } {
    const { name, scopes, ttlMs } = options;
    const at = this.#clock.now();
    const secret = randomBytes(SECRET_BYTES).toString('base64url');
    const id = toBase32(randomBytes(ID_BYTES));
    const expires = at + ttlMs;
    this.#store.transaction(() => {
      this.#sweep.run(at - REMEMBERED_MS);
      if ((this.#count.get(kind, at)?.count ?? 0) >= MOST) {
        throw new Fault('too_many', `making a ${kind}: there are ${MOST} already; end those that are not needed`);
      }
      this.#insert.run(kind, id, hashOf(secret), name, JSON.stringify(scopes), at, expires);
    });
    return { id, name, scopes, at, expires, usedAt: null, ended: false, secret };
  }

  list(kind: PassKind): Pass[] {
    const since = this.#clock.now() - REMEMBERED_MS;
    return this.#all
      .all(kind)
      .map(passOf)
      .filter(({ expires }) => expires >= since);
  }

  /** Ends it now, by its id or the beginning of it. Throws `unknown_id`. */
  end(kind: PassKind, id: string): Pass {
    const [row, ...others] = id.length < 4 ? [] : this.#byId.all(kind, id.length, id);
    if (!row || others.length > 0) {
      throw new Fault('unknown_id', `ending the ${kind} "${id}": there is none with this id; see the list`);
    }
    this.#end.run(this.#clock.now(), kind, row.id);
    this.#abort(kind, row.id, `the ${kind} was ended`);
    return passOf(this.#byId.get(kind, row.id.length, row.id) ?? row);
  }

  /**
   * The key that is shown, with a signal that aborts when it ends; undefined if there is none. Throws `unauthenticated` for one
   * that has ended.
   */
  find(kind: PassKind, secret: string): (Pass & { signal: AbortSignal }) | undefined {
    const row = this.#bySecret.get(kind, hashOf(secret));
    if (!row) return undefined;
    const now = this.#clock.now();
    if (row.ended !== 0 || row.expires <= now) {
      const why = row.ended !== 0 ? 'it was ended' : `its time was over on ${new Date(row.expires).toISOString()}`;
      throw new Fault('unauthenticated', `asking with the ${kind} "${row.id}": ${why}; make a new one`);
    }
    if (row.used === null || now - row.used >= USE_STEP_MS) this.#use.run(now, kind, row.id);
    return { ...passOf(row), signal: this.#signal(kind, row, now) };
  }

  #signal(kind: PassKind, { id, expires }: Row, now: number): AbortSignal {
    const known = this.#endings.get(`${kind} ${id}`);
    if (known) return known.controller.signal;
    const ending: Ending = { controller: new AbortController(), timer: undefined };
    this.#endings.set(`${kind} ${id}`, ending);
    const wait = (left: number): void => {
      ending.timer = setTimeout(
        () => {
          if (left > MOST_TIMER_MS) wait(left - MOST_TIMER_MS);
          else this.#abort(kind, id, `the time of the ${kind} is over`);
        },
        Math.min(left, MOST_TIMER_MS),
      );
      ending.timer.unref();
    };
    wait(expires - now);
    return ending.controller.signal;
  }

  #abort(kind: PassKind, id: string, why: string): void {
    const ending = this.#endings.get(`${kind} ${id}`);
    if (!ending) return;
    clearTimeout(ending.timer);
    this.#endings.delete(`${kind} ${id}`);
    ending.controller.abort(new Fault('unauthenticated', `going on with what was asked for: ${why}`));
  }

  [Symbol.dispose](): void {
    for (const { timer } of this.#endings.values()) clearTimeout(timer);
    this.#endings.clear();
  }
}

function passOf({ scopes, used, ended, ...row }: Row): Pass {
  return { ...row, scopes: JSON.parse(scopes), usedAt: used, ended: ended !== 0 };
}
