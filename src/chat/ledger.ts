/** What is true on this side: log, outbox and receipts, changed together, each change with its event. */
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Store } from '../base/sqlite.ts';
import type { Key } from '../link/identity.ts';
import { type Conversation, direct } from './conversation.ts';
import { parseEntry, signEntry } from './entry.ts';
import { aheadFrom, tick } from './hlc.ts';
import type { Hold } from './letter.ts';
import { LETTER_STEPS, LetterBook } from './letters.ts';
import { EntryLog, type Stored } from './log.ts';
import { type Message, Viewer } from './message.ts';
import { Outbox } from './outbox.ts';
import { type Chain, type Receipt, ReceiptBook, type ReceiptState, receiptVerified, signReceipt } from './receipt.ts';
import { fold } from './search.ts';
import { STEPS, Statements } from './tables.ts';
import { type ActKind, actOf, counts } from './timeline.ts';
import type { Standing } from './wire.ts';

export type ChatEvent =
  | 'message.sent'
  | 'message.received'
  | 'message.held'
  /** It is held no longer, and not delivered either. */
  | 'message.queued'
  | 'message.delivered'
  | 'message.read'
  | 'message.failed'
  /** With the message that was changed, as it is now. */
  | 'message.edited'
  | 'message.deleted'
  | 'message.reaction';

const CHANGES: Readonly<Record<ActKind, ChatEvent>> = {
  edit: 'message.edited',
  delete: 'message.deleted',
  reaction: 'message.reaction',
};

export type LedgerOptions = {
  account: Key;
  store: Store;
  clock: Clock;
  log: Log;
  /** Accounts of which nothing is taken and to which nothing is given, for as long as the user says so. */
  blocked?: ((account: string) => boolean) | undefined;
  /**
   * Called inside the transaction that makes the event true: what it writes to the same store stands or falls with it.
   * It tells live listeners through `store.afterCommit`, so that none hears of what was rolled back.
   */
  emit(type: ChatEvent, data: Message): void;
  /** Handle of an account, where one is known: whom a text names is found by it. */
  handleOf?: (account: string) => string | undefined;
};

export class Ledger {
  readonly self: string;
  readonly store: Store;
  readonly clock: Clock;
  readonly entries: EntryLog;
  readonly outbox: Outbox;
  readonly receipts: ReceiptBook;
  readonly letters: LetterBook;
  readonly viewer: Viewer;
  readonly emit: (type: ChatEvent, data: Message) => void;
  readonly blocked: (account: string) => boolean;
  readonly #key: Key;
  readonly #log: Log;

  constructor({ account, store, clock, log, emit, blocked, handleOf }: LedgerOptions) {
    const sql = new Statements(store);
    this.self = account.id;
    this.store = store;
    this.clock = clock;
    this.entries = new EntryLog(sql);
    this.outbox = new Outbox(sql);
    this.receipts = new ReceiptBook(sql);
    this.letters = new LetterBook(sql);
    this.viewer = new Viewer(this.self, this.entries, this.outbox, this.receipts);
    this.viewer.hold = (account, entry) => this.letters.hold(account, entry);
    this.emit = emit;
    this.blocked = blocked ?? (() => false);
    if (handleOf) {
      this.viewer.handleOf = handleOf;
      this.entries.derived.me = () => handleOf(account.id);
    }
    this.#key = account;
    this.#log = log;
  }

  migrate(): void {
    this.store.define('fold', fold);
    this.store.migrate('chat', STEPS);
    this.store.migrate('letters', LETTER_STEPS);
    this.store.transaction(() => this.entries.derived.refreshStale());
  }

  /** The conversation, if `other` and this account are in it. A direct one needs no introduction. [C-5] */
  sharedWith(other: string, id: string): Conversation | undefined {
    const known = this.entries.conversation(id) ?? direct(this.self, other);
    const both = known.members.includes(other) && known.members.includes(this.self);
    return known.id === id && both ? known : undefined;
  }

  /** Signs an own entry and queues it for all other members, in one transaction. Throws `queue_full`, `too_large`. */
  write(conversation: Conversation, kind: string, body: Record<string, unknown>): Message {
    return this.store.transaction(() => {
      const { id } = conversation;
      const now = this.clock.now();
      this.entries.open(conversation);
      this.#dropFuture(conversation, now);
      const head = this.entries.head(id, this.self);
      const parsed = parseEntry(
        signEntry(this.#key, {
          conversation: id,
          author: this.self,
          seq: (head?.seq ?? 0) + 1,
          prev: head?.id ?? null,
          at: tick(now, this.entries.lastAt(id)),
          kind,
          body,
        }),
      );
      const stored = this.entries.append(parsed, now);
      for (const recipient of conversation.members) {
        if (recipient === this.self) continue;
        this.outbox.checkRoom(recipient, parsed.bytes);
        this.outbox.add(recipient, { ...parsed.entry, id: parsed.id, bytes: parsed.bytes });
      }
      this.announce('message.sent', stored);
      return this.viewer.message(stored);
    });
  }

  /** After the own clock was set back: entries of the future that nobody has would hold up all that come after them. */
  #dropFuture({ id, members }: Conversation, now: number): void {
    const head = this.entries.head(id, this.self);
    if (!head || head.at < aheadFrom(now)) return;
    for (const recipient of members) {
      const first = this.outbox.first(recipient, id);
      const seq = first && this.entries.firstSince(id, this.self, first, aheadFrom(now));
      if (seq) this.withdraw(id, seq, new Fault('clock_ahead', 'this machine’s clock was ahead then; say it again'));
    }
  }

  /**
   * Takes own entries from `seq` on out of the chain and marks them failed: they were refused for good, and what follows
   * an entry that is not taken cannot be taken either. Does nothing and gives false where somebody has one. [C-18]
   */
  withdraw(conversation: string, seq: number, fault: Fault): boolean {
    return this.store.transaction(() => {
      const members = this.entries.conversation(conversation)?.members ?? [];
      const chain = { conversation, author: this.self };
      if (members.some((account) => this.receipts.reached(chain, account) >= seq)) return false;
      // What is refused for its time alone may be taken from a mailbox later: its place is not free. [M-15]
      const later = fault.code === 'clock_ahead';
      if (later && this.letters.out(conversation, this.self, seq, this.clock.now())) return false;
      const gone = this.entries.withdraw(conversation, this.self, seq);
      for (const [index, stored] of gone.entries()) {
        const why =
          index === 0 ? fault : new Fault(fault.code, `it follows an entry that was not taken: ${fault.message}`);
        this.outbox.fail(stored.id, why);
        this.emit('message.failed', this.viewer.message(stored));
        this.#changed(stored);
      }
      return gone.length > 0;
    });
  }

  /**
   * Takes receipts, whoever brings them: each proves itself. One for an entry that is not known here is skipped; the
   * entry may come later, and its receipt with the next greeting. Throws `bad_signature`. [C-15]
   */
  takeReceipts(receipts: readonly Receipt[]): void {
    if (receipts.length === 0) return;
    this.store.transaction(() => {
      for (const receipt of receipts) this.#takeReceipt(receipt);
    });
  }

  #takeReceipt(receipt: Receipt): void {
    const { account, author, conversation, entry, seq, state } = receipt;
    const members = this.entries.conversation(conversation)?.members ?? [];
    const meant = account !== this.self && account !== author && members.includes(account) && members.includes(author);
    if (!meant || this.entries.idAt(conversation, author, seq) !== entry) {
      this.#log.debug({ conversation, seq }, 'skipping a receipt for an entry that is not here');
      return;
    }
    const before = this.receipts.newest(receipt, account, state)?.seq ?? 0;
    if (before >= seq) return;
    if (!receiptVerified(receipt)) {
      throw new Fault('bad_signature', `taking a receipt for "${entry}": "${account}" did not sign it`);
    }
    this.receipts.add(receipt);
    if (author !== this.self) return;
    for (const id of this.outbox.settle(account, conversation, seq)) this.#tell('message.delivered', id);
    if (state !== 'read') return;
    for (let at = before + 1; at <= seq; at++) {
      this.#tell('message.read', this.entries.idAt(conversation, author, at) ?? '');
    }
  }

  /** A tracker's word that it holds a letter: what is in it is `held`. [M-6] */
  takeHold(hold: Hold): void {
    this.store.transaction(() => {
      for (const entry of this.letters.held(hold)) {
        if (this.outbox.hold(hold.to, entry)) this.#tell('message.held', entry);
      }
    });
  }

  /** What was held and is no longer is queued again; gives for whom. [M-14] */
  releaseExpired(): string[] {
    return this.store.transaction(() => {
      const released = this.letters
        .expire(this.clock.now())
        .filter(({ recipient, entry }) => this.outbox.release(recipient, entry));
      for (const { entry } of released) this.#tell('message.queued', entry);
      return [...new Set(released.map(({ recipient }) => recipient))];
    });
  }

  /** An entry came to be: an event of its own, or one of the message that it changes. */
  announce(type: ChatEvent, stored: Stored): void {
    if (actOf(stored)) this.#changed(stored);
    else this.emit(type, this.viewer.message(stored));
  }

  #changed(stored: Stored): void {
    const act = actOf(stored);
    const target = act && this.entries.get(act.target);
    if (!target || !counts(act, { ...target.entry, id: target.id }, this.entries.derived.mayRemove)) return;
    this.emit(CHANGES[act.kind], this.viewer.message(target));
  }

  #tell(type: ChatEvent, id: string): void {
    const stored = this.entries.get(id);
    if (stored && !actOf(stored)) this.emit(type, this.viewer.message(stored));
  }

  /** This account's word that it has, or has read, a chain up to `seq`: a new one only where it says more. [C-14] */
  vouch(chain: Chain, state: ReceiptState, seq: number): Receipt | undefined {
    const { conversation, author } = chain;
    const known = this.receipts.newest(chain, this.self, state);
    const entry = this.entries.idAt(conversation, author, seq);
    if ((known && known.seq >= seq) || entry === undefined || author === this.self) return known;
    const receipt = signReceipt(this.#key, { conversation, author, seq, entry, state, at: this.clock.now() });
    this.receipts.add(receipt);
    return receipt;
  }

  /** What this side has of a conversation, and its word for it. */
  standing({ id, members }: Conversation): Standing {
    const receipts = members.flatMap((author) =>
      (['delivered', 'read'] as const).flatMap(
        (state) => this.receipts.newest({ conversation: id, author }, this.self, state) ?? [],
      ),
    );
    const have = members.flatMap((author) => {
      const head = this.entries.head(id, author);
      return head ? { author, seq: head.seq } : [];
    });
    return { id, have, receipts };
  }
}
