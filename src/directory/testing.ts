/** A tracker and its guests joined in memory, with a clock that stands until it is told. For tests. */
import type { Clock } from '../base/clock.ts';
import { silentLog } from '../base/log.ts';
import { Store } from '../base/sqlite.ts';
import { bind } from '../link/binding.ts';
import type { HelloInfo } from '../link/hello.ts';
import { Key } from '../link/identity.ts';
import type { Link } from '../link/link.ts';
import { pair } from '../link/pair.ts';
import { Router } from '../link/router.ts';
import { Admins } from './admin.ts';
import { AdminServer } from './admin-server.ts';
import { reannounce } from './admin-wire.ts';
import { type Check, DialBack } from './dialback.ts';
import { Joining } from './joining.ts';
import { changed } from './messages.ts';
import { type Claim, type DirectoryRecord, signRecord } from './record.ts';
import { DirectoryServer } from './server.ts';
import { DirectoryTable } from './table.ts';

/** A clock that tests turn. */
export class HandClock implements Clock {
  at: number;

  constructor(at = 1_800_000_000_000) {
    this.at = at;
  }

  now(): number {
    return this.at;
  }

  pass(ms: number): void {
    this.at += ms;
  }
}

export const helloOf = (role: 'node' | 'tracker', account: HelloInfo['account'] = null): HelloInfo => ({
  protocol: { min: 1, max: 1 },
  software: 'test',
  role,
  account,
});

type Changed = ReturnType<typeof changed.params.parse>;

/** Somebody with an account key and a node key. */
export class Guest {
  readonly account = Key.generate();
  readonly node = Key.generate();
  readonly name: string;
  readonly clock: Clock;
  readonly heard: Changed[] = [];
  /** Settles when the tracker asks it to announce anew. */
  readonly recalled = Promise.withResolvers<void>();
  readonly #waiting: { until: (heard: readonly Changed[]) => boolean; resolve: () => void }[] = [];

  constructor(name: string, clock: Clock) {
    this.name = name;
    this.clock = clock;
  }

  get hello(): HelloInfo {
    return helloOf('node', bind(this.account, `${this.name}@lab`, this.node.id, this.clock.now()));
  }

  record(over: Partial<Claim> = {}): DirectoryRecord {
    return signRecord(this.account, {
      handle: `${this.name}@lab`,
      node: this.node.id,
      addresses: [],
      status: 'online',
      text: '',
      seq: this.clock.now(),
      until: this.clock.now() + 90_000,
      ...over,
    });
  }

  get router(): Router {
    return new Router()
      .on(reannounce, () => this.recalled.resolve())
      .on(changed, (notice) => {
        this.heard.push(notice);
        for (const waiting of this.#waiting) if (waiting.until(this.heard)) waiting.resolve();
      });
  }

  /** Settles when the pushed changes are as `until` wants them. */
  hears(until: (heard: readonly Changed[]) => boolean): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (until(this.heard)) resolve();
    this.#waiting.push({ until, resolve });
    return promise;
  }
}

/** A tracker of the zone `lab` without a network. */
export class Lab {
  readonly clock: HandClock;
  readonly key = Key.generate();
  readonly store: Store;
  readonly table: DirectoryTable;
  readonly server: DirectoryServer;
  readonly router = new Router();
  readonly admins = new Admins();
  readonly joining: Joining;
  readonly #links = new Set<Link>();

  constructor(
    options: { clock?: HandClock; store?: Store; check?: Check; ttlMs?: number; returnWithinMs?: () => number } = {},
  ) {
    this.clock = options.clock ?? new HandClock();
    this.store = options.store ?? new Store(':memory:');
    this.table = new DirectoryTable({
      store: this.store,
      clock: this.clock,
      ...(options.ttlMs !== undefined && { ttlMs: options.ttlMs }),
    });
    const dialBack = new DialBack({ check: options.check ?? (async () => false), clock: this.clock });
    const { store, clock, key, admins, table } = this;
    this.joining = new Joining({ store, clock, key, admins });
    new AdminServer({
      table,
      joining: this.joining,
      admins,
      zones: ['lab'],
      inviteOf: (zone) => ({ peer: key.id, addresses: ['192.0.2.1:22236'], zone }),
      links: () => this.#links,
      log: silentLog(),
    }).attach(this.router);
    this.server = new DirectoryServer({
      joining: this.joining,
      table: this.table,
      dialBack,
      zones: ['lab'],
      returnWithinMs: options.returnWithinMs,
      clock: this.clock,
      log: silentLog(),
    }).attach(this.router);
  }

  /** The guest's end of a new link, and the tracker's. */
  async link(guest: Guest, hello: HelloInfo = guest.hello): Promise<[Link, Link]> {
    const ends = await pair(
      { router: guest.router, self: hello, id: guest.node.id },
      { router: this.router, self: helloOf('tracker'), id: this.key.id },
      this.clock,
    );
    this.#links.add(ends[1]);
    return ends;
  }
}
