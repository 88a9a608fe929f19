/** Conversations of one account: what doors ask for, what links bring, and delivery that goes on by itself. */
import { Fault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { Rate } from '../base/rate.ts';
import { peerId } from '../link/identity.ts';
import type { Link } from '../link/link.ts';
import { needsAccount, type Router } from '../link/router.ts';
import { Beside } from './beside.ts';
import { type Conversation, direct } from './conversation.ts';
import { Courier, type Reach } from './courier.ts';
import { type Entry, type Ticket, ticket } from './entry.ts';
import { type ExportOptions, exportLines } from './export.ts';
import { checkText, History } from './history.ts';
import { Intake } from './intake.ts';
import { Ledger, type LedgerOptions } from './ledger.ts';
import type { Stored } from './log.ts';
import { Mailbox, type Post } from './mailbox.ts';
import { ReadMarks } from './marks.ts';
import type { Evidence, Message } from './message.ts';
import { Reader } from './reader.ts';
import type { Reading } from './reading.ts';
import { giveOrder, orderedNotice } from './room-wire.ts';
import { Rooms } from './rooms.ts';
import { Exchange } from './sync.ts';
import { Typing, type TypingSignal } from './typing.ts';
import { CALLS_BURST, CALLS_PER_SECOND, type Deliver, deliver, receiptNotice, sync, typingNotice } from './wire.ts';

/** Milliseconds after which what somebody wrote is offered to others who may lack it. */
const RELAY_MS = 15_000;
/** Milliseconds within which what is read in rooms is told together: a glance at a screen. */
const READ_MS = 2000;
/** Links to members of a room that a node looks for, so that what one of them has reaches it. */
const MEMBER_LINKS = 3;
/** Links on which that is offered at once; others, on which nothing was exchanged since, follow after the same while. */
const RELAY_LINKS = 3;

/** What is told once and kept in no conversation. `conversation.read`: this account has read up to a message. */
export type ChatSignal = TypingSignal | { type: 'conversation.read'; conversation: string; upTo: string };

export type ChatOptions = LedgerOptions & {
  /** By which others find this account, said in letters; without it they find it only if they know it. */
  handle?: (() => string) | undefined;
  /** An open, greeted link to a node that hosts the account. Throws where there is none to be had now. */
  reach: Reach;
  /** Where letters are left for those who are away; without it they wait here. */
  post?: Post | undefined;
  /** Whether an account is of a zone of which no tracker of this node knows: nobody but this node tells it of an invitation. */
  abroad?: (account: string) => boolean;
  /** Peer ids of this node's trackers, the preferred one first; none: no rooms can be made. */
  homes?: () => readonly string[];
  /** For tests: milliseconds after which what came from others is offered on. */
  relayMs?: number;
  /** For tests: milliseconds within which what is read in rooms is told together. */
  readMs?: number;
  /** Where several accounts share a replica: who of them looks after a room of which something new is known. */
  speaker?: ((conversation: string) => ChatService) | undefined;
  /** Like `emit`, for what is no message. */
  signal?: (signal: ChatSignal) => void;
};

export class ChatService implements AsyncDisposable {
  /** What can be done with messages that are there. */
  readonly history: History;
  readonly #ledger: Ledger;
  readonly #marks: ReadMarks;
  readonly #typing: Typing;
  readonly #abroad: (account: string) => boolean;
  readonly #signal: (signal: ChatSignal) => void;
  readonly #intake: Intake;
  readonly #reader: Reader;
  readonly #beside: Beside;
  readonly #exchange: Exchange;
  readonly #courier: Courier;
  readonly #mailbox: Mailbox | undefined;
  readonly #log: Log;
  readonly #rates = new WeakMap<Link, Rate>();
  readonly #linked = new Map<string, Link>();
  /** Accounts to link with once, although nothing waits for them. */
  readonly #wanted = new Set<string>();
  readonly #relayMs: number;
  #relay: NodeJS.Timeout | undefined;
  /** Links on which nothing was exchanged since there was news in a room. */
  readonly #unoffered = new Set<Link>();
  readonly #readMs: number;
  #reading: NodeJS.Timeout | undefined;
  /** Authors of what was read in rooms, who are to be told. */
  readonly #readOf = new Set<string>();
  readonly rooms: Rooms;

  constructor(options: ChatOptions) {
    this.#log = options.log;
    this.#ledger = new Ledger(options);
    this.#intake = new Intake(this.#ledger, options.log);
    this.#reader = new Reader(options.log);
    this.#beside = new Beside(this.#ledger, options.log);
    this.#exchange = new Exchange(this.#ledger, options.log);
    const { account, log, post } = options;
    this.#mailbox =
      post &&
      new Mailbox({
        account,
        handle: options.handle,
        ledger: this.#ledger,
        intake: this.#intake,
        post,
        wake: (who) => this.#courier.wake(who, { now: true }),
        log,
      });
    this.#courier = new Courier({
      // It is wanted until it is there: what comes to be known meanwhile wants nobody in its place.
      reach: (account, wait) => options.reach(account, wait).finally(() => this.#wanted.delete(account)),
      waits: (account) => this.#waits(account) || this.#wanted.has(account),
      work: async (account, link, signal) => {
        this.#wanted.delete(account);
        await this.#exchange.run(account, link, signal);
        await this.#marks.tell(account, link, signal);
        await this.#mailbox?.linked(account, link);
      },
      mail: this.#mailbox,
      log: options.log,
    });
    this.#relayMs = options.relayMs ?? RELAY_MS;
    this.#readMs = options.readMs ?? READ_MS;
    this.rooms = new Rooms({
      account: options.account,
      ledger: this.#ledger,
      homes: options.homes ?? (() => []),
      log: options.log,
      onOrder: ({ id }) => (options.speaker?.(id) ?? this).#orderChanged(id),
    });
    this.#ledger.onForeignReceipt = (receipt) => {
      // The author may have no link with who signed it.
      this.#ledger.store.afterCommit(() =>
        this.#courier.linkTo(receipt.author)?.notify(receiptNotice, { receipts: [receipt] }),
      );
    };
    this.#abroad = options.abroad ?? (() => false);
    this.#signal = options.signal ?? (() => {});
    this.#marks = new ReadMarks(this.#ledger, this.#exchange, this.#ledger.replica.sql, {
      byLetter: post !== undefined,
    });
    this.#typing = new Typing(options.clock);
    this.history = new History({
      ledger: this.#ledger,
      marks: this.#marks,
      write: (conversation, kind, body) => this.#writeIn(conversation, kind, body),
      wake: (authors, conversation) => this.#tellRead(authors, this.#roomOf(conversation) !== undefined),
      read: (conversation, upTo) => this.#signal({ type: 'conversation.read', conversation, upTo }),
    });
    this.#ledger.viewer.trouble = (account) => this.#courier.trouble(account);
  }

  /** For the others who stand on the same replica. */
  get ledger(): Ledger {
    return this.#ledger;
  }

  /** Makes the tables where they are missing, and goes on with what waits from the last run. */
  start(): void {
    this.#ledger.migrate();
    this.#mailbox?.start();
    this.#wakeAll({ now: false });
  }

  /** What all who wait for something could be reached by is there again: none of them waits longer. */
  wayBack(): void {
    this.#wakeAll({ now: true });
  }

  #wakeAll(when: { now: boolean }): void {
    const { outbox, letters } = this.#ledger;
    const waiting = new Set([...outbox.recipients(), ...letters.recipients(), ...this.#marks.accounts()]);
    for (const account of waiting) this.#courier.wake(account, when);
  }

  /** Adds the methods of chat to a node's table. */
  attach(router: Router): void {
    ChatService.attachAll(router, () => this);
  }

  /** As `attach`, where the links of several accounts share a table: `of` says whose a link is. */
  static attachAll(router: Router, of: (link: Link) => ChatService): void {
    Mailbox.attach(router, (link) => of(link).#mailbox);
    const needs = { needs: needsAccount };
    router.handle(
      deliver,
      ({ entries }, { link, signal }) => {
        const chat = of(link);
        const from = chat.#admit(link);
        const reading = chat.#reader.read(link, entries);
        if (!(reading instanceof Promise)) return chat.#taken(link, from, reading);
        return reading.then((later) => {
          if (signal.aborted) throw new Fault('cancelled', 'taking entries: the link ended, or nobody waits for it');
          return chat.#taken(link, from, later);
        });
      },
      needs,
    );
    router.handle(
      sync,
      ({ conversations, more }, { link }) => {
        const chat = of(link);
        const from = chat.#admit(link);
        const answer = chat.#exchange.answer(from, link, conversations, more === true);
        if (more !== true) chat.#unoffered.delete(link);
        chat.#courier.use(from, link);
        return { conversations: answer };
      },
      needs,
    );
    router.handle(
      giveOrder,
      ({ creation, ordered }, { link }) => {
        const chat = of(link);
        chat.#admit(link);
        const { conversation, number } = chat.rooms.order.given(creation, ordered);
        chat.#exchange.sawOrder(link, conversation, number);
        return { number };
      },
      needs,
    );
    router.on(orderedNotice, ({ home, ordered }, { link }) => of(link).rooms.order.pushed(link, home, ordered));
    router.on(
      receiptNotice,
      ({ receipts }, { link }) => {
        const chat = of(link);
        chat.#admit(link);
        chat.#ledger.takeReceipts(receipts);
      },
      needs,
    );
    router.on(
      typingNotice,
      (params, { link }) => {
        const chat = of(link);
        const from = chat.#admit(link);
        // Somebody who is no member learns nothing from being skipped.
        if (!chat.#ledger.sharedWith(from, params.conversation)) return;
        const signal = chat.#typing.take(link, from, params);
        if (!signal) return;
        try {
          chat.#signal(signal);
        } catch (error) {
          chat.#log.debug({ err: error }, 'nobody was told that somebody is writing'); // a full disk, perhaps
        }
      },
      needs,
    );
  }

  /** Keeps what a link gave, and tells those whom that concerns. */
  #taken(link: Link, from: string, reading: Reading): Deliver {
    const { answer, seen } = this.#intake.take(from, reading);
    for (const chain of seen) this.#exchange.saw(link, chain);
    if (seen.some((chain) => this.rooms.has(chain.conversation))) this.#relaySoon();
    // What came by way of another: its author waits for the word that it is here.
    for (const receipt of answer.receipts) {
      if (receipt.author !== from) this.#courier.linkTo(receipt.author)?.notify(receiptNotice, { receipts: [receipt] });
    }
    this.#beside.took(link, from, seen);
    // Own entries that were given back want their receipts.
    if (seen.some((chain) => chain.author === this.#ledger.self)) this.#courier.wake(from, { now: true });
    return answer;
  }

  /** The account behind the link. Throws `too_many` past the rate. [C-19] */
  #admit(link: Link): string {
    const account = link.account?.account;
    if (account === undefined) throw new Fault('unauthenticated', 'chat needs an account: say which in hello');
    if (this.#ledger.blocked(account)) {
      link.close(); // blocked since it was linked: it hears a goodbye, and no answer
      throw new Fault('link_closed', 'calling chat: the link ended');
    }
    let rate = this.#rates.get(link);
    if (!rate) {
      rate = new Rate({ burst: CALLS_BURST, perSecond: CALLS_PER_SECOND, clock: this.#ledger.clock });
      this.#rates.set(link, rate);
    }
    if (!rate.take()) {
      throw new Fault('too_many', `calling chat: at most ${CALLS_PER_SECOND} calls a second; send more in one`);
    }
    return account;
  }

  /** A link was greeted: both sides exchange what they lack, and what waits for the account leaves at once. */
  linkUp(link: Link): void {
    const account = link.account?.account;
    if (account === undefined || account === this.#ledger.self) return;
    this.#linked.set(account, link);
    void link.closed.then(() => {
      this.#unoffered.delete(link);
      if (this.#linked.get(account) === link) this.#linked.delete(account);
    });
    this.#exchange.met(link);
    this.#courier.use(account, link);
  }

  /** A link to a tracker that has this account's record: letters that wait there are taken, and those that come later. */
  trackerUp(link: Link): void {
    this.#mailbox?.trackerUp(link);
  }

  #waits(account: string): boolean {
    const { outbox, letters } = this.#ledger;
    return outbox.waits(account) || letters.waits(account) || this.#marks.waits(account);
  }

  /** Presence says that the account is there: what waits for it is tried now. */
  peerOnline(account: string): void {
    if (this.#waits(account)) return this.#courier.wake(account, { now: true });
    if (this.#ledger.replica.isShared) return;
    if (account === this.#ledger.self || this.#linked.has(account)) return;
    // Somebody may hold what another, who is gone by now, wrote to this account: so it meets a few of each room.
    const lonely = this.#ledger.entries.shared(account).some(({ kind, members }) => {
      const met = members.filter((member) => this.#linked.has(member) || this.#wanted.has(member));
      return kind === 'room' && met.length < MEMBER_LINKS;
    });
    if (!lonely && !this.#isAsked(account)) return;
    this.#wanted.add(account);
    this.#courier.wake(account, { now: true });
  }

  /** Whether this account asked somebody of elsewhere into a room, who has not answered yet. */
  #isAsked(account: string): boolean {
    if (!this.#abroad(account)) return false;
    const { rooms, self } = this.#ledger;
    return [...rooms.ids()].some((id) => rooms.state(id)?.invited.get(account)?.by === self);
  }

  /** The node's links to trackers that are up. */
  trackersUp(links: readonly Link[]): void {
    this.rooms.order.trackers(links);
  }

  /** Members may be new, or there may be something that they lack now. */
  #orderChanged(conversation: string): void {
    this.#mailbox?.lookAgain();
    // Whoever is of another zone learns from a link with this node which tracker to ask about its rooms.
    for (const [account, { by }] of this.#ledger.rooms.state(conversation)?.invited ?? []) {
      if (by !== this.#ledger.self || this.#linked.has(account) || this.#wanted.has(account)) continue;
      if (!this.#abroad(account)) continue;
      this.#wanted.add(account);
      this.#courier.wake(account, { now: true });
    }
    const members = this.#ledger.entries.conversation(conversation)?.members ?? [];
    if (!members.includes(this.#ledger.self)) return;
    let met = 0;
    const strangers = members.filter((account) => {
      const link = this.#linked.get(account);
      if (link && !this.#exchange.knows(link, conversation)) this.#renew(account, link);
      if (link || this.#wanted.has(account)) met += 1;
      return !this.#isHere(account) && !link && !this.#wanted.has(account);
    });
    for (; met < MEMBER_LINKS && strangers.length > 0; met++) {
      const [account] = strangers.splice(Math.floor(Math.random() * strangers.length), 1);
      if (account === undefined) break;
      this.#wanted.add(account);
      this.#courier.wake(account, { now: true });
    }
    this.#relaySoon();
  }

  /** Whether an account stands on this side's log. */
  #isHere(account: string): boolean {
    return account === this.#ledger.self || this.#ledger.replica.hostsOther(account);
  }

  #renew(account: string, link: Link): void {
    this.#exchange.forget(link);
    this.#courier.wake(account, { now: true });
  }

  /** What is new in rooms is offered to those who are linked, in a while: most of them have it from its author by then. */
  #relaySoon(): void {
    for (const link of this.#linked.values()) this.#unoffered.add(link);
    this.#relayLater();
  }

  #relayLater(): void {
    this.#relay ??= setTimeout(
      () => {
        this.#relay = undefined;
        this.#relayNow();
      },
      this.#relayMs * (1 + Math.random()),
    ).unref();
  }

  /**
   * To a few at a time, of whom each passes it on: in a room of a hundred where everybody is linked with everybody, all at
   * once would be ten thousand greetings for one message.
   */
  #relayNow(): void {
    const inRooms = new Set(this.#ledger.entries.inRooms());
    const links = [...this.#unoffered].filter((link) => {
      const account = link.account?.account ?? '';
      const isMeant = this.#linked.get(account) === link && inRooms.has(account);
      if (!isMeant) this.#unoffered.delete(link);
      return isMeant;
    });
    for (let count = 0; count < RELAY_LINKS && links.length > 0; count++) {
      const [link] = links.splice(Math.floor(Math.random() * links.length), 1);
      if (!link) break;
      this.#unoffered.delete(link);
      this.#renew(link.account?.account ?? '', link);
    }
    if (links.length > 0) this.#relayLater();
  }

  /**
   * Signs a text and answers once it is durable here; delivery goes on by itself. Throws `invalid_argument` (no account,
   * oneself, an empty text), `too_large`, `queue_full`, `disk_full`.
   */
  say(account: string, body: { text: string }): Message {
    return this.#write(account, 'text', checkText(body));
  }

  /** Offers a file by its ticket; as `say`. */
  offerFile(account: string, offered: Ticket): Message {
    const parsed = ticket.safeParse(offered);
    if (parsed.success) return this.#write(account, 'file', parsed.data);
    const issue = parsed.error.issues[0];
    throw new Fault('invalid_argument', `offering a file: ${issue?.path.join('.')}: ${issue?.message}`);
  }

  #write(account: string, kind: string, body: Record<string, unknown>): Message {
    if (!peerId.safeParse(account).success) {
      throw new Fault('invalid_argument', `writing to "${account}": expected an account id, 52 characters of base32`);
    }
    const room = this.#roomOf(account);
    if (account === this.#ledger.self) {
      throw new Fault('invalid_argument', 'writing to yourself: name somebody else');
    }
    return this.#writeIn(room ?? direct(this.#ledger.self, account), kind, body);
  }

  /**
   * Signs a text for a conversation that is known here, without a look at how far it has come with whom. Throws
   * `unknown_id`, and as `say`.
   */
  post(conversation: string, text: string): Stored {
    const known = this.history.known(conversation);
    if (!known) throw new Fault('unknown_id', `writing to the conversation "${conversation}": there is none`);
    return this.#append(known, 'text', checkText({ text }));
  }

  #writeIn(conversation: Conversation, kind: string, body: Record<string, unknown>): Message {
    return this.#ledger.viewer.message(this.#append(conversation, kind, body));
  }

  #append(conversation: Conversation, kind: string, body: Record<string, unknown>): Stored {
    const blocked = conversation.kind === 'direct' ? conversation.members.find(this.#ledger.blocked) : undefined;
    if (blocked !== undefined) {
      throw new Fault(
        'wrong_state',
        `writing to "${blocked}": you have blocked this account; let it in again first, with "netapp people unblock"`,
      );
    }
    const stored = this.#ledger.own.append(conversation, kind, body);
    this.#ledger.store.afterCommit(() => {
      for (const account of this.#ledger.replica.elsewhere(conversation, this.#ledger.self)) {
        this.#courier.wake(account, { now: false });
      }
    });
    return stored;
  }

  /** In a room each reader tells each author, so what is read within a while is told together. [H-8] */
  #tellRead(authors: readonly string[], later: boolean): void {
    if (!later) {
      for (const author of authors) this.#courier.wake(author, { now: false });
      return;
    }
    for (const author of authors) this.#readOf.add(author);
    this.#reading ??= setTimeout(() => {
      this.#reading = undefined;
      for (const author of this.#readOf) this.#courier.wake(author, { now: false });
      this.#readOf.clear();
    }, this.#readMs).unref();
  }

  #roomOf(id: string): Conversation | undefined {
    const found = this.history.known(id);
    return found?.kind === 'room' ? found : undefined;
  }

  /** Tells the other members who are linked now that this user writes something, or has stopped. [H-7] */
  typing(conversation: string, on: boolean): void {
    const members = this.#ledger.entries.conversation(conversation)?.members ?? [];
    const links = members.flatMap((account) => this.#courier.linkTo(account) ?? []);
    if (links.length === 0 || !this.#typing.mayTell(conversation, on)) return;
    for (const link of links) link.notify(typingNotice, { conversation, on });
  }

  /**
   * Calls `listener` for each entry of somebody else, inside the transaction that keeps the entry and before its author
   * gets a receipt: what the listener writes to the same store is there exactly if the entry is, whenever the process
   * dies. If it throws, the entry is not kept and comes again; so it throws only what a later try may cure.
   */
  onEntry(listener: (message: Message) => void): void {
    this.#intake.listen(listener);
  }

  /** Messages with one account, in one room by its id, or all, newest last; the page just before or just after a message. */
  list(options: {
    account?: string | undefined;
    limit: number;
    before?: string | undefined;
    after?: string | undefined;
  }): Message[] {
    const { account, ...page } = options;
    const conversation = account === undefined ? undefined : this.conversationWith(account);
    return this.history.page({ conversation, ...page });
  }

  /** Id of the direct conversation with an account, or of a room, whose id may stand for it. [C-5] */
  conversationWith(account: string): string {
    return this.#roomOf(account)?.id ?? direct(this.#ledger.self, account).id;
  }

  /** Id of the conversation in which an entry stands; undefined where it is not here. */
  conversationOf(id: string): string | undefined {
    return this.history.find(id)?.entry.conversation;
  }

  /** Members, now, of the conversation in which an entry stands; nobody where it is not here. */
  membersOf(id: string): readonly string[] {
    const conversation = this.conversationOf(id);
    return (conversation !== undefined && this.#ledger.entries.conversation(conversation)?.members) || [];
  }

  /** One message, with the receipts that its state rests on. Throws `unknown_id`. */
  show(id: string): Evidence {
    const stored = this.history.stored(id);
    this.#ledger.prove(stored);
    const [signed = stored] = this.#ledger.entries.signed([stored]);
    return this.#ledger.viewer.evidence(signed);
  }

  /** The lines of a conversation, as signed entries or for people. Throws `unknown_id`. */
  export(options: ExportOptions): AsyncGenerator<string, void, void> {
    return exportLines(this.#ledger, options);
  }

  /** This user has read the conversation up to a message. Throws `unknown_id`. */
  markRead(id: string): void {
    this.history.markRead(id);
  }

  /** Entries that an author signed for a place that another entry of theirs holds: evidence against the author. [C-12] */
  forks(conversation: string): { author: string; seq: number; entry: Entry }[] {
    return this.#ledger.entries.forks(conversation);
  }

  /** Accounts with whom this one shares a conversation in which it has written. */
  contacts(): string[] {
    return this.#ledger.entries.writtenTo(this.#ledger.self);
  }

  /** What waits for the account in its direct conversation will never be sent: it fails, and says why. Nothing else gets it. */
  abandon(account: string, why: Fault): void {
    const { id } = direct(this.#ledger.self, account);
    const first = this.#ledger.outbox.first(account, id);
    if (first !== undefined) this.#ledger.own.withdraw(id, first, why);
  }

  /** Whether nothing of this account waits for anybody: no entry, receipt, letter or change of a room. */
  isIdle(): boolean {
    const { outbox, letters, rooms, self } = this.#ledger;
    const waiting = [...outbox.recipients(), ...letters.recipients(), ...this.#marks.accounts()];
    return waiting.length === 0 && !rooms.isWaiting(self);
  }

  /** Whether it could be ended, and made anew when it is needed, without anybody noticing: nothing is linked, waits or is under way. */
  isQuiet(): boolean {
    const hasNobody = this.#linked.size === 0 && this.#wanted.size === 0 && this.#readOf.size === 0;
    const parts = [this.#courier, this.#beside, this.rooms.order, ...(this.#mailbox ? [this.#mailbox] : [])];
    return hasNobody && parts.every(({ isQuiet }) => isQuiet) && this.isIdle();
  }

  /** Own entries that lack a receipt and have not failed. */
  waiting(): number {
    return this.#ledger.outbox.size();
  }

  /** Entries that wait for one account: `held` by a mailbox, `queued` here alone. */
  waitingFor(account: string): { queued: number; held: number } {
    return this.#ledger.outbox.count(account);
  }

  /** Stops delivery; what waits is kept. The store stays open. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#log.debug('chat stops');
    await this.#mailbox?.[Symbol.asyncDispose]();
    clearTimeout(this.#relay);
    clearTimeout(this.#reading);
    this.#beside[Symbol.dispose]();
    await this.#reader[Symbol.asyncDispose]();
    await this.rooms[Symbol.asyncDispose]();
    await this.#courier[Symbol.asyncDispose]();
  }
}
