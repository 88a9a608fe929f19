/** Receipts: an account's signed word that it has, or has read, an author's entries up to one. [C-14] */
import { z } from 'zod';
import { type Key, peerId, signature, verified } from '../link/identity.ts';
import { hashText, position } from './entry.ts';
import type { Statements } from './tables.ts';

export const receipt = z.strictObject({
  conversation: hashText,
  /** Whose entries. */
  author: peerId,
  /** Vouches for every entry of the author up to here: `entry` fixes the chain before it. */
  seq: position,
  /** Id of the author's entry at `seq`. */
  entry: hashText,
  /** Who has them. */
  account: peerId,
  /** `read` says `delivered` too. */
  state: z.enum(['delivered', 'read']),
  /** Unix milliseconds, by the clock of `account`, to the end of the year 9999. */
  at: z.int().min(0).max(253_402_300_799_999),
  sig: signature,
});

export type Receipt = z.infer<typeof receipt>;
export type ReceiptState = Receipt['state'];

export function signReceipt(key: Key, claim: Omit<Receipt, 'sig' | 'account'>): Receipt {
  const whole = { ...claim, account: key.id };
  return { ...whole, sig: key.sign('receipt', whole) };
}

export function receiptVerified({ sig, ...claim }: Receipt): boolean {
  return verified(claim.account, 'receipt', claim, sig);
}

/** Who received whose entries. */
export type Chain = { conversation: string; author: string };

const COLUMNS = 'conversation, author, seq, entry, account, state, at, sig';

/** Every receipt that was given or got: the evidence behind each state. Rows are only ever added. */
export class ReceiptBook {
  readonly #sql: Statements;

  constructor(sql: Statements) {
    this.#sql = sql;
  }

  add(r: Receipt): void {
    this.#sql
      .of(`INSERT OR IGNORE INTO receipts (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`)
      .run(r.conversation, r.author, r.seq, r.entry, r.account, r.state, r.at, r.sig);
  }

  /** The furthest receipt of `account` in this state. */
  newest(chain: Chain, account: string, state: ReceiptState): Receipt | undefined {
    return this.#sql
      .of<Receipt>(
        `SELECT ${COLUMNS} FROM receipts WHERE conversation = ? AND author = ? AND account = ? AND state = ?
         ORDER BY seq DESC LIMIT 1`,
      )
      .get(chain.conversation, chain.author, account, state);
  }

  /** How far `account` has the chain, as delivered or read; 0 without a receipt. */
  reached(chain: Chain, account: string): number {
    const [delivered, read] = (['delivered', 'read'] as const).map((state) => this.newest(chain, account, state)?.seq);
    return Math.max(delivered ?? 0, read ?? 0);
  }

  /** The first receipt of `account` in this state that covers the entry at `seq`. */
  covering(chain: Chain, seq: number, account: string, state: ReceiptState): Receipt | undefined {
    return this.#sql
      .of<Receipt>(
        `SELECT ${COLUMNS} FROM receipts WHERE conversation = ? AND author = ? AND account = ? AND state = ? AND seq >= ?
         ORDER BY seq LIMIT 1`,
      )
      .get(chain.conversation, chain.author, account, state, seq);
  }
}
