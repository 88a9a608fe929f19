/** Links to trackers of other zones: opened when one is to be asked, kept while they are used, never more than so many. */
import { abortable, deadline, sleep } from '../base/async.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Link } from '../link/link.ts';
import type { At } from './cache.ts';
import type { Server } from './delegation.ts';
import { mayDial } from './referral.ts';

/** Dials one address of a tracker and gives a greeted link to the key `expect`; a name must not lead into a narrower network than `scope`. */
export type DialServer = (address: string, expect: string, scope: At['scope'], signal: AbortSignal) => Promise<Link>;

/** Links at once; past it the one that was used longest ago is closed. */
const MOST_LINKS = 64;
/** Milliseconds without a use after which a link is closed. */
const IDLE_MS = 120_000;
/** Milliseconds that one address has before the next one is tried beside it. */
const HEAD_START_MS = 250;
const DIAL_MS = 2000;
/** Milliseconds for which those who want the same tracker wait for one dial. */
const SHARED_MS = 500;

/** Milliseconds for which who did not answer is not dialled again, doubled each time. */
const REST = { firstMs: 100, mostMs: 1000 };
const MOST_RESTING = 1000;

type Resting = { until: number; ms: number; fault: Fault };
type Kept = { link: Link; used: number };

export class ZoneLinks implements AsyncDisposable {
  readonly #dial: DialServer;
  readonly #links = new Map<string, Kept>();
  readonly #dialling = new Map<string, { link: Promise<Link>; since: number }>();
  readonly #resting = new Map<string, Resting>();
  readonly #stop = new AbortController();
  readonly #timer: NodeJS.Timeout;

  constructor(options: { dial: DialServer }) {
    this.#dial = options.dial;
    this.#timer = setInterval(() => this.#closeIdle(), IDLE_MS / 4).unref();
  }

  /** The link that stands to this tracker. */
  get(peer: string): Link | undefined {
    const kept = this.#links.get(peer);
    return kept?.link.open ? kept.link : undefined;
  }

  /** A link to the tracker: the one there is, or a new one. Throws what dialling throws. */
  async open(server: Server, scope: At['scope'], signal?: AbortSignal): Promise<Link> {
    const kept = this.#links.get(server.peer);
    if (kept?.link.open) {
      this.#touch(server.peer, kept.link);
      return kept.link;
    }
    let dialling = this.#dialling.get(server.peer);
    const now = performance.now();
    const resting = this.#resting.get(server.peer);
    if (!dialling && resting && resting.until > now) throw resting.fault;
    // One that has got no answer for a while may have begun before the way was open again.
    if (!dialling || now - dialling.since > SHARED_MS) {
      const link = this.#open(server, scope).finally(() => {
        if (this.#dialling.get(server.peer)?.link === link) this.#dialling.delete(server.peer);
      });
      dialling = { link, since: now };
      this.#dialling.set(server.peer, dialling);
      link.then(
        () => this.#resting.delete(server.peer),
        (error: unknown) => this.#rest(server.peer, toFault(error, 'dialling a tracker')), // each waiter hears of it, too
      );
    }
    return await abortable(dialling.link, signal);
  }

  /** A tracker that is down costs a dial now and then, however many ask for it. */
  #rest(peer: string, fault: Fault): void {
    const ms = Math.min((this.#resting.get(peer)?.ms ?? REST.firstMs / 2) * 2, REST.mostMs);
    this.#resting.delete(peer);
    this.#resting.set(peer, { until: performance.now() + ms, ms, fault });
    for (const oldest of this.#resting.keys()) {
      if (this.#resting.size <= MOST_RESTING) break;
      this.#resting.delete(oldest);
    }
  }

  #touch(peer: string, link: Link): void {
    this.#links.delete(peer);
    this.#links.set(peer, { link, used: performance.now() });
  }

  async #open({ peer, addresses }: Server, scope: At['scope']): Promise<Link> {
    const allowed = addresses.filter((address) => mayDial(address, scope));
    if (allowed.length === 0) {
      throw new Fault(
        'bad_referral',
        `dialling the tracker "${peer}": its addresses are in a network that this is not in`,
      );
    }
    const link = await this.#first(allowed, peer, scope);
    if (link.remote.role !== 'tracker') {
      link.close();
      throw new Fault('wrong_key', `dialling the tracker "${peer}": there is a node, not a tracker`);
    }
    if (this.#stop.signal.aborted) {
      link.close();
      throw new Fault('cancelled', 'the program is stopping');
    }
    const other = this.#links.get(peer)?.link;
    if (other?.open) {
      link.close(); // another dial was quicker
      return other;
    }
    this.#touch(peer, link);
    void link.closed.then(() => {
      if (this.#links.get(peer)?.link === link) this.#links.delete(peer);
    });
    for (const [oldest, kept] of this.#links) {
      if (this.#links.size <= MOST_LINKS) break;
      this.#links.delete(oldest);
      kept.link.close();
    }
    return link;
  }

  /** The first address that answers, each with a head start before the next. */
  async #first(addresses: readonly string[], peer: string, scope: At['scope']): Promise<Link> {
    using limit = deadline(DIAL_MS, `dialling the tracker "${peer}"`, this.#stop.signal);
    const over = new AbortController();
    const signal = AbortSignal.any([limit, over.signal]);
    const tries = addresses.map(async (address, at) => {
      if (at > 0) await sleep(at * HEAD_START_MS, signal);
      const link = await this.#dial(address, peer, scope, signal);
      if (over.signal.aborted) link.close(); // another address was quicker
      return link;
    });
    try {
      return await abortable(Promise.any(tries), limit);
    } catch (error) {
      throw error instanceof AggregateError
        ? toFault(error.errors[0], `dialling "${peer}"`, 'peer_unreachable')
        : error;
    } finally {
      over.abort(new Fault('cancelled', 'another address answered'));
    }
  }

  #closeIdle(): void {
    const now = performance.now();
    for (const [peer, { link, used }] of this.#links) {
      if (now - used < IDLE_MS) continue;
      this.#links.delete(peer);
      link.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#stop.abort(new Fault('cancelled', 'the program is stopping'));
    const links = [...this.#links.values()].map(({ link }) => link);
    for (const link of links) link.close();
    await Promise.all(links.map((link) => link.closed));
  }
}
