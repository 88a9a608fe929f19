/** Direct conversations for one account: what doors ask for, what links bring, and delivery that goes on by itself. */
import { Fault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { Rate } from '../base/rate.ts';
import { peerId } from '../link/identity.ts';
import type { Link } from '../link/link.ts';
import { needsAccount, type Router } from '../link/router.ts';
import { direct } from './conversation.ts';
import { Courier, type Reach } from './courier.ts';
import { type Entry, TEXT_BYTES, type Ticket, textBody, ticket } from './entry.ts';
import { Intake } from './intake.ts';
import { Ledger, type LedgerOptions } from './ledger.ts';
import type { Stored } from './log.ts';
import { Mailbox, type Post } from './mailbox.ts';
import type { Evidence, Message } from './message.ts';
import { Exchange } from './sync.ts';
import { CALLS_BURST, CALLS_PER_SECOND, deliver, receiptNotice, sync } from './wire.ts';

/** Messages in one page, at most. */
const PAGE = 1000;

export type ChatOptions = LedgerOptions & {
  /** An open, greeted link to a node that hosts the account. Throws where there is none to be had now. */
  reach: Reach;
  /** Where letters are left for those who are away; without it they wait here. */
  post?: Post | undefined;
};

export class ChatService implements AsyncDisposable {
  readonly #ledger: Ledger;
  readonly #intake: Intake;
  readonly #exchange: Exchange;
  readonly #courier: Courier;
  readonly #mailbox: Mailbox | undefined;
  readonly #log: Log;
  readonly #rates = new WeakMap<Link, Rate>();

  constructor(options: ChatOptions) {
    this.#log = options.log;
    this.#ledger = new Ledger(options);
    this.#intake = new Intake(this.#ledger, options.log);
    this.#exchange = new Exchange(this.#ledger, options.log);
    const { account, log, post } = options;
    this.#mailbox =
      post &&
      new Mailbox({
        account,
        ledger: this.#ledger,
        intake: this.#intake,
        post,
        wake: (who) => this.#courier.wake(who, { now: true }),
        log,
      });
    this.#courier = new Courier({
      reach: options.reach,
      waits: (account) => this.#ledger.outbox.waits(account) || this.#ledger.letters.waits(account),
      work: async (account, link, signal) => {
        await this.#exchange.run(account, link, signal);
        await this.#mailbox?.linked(account, link);
      },
      mail: this.#mailbox,
      log: options.log,
    });
    this.#ledger.viewer.trouble = (account) => this.#courier.trouble(account);
  }

  /** Makes the tables where they are missing, and goes on with what waits from the last run. */
  start(): void {
    this.#ledger.migrate();
    this.#mailbox?.start();
    const { outbox, letters } = this.#ledger;
    const waiting = new Set([...outbox.recipients(), ...letters.recipients()]);
    for (const account of waiting) this.#courier.wake(account, { now: false });
  }

  /** Adds the methods of chat to a node's table. */
  attach(router: Router): void {
    this.#mailbox?.attach(router);
    const needs = { needs: needsAccount };
    router.handle(
      deliver,
      ({ entries }, { link }) => {
        const from = this.#admit(link);
        const { answer, seen } = this.#intake.take(from, entries);
        for (const chain of seen) this.#exchange.saw(link, chain);
        // Own entries that were given back want their receipts.
        if (seen.some((chain) => chain.author === this.#ledger.self)) this.#courier.wake(from, { now: true });
        return answer;
      },
      needs,
    );
    router.handle(
      sync,
      ({ conversations }, { link }) => {
        const from = this.#admit(link);
        const answer = this.#exchange.answer(from, link, conversations);
        this.#courier.use(from, link);
        return { conversations: answer };
      },
      needs,
    );
    router.on(
      receiptNotice,
      ({ receipts }, { link }) => {
        this.#admit(link);
        this.#ledger.takeReceipts(receipts);
      },
      needs,
    );
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
    if (account !== undefined && account !== this.#ledger.self) this.#courier.use(account, link);
  }

  /** A link to a tracker that has this account's record: letters that wait there are taken, and those that come later. */
  trackerUp(link: Link): void {
    this.#mailbox?.trackerUp(link);
  }

  /** Presence says that the account is there: what waits for it is tried now. */
  peerOnline(account: string): void {
    const { outbox, letters } = this.#ledger;
    if (outbox.waits(account) || letters.waits(account)) this.#courier.wake(account, { now: true });
  }

  /**
   * Signs a text and answers once it is durable here; delivery goes on by itself. Throws `invalid_argument` (no account,
   * oneself, an empty text), `too_large`, `queue_full`, `disk_full`.
   */
  say(account: string, body: { text: string }): Message {
    const parsed = textBody.safeParse(body);
    if (parsed.success) return this.#write(account, 'text', parsed.data);
    const size = Buffer.byteLength(body.text);
    if (size > TEXT_BYTES) {
      throw new Fault(
        'too_large',
        `saying a text of ${size} bytes: at most ${TEXT_BYTES} are taken; send it as a file`,
      );
    }
    const why = size === 0 ? 'it is empty' : parsed.error.issues[0]?.message;
    throw new Fault('invalid_argument', `saying a text of ${size} bytes: ${why}`);
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
    if (account === this.#ledger.self) {
      throw new Fault('invalid_argument', 'writing to yourself: name somebody else');
    }
    if (this.#ledger.blocked(account)) {
      throw new Fault(
        'wrong_state',
        `writing to "${account}": you have blocked this account; let it in again first, with "netapp people unblock"`,
      );
    }
    const message = this.#ledger.write(direct(this.#ledger.self, account), kind, body);
    this.#ledger.store.afterCommit(() => this.#courier.wake(account, { now: false }));
    return message;
  }

  /**
   * Calls `listener` for each entry of somebody else, inside the transaction that keeps the entry and before its author
   * gets a receipt: what the listener writes to the same store is there exactly if the entry is, whenever the process
   * dies. If it throws, the entry is not kept and comes again; so it throws only what a later try may cure.
   */
  onEntry(listener: (message: Message) => void): void {
    this.#intake.listen(listener);
  }

  /** Messages with one account, or with all, newest last; the page that ends just before the message `before`. */
  list(options: { account?: string | undefined; limit: number; before?: string | undefined }): Message[] {
    const { account, limit, before } = options;
    if (!Number.isInteger(limit) || limit < 1 || limit > PAGE) {
      throw new Fault('invalid_argument', `listing ${limit} messages: expected 1 to ${PAGE}`);
    }
    const conversation = account === undefined ? undefined : direct(this.#ledger.self, account).id;
    const end = before === undefined ? undefined : this.#stored(before);
    const place = end && { at: end.entry.at, id: end.id };
    return this.#ledger.entries.page(conversation, limit, place).map((stored) => this.#ledger.viewer.message(stored));
  }

  /** One message, with the receipts that its state rests on. Throws `unknown_id`. */
  show(id: string): Evidence {
    return this.#ledger.viewer.evidence(this.#stored(id));
  }

  #stored(id: string): Stored {
    const stored = this.#ledger.entries.get(id);
    if (stored) return stored;
    throw new Fault('unknown_id', `looking for the message "${id}": there is none`);
  }

  /**
   * This user has read the conversation up to a message. Its authors are told now where they are linked, else by letter or
   * with the next greeting. Throws `unknown_id`.
   */
  markRead(id: string): void {
    const { entry } = this.#stored(id);
    const upTo = { at: entry.at, id };
    const members = this.#ledger.entries.conversation(entry.conversation)?.members ?? [];
    for (const author of members) {
      if (author === this.#ledger.self) continue;
      const chain = { conversation: entry.conversation, author };
      const seq = this.#ledger.entries.lastSeq(entry.conversation, author, upTo);
      const known = this.#ledger.receipts.newest(chain, this.#ledger.self, 'read');
      if (seq <= (known?.seq ?? 0)) continue;
      const link = this.#courier.linkTo(author);
      const receipt = this.#ledger.store.transaction(() => {
        const made = this.#ledger.vouch(chain, 'read', seq);
        if (made && !link && this.#mailbox) this.#ledger.letters.owe(made, this.#ledger.clock.now());
        return made;
      });
      if (!receipt) continue;
      if (link) link.notify(receiptNotice, { receipts: [receipt] });
      else if (this.#mailbox) this.#courier.wake(author, { now: false });
    }
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
    if (first !== undefined) this.#ledger.withdraw(id, first, why);
  }

  /** Own entries that lack a receipt and have not failed. */
  waiting(): number {
    return this.#ledger.outbox.size();
  }

  /** Stops delivery; what waits is kept. The store stays open. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#log.debug('chat stops');
    await this.#mailbox?.[Symbol.asyncDispose]();
    await this.#courier[Symbol.asyncDispose]();
  }
}
