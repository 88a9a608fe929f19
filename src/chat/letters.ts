/** Letters that this account wrote, receipts that it owes, and what trackers signed for: durable, so that a kill costs nothing. */
import { fromBase64url, toBase64url } from '../base/encoding.ts';
import { type Hold, type Letter, letterId } from './letter.ts';
import type { Receipt, ReceiptState } from './receipt.ts';
import { numberOf, Scope, type Statements } from './tables.ts';

export const LETTER_STEPS = [
  `
  -- Until a tracker holds it, a letter is kept as it was sealed: given twice, it is held once. Then its hold stays as evidence.
  CREATE TABLE letters (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    sender TEXT NOT NULL,
    recipient TEXT NOT NULL,
    sealing_key TEXT NOT NULL,
    enc BLOB,
    data BLOB,
    sent INTEGER NOT NULL DEFAULT 0,
    holder TEXT,
    at INTEGER,
    until INTEGER,
    sig TEXT,
    ended INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE INDEX letters_pending ON letters (recipient) WHERE holder IS NULL;
  CREATE INDEX letters_until ON letters (until) WHERE holder IS NOT NULL AND ended = 0;

  CREATE TABLE letter_entries (
    letter INTEGER NOT NULL REFERENCES letters (n) ON DELETE CASCADE,
    entry TEXT NOT NULL,
    PRIMARY KEY (letter, entry)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX letter_entries_entry ON letter_entries (entry);

  -- Receipts that an author who was not linked is to be told of; 'letter' is the one under way that tells it.
  CREATE TABLE letter_receipts (
    recipient TEXT NOT NULL,
    conversation TEXT NOT NULL,
    author TEXT NOT NULL,
    state TEXT NOT NULL,
    since INTEGER NOT NULL,
    letter INTEGER,
    PRIMARY KEY (recipient, conversation, author, state)
  ) STRICT, WITHOUT ROWID;
  `,
] as const;

/** A receipt to be told of: this account's newest for the chain. */
export type Owed = { conversation: string; author: string; state: ReceiptState };

/** Milliseconds after which an author who could not be told of a receipt hears of it when they are linked again. */
const OWED_MS = 30 * 24 * 3600_000;

type PendingRow = { sender: string; enc: Uint8Array; data: Uint8Array };

const PENDING = 'recipient = ? AND holder IS NULL';

export class LetterBook {
  readonly #sql: Statements;
  readonly #scope: Scope;

  /** `scope`: where several accounts share the tables. */
  constructor(sql: Statements, scope = new Scope('')) {
    this.#sql = sql;
    this.#scope = scope;
  }

  /** An author is to be told of this account's receipt. */
  owe({ author, conversation, state }: Pick<Receipt, 'author' | 'conversation' | 'state'>, now: number): void {
    this.#sql
      .of(
        `INSERT OR REPLACE INTO letter_receipts (recipient, conversation, author, state, since, letter)
         VALUES (?, ?, ?, ?, ?, NULL)`,
      )
      .run(this.#scope.key(author), conversation, author, state, now);
  }

  /** Whether receipts or letters wait to be sent. */
  waits(recipient: string): boolean {
    return (
      this.#sql.of('SELECT 1 FROM letter_receipts WHERE recipient = ? LIMIT 1').get(this.#scope.key(recipient)) !==
        undefined ||
      this.#sql.of(`SELECT 1 FROM letters WHERE ${PENDING} LIMIT 1`).get(this.#scope.key(recipient)) !== undefined
    );
  }

  /** Everybody for whom receipts or letters wait. */
  recipients(): string[] {
    return this.#sql
      .of<{ recipient: string }>(
        `SELECT recipient FROM letter_receipts WHERE recipient >= ?1 AND recipient < ?2
         UNION SELECT recipient FROM letters WHERE holder IS NULL AND recipient >= ?1 AND recipient < ?2`,
      )
      .all(...this.#scope.range)
      .map((row) => this.#scope.account(row.recipient));
  }

  /** Receipts to tell; with `unsealed`, only those that no letter under way tells. */
  owed(recipient: string, options: { unsealed: boolean }): Owed[] {
    const which = options.unsealed ? 'AND letter IS NULL' : '';
    return this.#sql
      .of<Owed>(`SELECT conversation, author, state FROM letter_receipts WHERE recipient = ? ${which}`)
      .all(this.#scope.key(recipient));
  }

  /** Entries that wait to be sealed for `recipient`, for the first time or anew, in no letter, in the order of their chains. */
  unsealed(recipient: string, most: number): { entry: string; bytes: number }[] {
    return this.#sql
      .of<{ entry: string; bytes: number }>(
        `SELECT o.entry, o.bytes FROM outbox o WHERE o.recipient = ? AND o.state IN ('queued', 'renewing') AND NOT EXISTS (
           SELECT 1 FROM letter_entries e JOIN letters l ON l.n = e.letter
           WHERE e.entry = o.entry AND l.recipient = o.recipient AND l.holder IS NULL
         ) ORDER BY o.conversation, o.seq LIMIT ?`,
      )
      .all(this.#scope.key(recipient), most);
  }

  /** Keeps a sealed letter until it is held. */
  write(letter: Letter, sealingKey: string, content: { entries: readonly string[]; receipts: readonly Owed[] }): void {
    const { lastInsertRowid: n } = this.#sql
      .of('INSERT INTO letters (id, sender, recipient, sealing_key, enc, data) VALUES (?, ?, ?, ?, ?, ?)')
      .run(
        letterId(letter),
        letter.from,
        this.#scope.key(letter.to),
        sealingKey,
        bytesOf(letter.enc),
        bytesOf(letter.data),
      );
    for (const entry of content.entries) {
      this.#sql.of('INSERT INTO letter_entries (letter, entry) VALUES (?, ?)').run(n, entry);
    }
    for (const { conversation, author, state } of content.receipts) {
      this.#sql
        .of(
          'UPDATE letter_receipts SET letter = ? WHERE recipient = ? AND conversation = ? AND author = ? AND state = ?',
        )
        .run(n, this.#scope.key(letter.to), conversation, author, state);
    }
  }

  /** Letters that no tracker holds yet, in the order in which they were written: at most `most`. */
  pending(recipient: string, most: number): Letter[] {
    return this.#sql
      .of<PendingRow>(`SELECT sender, enc, data FROM letters WHERE ${PENDING} ORDER BY n LIMIT ?`)
      .all(this.#scope.key(recipient), most)
      .map(({ sender, enc, data }) => ({
        from: sender,
        to: recipient,
        enc: toBase64url(enc),
        data: toBase64url(data),
      }));
  }

  /** Forgets letters that no tracker holds and that are not wanted as they are: sealed to another key, or overtaken. */
  dropStale(recipient: string, sealingKey: string): void {
    this.#drop(
      recipient,
      `sealing_key <> ? OR EXISTS (
         SELECT 1 FROM letter_entries e LEFT JOIN outbox o ON o.entry = e.entry AND o.recipient = letters.recipient
         WHERE e.letter = letters.n AND (o.state IS NULL OR o.state NOT IN ('queued', 'renewing'))
       ) OR NOT EXISTS (
         SELECT 1 FROM letter_entries WHERE letter = letters.n UNION ALL SELECT 1 FROM letter_receipts WHERE letter = letters.n
       )`,
      sealingKey,
    );
  }

  /** `recipient` was linked, and has all that letters and receipts would tell. */
  settle(recipient: string): void {
    this.#drop(recipient, '? <> 0', 1);
    this.#sql.of('DELETE FROM letter_receipts WHERE recipient = ?').run(this.#scope.key(recipient));
  }

  #drop(recipient: string, which: string, parameter: string | number): void {
    const gone = this.#sql
      .of<{ n: number }>(`SELECT n FROM letters WHERE ${PENDING} AND (${which})`)
      .all(this.#scope.key(recipient), parameter);
    for (const { n } of gone) {
      this.#sql.of('UPDATE letter_receipts SET letter = NULL WHERE letter = ?').run(n);
      this.#sql.of('DELETE FROM letters WHERE n = ?').run(n);
    }
  }

  /** Whether the letter was handed out, so that it may be held without this side's knowing. */
  markSent(id: string, sent: boolean): void {
    this.#sql.of('UPDATE letters SET sent = ? WHERE id = ?').run(sent ? 1 : 0, id);
  }

  /** A tracker holds the letter: its word takes the letter's place. Gives the entries in it. */
  held({ letter, holder, at, until, sig }: Hold): string[] {
    const n = this.#sql.of<{ n: number }>('SELECT n FROM letters WHERE id = ? AND holder IS NULL').get(letter)?.n;
    if (n === undefined) return [];
    this.#sql
      .of('UPDATE letters SET enc = NULL, data = NULL, holder = ?, at = ?, until = ?, sig = ? WHERE n = ?')
      .run(holder, at, until, sig, n);
    this.#sql.of('DELETE FROM letter_receipts WHERE letter = ?').run(n);
    return this.#entries(n);
  }

  #entries(n: number): string[] {
    return this.#sql
      .of<{ entry: string }>('SELECT entry FROM letter_entries WHERE letter = ?')
      .all(n)
      .map(({ entry }) => entry);
  }

  /** The newest word of a tracker that it holds the entry for `recipient`: the evidence of `held`. */
  hold(recipient: string, entry: string): Hold | undefined {
    const found = this.#sql
      .of<Hold>(
        `SELECT l.holder, l.id AS letter, l.sender AS "from", l.recipient AS "to", l.at, l.until, l.sig
         FROM letter_entries e JOIN letters l ON l.n = e.letter
         WHERE e.entry = ? AND l.recipient = ? AND l.holder IS NOT NULL ORDER BY l.n DESC LIMIT 1`,
      )
      .get(entry, this.#scope.key(recipient));
    return found && { ...found, to: recipient };
  }

  /** Whether the author's entry at `seq`, or one after it, may be in a mailbox. */
  out(conversation: string, author: string, seq: number, now: number): boolean {
    const row = this.#sql
      .of(
        `SELECT 1 FROM entries x JOIN letter_entries e ON e.entry = x.id JOIN letters l ON l.n = e.letter
         WHERE x.conversation = ${numberOf('?')} AND x.author = ${numberOf('?')} AND x.withdrawn = 0 AND x.seq >= ?
           AND (l.until > ? OR (l.holder IS NULL AND l.sent = 1)) LIMIT 1`,
      )
      .get(conversation, author, seq, now);
    return row !== undefined;
  }

  /**
   * Letters that are to be left anew: trackers hold them no longer, or only for the last tenth of the time for which they
   * signed. Gives whom that concerns, and what was in it; each letter once. [M-14]
   */
  ending(now: number): { recipient: string; entry: string }[] {
    this.#sql.of('DELETE FROM letter_receipts WHERE since <= ? AND letter IS NULL').run(now - OWED_MS);
    const over = this.#sql
      .of<{ n: number; recipient: string }>(
        'SELECT n, recipient FROM letters WHERE holder IS NOT NULL AND ended = 0 AND until - (until - at) / 10 <= ? AND recipient >= ? AND recipient < ? LIMIT 1000',
      )
      .all(now, ...this.#scope.range);
    return over.flatMap(({ n, recipient }) => {
      this.#sql.of('UPDATE letters SET ended = 1 WHERE n = ?').run(n);
      return this.#entries(n).map((entry) => ({ recipient: this.#scope.account(recipient), entry }));
    });
  }
}

const bytesOf = (text: string): Uint8Array => fromBase64url(text) ?? new Uint8Array();
