/** One port of this machine's kept reachable from outside, where its router maps ports: by PCP, NAT-PMP or UPnP. [N-60] */
import { Backoff, deadline, sleep } from '../base/async.ts';
import type { Clock } from '../base/clock.ts';
import { type Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { formatAddress, scopeOf } from '../link/address.ts';
import { defaultGateway, type Gateway } from './gateway.ts';
import type { Lease, Protocol, Wish } from './lease.ts';
import { leaseByPcp } from './pcp.ts';
import { leaseByUpnp } from './upnp.ts';

export type MappingOptions = {
  /** The TCP port that is to be reached. */
  port: () => number;
  /** The outside address is another one, or there is none any more. */
  onChange(): void;
  clock: Clock;
  log: Log;
  /** For tests. */
  gateway?: () => Promise<Gateway | undefined>;
  ways?: readonly Way[];
};

type Way = (gateway: Gateway, wish: Wish, signal: AbortSignal) => Promise<Lease>;

export type MappingState = {
  /**
   * `asking`: nothing is known yet; `mapped`; `none`: no router offers it, or there is none; `needless`: this machine stands in no private
   * network.
   */
  state: 'asking' | 'mapped' | 'none' | 'needless';
  by: Protocol | null;
  /** `host:port` at which others reach this machine, as the router says. */
  outside: string | null;
  /** Whether that can be an address of the internet: else another router stands before this one. */
  isPublic: boolean | null;
  /** Unix milliseconds; null: none is mapped, or it holds for good. */
  until: number | null;
  gateway: string | null;
  /** Why there is none. */
  error: Fault | null;
};

/** Milliseconds for all that a router is asked at once: PCP is silent after 3.75 s, UPnP after 3.6. */
const ASK_MS = 20_000;
/** A lease is renewed at half of its time (RFC 6887, section 11.2.1), and sooner: a router that was restarted has forgotten it. [N-62] */
const MOST_RENEW_MS = 15 * 60_000;
const LEAST_RENEW_MS = 10_000;
/** Milliseconds until a router that offers nothing is asked again. */
const AGAIN = { firstMs: 60_000, mostMs: 3600_000 };
/** Milliseconds that giving back may take: who ends does not wait for a router that is gone. */
const RELEASE_MS = 2000;

export class PortMapping implements AsyncDisposable {
  readonly #options: MappingOptions;
  readonly #stop = new AbortController();
  #state: MappingState = {
    state: 'asking',
    by: null,
    outside: null,
    isPublic: null,
    until: null,
    gateway: null,
    error: null,
  };
  #lease: (Lease & { from: Gateway }) | undefined;
  #wake = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: MappingOptions) {
    this.#options = options;
  }

  get state(): MappingState {
    return this.#state;
  }

  /** `host:port` to announce beside the own ones; undefined where nothing is mapped. */
  get address(): string | undefined {
    return this.#state.outside ?? undefined;
  }

  /** Begins to ask; answers at once. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** The network is another one: it is asked again now. */
  renew(): void {
    this.#wake.abort();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    const again = new Backoff(AGAIN);
    while (!signal.aborted) {
      this.#wake = new AbortController();
      const waitMs = await this.#ask(again);
      await sleep(waitMs, AbortSignal.any([signal, this.#wake.signal])).catch(() => {}); // it is time, or it ends
    }
  }

  /** Asks once; gives the milliseconds until the next time. */
  async #ask(again: Backoff): Promise<number> {
    using limit = deadline(ASK_MS, 'asking the router for a port', this.#stop.signal);
    const gateway = await (this.#options.gateway ?? defaultGateway)();
    try {
      if (!gateway || scopeOf(gateway.own) === 'public') {
        this.#show(gateway, undefined, undefined);
        return again.next();
      }
      const lease = await this.#map(gateway, limit);
      this.#show(gateway, lease, undefined);
      again.reset();
      return Math.max(Math.min((lease.seconds * 1000) / 2, MOST_RENEW_MS), LEAST_RENEW_MS);
    } catch (error) {
      if (this.#stop.signal.aborted) return 0;
      this.#show(gateway, undefined, toFault(error, 'asking the router for a port', 'peer_unreachable'));
      return again.next();
    }
  }

  async #map(gateway: Gateway, signal: AbortSignal): Promise<Lease> {
    const port = this.#options.port();
    const held = this.#lease;
    if (held?.from.ip === gateway.ip && held.from.own === gateway.own) {
      try {
        return await held.renew(signal);
      } catch (error) {
        this.#options.log.info({ err: error, by: held.by }, 'the router does not renew the port: it is asked anew');
      }
    }
    const faults: Fault[] = [];
    for (const way of this.#options.ways ?? [leaseByPcp, leaseByUpnp]) {
      try {
        return await way(gateway, { port, outside: held?.outside.port ?? port }, signal);
      } catch (error) {
        faults.push(toFault(error, 'asking the router for a port', 'peer_unreachable'));
        if (signal.aborted) break;
      }
    }
    // That one refuses says more than that another is silent.
    throw faults.find(({ code }) => code !== 'peer_unreachable') ?? faults.at(-1);
  }

  #show(gateway: Gateway | undefined, lease: Lease | undefined, error: Fault | undefined): void {
    const { clock, log, onChange } = this.#options;
    const before = this.#state.outside;
    this.#lease = lease && gateway && { ...lease, from: gateway };
    const isUsable = lease !== undefined && lease.outside.port > 0 && isSomebodys(lease.outside.host);
    this.#state = {
      state: isUsable ? 'mapped' : gateway && scopeOf(gateway.own) === 'public' ? 'needless' : 'none',
      by: isUsable ? lease.by : null,
      outside: isUsable ? formatAddress(lease.outside) : null,
      isPublic: isUsable ? scopeOf(lease.outside.host) === 'public' : null,
      until: isUsable && Number.isFinite(lease.seconds) ? clock.now() + lease.seconds * 1000 : null,
      gateway: gateway?.ip ?? null,
      error: error ?? null,
    };
    if (error) log.debug({ err: error }, 'no port is mapped');
    if (this.#state.outside !== before) onChange();
  }

  /** Gives back what was granted. [N-62] */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
    const lease = this.#lease;
    this.#lease = undefined;
    if (!lease) return;
    await lease.release(AbortSignal.timeout(RELEASE_MS)).catch((error: unknown) => {
      this.#options.log.info({ err: error }, 'the router keeps the mapped port until its time is over');
    });
  }
}

/** Not loopback, nor an address that stands for none or for many: a router that says so has none yet, or lies. [N-63] */
const isSomebodys = (host: string): boolean =>
  scopeOf(host) !== 'loopback' && !/^(?:22[4-9]|2[3-5]\d)\.|^ff/i.test(host);
