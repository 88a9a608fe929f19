/** What to deliver on a link: both sides say how far they have each author's chain, then give what the other lacks. */
import { Fault, isFaultCode } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Link } from '../link/link.ts';
import { type Conversation, direct } from './conversation.ts';
import { aheadFrom } from './hlc.ts';
import { keyOf } from './intake.ts';
import type { Ledger } from './ledger.ts';
import type { Stored } from './log.ts';
import type { Chain } from './receipt.ts';
import { DELIVER_BYTES, DELIVER_ENTRIES, type Deliver, deliver, type Standing, sync } from './wire.ts';

/** How far the other side of a link has each chain; a chain that is not named: nothing. */
type Heads = Map<string, number>;

/** A run of one chain. */
type Batch = Chain & { from: number; entries: Stored[] };

/** Answers in one exchange that bring no chain further (a gap, a withdrawal); more are no honest mistake. */
const SETBACKS = 3;

export class Exchange {
  readonly #ledger: Ledger;
  readonly #log: Log;
  readonly #heads = new WeakMap<Link, Heads>();

  constructor(ledger: Ledger, log: Log) {
    this.#ledger = ledger;
    this.#log = log;
  }

  /** Gives the account what it lacks, until it lacks nothing and every own entry has its receipt. [C-20] */
  async run(account: string, link: Link, signal: AbortSignal): Promise<void> {
    for (let setbacks = 0; ; ) {
      const heads = this.#heads.get(link) ?? (await this.#ask(account, link, signal));
      const batch = this.#next(account, heads);
      if (!batch) break;
      const entries = batch.entries.map((stored) => stored.entry);
      const answer = await link.request(deliver, { entries }, { signal });
      const fault = this.#settle(batch, answer, link, heads);
      if (fault) throw fault;
      if (this.#from(account, batch, heads) > batch.from) continue;
      setbacks += 1;
      if (setbacks > SETBACKS)
        throw new Fault('wrong_state', 'delivering: the other side takes nothing and says no why');
    }
    if (this.#ledger.outbox.waits(account)) {
      throw new Fault('corrupt', 'delivering: the outbox names entries that the log does not have');
    }
  }

  /** Answers the other side's question, and learns from it. Throws `bad_signature`. */
  answer(account: string, link: Link, standings: readonly Standing[]): Standing[] {
    return this.#learn(account, link, standings).map((conversation) => this.#ledger.standing(conversation));
  }

  /** The other side has shown that it has a chain up to here. */
  saw(link: Link, chain: Chain & { seq: number }): void {
    const heads = this.#heads.get(link);
    if (heads && (heads.get(keyOf(chain)) ?? 0) < chain.seq) heads.set(keyOf(chain), chain.seq);
  }

  async #ask(account: string, link: Link, signal: AbortSignal): Promise<Heads> {
    const ours = [direct(this.#ledger.self, account)]; // also before its first entry: this side may have lost them all
    const conversations = ours.map((conversation) => this.#ledger.standing(conversation));
    const answer = await link.request(sync, { conversations }, { signal });
    this.#learn(account, link, answer.conversations);
    const heads = this.#heads.get(link) ?? new Map();
    this.#heads.set(link, heads);
    return heads;
  }

  /** Gives the conversations of `standings` that are shared with the account. */
  #learn(account: string, link: Link, standings: readonly Standing[]): Conversation[] {
    const heads: Heads = this.#heads.get(link) ?? new Map();
    const shared = standings.flatMap((standing) => {
      const conversation = this.#ledger.sharedWith(account, standing.id);
      if (!conversation) return [];
      const said = new Map(standing.have.map(({ author, seq }) => [author, seq]));
      for (const author of conversation.members) {
        heads.set(keyOf({ conversation: standing.id, author }), said.get(author) ?? 0);
      }
      return [conversation];
    });
    this.#ledger.takeReceipts(standings.flatMap((standing) => standing.receipts));
    this.#heads.set(link, heads);
    return shared;
  }

  /** Position from which the account is to be given a chain: what it lacks, and what it has not signed for. */
  #from(account: string, chain: Chain, heads: Heads): number {
    const lacks = (heads.get(keyOf(chain)) ?? 0) + 1;
    if (chain.author !== this.#ledger.self) return lacks;
    return Math.min(lacks, this.#ledger.outbox.first(account, chain.conversation) ?? Number.POSITIVE_INFINITY);
  }

  #next(account: string, heads: Heads): Batch | undefined {
    for (const { id: conversation, members } of this.#ledger.entries.shared(account)) {
      for (const author of members) {
        const from = this.#from(account, { conversation, author }, heads);
        if (!Number.isFinite(from)) continue;
        const limit = { most: DELIVER_ENTRIES, bytes: DELIVER_BYTES };
        const entries = this.#ledger.entries.run(conversation, author, from, limit);
        if (entries.length > 0) return { conversation, author, from, entries };
      }
    }
    return undefined;
  }

  /** Writes down what the answer says; gives the fault for which the rest is to be tried again later. */
  #settle(batch: Batch, answer: Deliver, link: Link, heads: Heads): Fault | undefined {
    this.#ledger.takeReceipts(answer.receipts);
    const key = keyOf(batch);
    const last = batch.entries.at(-1)?.entry.seq ?? 0;
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
    // A clock that was ahead then and is right now: waiting for the entry's time would take too long.
    const future = fault.code === 'clock_ahead' && refused.entry.at >= aheadFrom(this.#ledger.clock.now());
    if (refusal.retry && !future) return fault;
    if (!this.#ledger.withdraw(batch.conversation, refused.entry.seq, fault)) return fault;
    this.#heads.delete(link); // the chain is another now: both sides look anew
    return undefined;
  }
}
