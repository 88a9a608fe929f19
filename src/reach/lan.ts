/**
 * Nodes and trackers on one network find each other by multicast DNS, without anybody in between. What is heard is a hint, for
 * anybody may say anything there: who it is shows in the handshake. [N-50]
 */
import { type Clock, systemClock } from '../base/clock.ts';
import { watchInterfaces } from '../base/interfaces.ts';
import type { Log } from '../base/log.ts';
import { Rate } from '../base/rate.ts';
import { formatAddress } from '../link/address.ts';
import {
  type Advert,
  concernsUs,
  decodePacket,
  encodeAdverts,
  encodeQuestion,
  type Said,
  TTL_SECONDS,
} from './advert.ts';
import { type Found, HeardTable } from './heard.ts';
import { Multicast, type Source } from './multicast.ts';
import { type Network, networks } from './networks.ts';

export type { Advert } from './advert.ts';
export type { Found } from './heard.ts';

export type LanOptions = {
  /** Who is to be found here; asked whenever it is said. */
  adverts: () => readonly Advert[];
  /** IP that they listen at; default: all of this machine's. */
  host?: string | undefined;
  /** Somebody was heard of who was not known, or who said something else before. */
  onFound?: ((found: Found) => void) | undefined;
  log: Log;
  clock?: Clock;
  /** For tests. */
  port?: number | undefined;
  networks?: (() => Network[]) | undefined;
};

/** Packets that were not acted on, by why. */
export type Refused = {
  /** More than is read of one address, or of all. */
  too_many: number;
  /** Not to be read, or not of the form. */
  malformed: number;
  /** There was no place for one more. */
  queue_full: number;
  /** Somebody else spoke in the name of this node. */
  forbidden: number;
};

export type LanState = { networks: string[]; found: number; refused: Refused };

const TICK_MS = 1000;
/** Milliseconds after the start, or after a change of networks, at which it is asked and said: a packet may be lost. */
const FIRST_MS = [0, 1000, 3000, 7000];
/**
 * Milliseconds between two questions later, a third of the time for which an answer holds: whoever answers one is refreshed for
 * all, and one who is not heard twice is forgotten.
 */
const ASK_MS = (TTL_SECONDS / 3) * 1000;
/** An answer waits so long, so that not all speak at once (RFC 6762, section 6), and is said so often at most. */
const ANSWER_MS = { least: 20, most: 120, pause: 1000 };
/** Packets that are read of one address and of all, at once and each second after: of 500 nodes, many times what they say. [N-55] */
const OF_ONE = { burst: 40, perSecond: 5 };
const OF_ALL = { burst: 400, perSecond: 100 };
/** Addresses whose packets are counted by themselves; past it, the newest share one count, until all are counted anew. */
const MOST_COUNTED = 1024;
const COUNT_MS = 60_000;
/** Own addresses that an answer names, for those who resolve names. */
const MOST_SAID = 8;
const WARN_MS = 60_000;

export class Lan implements AsyncDisposable {
  readonly #options: LanOptions;
  readonly #clock: Clock;
  readonly #multicast: Multicast;
  readonly #table = new HeardTable();
  readonly #stop = new AbortController();
  readonly #refused: Refused = { too_many: 0, malformed: 0, queue_full: 0, forbidden: 0 };
  readonly #ofAll: Rate;
  readonly #sources = new Map<string, Rate>();
  readonly #answering = new Map<string, NodeJS.Timeout>();
  readonly #answered = new Map<string, number>();
  #ticker: NodeJS.Timeout | undefined;
  #firsts: NodeJS.Timeout[] = [];
  readonly #askAt = new Map<string, number>();
  #countedAt = performance.now();
  #warnedAt = -Infinity;

  constructor(options: LanOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#ofAll = new Rate({ ...OF_ALL, clock: this.#clock });
    this.#multicast = new Multicast({
      onPacket: (packet, source) => this.#heard(packet, source),
      log: options.log,
      port: options.port,
    });
  }

  /** Never throws: on a machine without a network, it waits for one. */
  async start(): Promise<void> {
    await this.#multicast.use(this.#networks());
    watchInterfaces({
      read: () => this.#networks().map(({ name, ipv4, ipv6 }) => `${name} ${ipv4} ${ipv6}`),
      onChange: () => void this.#renew(),
      signal: this.#stop.signal,
      clock: this.#clock,
    });
    this.#begin();
    this.#ticker = setInterval(() => void this.#tick(), TICK_MS).unref();
  }

  #networks(): Network[] {
    return this.#options.networks?.() ?? networks(this.#options.host);
  }

  /** The networks are others, or the machine has slept: all is said and asked as at the start. */
  async #renew(): Promise<void> {
    await this.#multicast.use(this.#networks());
    if (!this.#stop.signal.aborted) this.#begin();
  }

  #begin(): void {
    for (const timer of this.#firsts) clearTimeout(timer);
    this.#askAt.clear();
    this.#firsts = FIRST_MS.map((ms) =>
      setTimeout(() => {
        for (const network of this.#multicast.networks) {
          this.#ask(network);
          this.#answer(network);
        }
      }, ms + delay()).unref(),
    );
  }

  async #tick(): Promise<void> {
    await this.#multicast.use(this.#networks()); // an IPv6 address is of use only some time after it came
    const now = this.#clock.now();
    const here = this.#multicast.networks;
    this.#table.sweep(now, new Set(this.#networks().map(({ name }) => name)));
    if (performance.now() - this.#countedAt > COUNT_MS) {
      this.#countedAt = performance.now();
      this.#sources.clear();
    }
    for (const network of here) if (now >= (this.#askAt.get(network.name) ?? 0)) this.#ask(network);
  }

  #ask(network: Network): void {
    this.#askedOn(network);
    const known = this.#table.known(network.name, this.#clock.now());
    // Who is known for less than half of the time is to say it again (RFC 6762, section 7.1).
    const fresh = new Map([...known].filter(([, seconds]) => seconds > TTL_SECONDS / 2));
    void this.#multicast.send(network, encodeQuestion(fresh));
  }

  #askedOn({ name }: Network): void {
    this.#askAt.set(name, this.#clock.now() + ASK_MS * (0.9 + Math.random() / 5));
  }

  /** Says who is here: soon, and at most once a second. */
  #answer(network: Network): void {
    const { name } = network;
    if (this.#answering.has(name) || this.#stop.signal.aborted) return;
    const wait = Math.max(delay(), (this.#answered.get(name) ?? -Infinity) + ANSWER_MS.pause - performance.now());
    const timer = setTimeout(() => {
      this.#answering.delete(name);
      this.#answered.set(name, performance.now());
      void this.#say(network);
    }, wait).unref();
    this.#answering.set(name, timer);
  }

  async #say(network: Network, seconds?: number): Promise<void> {
    const adverts = this.#options.adverts();
    if (adverts.length === 0) return;
    await this.#multicast.send(network, encodeAdverts(adverts, network.addresses.slice(0, MOST_SAID), seconds));
  }

  /** What is said of this node has changed. */
  changed(): void {
    for (const network of this.#multicast.networks) this.#answer(network);
  }

  /** Asks now, beside the times at which it does so by itself. */
  ask(): void {
    for (const network of this.#multicast.networks) this.#ask(network);
  }

  #heard(packet: Buffer, { address, network }: Source): void {
    if (!concernsUs(packet)) return;
    if (!this.#rateOf(address).take() || !this.#ofAll.take()) return this.#refuse('too_many', address);
    const heard = decodePacket(packet);
    if (!heard) return this.#refuse('malformed', address);
    if (heard.question) this.#asked(heard.question.known, network);
    for (const said of heard.said) this.#take(said, address, network);
  }

  #asked(known: ReadonlyMap<string, number>, network: Network): void {
    const own = this.#options.adverts();
    // It is said again where the asker has not heard of it, or has forgotten half of it by now (RFC 6762, section 7.1).
    const isWanted = own.some(({ id }) => (known.get(id) ?? 0) < TTL_SECONDS / 2);
    if (isWanted) this.#answer(network);
    // Its answers come here, too: nothing is left to ask (section 7.3).
    else if ([...this.#table.known(network.name, this.#clock.now()).keys()].every((id) => known.has(id)))
      this.#askedOn(network);
  }

  #take(said: Said, source: string, network: Network): void {
    if (this.#options.adverts().some(({ id }) => id === said.id)) {
      if (this.#isOwn(source)) return;
      this.#refuse('forbidden', source);
      return this.#answer(network); // what is true is said after it
    }
    if (said.gone) return void this.#table.drop(said.id, source);
    const { gone: _, seconds, ...advert } = said;
    const now = this.#clock.now();
    const taken = this.#table.take(advert, { source, network: network.name }, { now, seconds });
    if (taken === 'full') return this.#refuse('queue_full', source);
    if (taken === 'known') return;
    const at = formatAddress({ host: source, port: advert.port });
    const found = this.#table.list().find(({ id, addresses }) => id === said.id && addresses.includes(at));
    if (found) this.#options.onFound?.(found);
  }

  /** Said by this machine, perhaps on another interface that stands in the same network. */
  #isOwn(source: string): boolean {
    const [ip = ''] = source.split('%');
    return this.#networks().some(({ addresses }) => addresses.includes(ip));
  }

  #rateOf(source: string): Rate {
    const known = this.#sources.get(source);
    if (known) return known;
    const key = this.#sources.size < MOST_COUNTED ? source : '';
    const rate = this.#sources.get(key) ?? new Rate({ ...OF_ONE, clock: this.#clock });
    this.#sources.set(key, rate);
    return rate;
  }

  #refuse(code: keyof Refused, source: string): void {
    this.#refused[code]++;
    const now = performance.now();
    if (now - this.#warnedAt < WARN_MS) return;
    this.#warnedAt = now;
    this.#options.log.warn({ code, source, refused: { ...this.#refused } }, 'packets of this network are not acted on');
  }

  /** Everybody who was heard of and has not gone, those heard first first. */
  found(): Found[] {
    this.#table.sweep(this.#clock.now(), new Set(this.#networks().map(({ name }) => name)));
    return this.#table.list();
  }

  get state(): LanState {
    return {
      networks: this.#multicast.networks.map(({ name }) => name),
      found: this.found().length,
      refused: { ...this.#refused },
    };
  }

  /** Says that it is going, once. [N-56] */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    clearInterval(this.#ticker);
    for (const timer of [...this.#firsts, ...this.#answering.values()]) clearTimeout(timer);
    await Promise.all(this.#multicast.networks.map((network) => this.#say(network, 0)));
    await this.#multicast[Symbol.asyncDispose]();
  }
}

const delay = (): number => ANSWER_MS.least + Math.random() * (ANSWER_MS.most - ANSWER_MS.least);
