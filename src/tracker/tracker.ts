/** A tracker, put together: it introduces nodes to each other, and knows nothing of what they say. */
import { chmodSync, mkdirSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { type Clock, systemClock } from '../base/clock.ts';
import { Fault, toFault } from '../base/fault.ts';
import { defaultIp, interfaceIps } from '../base/interfaces.ts';
import { Lock } from '../base/lock.ts';
import type { Log } from '../base/log.ts';
import { Store } from '../base/sqlite.ts';
import { MailServer } from '../chat/mailbox-server.ts';
import { type MailLimits, MailStore } from '../chat/mailbox-store.ts';
import { Orderer } from '../chat/orderer.ts';
import { Admins, needsAdmin } from '../directory/admin.ts';
import { AdminServer } from '../directory/admin-server.ts';
import { isBelow } from '../directory/delegation.ts';
import { type Check, DialBack } from '../directory/dialback.ts';
import { GuestBook } from '../directory/guests.ts';
import { parseZone } from '../directory/handle.ts';
import { DIRECTORY_PATH, directoryHttp } from '../directory/http.ts';
import { encodeInvitation, MOST_INVITE_MS, MOST_USES } from '../directory/invitation.ts';
import { formatInvite, type Invite } from '../directory/invite.ts';
import { Joining, type Policy } from '../directory/joining.ts';
import { MOST_ADDRESSES } from '../directory/record.ts';
import { DirectoryServer } from '../directory/server.ts';
import { SharedDirectory } from '../directory/shared.ts';
import { SharedZones } from '../directory/shared-zones.ts';
import { DirectoryTable } from '../directory/table.ts';
import type { DialServer } from '../directory/zone-links.ts';
import type { ZoneTimes } from '../directory/zone-server.ts';
import { ZoneStore } from '../directory/zone-store.ts';
import type { Served } from '../directory/zones.ts';
import { formatAddress, formatProxied, parseAddress, parseProxied, scopeOf } from '../link/address.ts';
import { type Identity, loadIdentity } from '../link/certificate.ts';
import { acceptChannels } from '../link/channel.ts';
import { type ForwardedHeader, TrustedProxies } from '../link/forwarded.ts';
import { Guard, type Limits } from '../link/guard.ts';
import { type HelloInfo, PROTOCOL } from '../link/hello.ts';
import type { Link } from '../link/link.ts';
import { type HttpHandler, Listener } from '../link/listen.ts';
import { MOST_BATCH } from '../link/message.ts';
import { ProxiedListener } from '../link/proxied.ts';
import { Router } from '../link/router.ts';
import type { Advert } from '../reach/lan.ts';
import { come } from '../reach/relay.ts';
import { type RelayLimits, type RelayMode, RelayServer } from '../reach/relay-server.ts';
import { RelayUsage } from '../reach/relay-usage.ts';
import { RELAY_PATH } from '../reach/relay-wire.ts';
import { notSeen, SEEN_PATH, seenHttp } from '../reach/seen.ts';
import { SignalServer } from '../reach/signal-server.ts';
import { StunServer } from '../reach/stun-server.ts';
import { checkWith } from './check.ts';
import { openEmbedded } from './engine/embedded.ts';
import { type Engine, parseEngine } from './engine/engine.ts';
import { Metrics } from './metrics.ts';
import { loadToken, Monitor, parseMonitorAddress } from './monitor.ts';
import { returnWithinMs, sendAway } from './moving.ts';
import { ReadinessCheck } from './readiness.ts';
import { logRefusals } from './refusals.ts';
import { Zoning } from './zoning.ts';

export const TRACKER_PORT = 22_236;

/** A proxy that ends TLS before the tracker. [L-40] */
export type BehindProxy = {
  /** IP and port at which plain HTTP is taken from the proxy; port 0 for any free one. */
  host: string;
  port: number;
  /** `wss://host[:port][/path]` at which the proxy answers; at least one. */
  publicUrls: readonly string[];
  /** IPs and nets of proxies; default: this machine. */
  trusted?: readonly string[] | undefined;
  /** Where the proxy says who its client is; default `x-forwarded-for`. */
  header?: ForwardedHeader | undefined;
};
/** Milliseconds that somebody who came to another process of a cluster may wait for the other side, at most. */
const MEET_MS = 15_000;
/** Milliseconds after which a restarted tracker answers again, mostly: what a refused newcomer is told to wait. */
const RETRY_MS = 5000;

export type TrackerOptions = {
  /** Folder of `tracker.key`, `tracker.db` (in a cluster `cluster.db`) and `tracker.lock`; made if missing. */
  home: string;
  /** IP to listen on; default all of the machine's. */
  host?: string | undefined;
  /** Default 22236; 0 for any free one. */
  port?: number | undefined;
  zone: string;
  /** Further zones that it serves. */
  zones?: readonly string[] | undefined;
  /** Trackers of the zones above; each is that of all zones here below its own. */
  parents?: readonly Invite[] | undefined;
  /** Trackers that have the key of a zone here, which this one serves too. */
  primaries?: readonly Invite[] | undefined;
  /** DNS servers, IP or IP:port, that are asked for zones out in the world; default: the machine's; null: none. */
  dns?: readonly string[] | null | undefined;
  /** Whether it holds letters for those who are away; default true. */
  mailbox?: boolean | undefined;
  /** `nats://HOST[,HOST]` for one of a cluster; default `embedded`: this process alone. [K-2] */
  engine?: string | undefined;
  /** Whom its zone takes in, whatever its admins say; default: what they say, `open` until then. */
  policy?: Policy | undefined;
  /** What one address and one key may ask; default: `LIMITS`. */
  limits?: Partial<Limits> | undefined;
  /** `host:port` of other machines at which a tracker with this one's key answers: they stand in its invites. */
  elsewhere?: readonly string[] | undefined;
  /** `PORT` or `HOST:PORT` of plain HTTP for health, readiness and metrics; default none: they stand at its own port alone. */
  metrics?: string | undefined;
  /** Ids of the accounts that administer its zone; default none. */
  admins?: readonly string[] | undefined;
  /** Where its proxy reaches it, and where the proxy is reached; default: it stands behind none. */
  behindProxy?: BehindProxy | undefined;
  /** For whom it passes bytes on between two nodes that reach each other in no other way; default `zones`. [N-20] */
  relay?: RelayMode | undefined;
  /** How much of that one account may have; default: as `RelayServer` says. [N-21] */
  relayLimits?: Partial<RelayLimits> | undefined;
  log: Log;
  clock?: Clock;
  /** Name and version of the program, for people. */
  software?: string;
  /** For tests: how an announced address is dialled back, and the table's times in milliseconds. */
  check?: Check;
  ttlMs?: number;
  graceMs?: number;
  /** Lists, finds and watches that one link may ask for in a minute; default 600. [D-14] */
  readsPerMinute?: number | undefined;
  /** For tests: milliseconds that others may keep what is said of zones; who is dialled in place of whom. */
  zoneTimes?: ZoneTimes;
  dialZones?: ((dial: DialServer) => DialServer) | undefined;
  /** For tests: how much mail is held. */
  mailLimits?: MailLimits;
};

type Running = {
  identity: Identity;
  listener: Listener;
  directory: DirectoryServer;
  joining: Joining;
  guard: Guard;
  readiness: ReadinessCheck;
  monitor: Monitor;
  table: DirectoryTable;
  addresses: string[];
  proxied: ProxiedListener | undefined;
  zoning: Zoning;
  relay: RelayServer;
};

export class Tracker implements AsyncDisposable {
  readonly zone: string;
  /** All zones that it serves, `zone` first. */
  readonly zones: readonly string[];
  readonly #options: TrackerOptions;
  readonly #clock: Clock;
  readonly #elsewhere: readonly string[];
  readonly #undo = new AsyncDisposableStack();
  /** Who administers its zone. */
  readonly admins: Admins;
  #running: Running | undefined;

  /** Throws `invalid_argument` for a zone that is none. */
  constructor(options: TrackerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.zone = parseZone(options.zone);
    this.zones = [...new Set([this.zone, ...(options.zones ?? []).map(parseZone)])];
    this.admins = new Admins(options.admins);
    this.#elsewhere = (options.elsewhere ?? []).map((text) => formatAddress(parseAddress(text)));
  }

  /**
   * Throws `agent_running`, `port_taken`, `corrupt` (its key or store), `invalid_argument` (its host or engine), `unwritable`; in
   * a cluster also `tracker_down` (no NATS), `unauthenticated` (NATS lets it not in), `wrong_key` (the cluster is another tracker's).
   */
  async start(): Promise<void> {
    try {
      this.#running = await this.#start();
    } catch (error) {
      await this.#undo.disposeAsync();
      throw error;
    }
  }

  async #start(): Promise<Running> {
    const { home, host, log, ttlMs, graceMs } = this.#options;
    const clock = this.#clock;
    const undo = this.#undo;
    makeHome(home);
    undo.use(Lock.take(join(home, 'tracker.lock'), 'tracker'));
    const identity = await loadIdentity(join(home, 'tracker.key'));
    const engine = undo.use(await this.#openEngine(identity.id));
    const { store, settled, shared } = engine;
    // In a cluster it is made anew from what is shared, at each start.
    const agreed = shared ? undo.use(new Store(':memory:')) : store;
    const table = new DirectoryTable({
      store: agreed,
      clock,
      ...(shared && { epoch: shared.born }),
      ...(ttlMs !== undefined && { ttlMs }),
      ...(graceMs !== undefined && { graceMs }),
    });
    let addresses: string[] = [];
    let direct: string[] = [];
    const dialBack = undo.use(new DialBack({ check: this.#options.check ?? checkWith(identity), clock }));
    const { admins, zones } = this;
    const joining = new Joining({ store: agreed, clock, key: identity.key, admins, given: this.#options.policy });
    const book = shared && new GuestBook(agreed);
    const writer = shared && new SharedDirectory({ table, shared, joining, guests: book, clock, graceMs, log });
    await writer?.start();
    const served = servedBy(this.zones, this.#options);
    const isCopy = (zone: string): boolean => served.some((each) => each.zone === zone && each.primary !== undefined);
    const facts =
      shared && undo.use(new SharedZones({ shared: shared.zones, local: new ZoneStore(store), isCopy, log }));
    await facts?.start();
    const { readsPerMinute } = this.#options;
    const directory = undo.use(
      new DirectoryServer({
        table,
        writer,
        dialBack,
        joining,
        zones,
        readsPerMinute,
        returnWithinMs: () => returnWithinMs(listener.links.size + (proxied?.links.size ?? 0)),
        clock,
        log,
      }),
    );
    const guard = new Guard({ limits: this.#options.limits, clock });
    undo.use(logRefusals(guard.refused, log));
    const readiness = new ReadinessCheck({ store, clock, trouble: shared?.trouble });
    let letters: MailStore | undefined;
    const links = (): ReadonlySet<Link> => linksOf({ listener, proxied });
    const metrics = new Metrics({
      guard,
      looked: {
        links,
        accounts: () => ({ known: table.size, online: table.online }),
        handles: () => table.bound,
        watchers: () => directory.watchers,
        dialBacks: () => dialBack.waiting,
        mail: () => letters?.totals('all'),
        relay: () => relay.totals,
        zones: () => zones.map((zone) => ({ zone, policy: joining.policyOf(zone) })),
        ready: async () => (await readiness.look()).ready,
      },
    });
    const router = new Router({ settled, overseer: metrics });
    directory.attach(router);
    const inviteOf = (zone: string): Invite => ({ ...this.inviteOf(), zone });
    new AdminServer({ table, joining, shared: writer, admins, zones, inviteOf, links, log }).attach(router);
    const software = this.#options.software ?? 'netapp';
    const hello: HelloInfo = { protocol: PROTOCOL, software, role: 'tracker', account: null, batch: MOST_BATCH };
    const self = (): HelloInfo => hello; // one for all links
    acceptChannels(router, { end: (to) => (to === null ? { router, self, onLink: () => {} } : undefined), clock, log });
    const zoning = undo.use(
      new Zoning({
        served,
        identity,
        table,
        store,
        shared: writer && facts && book && { zones: facts, book, takeGuest: (...guest) => writer.takeGuest(...guest) },
        router,
        self,
        needsAdmin: needsAdmin(this.admins),
        count: (kind, outcome) => metrics.lookedUp(kind, outcome),
        addresses: () => addresses,
        dns: this.#options.dns,
        times: this.#options.zoneTimes,
        wrap: this.#options.dialZones,
        clock,
        log: log.child({ room: 'zones' }),
      }),
    );
    if (this.#options.mailbox ?? true) {
      letters = new MailStore({ store, key: identity.key, clock, limits: this.#options.mailLimits });
      const isBound = (account: string): boolean => table.isBound(account);
      const inCluster = shared && { log: shared.mail, store };
      const confirm = (link: Link): Promise<void> => zoning.guests.confirm(link);
      const mail = undo.use(new MailServer({ letters, shared: inCluster, isBound, confirm, clock, log }));
      await mail.start();
      mail.attach(router);
    }
    const signals = new SignalServer({
      admit: (link) => (table.isBound(link.account?.account ?? '') ? undefined : zoning.guests.confirm(link)),
      find: (account, asker) => {
        const known = table.get(account);
        const row = known && table.shown(known, asker);
        return row?.online ? { node: row.record.node, process: writer?.processOf(account) } : undefined;
      },
      siblings: shared?.siblings,
      clock,
    }).attach(router);
    const relay = new RelayServer({
      signals,
      mode: this.#options.relay,
      limits: this.#options.relayLimits,
      isMember: (account) => table.isBound(account),
      addresses: () => (shared ? direct : []),
      usage: new RelayUsage({ store, clock, log }),
      siblings: shared?.siblings,
      forward: ({ token, node, addresses }) =>
        come({ identity, expect: identity.id, addresses, meeting: { token, withinMs: MEET_MS }, onBehalfOf: node }),
      clock,
      log: log.child({ room: 'relay' }),
    }).attach(router);
    const met = (link: Link): void => zoning.met(link);
    const rooms = { key: identity.key, store, shared: shared?.rooms, clock, log: log.child({ room: 'rooms' }), met };
    const orderer = new Orderer(rooms);
    await orderer.start();
    orderer.attach(router);
    const listener = new Listener({
      host,
      port: this.#options.port ?? TRACKER_PORT,
      identity,
      router,
      self,
      clock,
      log,
      guard,
      onLink: (link) => signals.take(link),
    });
    const { behindProxy } = this.#options;
    const proxied =
      behindProxy &&
      new ProxiedListener({
        ...behindProxy,
        proxies: new TrustedProxies(behindProxy.trusted, behindProxy.header),
        key: identity.key,
        router,
        self,
        clock,
        log: log.child({ room: 'proxy' }),
        guard,
        onLink: (link) => signals.take(link),
      });
    const token = loadToken(join(home, 'metrics.token'));
    const monitor = undo.use(new Monitor({ readiness, metrics, token }));
    const route = (path: string, handler: HttpHandler): void => {
      for (const port of proxied ? [listener, proxied] : [listener]) {
        port.route(path, (request, response, context) => {
          response.once('close', () => metrics.answered(path, response.statusCode));
          return handler(request, response, context);
        });
      }
    };
    route(DIRECTORY_PATH, directoryHttp({ table, clock }));
    // Who comes by its own port may have come through a proxy on this machine: the token decides.
    for (const path of ['/healthz', '/readyz', '/metrics']) {
      route(path, (request, response, { path }) => monitor.answer(request, response, { path, open: false }));
    }
    for (const port of proxied ? [listener, proxied] : [listener]) port.visit(RELAY_PATH, (visit) => relay.come(visit));
    const stun = undo.use(new StunServer({ host, clock, log: log.child({ room: 'stun' }) }));
    listener.route(SEEN_PATH, seenHttp({ key: identity.key, clock, addresses: () => direct, stun: () => stun.port }));
    proxied?.route(SEEN_PATH, notSeen);
    route('/invite', (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/plain' }).end(`${this.invite}\n`);
    });
    await listener.start();
    undo.use(listener);
    await stun.start(listener.port);
    if (proxied) {
      await proxied.start();
      undo.use(proxied);
    }
    relay.start();
    undo.use(relay); // before the ports, which wait for what stands on them
    if (this.#options.metrics !== undefined) await monitor.listen(parseMonitorAddress(this.#options.metrics));
    directory.start();
    direct = (await hostsOf(host)).map((ip) => formatAddress({ host: ip, port: listener.port }));
    addresses = behindProxy ? reachable(direct, behindProxy.publicUrls) : direct;
    await zoning.start();
    log.info({ peer: identity.id, addresses, zone: this.zone }, 'the tracker listens');
    return {
      identity,
      listener,
      directory,
      joining,
      guard,
      readiness,
      monitor,
      table,
      addresses,
      proxied,
      zoning,
      relay,
    };
  }

  /** What NATS needs is loaded only where it is used. */
  async #openEngine(peer: string): Promise<Engine> {
    const { home, log } = this.#options;
    const place = parseEngine(this.#options.engine ?? 'embedded');
    if (!place) return openEmbedded(home);
    const { openNats } = await import('./engine/nats.ts');
    return openNats({ place, zone: this.zone, peer, home, clock: this.#clock, log: log.child({ room: 'engine' }) });
  }

  #now(): Running {
    if (this.#running) return this.#running;
    throw new Fault('wrong_state', 'asking the tracker: it has not been started');
  }

  get peer(): string {
    return this.#now().identity.id;
  }

  get port(): number {
    return this.#now().listener.port;
  }

  /** Port at which its proxy reaches it; undefined without one. */
  get proxyPort(): number | undefined {
    return this.#now().proxied?.port;
  }

  /** `host:port`, or `wss://host:port/path` of a proxy, at most 8, the likeliest first. */
  get addresses(): readonly string[] {
    return this.#now().addresses;
  }

  get invite(): string {
    return formatInvite(this.inviteOf());
  }

  inviteOf(): Invite {
    const addresses = [...new Set([...this.addresses, ...this.#elsewhere])].slice(0, MOST_ADDRESSES);
    return { peer: this.peer, addresses, zone: this.zone };
  }

  /**
   * An invite for what runs beside the tracker in its process: its operator has opened it, so who comes in there is let in where the
   * zone takes newcomers by invite alone.
   */
  inviteBeside(): Invite {
    const { joining } = this.#now();
    const invitation = joining.invite(this.zone, { uses: MOST_USES, ttlMs: MOST_INVITE_MS });
    return { ...this.inviteOf(), token: encodeInvitation(invitation) };
  }

  /** What is said of it on the networks of this machine. */
  get advert(): Advert {
    const { peer: id, port, zone } = this;
    return { id, role: 'tracker', port, zone, software: this.#options.software ?? 'netapp' };
  }

  /** `host:port` at which health, readiness and metrics stand by plain HTTP; undefined without an address of their own. */
  get metrics(): string | undefined {
    return this.#now().monitor.address;
  }

  /** What may change while it runs; what is left out falls back to its default. */
  reload(options: Pick<TrackerOptions, 'admins' | 'policy' | 'limits' | 'relay' | 'relayLimits'>): void {
    const { admins, policy, limits, relay: mode, relayLimits } = options;
    const { guard, joining, relay } = this.#now();
    relay.reload(mode, relayLimits);
    this.admins.replace(admins ?? []);
    joining.settle(policy);
    guard.limits = limits ?? {};
  }

  /**
   * Takes no new links, says so at `/readyz`, and sends its nodes elsewhere; settles when they have gone, or after at most
   * `mostMs`. What stands is served until then.
   */
  async drain({ mostMs, signal }: { mostMs: number; signal?: AbortSignal | undefined }): Promise<void> {
    const running = this.#now();
    const { listener, proxied, readiness } = running;
    const links = linksOf(running);
    const { log } = this.#options;
    readiness.draining = true;
    const why = 'opening a link: this tracker is about to stop';
    for (const port of proxied ? [listener, proxied] : [listener]) {
      port.refuseLinks(new Fault('tracker_down', why, { data: { retryAfterMs: RETRY_MS } }));
    }
    log.info({ links: links.size, to: this.#elsewhere, mostMs }, 'the tracker sends its links elsewhere');
    const [left] = await Promise.all([
      sendAway({ links, to: this.#elsewhere, mostMs, clock: this.#clock, signal }),
      running.relay.drain({ mostMs, signal }),
    ]);
    log.info({ left }, 'the tracker stops');
  }

  /** What it knows of zones, and how it finds people of others. */
  get zoning(): Zoning {
    return this.#now().zoning;
  }

  /** Takes offline whose time is over now instead of within a second. */
  sweep(): void {
    this.#now().directory.sweep();
  }

  /** Says goodbye on every link, writes what is not on disk, and lets go of the home. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#running = undefined;
    await this.#undo.disposeAsync();
  }
}

/** Each zone with the tracker above it, and with the one that has its key where that is another one. Throws `invalid_argument`. */
function servedBy(zones: readonly string[], { parents = [], primaries = [] }: TrackerOptions): Served[] {
  const lost = [
    ...parents.filter(({ zone }) => !zones.some((each) => isBelow(each, zone))),
    ...primaries.filter(({ zone }) => !zones.includes(zone)),
  ];
  const [first] = lost;
  if (first) {
    throw new Fault(
      'invalid_argument',
      `serving "${zones.join(', ')}": the tracker of "${first.zone}" was named, which is neither above one of these nor one of them`,
    );
  }
  return zones.map((zone) => {
    const primary = primaries.find((each) => each.zone === zone);
    const above = parents.filter((each) => isBelow(zone, each.zone)).sort((a, b) => b.zone.length - a.zone.length);
    return primary ? { zone, primary } : { zone, parent: above[0] };
  });
}

function makeHome(home: string): void {
  try {
    mkdirSync(home, { recursive: true, mode: 0o700 });
    chmodSync(home, 0o700);
  } catch (error) {
    throw toFault(error, `making the home "${home}"`, 'unwritable');
  }
}

/** IPs that others may reach it at. */
async function hostsOf(host: string | undefined): Promise<string[]> {
  if (host !== undefined && host !== '::' && host !== '0.0.0.0') return [host];
  const ips = host === '0.0.0.0' ? interfaceIps().filter((ip) => isIP(ip) === 4) : interfaceIps();
  return [...new Set([await defaultIp(), ...ips])].slice(0, MOST_ADDRESSES);
}

const linksOf = ({ listener, proxied }: Pick<Running, 'listener' | 'proxied'>): ReadonlySet<Link> =>
  proxied ? new Set([...listener.links, ...proxied.links]) : listener.links;

/** Where others find it: a tracker that listens at this machine's loopback alone is reached through its proxy alone. */
function reachable(direct: readonly string[], publicUrls: readonly string[]): string[] {
  const proxied = publicUrls.map((text) => formatProxied(parseProxied(text))).slice(0, MOST_ADDRESSES);
  const open = direct.filter((address) => scopeOf(parseAddress(address).host) !== 'loopback');
  return [...open.slice(0, MOST_ADDRESSES - proxied.length), ...proxied];
}
