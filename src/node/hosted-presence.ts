/** One hosted account at the trackers of its node: on each of their links a channel, on which it announces itself. */
import { Backoff, type Budget, sleep } from '../base/async.ts';
import type { Clock } from '../base/clock.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { Announcer } from '../directory/announcer.ts';
import type { DirectoryClient } from '../directory/client.ts';
import * as messages from '../directory/messages.ts';
import type { OwnRecord } from '../directory/own.ts';
import { openChannel } from '../link/channel.ts';
import type { HelloInfo } from '../link/hello.ts';
import type { Link } from '../link/link.ts';
import type { Router } from '../link/router.ts';

/** Waits between tries to be announced where a tracker is there and a channel to it is not. */
const RETRY = { firstMs: 500, mostMs: 30_000 };

/** A channel to a tracker. `isUp`: it has the account's record. */
type Place = { link: Link; announcer: Announcer; isUp: boolean };

export type HostedPresenceOptions = {
  own: OwnRecord;
  directory: DirectoryClient;
  router: Router;
  self: () => HelloInfo;
  /** Channels that are opened at once, over all accounts. */
  opening: Budget;
  clock: Clock;
  log: Log;
  /** Channels on which a tracker has the record came or went. */
  onLinks(links: readonly Link[]): void;
};

export class HostedPresence implements AsyncDisposable {
  readonly #options: HostedPresenceOptions;
  /** By the node's own link to the tracker. */
  readonly #places = new Map<Link, Promise<Place>>();
  readonly #up = new Set<Place>();
  /** Links on which it is tried until it is announced. */
  readonly #keeping = new Set<Link>();
  readonly #stop = new AbortController();
  #isWanted = false;

  constructor(options: HostedPresenceOptions) {
    this.#options = options;
  }

  get isWanted(): boolean {
    return this.#isWanted;
  }

  /** Channels to trackers that have the record. */
  get links(): Link[] {
    return [...this.#up].filter(({ link }) => link.open).map(({ link }) => link);
  }

  /** A channel beside a link of the node to a tracker. */
  async channel(carrier: Link): Promise<Link> {
    return (await this.#place(carrier)).link;
  }

  /** Has the name bound to the account, without showing it to anybody. Throws `name_taken`, `tracker_down`. */
  async claim(): Promise<void> {
    await this.#atAny(async (carrier) => {
      const { link, announcer } = await this.#place(carrier);
      await link.request(messages.hide, { from: [], only: [] });
      await announcer.announce(link);
      await announcer.goodbye(link);
    });
  }

  /** Announces the account to all trackers that are up, and to others when they are; settles when one has taken it. */
  async online(): Promise<void> {
    this.#isWanted = true;
    if (this.#options.directory.links().length === 0) return; // it is announced when one is up
    await this.#atAny(async (carrier) => {
      try {
        await this.#announce(carrier);
      } catch (error) {
        if (toFault(error).retry) void this.#keep(carrier); // whoever waits hears of it, and it goes on
        throw error;
      }
    });
  }

  async offline(): Promise<void> {
    this.#isWanted = false;
    const places = [...this.#places.values()];
    this.#places.clear();
    this.#up.clear();
    await Promise.allSettled(
      places.map(async (opening) => {
        const { link, announcer } = await opening;
        await announcer.goodbye(link);
        announcer[Symbol.dispose]();
        link.close();
      }),
    );
    this.#options.onLinks([]);
  }

  /** A tracker came up or went down. */
  trackersChanged(): void {
    if (!this.#isWanted) return;
    for (const carrier of this.#options.directory.links()) if (!this.#places.has(carrier)) void this.#keep(carrier);
  }

  /** The node has other addresses now. [N-74] */
  moved(): void {
    for (const place of this.#up) {
      if (!place.announcer.isCurrent) void this.#again(place);
    }
  }

  /** Some at a time: a node hosts many. */
  async #again({ link, announcer }: Place): Promise<void> {
    try {
      using _turn = await this.#options.opening.take(1, this.#stop.signal);
      if (link.open) await announcer.announce(link);
    } catch (error) {
      this.#options.log.debug({ err: error }, 'a hosted account with other addresses was not announced yet');
    }
  }

  async #atAny(work: (carrier: Link) => Promise<void>): Promise<void> {
    const carriers = this.#options.directory.links();
    if (carriers.length === 0) {
      throw new Fault('tracker_down', `announcing "${this.#options.own.handle}": no tracker answers; try again later`);
    }
    try {
      await Promise.any(carriers.map(work));
    } catch (error) {
      const faults = error instanceof AggregateError ? error.errors.map((each) => toFault(each)) : [toFault(error)];
      throw faults.find(({ code }) => code === 'name_taken') ?? faults.at(-1) ?? error;
    }
  }

  /** Tries until the tracker has the record, or its link ends. */
  async #keep(carrier: Link): Promise<void> {
    if (this.#keeping.has(carrier)) return;
    this.#keeping.add(carrier);
    await this.#try(carrier).finally(() => this.#keeping.delete(carrier));
  }

  async #try(carrier: Link): Promise<void> {
    const backoff = new Backoff(RETRY);
    for (let first = true; this.#isWanted && carrier.open && !this.#stop.signal.aborted; first = false) {
      if (!first) await sleep(backoff.next(), AbortSignal.any([this.#stop.signal, carrier.signal])).catch(() => {});
      if (!this.#isWanted || !carrier.open) return;
      try {
        return await this.#announce(carrier);
      } catch (error) {
        const fault = toFault(error, 'announcing a hosted account');
        this.#options.log.info({ code: fault.code, reason: fault.message }, 'a hosted account is not announced yet');
        if (!fault.retry) return;
      }
    }
  }

  async #announce(carrier: Link): Promise<void> {
    const place = await this.#place(carrier);
    const { link, announcer } = place;
    if (place.isUp) return await announcer.announce(link);
    await link.request(messages.hide, { from: [], only: null });
    await announcer.begin(link);
    if (!this.#isWanted) return;
    place.isUp = true;
    this.#up.add(place);
    this.#options.onLinks(this.links);
  }

  #place(carrier: Link): Promise<Place> {
    const known = this.#places.get(carrier);
    if (known) return known;
    const opening = this.#open(carrier);
    this.#places.set(carrier, opening);
    const forget = (): void => {
      if (this.#places.get(carrier) === opening) this.#places.delete(carrier);
    };
    opening.then(
      (place) =>
        place.link.closed.then(() => {
          forget();
          place.announcer[Symbol.dispose]();
          if (this.#up.delete(place)) this.#options.onLinks(this.links);
          if (this.#isWanted && carrier.open) void this.#keep(carrier);
        }),
      forget,
    );
    return opening;
  }

  async #open(carrier: Link): Promise<Place> {
    const { own, directory, router, self, opening, clock, log } = this.#options;
    using _turn = await opening.take(1, this.#stop.signal);
    const link = await openChannel(carrier, { to: null, router, self, clock, log, signal: this.#stop.signal });
    const token = directory.tokenOf(carrier.peer); // who may bring in its node may bring in its accounts
    return { link, announcer: new Announcer({ own, token, log, onChange: () => {} }), isUp: false };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Fault('cancelled', 'the node stops'));
    await this.offline();
  }
}
