/**
 * The rule against reflection: a tracker offers an address to strangers only after it has reached the announcer's key
 * there itself, so that nobody can send a crowd to a victim by announcing the victim's address. [D-20] to [D-23]
 */
import { Budget, deadline } from '../base/async.ts';
import type { Clock } from '../base/clock.ts';
import { Rate } from '../base/rate.ts';
import { formatAddress, parseAddress, scopeOf } from '../link/address.ts';
import { MOST_ADDRESSES } from './record.ts';

/**
 * Dials `address` once and says whether the key `node` answers there. Never throws for what the other side does. `may`: whether the host
 * that a name leads to may be dialled now, for many names may lead to one.
 */
export type Check = (
  address: string,
  node: string,
  signal: AbortSignal,
  may: (host: string) => boolean,
) => Promise<boolean>;

/** Milliseconds for one address: a handshake over any sane path, and short enough to be of no use as a weapon. */
const CHECK_MS = 2000;
/** Dials at once for one announcer, and in all. */
const MOST_EACH = 4;
const MOST_AT_ONCE = 32;
/** Dials in a minute to the host at which the announcers are seen: a classroom behind one router starts up within that. */
const MOST_PER_HOST = 120;
/** To any other host, whoever asks for them: enough for one machine with all its addresses, too few to hurt a victim. */
const MOST_ELSEWHERE = 8;
/** Milliseconds that an answer counts, good or bad, before the same address is dialled again. */
const GOOD_MS = 10 * 60_000;
export const BAD_MS = 60_000;
/** Answers and hosts that are remembered. */
const MOST_REMEMBERED = 50_000;

export class DialBack implements Disposable {
  readonly #check: Check;
  readonly #clock: Clock;
  readonly #checkMs: number;
  readonly #places = new Budget(MOST_AT_ONCE);
  readonly #known = new Map<string, { good: boolean; at: number }>();
  readonly #pending = new Map<string, Promise<void>>();
  readonly #stop = new AbortController();
  readonly #hosts = new Map<string, Rate>();

  constructor(options: { check: Check; clock: Clock; checkMs?: number }) {
    this.#check = options.check;
    this.#clock = options.clock;
    this.#checkMs = options.checkMs ?? CHECK_MS;
  }

  /** Addresses that are being dialled, or wait for it. */
  get waiting(): number {
    return this.#pending.size;
  }

  /** Those of the candidates that answered lately. */
  reached(node: string, addresses: readonly string[], observed: string): string[] {
    return candidates(addresses, observed).filter((address) => this.#remembered(node, address) === true);
  }

  /**
   * Dials each candidate that was not dialled lately, once, however many ask for it, and calls `found` after each answer.
   * Settles when all have answered; never rejects.
   */
  async verify(node: string, addresses: readonly string[], observed: string, found: () => void): Promise<void> {
    const each = new Budget(MOST_EACH);
    await Promise.all(
      candidates(addresses, observed).map(async (address) => {
        if (this.#remembered(node, address) !== undefined) return;
        const key = `${node} ${address}`;
        const pending =
          this.#pending.get(key) ?? this.#dial(node, address, observed, each).finally(() => this.#pending.delete(key));
        this.#pending.set(key, pending);
        await pending;
        if (!this.#stop.signal.aborted) found();
      }),
    );
  }

  /** An announcer that leaves meanwhile changes nothing: else announcing and leaving at once would make a dial free. */
  async #dial(node: string, address: string, observed: string, each: Budget): Promise<void> {
    const { signal } = this.#stop;
    try {
      using _place = await each.take(1, signal);
      using _placeInAll = await this.#places.take(1, signal);
      if (!this.#mayDialNow(parseAddress(address).host, observed)) return; // not remembered: the next announce tries again
      using limit = deadline(this.#checkMs, `dialling back "${address}"`, signal);
      const may = (host: string): boolean => this.#mayDialNow(host, observed);
      const good = await this.#check(address, node, limit, may).catch(() => false);
      this.#remember(node, address, good);
    } catch {
      // stopped, or too many wait: the address stays unverified until the next announce
    }
  }

  /** Stops the dials under way. */
  [Symbol.dispose](): void {
    this.#stop.abort();
  }

  #remembered(node: string, address: string): boolean | undefined {
    const known = this.#known.get(`${node} ${address}`);
    if (!known || this.#clock.now() - known.at >= (known.good ? GOOD_MS : BAD_MS)) return undefined;
    return known.good;
  }

  #remember(node: string, address: string, good: boolean): void {
    evictOldest(this.#known);
    this.#known.delete(`${node} ${address}`);
    this.#known.set(`${node} ${address}`, { good, at: this.#clock.now() });
  }

  #mayDialNow(host: string, observed: string): boolean {
    // Each has its own: who is there for real is dialled also while others say that they are.
    const isOwn = host === observed;
    const key = isOwn ? `own ${host}` : host;
    const most = isOwn ? MOST_PER_HOST : MOST_ELSEWHERE;
    const rate = this.#hosts.get(key) ?? new Rate({ burst: most, perSecond: most / 60, clock: this.#clock });
    evictOldest(this.#hosts);
    this.#hosts.set(key, rate);
    return rate.take();
  }
}

function evictOldest(map: Map<string, unknown>): void {
  if (map.size < MOST_REMEMBERED) return;
  for (const oldest of map.keys()) {
    map.delete(oldest);
    return;
  }
}

/**
 * What is worth a dial, at most 8: first the observed host with the announced ports, then what was announced. Left out is
 * what only somebody nearer than the announcer could mean: a tracker must not be sent to its own loopback by a stranger,
 * nor to its own network by somebody outside of it. [D-21]
 */
export function candidates(addresses: readonly string[], observed: string): string[] {
  const seenFrom = scopeOf(observed);
  const announced = addresses.map(parseAddress);
  const allowed = announced.filter(({ host }) => {
    const scope = scopeOf(host);
    return scope === 'public' || scope === seenFrom || (scope === 'private' && seenFrom === 'loopback');
  });
  const ports = [...new Set(announced.map(({ port }) => port))].slice(0, 2);
  const own = isAddressable(observed) ? ports.map((port) => ({ host: observed, port })) : [];
  return [...new Set([...own, ...allowed].map(formatAddress))].slice(0, MOST_ADDRESSES);
}

/** A link that is no network connection (two ends in memory) comes from no host. */
const isAddressable = (observed: string): boolean => /[.:]/.test(observed);
