/** A tracker's part in zones, put together: what it serves and signs, whom it asks, and who may ask it. */
import type { Clock } from '../base/clock.ts';
import { toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Store } from '../base/sqlite.ts';
import { Finder } from '../directory/finder.ts';
import { GuestBook, Guests } from '../directory/guests.ts';
import type { SharedZones } from '../directory/shared-zones.ts';
import type { DirectoryTable } from '../directory/table.ts';
import { dialZonesWith, namesWith } from '../directory/zone-dial.ts';
import { ZoneKeeper } from '../directory/zone-keeper.ts';
import type { DialServer } from '../directory/zone-links.ts';
import { ZoneServer, type ZoneTimes } from '../directory/zone-server.ts';
import { type Served, Zones } from '../directory/zones.ts';
import type { Identity } from '../link/certificate.ts';
import type { HelloInfo } from '../link/hello.ts';
import type { Link } from '../link/link.ts';
import type { Precondition, Router } from '../link/router.ts';

/** Milliseconds from one look at what a cluster says of itself to the next. */
const REFRESH_MS = 3600_000;

export type ZoningOptions = {
  served: readonly Served[];
  identity: Identity;
  table: DirectoryTable;
  store: Store;
  /** In a cluster: what its processes know of zones together, and their guests. */
  shared?:
    | {
        zones: SharedZones;
        book: GuestBook;
        takeGuest(account: string, handle: string, at: number): Promise<void>;
      }
    | undefined;
  router: Router;
  /** Counts an answer to who looks for somebody, and a walk, by a word for what came of it. */
  count?: ((kind: 'answer' | 'walk', outcome: string) => void) | undefined;
  self: () => HelloInfo;
  needsAdmin: Precondition;
  /** Where this tracker is reached, once it listens. */
  addresses: () => readonly string[];
  dns: readonly string[] | null | undefined;
  times: ZoneTimes | undefined;
  /** For tests: puts itself between this and whom it dials. */
  wrap?: ((dial: DialServer) => DialServer) | undefined;
  clock: Clock;
  log: Log;
};

export class Zoning implements AsyncDisposable {
  readonly zones: Zones;
  readonly guests: Guests;
  readonly #finder: Finder;
  readonly #keeper: ZoneKeeper;
  readonly #table: DirectoryTable;
  readonly #log: Log;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ZoningOptions) {
    const { identity, table, store, router, self, clock, log, times, addresses, served, shared } = options;
    this.#table = table;
    this.#log = log;
    const bare = dialZonesWith({ identity, router, self, clock, log });
    const dial = options.wrap?.(bare) ?? bare;
    this.zones = new Zones({
      key: identity.key,
      served,
      addresses,
      changed: (zone, concerns) => {
        server.changed(zone, concerns);
        this.#keeper.changed();
      },
      store,
      shared: shared?.zones,
      clock,
      times,
    });
    const count = options.count ?? (() => {});
    this.#finder = new Finder({
      onWalked: ({ fault, stale }) => count('walk', fault?.code ?? (stale ? 'stale' : 'ok')),
      store,
      clock,
      dial,
      names: namesWith({ dns: options.dns, identity }),
      start: async (handle) => {
        const zone = this.zones.startFor(handle);
        if (zone === undefined) return undefined;
        const { key } = this.zones.apex(zone);
        return { zone, key, servers: [this.zones.self], scope: 'loopback' };
      },
      // As to anybody who shows no account: what comes of it is for everybody who asks here. Addresses are left out for each of them.
      self: {
        peer: identity.id,
        answer: (question) => server.answer(question, { host: '127.0.0.1', asker: undefined }),
      },
    });
    this.guests = new Guests({
      find: (handle, deadlineMs) => this.#finder.find({ handle, deadlineMs }),
      book: shared?.book ?? new GuestBook(store),
      take: shared && ((account, handle, at) => shared.takeGuest(account, handle, at)),
      clock,
    });
    const { zones, guests } = this;
    const { needsAdmin } = options;
    const server = new ZoneServer({ zones, table, finder: this.#finder, guests, needsAdmin, times, clock, log, count });
    server.attach(router);
    this.#keeper = new ZoneKeeper({
      zones,
      // The operator named them: they may be anywhere.
      dial: (address, expect, signal) => dial(address, expect, 'loopback', signal),
      clock,
      log,
    }).attach(router);
  }

  /** Who of another zone uses a room of this tracker is to be found by those who are in it too. [Z-32] */
  met(link: Link): void {
    if (this.#table.isBound(link.account?.account ?? '')) return;
    this.guests.confirm(link).catch((error: unknown) => this.#log.debug({ err: error }, 'a guest is not confirmed'));
  }

  /** Once it listens: the others are told where. */
  async start(): Promise<void> {
    if (this.zones.isShared) await this.#refresh();
    this.#keeper.start();
  }

  /** In a cluster, now and then: what it says of itself is agreed upon before somebody asks. */
  async #refresh(): Promise<void> {
    this.#timer ??= setInterval(() => void this.#refresh(), REFRESH_MS).unref();
    try {
      await this.zones.refresh();
    } catch (error) {
      const { code, message } = toFault(error, 'saying what is served here');
      this.#log.warn({ code, reason: message }, 'the cluster is told again in an hour, or where somebody asks');
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#keeper[Symbol.asyncDispose]();
    await this.#finder[Symbol.asyncDispose]();
  }
}
