/** A tracker's side of the relay: it lets two nodes meet at its port, and passes their bytes on unread. [N-10] to [N-24] */
import type { Duplex } from 'node:stream';
import { z } from 'zod';
import { sleep } from '../base/async.ts';
import type { Clock } from '../base/clock.ts';
import { Fault, type FaultCode, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Siblings } from '../base/shared-log.ts';
import { trackerAddressText } from '../link/address.ts';
import { newNonce } from '../link/challenge.ts';
import type { Link } from '../link/link.ts';
import { needsAccount, type Router } from '../link/router.ts';
import type { Visit } from '../link/visit.ts';
import type { RelayUsage } from './relay-usage.ts';
import { type Meeting, RELAY_PATH, RELAY_UPGRADE, relay, tokenText } from './relay-wire.ts';
import type { SignalServer } from './signal-server.ts';
import type { Endpoint } from './signal-wire.ts';
import { Splice } from './splice.ts';
import { Turns } from './turns.ts';

/** For whom a tracker relays: nobody; two accounts of its zones; or one of them and a guest. [N-20] */
export type RelayMode = 'off' | 'zones' | 'on';

/** 0: no bound. */
export type RelayLimits = {
  /** Bytes that one account may have relayed in a day, both ways. */
  bytesPerDay: number;
  /** Bytes a second for one account, and for all together. */
  bytesPerSecond: number;
  totalPerSecond: number;
  /** Pairs at once that one account has asked for, and of all together. */
  pairsPerAccount: number;
  pairs: number;
  /** Seconds without a byte after which a pair is ended: a link alone says something every 15. */
  idleSeconds: number;
};

/** Enough for a day's files of a person, and for a room of people who all need it. */
const LIMITS: RelayLimits = {
  bytesPerDay: 20 * 1024 ** 3,
  bytesPerSecond: 0,
  totalPerSecond: 0,
  pairsPerAccount: 100,
  pairs: 4000,
  idleSeconds: 120,
};

/** Milliseconds in which both sides must come. [N-13] */
const MEET_MS = 15_000;
/** Tokens of one account that wait for both sides, and of all. [N-13] */
const TOKENS_PER_ACCOUNT = 32;
const MOST_TOKENS = 10_000;
/** Milliseconds from one look at what is over to the next. */
const SWEEP_MS = 1000;
/** Milliseconds after which a tracker that stops is expected back. */
const RETRY_MS = 5000;
const TOPIC = 'relay';

type Side = { endpoint: Endpoint; visit: Visit | undefined; came: boolean; gone: () => void };
type Given = { token: string; account: string; sides: readonly [Side, Side]; until: number };
type Pair = { account: string; splice: Splice; quietMs: number };

/** What another process asks about a token that comes to it, and is told. */
const asked = z.object({ token: tokenText });
const told = z.object({ addresses: z.array(trackerAddressText) });

/** How a token that was given by another process is brought to it: the stream on which that one goes on. */
export type Forward = (meeting: { token: string; node: string; addresses: readonly string[] }) => Promise<Duplex>;

export class RelayServer implements AsyncDisposable {
  readonly #signals: SignalServer;
  readonly #isMember: (account: string) => boolean;
  readonly #addresses: () => readonly string[];
  readonly #usage: RelayUsage;
  readonly #siblings: Siblings | undefined;
  readonly #forward: Forward;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #turns: Turns;
  readonly #tokens = new Map<string, Given>();
  readonly #pairs = new Map<Splice, Pair>();
  readonly #counts = new Map<string, { tokens: number; pairs: number }>();
  readonly #outcomes = new Map<string, number>();
  readonly #forwarded = new Set<Splice>();
  #bytes = 0;
  #mode: RelayMode;
  #limits: RelayLimits;
  #isStopping = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: {
    signals: SignalServer;
    mode?: RelayMode | undefined;
    limits?: Partial<RelayLimits> | undefined;
    /** Whether the account has a handle at this tracker. */
    isMember(account: string): boolean;
    /** Where this very process is reached. */
    addresses(): readonly string[];
    usage: RelayUsage;
    siblings?: Siblings | undefined;
    forward: Forward;
    clock: Clock;
    log: Log;
  }) {
    this.#signals = options.signals;
    this.#isMember = options.isMember;
    this.#addresses = options.addresses;
    this.#usage = options.usage;
    this.#siblings = options.siblings;
    this.#forward = options.forward;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#mode = options.mode ?? 'zones';
    this.#limits = { ...LIMITS, ...options.limits };
    this.#turns = new Turns({ rates: this.#rates, clock: options.clock });
    this.#siblings?.answer(TOPIC, async (text) => {
      const { token } = asked.parse(JSON.parse(text));
      return JSON.stringify({ addresses: this.#tokens.has(token) ? this.#addresses() : [] });
    });
  }

  get #rates(): { each: number; all: number } {
    return { each: this.#limits.bytesPerSecond, all: this.#limits.totalPerSecond };
  }

  /** Others from now on; pairs that stand go on under them. */
  reload(mode: RelayMode | undefined, limits: Partial<RelayLimits> | undefined): void {
    this.#mode = mode ?? 'zones';
    this.#limits = { ...LIMITS, ...limits };
    this.#turns.rates = this.#rates;
  }

  /** Pairs that stand, sides that wait for the other, tokens that wait for both; bytes passed on; what came of what was asked. */
  get totals(): {
    pairs: number;
    waiting: number;
    tokens: number;
    bytes: number;
    outcomes: ReadonlyMap<string, number>;
  } {
    const waiting = [...this.#tokens.values()].filter(({ sides }) => sides.some(({ visit }) => visit)).length;
    return {
      pairs: this.#pairs.size,
      waiting,
      tokens: this.#tokens.size,
      bytes: this.#bytes,
      outcomes: this.#outcomes,
    };
  }

  attach(router: Router): this {
    router.handle(
      relay,
      async ({ to }, { link, signal }) => {
        try {
          return await this.#grant(link, to, signal);
        } catch (error) {
          this.#count('asked', toFault(error).code);
          throw error;
        }
      },
      { needs: needsAccount },
    );
    return this;
  }

  start(): void {
    this.#usage.start();
    this.#timer = setInterval(() => this.#sweep(), SWEEP_MS).unref();
  }

  #count(what: 'asked' | 'came' | 'ended', outcome: FaultCode | 'ok'): void {
    const key = `${what} ${outcome}`;
    this.#outcomes.set(key, (this.#outcomes.get(key) ?? 0) + 1);
  }

  async #grant(link: Link, to: Endpoint, signal: AbortSignal): Promise<Meeting> {
    const what = `relaying to "${to.account}"`;
    const account = link.account?.account ?? '';
    this.#admit(what, account, to);
    const from = await this.#signals.enter(link, to);
    if (from.node === to.node) throw new Fault('invalid_argument', `${what}: it is at the very node that asks`);
    const random = newNonce();
    const token = this.#siblings ? `${this.#siblings.self}.${random}` : random;
    const side = (endpoint: Endpoint): Side => ({ endpoint, visit: undefined, came: false, gone: () => {} });
    this.#tokens.set(token, { token, account, sides: [side(from), side(to)], until: this.#clock.now() + MEET_MS });
    this.#mark(account, { tokens: 1 });
    const meeting: Meeting = { token, addresses: this.#addresses().slice(0, 8), withinMs: MEET_MS };
    try {
      await this.#signals.pass({ from, to, kind: 'relay', body: meeting }, signal);
    } catch (error) {
      this.#drop(token, toFault(error, what));
      throw error;
    }
    this.#count('asked', 'ok');
    return meeting;
  }

  /** Throws `forbidden`, `tracker_down`, `too_many`, `queue_full`. [N-20] [N-21] */
  #admit(what: string, account: string, to: Endpoint): void {
    if (this.#mode === 'off') throw new Fault('forbidden', `${what}: this tracker relays for nobody`);
    if (this.#mode === 'zones' && !(this.#isMember(account) && this.#isMember(to.account))) {
      throw new Fault('forbidden', `${what}: this tracker relays between people of its own zones alone`);
    }
    if (this.#isStopping) {
      const data = { retryAfterMs: RETRY_MS };
      throw new Fault('tracker_down', `${what}: this tracker is about to stop`, { data });
    }
    const { pairsPerAccount, pairs } = this.#limits;
    const counts = this.#counts.get(account) ?? { tokens: 0, pairs: 0 };
    if (counts.tokens >= TOKENS_PER_ACCOUNT) {
      throw new Fault('too_many', `${what}: ${TOKENS_PER_ACCOUNT} others of yours are being made already`, {
        data: { retryAfterMs: MEET_MS },
      });
    }
    if (pairsPerAccount > 0 && counts.pairs + counts.tokens >= pairsPerAccount) {
      throw new Fault('too_many', `${what}: at most ${pairsPerAccount} relayed connections of one account at once`);
    }
    if (this.#tokens.size >= MOST_TOKENS || (pairs > 0 && this.#pairs.size >= pairs)) {
      throw new Fault('queue_full', `${what}: this tracker relays as much as it may; it is worth another try later`);
    }
    const spent = this.#spent(account);
    if (spent) throw new Fault(spent.code, `${what}: ${spent.message}`, { data: spent.data ?? {} });
  }

  #spent(account: string): Fault | undefined {
    const { bytesPerDay } = this.#limits;
    if (bytesPerDay === 0 || this.#usage.of(account) < bytesPerDay) return undefined;
    return new Fault(
      'too_many',
      `at most ${bytesPerDay} bytes a day of one account are relayed; more after midnight UTC`,
      {
        data: { retryAfterMs: this.#usage.leftMs },
      },
    );
  }

  #mark(account: string, by: { tokens?: number; pairs?: number }): void {
    const counts = this.#counts.get(account) ?? { tokens: 0, pairs: 0 };
    counts.tokens += by.tokens ?? 0;
    counts.pairs += by.pairs ?? 0;
    if (counts.tokens + counts.pairs > 0) this.#counts.set(account, counts);
    else this.#counts.delete(account);
  }

  /** Forgets a token; a side that came and waits is told why. */
  #drop(token: string, fault: Fault): void {
    const given = this.#tokens.get(token);
    if (!given) return;
    this.#tokens.delete(token);
    this.#mark(given.account, { tokens: -1 });
    for (const { visit } of given.sides) {
      if (!visit) continue;
      this.#count('came', fault.code);
      visit.refuse(fault);
    }
  }

  /** A node that came to the port with a token. Each comes once; the first waits for the second. [N-12] [N-13] */
  async come(visit: Visit): Promise<void> {
    try {
      await this.#seat(visit);
    } catch (error) {
      const fault = toFault(error, 'coming to be relayed');
      this.#count('came', fault.code);
      this.#log.info({ code: fault.code, reason: fault.message }, 'a node that came to be relayed is refused');
      visit.refuse(fault);
    }
  }

  async #seat(visit: Visit): Promise<void> {
    const what = 'coming to be relayed';
    const parsed = tokenText.safeParse(visit.path.slice(RELAY_PATH.length));
    if (!parsed.success || visit.protocol !== RELAY_UPGRADE) {
      throw new Fault('malformed', `${what}: expected GET ${RELAY_PATH}TOKEN with the upgrade ${RELAY_UPGRADE}`);
    }
    const token = parsed.data;
    const given = this.#tokens.get(token);
    if (!given) return await this.#passOn(token, visit);
    const side = given.sides.find(({ endpoint }) => endpoint.node === visit.peer);
    if (!side) throw new Fault('forbidden', `${what}: this token is for two other nodes`);
    if (side.came) throw new Fault('wrong_state', `${what}: this node came with this token before`);
    side.came = true;
    side.visit = visit;
    const [first, second] = given.sides;
    if (first.visit && second.visit) return this.#join(given, first.visit, second.visit);
    side.gone = () => this.#drop(token, new Fault('link_closed', `${what}: the other side went again`));
    visit.socket.once('close', side.gone);
  }

  #join({ token, account, sides }: Given, first: Visit, second: Visit): void {
    for (const side of sides) {
      side.visit?.socket.off('close', side.gone);
      side.visit = undefined;
    }
    this.#tokens.delete(token);
    this.#mark(account, { tokens: -1, pairs: 1 });
    const splice = new Splice([first.accept(), second.accept()], {
      sit: (go) => this.#turns.join(account, go),
      moved: (bytes) => {
        this.#bytes += bytes;
        const { bytesPerDay } = this.#limits;
        if (this.#usage.add(account, bytes) > bytesPerDay && bytesPerDay > 0) this.#end(splice, 'too_many');
      },
    });
    this.#pairs.set(splice, { account, splice, quietMs: 0 });
    this.#count('came', 'ok');
    void splice.ended.then(() => {
      if (this.#pairs.delete(splice)) this.#count('ended', 'ok');
      this.#mark(account, { pairs: -1 });
    });
  }

  #end(splice: Splice, code: FaultCode): void {
    const pair = this.#pairs.get(splice);
    if (!pair) return;
    this.#pairs.delete(splice);
    this.#count('ended', code);
    this.#log.info({ account: pair.account, code, bytes: splice.bytes }, 'a relayed pair is ended');
    splice.cut();
  }

  /** In a cluster: a token of another process is brought to it. [N-24] */
  async #passOn(token: string, visit: Visit): Promise<void> {
    const what = 'coming to be relayed';
    const [process] = token.split('.');
    const siblings = this.#siblings;
    if (!siblings || process === token || process === undefined || process === siblings.self) {
      throw new Fault('unknown_id', `${what}: this token is not known here, or its time is over; ask for another one`);
    }
    if (visit.isBrought) throw new Fault('unknown_id', `${what}: this token is of a third process`);
    const { addresses } = told.parse(JSON.parse(await siblings.ask(process, TOPIC, JSON.stringify({ token }))));
    if (addresses.length === 0) throw new Fault('unknown_id', `${what}: this token is over; ask for another one`);
    const far = await this.#forward({ token, node: visit.peer, addresses });
    if (visit.socket.destroyed) return void far.destroy();
    // It is counted where it is relayed; here it takes turns with the others.
    const splice = new Splice([visit.accept(), far], {
      sit: (go) => this.#turns.join(`node ${visit.peer}`, go),
      moved: () => {},
    });
    this.#forwarded.add(splice);
    void splice.ended.then(() => this.#forwarded.delete(splice));
  }

  /** Ends what is over: tokens with which not both came, and pairs in which nothing moves. [N-13] [N-23] */
  #sweep(): void {
    const now = this.#clock.now();
    for (const [token, { until }] of this.#tokens) {
      if (until > now) break; // the eldest stand first
      this.#drop(token, new Fault('peer_unreachable', 'coming to be relayed: the other side did not come'));
    }
    const { idleSeconds } = this.#limits;
    for (const [splice, pair] of this.#pairs) {
      splice.tell();
      pair.quietMs = splice.isMoving ? 0 : pair.quietMs + SWEEP_MS;
      splice.isMoving = false;
      if (idleSeconds > 0 && pair.quietMs >= idleSeconds * 1000) this.#end(splice, 'timeout');
    }
  }

  /** Takes on nothing more, and ends each pair in a moment in which nothing moves; all of them after `mostMs`. [N-23] */
  async drain({ mostMs, signal }: { mostMs: number; signal?: AbortSignal | undefined }): Promise<void> {
    this.#isStopping = true;
    const end = performance.now() + mostMs;
    while (this.#pairs.size > 0 && performance.now() < end && !signal?.aborted) {
      for (const [splice, { quietMs }] of this.#pairs) if (quietMs > 0) this.#end(splice, 'tracker_down');
      await sleep(Math.min(SWEEP_MS / 4, Math.max(1, end - performance.now())), signal).catch(() => {});
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopping = true;
    clearInterval(this.#timer);
    const stops = new Fault('tracker_down', 'coming to be relayed: this tracker stops', {
      data: { retryAfterMs: RETRY_MS },
    });
    for (const token of [...this.#tokens.keys()]) this.#drop(token, stops);
    for (const splice of [...this.#pairs.keys()]) this.#end(splice, 'tracker_down');
    for (const splice of this.#forwarded) splice.cut();
    this.#turns[Symbol.dispose]();
    this.#usage[Symbol.dispose]();
  }
}
