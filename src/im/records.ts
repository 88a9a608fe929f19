/** What the door itself keeps: numbers of conversations, how names are spelt, passwords, and what each client was told. */
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { Statement, Store } from '../base/sqlite.ts';

const derive = promisify<string, Uint8Array, number, { N: number; r: number; p: number }, Buffer>(scrypt);

/** RFC 7914: 16 MiB and some 50 ms for each guess. */
const COST = { N: 16_384, r: 8, p: 1 };
const HASH_BYTES = 32;
const PASSWORD_BYTES = { least: 1, most: 256 };

export type User = { name: string; since: string };

export class Records {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #numbers = new Map<string, number>();
  readonly #ids = new Map<number, string>();
  readonly #insertNumber: Statement;
  readonly #number: Statement<{ number: number }>;
  readonly #id: Statement<{ id: string }>;
  readonly #spell: Statement;
  readonly #secret: Statement<{ salt: Uint8Array; hash: Uint8Array }>;
  readonly #tell: Statement;
  readonly #told: Statement<{ message: string }>;
  readonly #forget: Statement;

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
    store.migrate('im', [
      // AUTOINCREMENT, so that no number is ever given to two conversations.
      `CREATE TABLE im_conversations (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE) STRICT;
       CREATE TABLE im_spellings (name TEXT PRIMARY KEY, spelling TEXT NOT NULL) STRICT, WITHOUT ROWID;
       CREATE TABLE im_users (
         name TEXT PRIMARY KEY, salt BLOB NOT NULL, hash BLOB NOT NULL, since INTEGER NOT NULL
       ) STRICT, WITHOUT ROWID;
       CREATE TABLE im_told (
         name TEXT NOT NULL, conversation TEXT NOT NULL, message TEXT NOT NULL, PRIMARY KEY (name, conversation)
       ) STRICT, WITHOUT ROWID;
       CREATE TABLE im_secret (secret BLOB NOT NULL) STRICT`,
    ]);
    this.#insertNumber = store.prepare('INSERT OR IGNORE INTO im_conversations (id) VALUES (?)');
    this.#number = store.prepare('SELECT number FROM im_conversations WHERE id = ?');
    this.#id = store.prepare('SELECT id FROM im_conversations WHERE number = ?');
    this.#spell = store.prepare('INSERT OR REPLACE INTO im_spellings (name, spelling) VALUES (?, ?)');
    this.#secret = store.prepare('SELECT salt, hash FROM im_users WHERE name = ?');
    this.#tell = store.prepare('INSERT OR REPLACE INTO im_told (name, conversation, message) VALUES (?, ?, ?)');
    this.#told = store.prepare('SELECT message FROM im_told WHERE name = ? AND conversation = ?');
    this.#forget = store.prepare('DELETE FROM im_told WHERE name = ? AND conversation = ?');
  }

  /** Signs what is to be known again after a restart. */
  secret(): Uint8Array {
    const read = this.#store.prepare<{ secret: Uint8Array }>('SELECT secret FROM im_secret');
    return this.#store.transaction(() => {
      const kept = read.get();
      if (kept) return kept.secret;
      const made = randomBytes(32);
      this.#store.prepare('INSERT INTO im_secret (secret) VALUES (?)').run(made);
      return made;
    });
  }

  /** What was written so far survives a power cut once this settles; undefined if it does already. */
  settled(): Promise<void> | undefined {
    return this.#store.settled();
  }

  /** The conversation's number, given now if it had none; it never changes. [P-32] */
  numberOf(conversation: string): number {
    const known = this.#numbers.get(conversation);
    if (known !== undefined) return known;
    let row = this.#number.get(conversation);
    if (!row) {
      this.#insertNumber.run(conversation);
      row = this.#number.get(conversation);
    }
    if (!row) throw new Fault('internal', `numbering the conversation "${conversation}": it got no number`);
    this.#numbers.set(conversation, row.number);
    return row.number;
  }

  /** Id of the conversation with this number. */
  conversation(number: number): string | undefined {
    const known = this.#ids.get(number);
    if (known !== undefined) return known;
    const id = this.#id.get(number)?.id;
    if (id !== undefined) this.#ids.set(number, id);
    return id;
  }

  /** How each name that was used here was spelt last, by the name in small letters. */
  spellings(): Map<string, string> {
    const rows = this.#store
      .prepare<{ name: string; spelling: string }>('SELECT name, spelling FROM im_spellings')
      .all();
    return new Map(rows.map(({ name, spelling }) => [name, spelling]));
  }

  spell(name: string, spelling: string): void {
    this.#spell.run(name, spelling);
  }

  /** The last message of a conversation that the client of this name was sent. */
  told(name: string, conversation: string): string | undefined {
    return this.#told.get(name, conversation)?.message;
  }

  tell(told: readonly { name: string; conversation: string; message: string }[]): void {
    if (told.length === 0) return;
    this.#store.transaction(() => {
      for (const { name, conversation, message } of told) this.#tell.run(name, conversation, message);
    });
  }

  /** Who left a conversation is not told what was said meanwhile. */
  forget(name: string, conversation: string): void {
    this.#forget.run(name, conversation);
  }

  /** Only who knows the password comes in by this name from now on. Throws `invalid_argument`. */
  async setPassword(name: string, password: string): Promise<void> {
    const bytes = Buffer.byteLength(password);
    if (bytes < PASSWORD_BYTES.least || bytes > PASSWORD_BYTES.most) {
      throw new Fault(
        'invalid_argument',
        `setting the password of "${name}": expected 1 to ${PASSWORD_BYTES.most} bytes`,
      );
    }
    const salt = randomBytes(16);
    const hash = await derive(password, salt, HASH_BYTES, COST);
    this.#store
      .prepare('INSERT OR REPLACE INTO im_users (name, salt, hash, since) VALUES (?, ?, ?, ?)')
      .run(name, salt, hash, this.#clock.now());
    await this.#store.settled();
  }

  /** Anybody may use the name again. Throws `unknown_handle`. */
  removeUser(name: string): void {
    const { changes } = this.#store.prepare('DELETE FROM im_users WHERE name = ?').run(name);
    if (changes === 0)
      throw new Fault('unknown_handle', `removing the user "${name}": no password is set for this name`);
  }

  users(): User[] {
    return this.#store
      .prepare<{ name: string; since: number }>('SELECT name, since FROM im_users ORDER BY name')
      .all()
      .map(({ name, since }) => ({ name, since: new Date(since).toISOString() }));
  }

  hasPassword(name: string): boolean {
    return this.#secret.get(name) !== undefined;
  }

  /** Whether it is the password of this name. Also true where the name has none. [P-35] */
  async passes(name: string, password: string): Promise<boolean> {
    const secret = this.#secret.get(name);
    if (!secret) return true;
    if (Buffer.byteLength(password) > PASSWORD_BYTES.most) return false;
    const hash = await derive(password, secret.salt, HASH_BYTES, COST);
    return timingSafeEqual(hash, secret.hash);
  }
}
