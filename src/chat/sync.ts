/** What to deliver on a link: both sides say how far they have each author's chain, then give what the other lacks. */
import { abortable } from '../base/async.ts';
import { Fault, isFaultCode, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Link } from '../link/link.ts';
import { type Conversation, direct } from './conversation.ts';
import { aheadFrom } from './hlc.ts';
import { keyOf } from './intake.ts';
import type { Ledger } from './ledger.ts';
import type { Stored } from './log.ts';
import { mayRead } from './membership.ts';
import type { Chain } from './receipt.ts';
import { giveOrder, LOG_PAGE } from './room-wire.ts';
import { DELIVER_BYTES, DELIVER_ENTRIES, type Deliver, deliver, STANDINGS, type Standing, sync } from './wire.ts';

/** How far the other side of a link has each chain; a chain that is not named: nothing. */
type Heads = Map<string, number>;

/** What the other side of a link has said, and what it was given since. */
type Seen = {
  heads: Heads;
  /** Of rooms: how far it knows the order. A room that is not named is not known there. */
  orders: Map<string, { number: number; last: string | undefined }>;
  /** It has said all of it. */
  isWhole: boolean;
  /** Everybody's chains in rooms were looked at since; from then on only own entries are new, until the next greeting. */
  isCaughtUp: boolean;
};

/** `rooms`: those that it names. `again`: another one came to be known meanwhile, so once more. */
type Greeting = { rooms: Set<string>; again: boolean };

/** A run of one chain. */
type Batch = Chain & { from: number; entries: Stored[] };

/** A batch that was sent. */
type Flight = { batch: Batch; answer: Promise<Deliver> };

const LIMIT = { most: DELIVER_ENTRIES, bytes: DELIVER_BYTES };

const lastOf = ({ entries }: Batch): number => entries.at(-1)?.entry.seq ?? 0;

function send(batch: Batch, link: Link, signal: AbortSignal): Flight {
  const answer = link.request(deliver, { entries: batch.entries.map(({ entry }) => entry) }, { signal });
  answer.catch(() => {}); // whoever awaits it hears of it; nobody may, once another one failed
  return { batch, answer };
}

/** Milliseconds that a side which was dialled waits for the greeting of the other before it says its own. */
const FIRST_WORD_MS = 1000;

/** Answers in one exchange that bring no chain further (a gap, a withdrawal); more are no honest mistake. */
const SETBACKS = 3;

/** Receipts of one link that are remembered as given: 100 bytes each; more are given anew each time. */
const MOST_TOLD = 10_000;
/** Calls that are sent before the last is answered: one is on its way, one is read there, and one is written. */
const AHEAD = 3;

/** Members of the rooms in one greeting, so that the answer stays below half a megabyte. */
const GREETED_MEMBERS = 512;
/** Bytes of the standings in one answer. */
const ANSWER_BYTES = 700 * 1024;

export class Exchange {
  readonly #ledger: Ledger;
  readonly #log: Log;
  readonly #seen = new WeakMap<Link, Seen>();
  /** Signatures of receipts that the other side of a link was given in greetings. */
  readonly #told = new WeakMap<Link, Set<string>>();
  /** Greetings of this side that are not answered yet. */
  readonly #greetings = new WeakMap<Link, Greeting>();
  /** Links on which each side may wait for the other to greet first, and who does. */
  readonly #fresh = new WeakMap<Link, PromiseWithResolvers<void>>();

  constructor(ledger: Ledger, log: Log) {
    this.#ledger = ledger;
    this.#log = log;
  }

  /** Gives the account what it lacks, until it lacks nothing and every own entry has its receipt. [C-20] */
  async run(account: string, link: Link, signal: AbortSignal): Promise<void> {
    const ahead: Flight[] = [];
    for (let setbacks = 0; ; ) {
      const seen = await this.#greeted(account, link, signal);
      let flight = ahead.shift();
      if (!flight) {
        if (!seen.isCaughtUp) await this.#giveOrders(account, link, seen, signal);
        const batch = this.#next(account, seen);
        if (!batch && seen.isCaughtUp) break;
        if (!batch) {
          seen.isCaughtUp = true;
          continue;
        }
        // Who an author is must be known before what they wrote.
        await this.#giveOrder(batch.conversation, link, seen, signal);
        flight = send(batch, link, signal);
      }
      const { batch } = flight;
      this.#sendAhead(ahead, batch, link, signal);
      const answer = await flight.answer;
      // A room's members answer in one go: what they say is written in one go.
      const fault = await this.#ledger.store.grouped(() => this.#settle(batch, answer, link, seen.heads));
      if (fault) throw fault;
      const end = lastOf(batch);
      if (ahead.length > 0 && (seen.heads.get(keyOf(batch)) !== end || this.#seen.get(link) !== seen)) {
        // They were sent in the belief that this one would be taken; what they came to is found out anew.
        await Promise.allSettled(ahead.splice(0).map(({ answer }) => answer));
      }
      if (ahead.length > 0 || this.#from(account, batch, seen.heads) > batch.from) continue;
      setbacks += 1;
      if (setbacks > SETBACKS)
        throw new Fault('wrong_state', 'delivering: the other side takes nothing and says no why');
    }
    if (this.#ledger.outbox.waits(account)) {
      throw new Fault('corrupt', 'delivering: the outbox names entries that the log does not have');
    }
  }

  /** Answers the other side's question, and learns from it. Throws `bad_signature`. */
  answer(account: string, link: Link, standings: readonly Standing[], more: boolean): Standing[] {
    const shared = this.#learn(account, link, standings, more);
    if (!more) this.#fresh.get(link)?.resolve();
    let bytes = 0;
    return shared.flatMap((conversation) => {
      const standing = this.#ledger.standing(conversation, account);
      bytes += Buffer.byteLength(JSON.stringify(standing));
      return bytes > ANSWER_BYTES ? [] : [standing];
    });
  }

  /** The other side has shown that it has a chain up to here. */
  saw(link: Link, chain: Chain & { seq: number }): void {
    const heads = this.#seen.get(link)?.heads;
    if (heads && (heads.get(keyOf(chain)) ?? 0) < chain.seq) heads.set(keyOf(chain), chain.seq);
  }

  /** The other side has shown that it knows a room's order up to here. */
  sawOrder(link: Link, conversation: string, number: number): void {
    this.#seen.get(link)?.orders.set(conversation, { number, last: undefined });
  }

  /** Whether the other side of a link has shown that it knows a room, or is to be asked in any case. */
  knows(link: Link, conversation: string): boolean {
    const greeting = this.#greetings.get(link);
    if (greeting) {
      greeting.again ||= !greeting.rooms.has(conversation);
      return true;
    }
    return this.#seen.get(link)?.orders.has(conversation) ?? true;
  }

  /** Both sides look anew at everything when they meet next on this link: there is news for others. */
  forget(link: Link): void {
    this.#seen.delete(link);
  }

  /** A link that nothing was said on yet. Whoever did not dial it leaves the first word to the other side for a moment. */
  met(link: Link): void {
    if (link.dialled) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#fresh.set(link, { promise, resolve, reject });
    const timer = setTimeout(resolve, FIRST_WORD_MS).unref();
    void link.closed.then(() => resolve());
    void promise.then(() => {
      clearTimeout(timer);
      this.#fresh.delete(link);
    });
  }

  async #greeted(account: string, link: Link, signal: AbortSignal): Promise<Seen> {
    const fresh = this.#fresh.get(link);
    if (fresh) await abortable(fresh.promise, signal);
    for (;;) {
      const known = this.#seen.get(link);
      if (known?.isWhole) return known;
      const groups = this.#groups(account);
      const greeting: Greeting = { rooms: new Set(groups.flatMap((group) => group.map(({ id }) => id))), again: false };
      this.#greetings.set(link, greeting);
      try {
        for (const [index, group] of groups.entries()) {
          const more = index < groups.length - 1;
          this.#learn(account, link, await this.say(account, link, group, { more, signal }), more);
        }
      } finally {
        this.#greetings.delete(link);
      }
      if (!greeting.again) return this.#seenOn(link);
      this.forget(link);
    }
  }

  /** Says what is here of conversations, but for receipts that were given on this link before; gives the other's answer. */
  async say(
    account: string,
    link: Link,
    conversations: readonly Conversation[],
    { more, signal }: { more: boolean; signal: AbortSignal },
  ): Promise<Standing[]> {
    const told = this.#told.get(link) ?? new Set();
    this.#told.set(link, told);
    const standings = conversations.map((each) => this.#ledger.standing(each, account, ({ sig }) => told.has(sig)));
    const answer = await link.request(sync, { conversations: standings, ...(more && { more }) }, { signal });
    const theirs = new Map(
      answer.conversations.flatMap(({ id, have }) =>
        have.map(({ author, seq }) => [keyOf({ conversation: id, author }), seq] as const),
      ),
    );
    for (const receipt of standings.flatMap(({ receipts }) => receipts)) {
      // One for an entry that the other side does not have yet was of no use to it, and is given again.
      if ((theirs.get(keyOf(receipt)) ?? 0) >= receipt.seq && told.size < MOST_TOLD) told.add(receipt.sig);
    }
    return answer.conversations;
  }

  #seenOn(link: Link): Seen {
    const seen = this.#seen.get(link) ?? { heads: new Map(), orders: new Map(), isWhole: false, isCaughtUp: false };
    this.#seen.set(link, seen);
    return seen;
  }

  /** All conversations that are shared with the account, in portions of which each makes a frame. */
  #groups(account: string): Conversation[][] {
    // The direct one also before its first entry: this side may have lost them all.
    const own = direct(this.#ledger.self, account);
    const groups: Conversation[][] = [[own]];
    let weight = 2;
    for (const conversation of this.#ledger.entries.shared(account)) {
      if (conversation.kind === 'direct' || !this.#ledger.sharedWith(account, conversation.id)) continue;
      const authors = this.#ledger.authors(conversation).length;
      const last = groups.at(-1) ?? [];
      weight += authors;
      if (weight <= GREETED_MEMBERS && last.length < STANDINGS) last.push(conversation);
      else {
        groups.push([conversation]);
        weight = authors;
      }
    }
    return groups;
  }

  /** Gives the conversations of `standings` that are shared with the account. */
  #learn(account: string, link: Link, standings: readonly Standing[], more: boolean): Conversation[] {
    const seen = this.#seenOn(link);
    const shared = standings.flatMap((standing) => {
      const { order, id } = standing;
      const conversation = this.#ledger.sharedWith(account, id);
      const room = this.#ledger.rooms.state(id);
      // Also to one who does not know yet that they were removed.
      if (room && order && mayRead(room, account)) seen.orders.set(id, order);
      if (!conversation) return [];
      const said = new Map(standing.have.map(({ author, seq }) => [author, seq]));
      for (const author of this.#ledger.authors(conversation)) {
        seen.heads.set(keyOf({ conversation: id, author }), said.get(author) ?? 0);
      }
      return [conversation];
    });
    this.#ledger.takeReceipts(standings.flatMap((standing) => standing.receipts));
    if (!more) seen.isWhole = true;
    seen.isCaughtUp = false;
    return shared;
  }

  /** Gives the order of every room in which the other side is, where it is behind or has another one. */
  async #giveOrders(account: string, link: Link, seen: Seen, signal: AbortSignal): Promise<void> {
    const shared = this.#ledger.entries.shared(account).filter(({ kind }) => kind === 'room');
    const rooms = new Set([...shared.map(({ id }) => id), ...seen.orders.keys()]);
    for (const id of rooms) await this.#giveOrder(id, link, seen, signal);
  }

  async #giveOrder(id: string, link: Link, seen: Seen, signal: AbortSignal): Promise<void> {
    const room = this.#ledger.rooms.state(id);
    if (!room) return;
    const { creation, number, last } = room;
    const theirs = seen.orders.get(id);
    const differs = theirs?.number === number && theirs.last !== undefined && theirs.last !== last;
    if (theirs && theirs.number >= number && !differs) return;
    let after = differs ? number - 1 : (theirs?.number ?? 0);
    try {
      do {
        const ordered = this.#ledger.rooms.page(id, after, LOG_PAGE);
        const answer = await link.request(giveOrder, { creation, ordered }, { signal });
        after = Math.max(answer.number, after + 1);
      } while (after < number);
    } catch (error) {
      const fault = toFault(error, 'giving the order of a room');
      if (fault.retry) throw fault;
      this.#log.info({ conversation: id, code: fault.code, reason: fault.message }, 'a room’s order was not taken');
    }
    seen.orders.set(id, { number: Math.max(after, number), last: undefined });
  }

  /** Position from which the account is to be given a chain: what it lacks, and what it has not signed for. */
  #from(account: string, chain: Chain, heads: Heads): number {
    const lacks = Math.max((heads.get(keyOf(chain)) ?? 0) + 1, this.#ledger.floor(account, chain));
    if (chain.author !== this.#ledger.self) return lacks;
    return Math.min(lacks, this.#ledger.outbox.first(account, chain.conversation) ?? Number.POSITIVE_INFINITY);
  }

  #next(account: string, seen: Seen): Batch | undefined {
    const waiting = new Set(seen.isCaughtUp ? this.#ledger.outbox.conversations(account) : []);
    for (const conversation of this.#ledger.entries.shared(account)) {
      const { id, kind } = conversation;
      // Where this account is a member no more it has nothing to give.
      if (!this.#ledger.sharedWith(account, id)) continue;
      const isQuiet = kind === 'room' && seen.isCaughtUp;
      if (isQuiet && !waiting.has(id)) continue;
      for (const author of isQuiet ? [this.#ledger.self] : this.#ledger.authors(conversation)) {
        const batch = this.#batch(account, { conversation: id, author }, kind, seen.heads);
        if (batch) return batch;
      }
    }
    return undefined;
  }

  #batch(account: string, chain: Chain, kind: Conversation['kind'], heads: Heads): Batch | undefined {
    const from = this.#from(account, chain, heads);
    if (!Number.isFinite(from)) return undefined;
    const entries = this.#ledger.entries.run(chain.conversation, chain.author, from, LIMIT);
    const [first] = entries;
    if (!first) return undefined;
    // A part that starts later here than there would leave a hole; somebody else has what is between.
    const { seq } = first.entry;
    const isNext = seq <= (heads.get(keyOf(chain)) ?? 0) + 1;
    if (kind === 'room' && !isNext && !this.#ledger.mayStart(account, chain, seq)) return undefined;
    return { ...chain, from, entries };
  }

  /** What continues full batches, sent before these are answered: one side reads the next while the other reads and writes the last. */
  #sendAhead(ahead: Flight[], batch: Batch, link: Link, signal: AbortSignal): void {
    for (let last = ahead.at(-1)?.batch ?? batch; ahead.length < AHEAD; ) {
      if (last.entries.length < DELIVER_ENTRIES) return;
      const from = lastOf(last) + 1;
      const entries = this.#ledger.entries.run(batch.conversation, batch.author, from, LIMIT);
      if (entries[0]?.entry.seq !== from) return;
      last = { conversation: batch.conversation, author: batch.author, from, entries };
      ahead.push(send(last, link, signal));
    }
  }

  /** Writes down what the answer says; gives the fault for which the rest is to be tried again later. */
  #settle(batch: Batch, answer: Deliver, link: Link, heads: Heads): Fault | undefined {
    this.#ledger.takeReceipts(answer.receipts);
    const key = keyOf(batch);
    const last = lastOf(batch);
    const gap = answer.have.find((have) => keyOf(have) === key);
    heads.set(key, gap ? gap.seq : Math.max(last, heads.get(key) ?? 0));
    const refusal = answer.refused[0]; // the first of a run takes the rest of it along
    const refused = refusal && batch.entries[refusal.index];
    if (!refusal || !refused) return undefined;
    const fault = new Fault(isFaultCode(refusal.code) ? refusal.code : 'wrong_state', refusal.message);
    heads.set(key, refused.entry.seq - 1);
    if (batch.author !== this.#ledger.self) {
      if (refusal.retry) return fault;
      this.#log.warn({ entry: refused.id, code: fault.code }, 'the other side refuses an entry of somebody else');
      heads.set(key, Number.POSITIVE_INFINITY); // not again on this link
      return undefined;
    }
    // Its place is another's by now: it was withdrawn while it was on its way.
    if (this.#ledger.entries.idAt(batch.conversation, batch.author, refused.entry.seq) !== refused.id) {
      this.#seen.delete(link);
      return undefined;
    }
    // Others in a room may have it, so it stands; the refusal is shown, and it is tried again.
    if (this.#ledger.rooms.state(batch.conversation)) return fault;
    // A clock that was ahead then and is right now: waiting for the entry's time would take too long.
    const future = fault.code === 'clock_ahead' && refused.entry.at >= aheadFrom(this.#ledger.clock.now());
    if (refusal.retry && !future) return fault;
    if (!this.#ledger.own.withdraw(batch.conversation, refused.entry.seq, fault)) return fault;
    this.#seen.delete(link); // the chain is another now: both sides look anew
    return undefined;
  }
}
