/** Letters that several processes of one tracker hold together: each has a copy of all, and gives it out. [K-8] */
import type { z } from 'zod';
import { toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Logged, SharedLog } from '../base/shared-log.ts';
import type { Store } from '../base/sqlite.ts';
import { envelope, type Hold, hold, type Letter, letterBytes, letterId } from './letter.ts';
import type { MailStore } from './mailbox-store.ts';
import { Statements } from './tables.ts';

const STEPS = [
  'CREATE TABLE mail_applied (one INTEGER PRIMARY KEY CHECK (one = 1), place INTEGER NOT NULL) STRICT;',
] as const;

/** A letter with the word that it is held. */
const held = envelope.extend({ hold });

export class SharedMail {
  readonly #shared: SharedLog;
  readonly #letters: MailStore;
  readonly #store: Store;
  readonly #sql: Statements;
  readonly #tell: (recipient: string) => void;
  readonly #log: Log;
  /** What is on its way into the log, so that the bounds hold for it too: by `to …`, `from …` and `all`. */
  readonly #coming = new Map<string, { letters: number; bytes: number }>();

  constructor(options: {
    shared: SharedLog;
    /** This process' copy, in `store`. */
    letters: MailStore;
    store: Store;
    /** A letter came for the recipient, by whichever process. */
    tell(recipient: string): void;
    log: Log;
  }) {
    this.#shared = options.shared;
    this.#letters = options.letters;
    this.#store = options.store;
    this.#sql = new Statements(options.store);
    this.#tell = options.tell;
    this.#log = options.log;
  }

  /** Settles when the copy has all that there was. */
  start(): Promise<void> {
    this.#store.migrate('mailbox-shared', STEPS);
    const applied = this.#sql.of<{ place: number }>('SELECT place FROM mail_applied').get();
    return this.#shared.follow(applied?.place ?? 0, (logged) => this.#apply(logged));
  }

  /** As `MailStore.put`, and `tracker_down`: whoever gets no answer gives the same letter again. [M-8] */
  async put(letter: Letter): Promise<Hold> {
    const known = this.#letters.known(letter);
    if (known) return known;
    const hold = this.#letters.sign(letter, (who) => this.#coming.get(who) ?? { letters: 0, bytes: 0 });
    this.#count(letter, 1);
    try {
      const text: z.input<typeof held> = { enc: letter.enc, data: letter.data, hold };
      await this.#shared.append(keyOf(letter.to, hold.letter), JSON.stringify(text));
      return this.#letters.known(letter) ?? hold; // another process may have been first with the same letter
    } finally {
      this.#count(letter, -1);
    }
  }

  #count(letter: Letter, by: 1 | -1): void {
    for (const who of [`to ${letter.to}`, `from ${letter.from}`, 'all']) {
      const { letters, bytes } = this.#coming.get(who) ?? { letters: 0, bytes: 0 };
      const next = { letters: letters + by, bytes: bytes + by * letterBytes(letter) };
      if (next.letters === 0) this.#coming.delete(who);
      else this.#coming.set(who, next);
    }
  }

  /** As `MailStore.delete`, and `tracker_down`. */
  async delete(recipient: string, ids: readonly string[]): Promise<number> {
    const held = this.#letters.held(recipient, ids);
    await Promise.all(held.map((id) => this.#shared.append(keyOf(recipient, id), null)));
    return held.length;
  }

  #apply({ key, text, at }: Logged): void {
    const [recipient = '', id = ''] = key.split('.');
    this.#store.transaction(() => {
      this.#sql.of('INSERT OR REPLACE INTO mail_applied (one, place) VALUES (1, ?)').run(at);
      if (text === null) return void this.#letters.delete(recipient, [id]);
      const letter = this.#read(text, { recipient, id });
      if (!letter || this.#letters.known(letter)) return;
      this.#letters.keep(letter, letter.hold, at);
      this.#store.afterCommit(() => this.#tell(recipient));
    });
  }

  #read(text: string, { recipient, id }: { recipient: string; id: string }): (Letter & { hold: Hold }) | undefined {
    try {
      const { hold, enc, data } = held.parse(JSON.parse(text));
      const letter = { from: hold.from, to: hold.to, enc, data };
      if (hold.to === recipient && hold.letter === id && letterId(letter) === id) return { ...letter, hold };
      throw new Error('it is not the letter of its key');
    } catch (error) {
      const { code, message } = toFault(error, 'taking a letter', 'malformed');
      this.#log.error({ code, reason: message }, 'the cluster holds a letter that is not of its form; it is left out');
      return undefined;
    }
  }
}

const keyOf = (recipient: string, letter: string): string => `${recipient}.${letter}`;
