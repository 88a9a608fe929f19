/** How far this account has read, and whom that is still to be told: durable, until the author has answered. [H-8] */
import type { Store } from '../base/sqlite.ts';
import type { Link } from '../link/link.ts';
import type { Ledger } from './ledger.ts';
import type { Exchange } from './sync.ts';
import { migrateChat, type Scope, type Statements } from './tables.ts';

/** Conversations told in one call: their standings fit its frame. */
const TOLD_AT_ONCE = 16;

/**
 * For a home that was restored from an old copy: each member of its conversations is reached once, and both sides give
 * what the other lacks. Called on a store that is not in use.
 */
export function askAllAgain(store: Store, self: string): void {
  migrateChat(store);
  store
    .prepare(
      'INSERT OR IGNORE INTO untold (account, conversation, seq) SELECT account, conversation, 0 FROM members WHERE account <> ?',
    )
    .run(self);
}

/** As `askAllAgain`, of a store that many accounts share: for each of them those who are not among them. */
export function askAllOfHosted(store: Store, hosted: readonly string[]): void {
  migrateChat(store);
  store
    .prepare(
      `INSERT OR IGNORE INTO untold (account, conversation, seq)
       SELECT h.account || '/' || m.account, m.conversation, 0
       FROM members h JOIN members m ON m.conversation = h.conversation
       WHERE h.account IN (SELECT value FROM json_each(?1)) AND m.account NOT IN (SELECT value FROM json_each(?1))`,
    )
    .run(JSON.stringify(hosted));
}

export class ReadMarks {
  readonly #ledger: Ledger;
  readonly #exchange: Exchange;
  readonly #sql: Statements;
  readonly #byLetter: boolean;
  readonly #scope: Scope;

  /** `byLetter`: authors who are away are told by letter, too. [M-13] */
  constructor(ledger: Ledger, exchange: Exchange, sql: Statements, { byLetter }: { byLetter: boolean }) {
    this.#exchange = exchange;
    this.#byLetter = byLetter;
    this.#ledger = ledger;
    this.#sql = sql;
    this.#scope = ledger.replica.scope(ledger.self);
  }

  /** Marks all up to a place in the order as read; gives the authors to tell. */
  mark(conversation: string, upTo: { at: number; id: string }): string[] {
    const { entries, receipts, self } = this.#ledger;
    const known = entries.conversation(conversation);
    if (!known) return [];
    return this.#ledger.authors(known).filter((author) => {
      if (author === self) return false;
      const chain = { conversation, author };
      const seq = entries.lastSeq(conversation, author, upTo);
      const before = receipts.newest(chain, self, 'read')?.seq ?? 0;
      if (seq <= before) return false;
      const receipt = this.#ledger.vouch(chain, 'read', seq);
      const beside = this.#ledger.replica.ledgerOf(author, this.#ledger);
      if (beside) {
        if (receipt) beside.heard(receipt, before); // on this very node: there is nothing to send
        return false;
      }
      if (!known.members.includes(author)) return true; // gone from the room: there is nobody to tell
      if (receipt && this.#byLetter) this.#ledger.letters.owe(receipt, this.#ledger.clock.now());
      this.#sql
        .of('INSERT OR REPLACE INTO untold (account, conversation, seq) VALUES (?, ?, ?)')
        .run(this.#scope.key(author), conversation, seq);
      return true;
    });
  }

  /** Messages of others that this account has not read, and those of them that name it. */
  unread(conversation: string, members: readonly string[]): { unread: number; mentions: number } {
    const { entries, receipts, self } = this.#ledger;
    const sum = { unread: 0, mentions: 0 };
    for (const author of members) {
      if (author === self) continue;
      const chain = { conversation, author };
      const from = this.#ledger.replica.isShared ? this.#ledger.floor(self, chain) : 1;
      if (!Number.isFinite(from)) continue; // nothing of it is for this account
      const read = Math.max(receipts.newest(chain, self, 'read')?.seq ?? 0, from - 1);
      const { unread, mentions } = entries.derived.unread(conversation, author, read);
      sum.unread += unread;
      sum.mentions += mentions;
    }
    return sum;
  }

  waits(account: string): boolean {
    return this.#sql.of('SELECT 1 FROM untold WHERE account = ? LIMIT 1').get(this.#scope.key(account)) !== undefined;
  }

  /** Everybody who is to be told. */
  accounts(): string[] {
    return this.#sql
      .of<{ account: string }>('SELECT DISTINCT account FROM untold WHERE account >= ? AND account < ?')
      .all(...this.#scope.range)
      .map(({ account }) => this.#scope.account(account));
  }

  /** Tells the account; its answer to `chat.sync` says that it has the receipts. */
  async tell(account: string, link: Link, signal: AbortSignal): Promise<void> {
    const query = this.#sql.of<{ conversation: string; seq: number }>(
      `SELECT conversation, seq FROM untold WHERE account = ? LIMIT ${TOLD_AT_ONCE}`,
    );
    for (let rows = query.all(this.#scope.key(account)); rows.length > 0; rows = query.all(this.#scope.key(account))) {
      const conversations = rows.flatMap(({ conversation }) => {
        const known = this.#ledger.entries.conversation(conversation);
        return known ?? [];
      });
      const answer = await this.#exchange.say(account, link, conversations, { more: true, signal });
      this.#ledger.takeReceipts(answer.flatMap((standing) => standing.receipts));
      this.#ledger.store.transaction(() => {
        for (const { conversation, seq } of rows) {
          this.#sql
            .of('DELETE FROM untold WHERE account = ? AND conversation = ? AND seq <= ?')
            .run(this.#scope.key(account), conversation, seq);
        }
      });
    }
  }
}
