/** What is true on this side: log, outbox and receipts, changed together, each change with its event. */
import type { Clock } from '../base/clock.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Store } from '../base/sqlite.ts';
import type { Key } from '../link/identity.ts';
import { type Conversation, direct } from './conversation.ts';
import type { Hold } from './letter.ts';
import { LetterBook } from './letters.ts';
import type { EntryLog, Stored } from './log.ts';
import { authorsOf, type ChangeType, type Creation, type Ordered, type RoomState } from './membership.ts';
import { type Message, Viewer } from './message.ts';
import { Outbox } from './outbox.ts';
import { OwnChain } from './own-chain.ts';
import {
  type Chain,
  type Receipt,
  type ReceiptBook,
  type ReceiptState,
  receiptVerified,
  signReceipt,
} from './receipt.ts';
import { Replica } from './replica.ts';
import type { RoomBook, Stepped } from './room-book.ts';
import { type ActKind, actOf, counts } from './timeline.ts';
import { RECEIPTS, type Standing } from './wire.ts';

export type ChatEvent =
  | 'message.sent'
  | 'message.received'
  /** Told again where it was left anew: with the newest word of who holds it. */
  | 'message.held'
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

export type RoomEventType =
  | 'room.created'
  | 'room.invited'
  | 'room.joined'
  | 'room.changed'
  | 'room.refused'
  | 'room.forked';

/** What happened to a room, by a change that was ordered, or by one that never will be. */
export type RoomEvent = {
  conversation: string;
  name: string;
  number: number;
  type: ChangeType | 'create' | 'order';
  /** Who did it, and to whom. */
  by: string;
  target: string | null;
  error: { code: string; message: string } | null;
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
  /** As `emit`, of rooms. */
  emitRoom?(type: RoomEventType, data: RoomEvent): void;
  /** The replica that the account shares with others of its node; default: one of its own in `store`. */
  replica?: Replica | undefined;
  /** Instead of `emit`, for who makes the view of a message when somebody looks at it. */
  told?: ((type: ChatEvent, stored: Stored) => void) | undefined;
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
  readonly replica: Replica;
  readonly #emit: (type: ChatEvent, data: Message) => void;
  readonly #told: ((type: ChatEvent, stored: Stored) => void) | undefined;
  readonly rooms: RoomBook;
  readonly emitRoom: (type: RoomEventType, data: RoomEvent) => void;
  /** Told of each receipt that is new here and about somebody else's entries. */
  onForeignReceipt: (receipt: Receipt) => void = () => {};
  readonly blocked: (account: string) => boolean;
  /** What it writes. */
  readonly own: OwnChain;
  readonly #key: Key;
  readonly #log: Log;

  constructor({ account, store, clock, log, emit, emitRoom, blocked, handleOf, replica, told }: LedgerOptions) {
    this.self = account.id;
    this.store = store;
    this.clock = clock;
    this.replica = replica ?? new Replica(store);
    const { sql, entries, receipts, rooms } = this.replica;
    const scope = this.replica.scope(this.self);
    this.entries = entries;
    this.receipts = receipts;
    this.rooms = rooms;
    this.outbox = new Outbox(sql, scope);
    this.letters = new LetterBook(sql, scope);
    this.viewer = new Viewer(this.self, this.entries, this.outbox, this.receipts, this.rooms);
    this.viewer.isHere = (other) => this.replica.hostsOther(other);
    this.viewer.hold = (account, entry) => this.letters.hold(account, entry);
    this.viewer.now = () => clock.now();
    this.emitRoom = emitRoom ?? (() => {});
    this.#emit = emit;
    this.#told = told;
    this.blocked = blocked ?? (() => false);
    if (handleOf) {
      this.viewer.handleOf = handleOf;
      if (!this.replica.isShared) this.entries.derived.me = () => handleOf(account.id);
    }
    this.#key = account;
    this.#log = log;
    this.own = new OwnChain(this, account);
  }

  migrate(): void {
    this.replica.migrate();
  }

  /** The conversation, if `other` and this account are in it. A direct one needs no introduction. [C-5] */
  sharedWith(other: string, id: string): Conversation | undefined {
    const known = this.entries.conversation(id) ?? direct(this.self, other);
    const both = known.members.includes(other) && known.members.includes(this.self);
    return known.id === id && both ? known : undefined;
  }

  /** Whose entries a conversation has: of a room also those who went. */
  authors({ id, kind, members }: Conversation): readonly string[] {
    const state = kind === 'room' ? this.rooms.state(id) : undefined;
    return state ? authorsOf(state) : members;
  }

  /**
   * Position from which a member is to have an author's chain, by the room's history policy: 1 where it may have all.
   * Infinity where nothing of it is for them.
   */
  floor(account: string, { conversation, author }: Chain): number {
    const room = this.rooms.state(conversation);
    const member = room?.members.get(account);
    if (!room || !member || member.joined === 0 || room.creation.history === 'all' || account === author) return 1;
    const first = room.members.get(author)?.first ?? room.former.get(author)?.first ?? 0;
    if (first >= member.joined) return 1;
    const { history } = room.creation;
    const joined = member.joinedAt * 1000;
    const back = history === 'none' ? undefined : this.entries.placeBack(conversation, joined, history.last);
    const at = back ? Math.min(back.at, joined + 1) : joined + 1;
    return this.entries.firstAfter(conversation, author, at) ?? Number.POSITIVE_INFINITY;
  }

  /**
   * Whether a member may be given a chain from `seq` on without what is before it: where that is here and is not for them,
   * or where they joined no earlier than this account, for whom the missing part is not meant either.
   */
  mayStart(account: string, { conversation, author }: Chain, seq: number): boolean {
    const room = this.rooms.state(conversation);
    const [mine, theirs] = [room?.members.get(this.self), room?.members.get(account)];
    if (!mine || !theirs) return false;
    return mine.joined <= theirs.joined || seq === 1 || this.entries.idAt(conversation, author, seq - 1) !== undefined;
  }

  /** Makes a room known, with its creator as its first member. */
  openRoom(creation: Creation): RoomState {
    const state = this.rooms.open(creation);
    this.entries.open({ id: state.id, kind: 'room', members: [...state.members.keys()] });
    this.replica.noteRoom(state, [creation.creator]);
    return state;
  }

  /**
   * Takes ordered changes of a room, whoever brings them: each proves itself. Gives the state after them. Throws what
   * `RoomBook.take` and `RoomBook.open` throw; what came before the bad one is kept.
   */
  takeOrder(creation: Creation, given: readonly Ordered[]): RoomState {
    let state = this.store.transaction(() => this.openRoom(creation));
    try {
      const fault = this.store.transaction(() => {
        for (const ordered of given) {
          if (this.rooms.trouble(state.id)?.code === 'forked' && ordered.number > state.number) break;
          try {
            const stepped = this.rooms.take(state, ordered);
            if (!stepped) continue;
            state = stepped.after;
            this.#roomStep(stepped);
          } catch (error) {
            const fault = toFault(error, 'taking a change of a room');
            if (fault.code === 'forked') this.#roomForked(state, fault);
            return fault;
          }
        }
        return undefined;
      });
      if (fault) throw fault;
    } catch (error) {
      this.rooms.reload(state.id); // what a failed transaction put into memory is not so
      throw error;
    }
    return state;
  }

  #roomForked(state: RoomState, fault: Fault): void {
    if (this.rooms.trouble(state.id)) return;
    this.#log.error({ conversation: state.id, reason: fault.message }, 'a tracker forked the order of a room');
    this.rooms.setTrouble(state.id, fault);
    this.emitRoom('room.forked', {
      conversation: state.id,
      name: state.creation.name,
      number: state.number,
      type: 'order',
      by: state.creation.home,
      target: null,
      error: { code: fault.code, message: fault.message },
    });
  }

  /** What a change of membership makes of entries and of what waits. */
  #roomStep({ before, after, ordered, effective, moderates }: Stepped): void {
    const { change, number, at } = ordered;
    if (this.#isOwn(change.author)) this.rooms.settleChange(change);
    if (!effective) return;
    const { id } = after;
    const who = change.target ?? change.author;
    this.replica.noteRoom(after, [who]);
    const went = before.members.has(who) && !after.members.has(who);
    if (!before.members.has(who) && after.members.has(who)) this.entries.setMember(id, who, true);
    if (went) {
      this.entries.setMember(id, who, false);
      this.#end(after, who, { seq: (after.former.get(who)?.upTo ?? 0) + 1 });
    }
    if (after.closed !== null) for (const author of authorsOf(after)) this.#end(after, author, { at: at * 1000 + 1 });
    // Deletions that came before the change that they rest on, or that another change bars.
    if (moderates) {
      for (const target of this.entries.derived.refreshDeletions(id, who, at * 1000))
        this.#tell('message.deleted', target);
    }
    const { name } = after.creation;
    const data: RoomEvent = {
      conversation: id,
      name,
      number,
      type: change.type,
      by: change.author,
      target: change.target,
      error: null,
    };
    // An invitation by somebody who is blocked makes no noise; it stands in the list once they are let in again.
    const isForUs = change.type === 'invite' && this.#isOwn(who);
    if (isForUs && this.blocked(change.author)) return;
    if (isForUs) this.emitRoom('room.invited', data);
    if (!isForUs || this.replica.isShared) this.emitRoom(change.type === 'join' ? 'room.joined' : 'room.changed', data);
  }

  /** Entries of an author that do not stand go; what waits for somebody who went never leaves. */
  #end(state: RoomState, who: string, from: { seq: number } | { at: number }): void {
    const own = this.replica.ledgerOf(who, this);
    if (own && own !== this) return own.#end(state, who, from);
    const {
      id,
      creation: { name },
      closed,
    } = state;
    const over = closed === null ? 'the room has no such member any more' : 'the room was closed';
    if (who !== this.self) {
      this.entries.drop(id, who, from);
      if (closed !== null) return;
      const fault = new Fault('forbidden', `delivering in the room "${name}": ${over}`);
      for (const author of this.replica.waitingFor(who, this)) {
        for (const entry of author.outbox.failFor(who, id, fault)) {
          author.#tell('message.failed', entry);
          author.#tellOfOthers(entry);
        }
      }
      return;
    }
    const seq = 'seq' in from ? from.seq : this.entries.firstSince(id, who, 1, from.at);
    const fault = new Fault(
      'forbidden',
      `writing in the room "${name}": ${closed === null ? 'you are no member any more' : over}`,
    );
    if (seq !== undefined) this.own.drop(id, seq, fault);
    if (closed !== null) return;
    // No receipt can come any more: nobody takes anything from one who is no member.
    const members = this.entries.conversation(id)?.members ?? [];
    for (const account of members) {
      for (const entry of this.outbox.failFor(account, id, fault)) this.#tell('message.failed', entry);
    }
  }

  /** An account whose ledger stands on the same log. */
  #isOwn(account: string): boolean {
    return account === this.self || this.replica.hostsOther(account);
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
    const known = this.entries.conversation(conversation);
    const members = known ? this.authors(known) : [];
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
    const beside = this.replica.ledgerOf(author, this);
    if (beside) beside.#settled(receipt, before);
    else this.onForeignReceipt(receipt);
  }

  /** Somebody who is hosted here has read own entries: what a receipt by link would tell. */
  heard(receipt: Receipt, before: number): void {
    this.store.transaction(() => this.#settled(receipt, before));
  }

  #settled(receipt: Receipt, before: number): void {
    const { account, conversation, seq, state } = receipt;
    const room = this.entries.conversation(conversation)?.kind === 'room';
    for (const id of this.outbox.settle(account, conversation, seq)) {
      // In a room a message is delivered once all have it; of each on the way the message itself tells.
      if (!room || !this.outbox.isOpen(id)) this.#tell('message.delivered', id);
    }
    if (state !== 'read') return;
    for (let at = before + 1; at <= seq; at++) {
      const id = this.entries.idAt(conversation, receipt.author, at) ?? '';
      const isWaitedFor = !room || this.outbox.get(account, id)?.state !== 'failed';
      if (isWaitedFor && (!room || this.#isReadByAll(receipt, id, at))) this.#tell('message.read', id);
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

  /** What is held no longer, or soon will not be, is to be left anew; gives for whom. [M-14] */
  renewHolds(): string[] {
    return this.store.transaction(() => {
      const now = this.clock.now();
      const ending = this.letters.ending(now).filter(({ recipient, entry }) => this.outbox.renew(recipient, entry));
      return [...new Set(ending.map(({ recipient }) => recipient))];
    });
  }

  /** Whether all whom an entry of a room reached have read it. One who went before it reached them is not waited for. */
  #isReadByAll(chain: Chain, id: string, seq: number): boolean {
    const others = this.rooms.audience(chain.conversation, id).filter((account) => account !== this.self);
    const reached = others.filter((account) => this.outbox.get(account, id)?.state !== 'failed');
    return (
      reached.length > 0 && reached.every((account) => (this.receipts.newest(chain, account, 'read')?.seq ?? 0) >= seq)
    );
  }

  /** Somebody whom an entry of a room did not reach is not waited for any more: what holds for the others now holds for it. */
  #tellOfOthers(id: string): void {
    const stored = this.entries.get(id);
    const message = stored && this.viewer.message(stored);
    if (message?.state !== 'delivered' && message?.state !== 'read') return;
    this.#tell('message.delivered', id);
    if (message.state === 'read') this.#tell('message.read', id);
  }

  /** An entry came to be: an event of its own, or one of the message that it changes. */
  announce(type: ChatEvent, stored: Stored, message?: Message): void {
    if (actOf(stored)) this.#changed(stored);
    else this.#say(type, stored, message);
  }

  /** An own entry will reach nobody. */
  failed(stored: Stored): void {
    this.#say('message.failed', stored);
    this.#changed(stored);
  }

  #say(type: ChatEvent, stored: Stored, message?: Message): void {
    if (this.#told) this.#told(type, stored);
    else this.#emit(type, message ?? this.viewer.message(stored));
  }

  #changed(stored: Stored): void {
    const act = actOf(stored);
    const target = act && this.entries.get(act.target);
    if (!target || !counts(act, { ...target.entry, id: target.id }, this.entries.derived.mayRemove)) return;
    this.#say(CHANGES[act.kind], target);
  }

  #tell(type: ChatEvent, id: string): void {
    const stored = this.entries.get(id);
    if (stored && !actOf(stored)) this.#say(type, stored);
  }

  /** Signs what stands in the log alone so far: the word of each recipient who is hosted here that they have an entry. */
  prove({ entry, id }: Stored): void {
    if (!this.replica.isShared || entry.author !== this.self) return;
    const room = this.rooms.state(entry.conversation);
    const members = room ? this.rooms.audience(room.id, id) : this.entries.conversation(entry.conversation)?.members;
    this.store.transaction(() => {
      for (const account of members ?? []) {
        if (account !== this.self) this.replica.ledgerOf(account, this)?.vouch(entry, 'delivered', entry.seq);
      }
    });
  }

  /** Whether an entry is for this account: of a log that is its own alone, each. */
  sees(stored: Stored): boolean {
    return this.replica.sees(this, stored);
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

  /**
   * What this side has of a conversation, and its word for it; of a room also how far its order is here, and what others
   * said of the entries of `reader`, who may have missed it. [R-21] `isTold`: receipts that `reader` has been given.
   */
  standing(conversation: Conversation, reader: string, isTold: (receipt: Receipt) => boolean = () => false): Standing {
    const { id, kind } = conversation;
    const authors = this.authors(conversation);
    const newest = (author: string, account: string): Receipt[] => {
      const chain = { conversation: id, author };
      const read = this.receipts.newest(chain, account, 'read');
      const delivered = this.receipts.newest(chain, account, 'delivered');
      const isMore = delivered && delivered.seq > (read?.seq ?? 0); // else the other says it, too
      return [...(isMore ? [delivered] : []), ...(read ? [read] : [])].filter((receipt) => !isTold(receipt));
    };
    const others = kind === 'room' ? authors.filter((account) => account !== this.self && account !== reader) : [];
    const receipts = [
      ...newest(reader, this.self),
      ...others.flatMap((account) => newest(reader, account)),
      ...authors.flatMap((author) => (author === reader ? [] : newest(author, this.self))),
    ].slice(0, RECEIPTS);
    const have = authors.flatMap((author) => {
      const head = this.entries.head(id, author);
      return head ? { author, seq: head.seq } : [];
    });
    const state = kind === 'room' ? this.rooms.state(id) : undefined;
    return { id, have, receipts, ...(state && { order: { number: state.number, last: state.last } }) };
  }
}
