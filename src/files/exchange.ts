/** What those who fetch and serve one content tell each other: who is there, and what each has as it comes. [F-41] [F-42] */
import { Backoff, sleep } from '../base/async.ts';
import type { Clock } from '../base/clock.ts';
import { fromBase64url, toBase64url } from '../base/encoding.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { Rate } from '../base/rate.ts';
import type { Link } from '../link/link.ts';
import { needsAccount, type Router } from '../link/router.ts';
import { Held, type Shape } from './held.ts';
import type { Reach } from './reports.ts';
import { Seeding, type Showing } from './seeding.ts';
import { type Have, have, join, leave } from './wire.ts';

/** Milliseconds over which news is gathered into one notice. */
const TELL_MS = 100;
/** Members with whom one exchanges news of a content: what one of them has soon is everywhere. */
const MOST_NEIGHBOURS = 32;
/** Members that one looks for by oneself; others may come. */
const MOST_SOUGHT = 16;
/** Chunks, and chunks in slices, of one notice. */
const MOST_TOLD = 2048;
/** The waits before a member that could not be met is tried again; a sign of life ends them. */
const RETRY = { firstMs: 2000, mostMs: 60_000 };
/** Joins of one link: some at once, and so many a second. */
const JOINS = { burst: 50, perSecond: 10 };
/** Milliseconds between two looks at what those who fetch are shown, while nothing comes of them. */
const SHOW_MS = 100;
/**
 * Milliseconds by which the first member is met ahead of the others: where many begin at once, what it costs to meet all of them would
 * hold up the first bytes. At most; and from when it is met, so long that it can be asked.
 */
const HEAD_START_MS = 250;
const ASKING_MS = 30;
/** Milliseconds for which what was whole here counts as such to those who come: what is served is looked at again. */
const WHOLE_MS = 1000;

/** Who hears what neighbours of a content say: the fetch of it. */
export type Listener = {
  joined(account: string, held: Held): void;
  /** A neighbour has this chunk whole now, and its `Held` says so. */
  gained(account: string, chunk: number): void;
  /** There is news of a neighbour; after any number of `gained`. */
  news(account: string): void;
  left(account: string): void;
  /** A member could not be met, or serves nothing of this. */
  missed(account: string, fault: Fault): void;
};

export type ExchangeOptions = {
  reach: Reach;
  /** Whether an account may have what a hash names, and how many others may. */
  mayHave(account: string, hash: string): boolean;
  /** How a content is cut that is whole here, and not changed since; undefined where it is not. */
  wholeHere(hash: string): Promise<Shape | undefined>;
  /** Members of the conversations in which the content stands, this account among them. */
  membersOf(hash: string): ReadonlySet<string>;
  /** A member fetches what is wanted here too. */
  onWanted(hash: string): void;
  clock: Clock;
  log: Log;
  signal: AbortSignal;
};

type Neighbour = {
  account: string;
  link: Link;
  held: Held;
  /** It knows of us: what is pending may go. */
  ready: boolean;
  chunks: Set<number>;
  slices: Map<number, number>;
  lost: Set<number>;
  all: boolean;
};

/** One content, for as long as it is fetched here or somebody fetches it of us. */
export class Topic {
  readonly hash: string;
  readonly shape: Shape;
  /** What is here; all of it where there is a `seeding`. */
  readonly held: Held;
  readonly neighbours = new Map<string, Neighbour>();
  readonly stop = new AbortController();
  readonly #options: ExchangeOptions;
  readonly #seeding: Seeding | undefined;
  readonly #onEmpty: () => void;
  readonly #sought = new Map<string, { backoff: Backoff; wake: AbortController | undefined }>();
  #listener: Listener | undefined;
  #telling: NodeJS.Timeout | undefined;
  #toldAt = Number.NEGATIVE_INFINITY;
  #wholeAt = Number.NEGATIVE_INFINITY;
  /** The first member was met, or was not to be met. */
  readonly #tried = new AbortController();
  #showing: NodeJS.Timeout | undefined;

  constructor(options: {
    hash: string;
    shape: Shape;
    held: Held | undefined;
    listener: Listener | undefined;
    exchange: ExchangeOptions;
    onEmpty: () => void;
  }) {
    this.hash = options.hash;
    this.shape = options.shape;
    this.held = options.held ?? new Held(options.shape.chunks);
    this.#options = options.exchange;
    this.#listener = options.listener;
    this.#seeding = options.listener ? undefined : new Seeding(options.shape);
    this.#onEmpty = options.onEmpty;
  }

  get fetching(): boolean {
    return this.#listener !== undefined;
  }

  /** All of it was here a moment ago. */
  get isWholeNow(): boolean {
    return performance.now() - this.#wholeAt < WHOLE_MS;
  }

  sawWhole(): void {
    this.#wholeAt = performance.now();
  }

  /** Members that are looked for now. */
  get seeking(): number {
    let count = 0;
    for (const { wake } of this.#sought.values()) if (!wake) count += 1;
    return count;
  }

  /** Looks for members, the first one some moments before the others, and goes on doing so where it fails. */
  seek(accounts: readonly string[]): void {
    const others = this.#headStart();
    for (const [place, account] of accounts.slice(0, MOST_SOUGHT).entries()) {
      if (this.#sought.has(account)) continue;
      this.#sought.set(account, { backoff: new Backoff(RETRY), wake: undefined });
      void this.#seekOne(account, place === 0 ? undefined : others);
    }
  }

  /** Settles when others than the first may be looked for, or nobody is to be any more. */
  async #headStart(): Promise<void> {
    const { signal } = this.stop;
    await sleep(HEAD_START_MS, AbortSignal.any([signal, this.#tried.signal])).catch(() => {});
    await sleep(ASKING_MS, signal).catch(() => {});
  }

  /** The account was seen. */
  online(account: string): void {
    this.#sought.get(account)?.wake?.abort();
  }

  async #seekOne(account: string, start: Promise<void> | undefined): Promise<void> {
    const { signal } = this.stop;
    await start;
    const sought = this.#sought.get(account);
    while (sought && !signal.aborted) {
      try {
        if (!this.neighbours.get(account)?.ready) await this.#meet(account, signal).finally(() => this.#tried.abort());
        // Both know of each other until the link ends; then it is looked for again, at once if it held for a while.
        sought.wake = new AbortController();
        const link = this.neighbours.get(account)?.link;
        const since = performance.now();
        if (link?.open) await sleep(2 ** 31 - 1, AbortSignal.any([signal, link.signal])).catch(() => {});
        if (performance.now() - since < RETRY.firstMs) sought.wake = new AbortController();
        else {
          sought.wake = undefined;
          sought.backoff.reset();
          continue;
        }
      } catch (error) {
        const fault = toFault(error);
        if (signal.aborted) return;
        this.#options.log.debug({ code: fault.code, peer: account.slice(0, 8) }, 'a holder was not met');
        sought.wake = new AbortController();
        this.#listener?.missed(account, fault);
      }
      if (signal.aborted) return;
      sought.wake ??= new AbortController();
      await sleep(sought.backoff.next(), AbortSignal.any([signal, sought.wake.signal])).catch(() => {});
      sought.wake = undefined;
    }
  }

  async #meet(account: string, signal: AbortSignal): Promise<void> {
    const link = await this.#options.reach(account, { signal });
    const there = this.neighbours.get(account);
    if (there?.ready) return; // it came meanwhile
    // Before it is asked: what comes from now on is news to it.
    this.#admit(account, link, false);
    try {
      const params = { hash: this.hash, have: toBase64url(this.held.whole.bytes()) };
      const answer = await link.request(join, params, { signal });
      const neighbour = this.neighbours.get(account);
      if (!neighbour) throw new Fault('link_closed', 'joining those who fetch a file: the link ended');
      const known = neighbour.ready;
      this.#learn(neighbour, fromBase64url(answer.have));
      for (const [chunk, mask] of answer.slices) neighbour.held.addSlices(chunk, mask);
      neighbour.ready = true;
      if (known) this.#listener?.news(account);
      else this.#listener?.joined(account, neighbour.held);
    } catch (error) {
      if (!this.neighbours.get(account)?.ready) this.drop(account, link);
      throw error;
    }
    this.#tellSoon();
  }

  #learn(neighbour: Neighbour, bytes: Uint8Array | undefined): void {
    const { whole } = new Held(this.shape.chunks, bytes);
    for (let chunk = 0; chunk < this.shape.chunks; chunk++) if (whole.has(chunk)) this.#gain(neighbour, chunk);
  }

  #gain(neighbour: Neighbour, chunk: number): void {
    if (neighbour.held.gain(chunk) && neighbour.ready) this.#listener?.gained(neighbour.account, chunk);
  }

  #admit(account: string, link: Link, ready: boolean): Neighbour {
    const neighbour: Neighbour = {
      account,
      link,
      held: new Held(this.shape.chunks),
      ready,
      chunks: new Set<number>(),
      slices: new Map<number, number>(),
      lost: new Set<number>(),
      all: false,
    };
    this.neighbours.set(account, neighbour);
    void link.closed.then(() => this.drop(account, link));
    return neighbour;
  }

  /** A member that fetches came; gives what it is told first. Throws `too_many`. */
  take(account: string, link: Link, haveBytes: Uint8Array | undefined) {
    if (!this.neighbours.has(account) && this.neighbours.size >= MOST_NEIGHBOURS) {
      throw new Fault('too_many', `joining those who fetch a file: ${MOST_NEIGHBOURS} are here already`);
    }
    const there = this.neighbours.get(account);
    const neighbour = there?.link === link ? there : this.#admit(account, link, false);
    this.#learn(neighbour, haveBytes);
    neighbour.ready = true;
    const { held } = neighbour;
    this.#listener?.joined(account, held);
    if (!this.#seeding)
      return { have: toBase64url(this.held.whole.bytes()), slices: this.#slices(), fetching: this.fetching };
    this.#seeding.add(account, held, performance.now(), this.#options.membersOf(this.hash).size <= 2);
    this.#show();
    const isAll = this.#seeding.isShownAll(account);
    return { have: toBase64url((isAll ? full(this.shape) : this.held.whole).bytes()), slices: [], fetching: false };
  }

  #slices(): [number, number][] {
    return [...this.held.slices].slice(0, MOST_TOLD);
  }

  /** What a neighbour says that it has more than before. */
  hear(account: string, said: Have): void {
    const neighbour = this.neighbours.get(account);
    if (!neighbour) return;
    for (const chunk of said.chunks) this.#gain(neighbour, chunk);
    if (said.all) for (let chunk = 0; chunk < this.shape.chunks; chunk++) this.#gain(neighbour, chunk);
    for (const chunk of said.lost) neighbour.held.loseSlices(chunk);
    for (const [chunk, mask] of said.slices) neighbour.held.addSlices(chunk, mask);
    if (neighbour.ready) this.#listener?.news(account);
    this.#seeding?.came(account, performance.now());
    if (this.#seeding) this.#show();
  }

  drop(account: string, link?: Link): void {
    const neighbour = this.neighbours.get(account);
    if (!neighbour || (link && neighbour.link !== link)) return;
    this.neighbours.delete(account);
    this.#seeding?.remove(account);
    this.#listener?.left(account);
    if (this.neighbours.size === 0 && !this.#listener) this.#onEmpty();
    else if (this.#seeding) this.#showSoon(0);
  }

  /** A slice is written here, its chunk not whole yet. */
  wrote(chunk: number, slice: number): void {
    this.held.addSlices(chunk, 1 << slice);
    this.#eachTold((neighbour) => neighbour.slices.set(chunk, (neighbour.slices.get(chunk) ?? 0) | (1 << slice)));
  }

  /** A chunk is verified here. */
  gained(chunk: number): void {
    this.held.gain(chunk);
    this.#eachTold((neighbour) => {
      neighbour.slices.delete(chunk);
      neighbour.chunks.add(chunk);
    });
  }

  /** The slices of a chunk were wrong. */
  lost(chunk: number): void {
    this.held.loseSlices(chunk);
    this.#eachTold((neighbour) => {
      neighbour.slices.delete(chunk);
      neighbour.lost.add(chunk);
    });
  }

  #eachTold(note: (neighbour: Neighbour) => void): void {
    for (const neighbour of this.neighbours.values()) note(neighbour);
    this.#tellSoon();
  }

  #tellSoon(): void {
    if (this.#telling) return;
    // The first of a pause goes at once; in a stream of them, those of a while go together.
    const wait = Math.max(0, this.#toldAt + TELL_MS - performance.now());
    this.#telling = setTimeout(() => this.#tell(), wait).unref();
  }

  #tell(): void {
    this.#telling = undefined;
    this.#toldAt = performance.now();
    for (const neighbour of this.neighbours.values()) {
      const { link, ready, all, chunks, slices, lost } = neighbour;
      if (!ready || (!all && chunks.size + slices.size + lost.size === 0)) continue;
      link.notify(have, {
        hash: this.hash,
        all,
        chunks: takeFrom(chunks, MOST_TOLD),
        lost: takeFrom(lost, MOST_TOLD),
        slices: takeFrom(slices, MOST_TOLD),
      });
      neighbour.all = false;
      if (chunks.size + slices.size + lost.size > 0) this.#tellSoon();
    }
  }

  #showSoon(ms: number): void {
    clearTimeout(this.#showing);
    this.#showing = setTimeout(() => this.#show(), ms).unref();
  }

  /** Shows those who fetch what is their turn; and looks again later, for some of it may never come. */
  #show(): void {
    if (!this.#seeding) return;
    for (const [account, showing] of this.#seeding.show(performance.now())) this.#showTo(account, showing);
    this.#tell();
    this.#showSoon(SHOW_MS);
  }

  #showTo(account: string, showing: Showing): void {
    const neighbour = this.neighbours.get(account);
    if (!neighbour) return;
    if (showing === 'all') neighbour.all = true;
    else for (const [chunk, mask] of showing) neighbour.slices.set(chunk, (neighbour.slices.get(chunk) ?? 0) | mask);
  }

  /** The fetch is over. Whole, it is served on; else neighbours hear that nothing more comes from here. */
  end({ whole }: { whole: boolean }): void {
    this.stop.abort(new Fault('cancelled', 'fetching a file: it ended'));
    this.#listener = undefined;
    if (whole) this.#tell();
    if (whole && this.neighbours.size > 0) return;
    this.close();
    this.#onEmpty();
  }

  close(): void {
    this.stop.abort(new Fault('cancelled', 'the node stops'));
    clearTimeout(this.#telling);
    clearTimeout(this.#showing);
    for (const { link } of this.neighbours.values()) link.notify(leave, { hash: this.hash });
    this.neighbours.clear();
  }
}

export class Exchange {
  readonly #options: ExchangeOptions;
  readonly #topics = new Map<string, Topic>();
  readonly #rates = new WeakMap<Link, Rate>();

  constructor(options: ExchangeOptions) {
    this.#options = options;
    options.signal.addEventListener('abort', () => {
      for (const topic of this.#topics.values()) topic.close();
      this.#topics.clear();
    });
  }

  /** A fetch begins: `members` are looked for. The caller ends the topic. */
  open(options: { hash: string; shape: Shape; held: Held; listener: Listener; members: readonly string[] }): Topic {
    const { hash, members } = options;
    this.#topics.get(hash)?.close();
    const topic = this.#topic(hash, options.shape, options.held, options.listener);
    topic.seek(members);
    return topic;
  }

  #topic(hash: string, shape: Shape, held?: Held, listener?: Listener): Topic {
    const onEmpty = (): void => {
      if (this.#topics.get(hash) !== topic) return;
      topic.close();
      this.#topics.delete(hash);
    };
    const topic: Topic = new Topic({ hash, shape, held, listener, exchange: this.#options, onEmpty });
    this.#topics.set(hash, topic);
    return topic;
  }

  /** The account can be reached. */
  online(account: string): void {
    for (const topic of this.#topics.values()) topic.online(account);
  }

  async join(hash: string, haveText: string, link: Link): Promise<ReturnType<Topic['take']>> {
    const account = link.account?.account ?? '';
    if (!this.#mayJoin(link)) throw new Fault('too_many', 'joining those who fetch a file: too often; wait a second');
    if (!this.#options.mayHave(account, hash)) {
      throw new Fault('forbidden', 'joining those who fetch a file: this account was not offered it');
    }
    const bytes = fromBase64url(haveText);
    const known = this.#topics.get(hash);
    if (known && (known.fetching || known.isWholeNow)) return known.take(account, link, bytes);
    const shape = await this.#options.wholeHere(hash);
    const topic = this.#topics.get(hash);
    if (shape && link.open) {
      const found = topic ?? this.#topic(hash, shape);
      found.sawWhole();
      return found.take(account, link, bytes);
    }
    this.#options.onWanted(hash);
    throw new Fault('unknown_id', 'joining those who fetch a file: nothing of it is here now');
  }

  #mayJoin(link: Link): boolean {
    const rate = this.#rates.get(link) ?? new Rate({ ...JOINS, clock: this.#options.clock });
    this.#rates.set(link, rate);
    return rate.take();
  }

  hear(said: Have, account: string): void {
    this.#topics.get(said.hash)?.hear(account, said);
  }

  leave(hash: string, account: string): void {
    this.#topics.get(hash)?.drop(account);
  }
}

/** Adds what the exchange answers on links; it may be made later. */
export function attachExchange(router: Router, exchange: () => Exchange): void {
  const needs = { needs: needsAccount };
  router.handle(join, (params, { link }) => exchange().join(params.hash, params.have, link), needs);
  router.on(have, (said, { link }) => exchange().hear(said, link.account?.account ?? ''), needs);
  router.on(leave, ({ hash }, { link }) => exchange().leave(hash, link.account?.account ?? ''), needs);
}

/** Takes up to `most` out of a set or a map. */
function takeFrom<T>(from: Iterable<T> & { size: number; clear(): void }, most: number): T[] {
  const taken = [...from].slice(0, most);
  const rest = [...from].slice(most);
  from.clear();
  if (from instanceof Set) for (const each of rest) from.add(each);
  else if (from instanceof Map) for (const each of rest) if (Array.isArray(each)) from.set(each[0], each[1]);
  return taken;
}

function full(shape: Shape): Held['whole'] {
  const held = new Held(shape.chunks);
  for (let chunk = 0; chunk < shape.chunks; chunk++) held.gain(chunk);
  return held.whole;
}
