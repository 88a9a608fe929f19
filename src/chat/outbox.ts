/** Own entries that lack a recipient's receipt: durable, bounded, and the only source of `queued` and `failed`. */
import { Fault, type FaultCode } from '../base/fault.ts';
import { Scope, type Statements } from './tables.ts';

/** Entries, and bytes of them, that may wait for one recipient; past either, `say` throws `queue_full`. */
const WAITING_ENTRIES = 10_000;
const WAITING_BYTES = 64 * 1024 * 1024;

/** Who holds what is `held` stands with the letters; a row without a state of its own is settled, and its receipts tell the rest. */
/** `renewing`: a mailbox signed for it, and it is to be left anew, for that word is over or soon will be. [M-14] */
export type Waiting = {
  state: 'queued' | 'held' | 'renewing' | 'failed';
  code: FaultCode | null;
  message: string | null;
};

export class Outbox {
  readonly #sql: Statements;
  readonly #scope: Scope;

  /** `scope`: where several accounts share the table. */
  constructor(sql: Statements, scope = new Scope('')) {
    this.#sql = sql;
    this.#scope = scope;
  }

  /** Throws `queue_full` if `recipient`'s queue has no room for one more entry of `bytes`. */
  checkRoom(recipient: string, bytes: number): void {
    if (this.hasRoom(recipient, bytes)) return;
    throw new Fault(
      'queue_full',
      `queueing a message: ${this.#totals(recipient)?.entries} entries wait for this recipient already, at most ${WAITING_ENTRIES} or ${WAITING_BYTES} bytes may; wait until they come online`,
    );
  }

  /** Whether `checkRoom` would let it pass. */
  hasRoom(recipient: string, bytes: number): boolean {
    const row = this.#totals(recipient);
    return (row?.entries ?? 0) + 1 <= WAITING_ENTRIES && (row?.bytes ?? 0) + bytes <= WAITING_BYTES;
  }

  #totals(recipient: string): { entries: number; bytes: number } | undefined {
    return this.#sql
      .of<{ entries: number; bytes: number }>('SELECT entries, bytes FROM outbox_totals WHERE recipient = ?')
      .get(this.#scope.key(recipient));
  }

  add(recipient: string, entry: { id: string; conversation: string; seq: number; bytes: number }): void {
    this.#sql
      .of(`INSERT INTO outbox (recipient, entry, conversation, seq, bytes, state) VALUES (?, ?, ?, ?, ?, 'queued')`)
      .run(this.#scope.key(recipient), entry.id, entry.conversation, entry.seq, entry.bytes);
  }

  /** Everybody for whom something waits. */
  recipients(): string[] {
    return this.#sql
      .of<{ recipient: string }>(
        'SELECT recipient FROM outbox_totals WHERE entries > 0 AND recipient >= ? AND recipient < ?',
      )
      .all(...this.#scope.range)
      .map((row) => this.#scope.account(row.recipient));
  }

  /** Entries that wait, over all recipients. */
  size(): number {
    return (
      this.#sql
        .of<{ n: number | null }>('SELECT sum(entries) AS n FROM outbox_totals WHERE recipient >= ? AND recipient < ?')
        .get(...this.#scope.range)?.n ?? 0
    );
  }

  waits(recipient: string): boolean {
    return (
      this.#sql
        .of('SELECT 1 FROM outbox_totals WHERE recipient = ? AND entries > 0')
        .get(this.#scope.key(recipient)) !== undefined
    );
  }

  /** Entries that wait for `recipient`: those that a mailbox holds for them, and the others. */
  count(recipient: string): { queued: number; held: number } {
    const rows = this.#sql
      .of<{ state: Waiting['state']; n: number }>(
        'SELECT state, count(*) AS n FROM outbox WHERE recipient = ? GROUP BY state',
      )
      .all(this.#scope.key(recipient));
    const of = (...states: Waiting['state'][]): number =>
      rows.reduce((sum, { state, n }) => sum + (states.includes(state) ? n : 0), 0);
    return { queued: of('queued'), held: of('held', 'renewing') };
  }

  /** Position of the first own entry that waits for `recipient`. */
  first(recipient: string, conversation: string): number | undefined {
    return this.#sql
      .of<{ seq: number }>(
        `SELECT seq FROM outbox WHERE recipient = ? AND conversation = ? AND state <> 'failed' ORDER BY seq LIMIT 1`,
      )
      .get(this.#scope.key(recipient), conversation)?.seq;
  }

  /** `recipient` has everything up to `seq`; gives the ids of the entries that were waiting, in order. */
  settle(recipient: string, conversation: string, seq: number): string[] {
    const which = `recipient = ? AND conversation = ? AND seq <= ? AND state <> 'failed'`;
    const rows = this.#sql
      .of<{ entry: string }>(`SELECT entry FROM outbox WHERE ${which} ORDER BY seq`)
      .all(this.#scope.key(recipient), conversation, seq);
    if (rows.length > 0)
      this.#sql.of(`DELETE FROM outbox WHERE ${which}`).run(this.#scope.key(recipient), conversation, seq);
    return rows.map((row) => row.entry);
  }

  /** The entry will never be delivered to those it still waits for. For good: a failed row is not changed again. */
  fail(entry: string, fault: Fault): void {
    this.#sql
      .of(`UPDATE outbox SET state = 'failed', code = ?, message = ? WHERE entry = ? AND state <> 'failed'`)
      .run(fault.code, fault.message, entry);
  }

  /** A mailbox holds the entry for `recipient`; false where that changes nothing. */
  hold(recipient: string, entry: string): boolean {
    return this.#move(recipient, entry, ['queued', 'renewing'], 'held');
  }

  /** It is to be left anew; false where that changes nothing. */
  renew(recipient: string, entry: string): boolean {
    return this.#move(recipient, entry, ['held'], 'renewing');
  }

  #move(recipient: string, entry: string, from: readonly Waiting['state'][], to: Waiting['state']): boolean {
    const update = this.#sql.of('UPDATE outbox SET state = ? WHERE recipient = ? AND entry = ? AND state = ?');
    return from.some((state) => update.run(to, this.#scope.key(recipient), entry, state).changes > 0);
  }

  /** Nothing of a conversation will be delivered to a recipient any more; gives the ids of the entries that waited. */
  failFor(recipient: string, conversation: string, fault: Fault): string[] {
    const which = `recipient = ? AND conversation = ? AND state <> 'failed'`;
    const rows = this.#sql
      .of<{ entry: string }>(`SELECT entry FROM outbox WHERE ${which}`)
      .all(this.#scope.key(recipient), conversation);
    this.#sql
      .of(`UPDATE outbox SET state = 'failed', code = ?, message = ? WHERE ${which}`)
      .run(fault.code, fault.message, this.#scope.key(recipient), conversation);
    return rows.map((row) => row.entry);
  }

  /** Whether the entry still waits for anybody. */
  isOpen(entry: string): boolean {
    return this.#sql.of(`SELECT 1 FROM outbox WHERE entry = ? AND state <> 'failed' LIMIT 1`).get(entry) !== undefined;
  }

  /** Conversations of which own entries wait for `recipient`. */
  conversations(recipient: string): string[] {
    return this.#sql
      .of<{ conversation: string }>(
        `SELECT DISTINCT conversation FROM outbox WHERE recipient = ? AND state <> 'failed'`,
      )
      .all(this.#scope.key(recipient))
      .map((row) => row.conversation);
  }

  get(recipient: string, entry: string): Waiting | undefined {
    return this.#sql
      .of<Waiting>('SELECT state, code, message FROM outbox WHERE recipient = ? AND entry = ?')
      .get(this.#scope.key(recipient), entry);
  }
}
