/** The letters that a tracker holds: durable, bounded for each side and in all, and gone when their time is over. */
import type { Clock } from '../base/clock.ts';
import { fromBase64url, toBase64url } from '../base/encoding.ts';
import { Fault } from '../base/fault.ts';
import type { Store } from '../base/sqlite.ts';
import type { Key } from '../link/identity.ts';
import { type Hold, LETTER_BYTES, type Letter, letterBytes, letterId, signHold } from './letter.ts';
import { Statements } from './tables.ts';

/** Bytes are those of ciphertext. */
type Total = { readonly letters: number; readonly bytes: number };

const NOTHING: Total = { letters: 0, bytes: 0 };

/** What may be held. [M-9] */
export type MailLimits = {
  /** For one recipient. */
  recipient: Total;
  /** Of one sender, for all recipients together. */
  sender: Total;
  /** In all. */
  total: Total;
  /** Milliseconds that a letter is held. */
  ageMs: number;
};

const MiB = 1024 * 1024;

export const MAIL_LIMITS: MailLimits = {
  recipient: { letters: 20_000, bytes: 64 * MiB },
  sender: { letters: 5000, bytes: 16 * MiB },
  total: { letters: 5_000_000, bytes: 8192 * MiB },
  ageMs: 30 * 24 * 3600_000,
};

const STEPS = [
  `
  -- place: the order in which a recipient is given them; AUTOINCREMENT, so that none is given twice.
  CREATE TABLE mail_letters (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    sender TEXT NOT NULL,
    recipient TEXT NOT NULL,
    enc BLOB NOT NULL,
    data BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    at INTEGER NOT NULL,
    until INTEGER NOT NULL,
    sig TEXT NOT NULL
  ) STRICT;
  CREATE INDEX mail_letters_recipient ON mail_letters (recipient, place);
  CREATE INDEX mail_letters_until ON mail_letters (until);

  -- What is held for whom ('to …'), of whom ('from …') and in all ('all'), so that a bound costs no count.
  CREATE TABLE mail_totals (
    who TEXT PRIMARY KEY,
    letters INTEGER NOT NULL,
    bytes INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TRIGGER mail_came AFTER INSERT ON mail_letters BEGIN
    INSERT INTO mail_totals (who, letters, bytes)
      VALUES ('to ' || new.recipient, 1, new.bytes), ('from ' || new.sender, 1, new.bytes), ('all', 1, new.bytes)
      ON CONFLICT (who) DO UPDATE SET letters = letters + 1, bytes = bytes + excluded.bytes;
  END;
  CREATE TRIGGER mail_went AFTER DELETE ON mail_letters BEGIN
    UPDATE mail_totals SET letters = letters - 1, bytes = bytes - old.bytes
      WHERE who IN ('to ' || old.recipient, 'from ' || old.sender, 'all');
    DELETE FROM mail_totals WHERE who IN ('to ' || old.recipient, 'from ' || old.sender) AND letters = 0;
  END;
  `,
] as const;

type Row = { place: number; sender: string; enc: Uint8Array; data: Uint8Array; bytes: number };

export type Held = Letter & { place: number };

export class MailStore {
  readonly #store: Store;
  readonly #sql: Statements;
  readonly #key: Key;
  readonly #clock: Clock;
  readonly #limits: MailLimits;

  /** `key` is the tracker's, which signs for what is held. */
  constructor(options: { store: Store; key: Key; clock: Clock; limits?: MailLimits | undefined }) {
    this.#store = options.store;
    this.#sql = new Statements(options.store);
    this.#key = options.key;
    this.#clock = options.clock;
    this.#limits = options.limits ?? MAIL_LIMITS;
  }

  migrate(): void {
    this.#store.migrate('mailbox', STEPS);
  }

  transaction<T>(work: () => T): T {
    return this.#store.transaction(work);
  }

  /**
   * Holds a letter; the answer is the word for it, once it is durable. One that is held already gets the same word again.
   * Throws `too_large`, `queue_full` (the recipient's mailbox, or all of them), `too_many` (the sender's share). [M-8] [M-9]
   */
  put(letter: Letter): { hold: Hold; fresh: boolean } {
    return this.#store.transaction(() => {
      const known = this.known(letter);
      if (known) return { hold: known, fresh: false };
      const hold = this.sign(letter);
      this.keep(letter, hold);
      return { hold, fresh: true };
    });
  }

  /** The word for a letter that is held already. */
  known(letter: Letter): Hold | undefined {
    const { from, to } = letter;
    const id = letterId(letter);
    const known = this.#sql
      .of<{ at: number; until: number; sig: string }>('SELECT at, until, sig FROM mail_letters WHERE id = ?')
      .get(id);
    return known && { holder: this.#key.id, letter: id, from, to, ...known };
  }

  /** The word for a letter that will be held; `coming`: of others that will be, too. Throws as `put` does. */
  sign(letter: Letter, coming: (who: string) => Total = () => NOTHING): Hold {
    const { from, to } = letter;
    this.#checkRoom(letter, letterBytes(letter), coming);
    const at = this.#clock.now();
    return signHold(this.#key, { letter: letterId(letter), from, to, at, until: at + this.#limits.ageMs });
  }

  /** `place`: where those who share the letters have it; without, after all others. */
  keep(letter: Letter, { letter: id, at, until, sig }: Omit<Hold, 'holder'>, place: number | null = null): void {
    const { from, to, enc, data } = letter;
    this.#sql
      .of(
        `INSERT INTO mail_letters (place, id, sender, recipient, enc, data, bytes, at, until, sig)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(place, id, from, to, bytesOf(enc), bytesOf(data), letterBytes(letter), at, until, sig);
  }

  #checkRoom({ from, to }: Letter, bytes: number, coming: (who: string) => Total): void {
    const { recipient, sender, total } = this.#limits;
    if (bytes > LETTER_BYTES) {
      throw new Fault('too_large', `holding a letter of ${bytes} bytes: at most ${LETTER_BYTES} are taken`);
    }
    const full = (who: string, limit: Total): boolean => {
      const [held, more] = [this.totals(who), coming(who)];
      return held.letters + more.letters + 1 > limit.letters || held.bytes + more.bytes + bytes > limit.bytes;
    };
    if (full(`from ${from}`, sender)) {
      throw new Fault(
        'too_many',
        `holding a letter: ${sender.letters} letters or ${sender.bytes} bytes of yours wait here already; they go as their recipients come`,
      );
    }
    if (full(`to ${to}`, recipient)) {
      throw new Fault(
        'queue_full',
        `holding a letter: the mailbox of "${to}" is full with ${recipient.letters} letters or ${recipient.bytes} bytes; wait until they come online`,
      );
    }
    if (full('all', total)) {
      throw new Fault('queue_full', 'holding a letter: all the room that this tracker has for letters is taken');
    }
  }

  /** What is held: `to <account>`, `from <account>` or `all`. */
  totals(who: string): Total {
    return (
      this.#sql
        .of<{ letters: number; bytes: number }>('SELECT letters, bytes FROM mail_totals WHERE who = ?')
        .get(who) ?? NOTHING
    );
  }

  /** Letters for `recipient` after a place: at most `most`, and at most `bytes` unless the first alone has more. */
  page(recipient: string, after: number, limit: { most: number; bytes: number }): { letters: Held[]; more: boolean } {
    const rows = this.#sql
      .of<Row>(
        `SELECT place, sender, enc, data, bytes FROM mail_letters
         WHERE recipient = ? AND place > ? AND until > ? ORDER BY place LIMIT ?`,
      )
      .all(recipient, after, this.#clock.now(), limit.most + 1);
    let bytes = 0;
    const end = rows.findIndex((row, index) => {
      bytes += row.bytes;
      return index >= limit.most || (index > 0 && bytes > limit.bytes);
    });
    const letters = (end < 0 ? rows : rows.slice(0, end)).map(({ place, sender, enc, data }) => ({
      place,
      from: sender,
      to: recipient,
      enc: toBase64url(enc),
      data: toBase64url(data),
    }));
    return { letters, more: end >= 0 };
  }

  /** Which of these letters are held for `recipient`. */
  held(recipient: string, ids: readonly string[]): string[] {
    const found = this.#sql.of('SELECT 1 FROM mail_letters WHERE id = ? AND recipient = ?');
    return [...new Set(ids)].filter((id) => found.get(id, recipient) !== undefined);
  }

  /** Forgets letters of `recipient`; gives how many there were. */
  delete(recipient: string, ids: readonly string[]): number {
    return this.#store.transaction(() =>
      ids.reduce(
        (sum, id) =>
          sum + this.#sql.of('DELETE FROM mail_letters WHERE id = ? AND recipient = ?').run(id, recipient).changes,
        0,
      ),
    );
  }

  /** Forgets letters whose time is over; at most a thousand at once, so that nobody waits for it. [M-9] */
  sweep(): number {
    return this.#sql
      .of('DELETE FROM mail_letters WHERE place IN (SELECT place FROM mail_letters WHERE until <= ? LIMIT 1000)')
      .run(this.#clock.now()).changes;
  }
}

const bytesOf = (text: string): Uint8Array => fromBase64url(text) ?? new Uint8Array();
