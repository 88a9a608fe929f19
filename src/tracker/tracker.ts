/** A tracker, put together: it introduces nodes to each other, and knows nothing of what they say. */
import { chmodSync, mkdirSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
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
import { type Check, DialBack } from '../directory/dialback.ts';
import { parseZone } from '../directory/handle.ts';
import { DIRECTORY_PATH, directoryHttp } from '../directory/http.ts';
import { formatInvite, type Invite } from '../directory/invite.ts';
import { MOST_ADDRESSES } from '../directory/record.ts';
import { DirectoryServer } from '../directory/server.ts';
import { DirectoryTable } from '../directory/table.ts';
import { formatAddress } from '../link/address.ts';
import { type Identity, loadIdentity } from '../link/certificate.ts';
import { type HelloInfo, PROTOCOL } from '../link/hello.ts';
import { Listener } from '../link/listen.ts';
import { MOST_BATCH } from '../link/message.ts';
import { Router } from '../link/router.ts';
import { checkWith } from './check.ts';

export const TRACKER_PORT = 22_236;

export type TrackerOptions = {
  /** Folder of `tracker.key`, `tracker.db` and `tracker.lock`; made if missing. */
  home: string;
  /** IP to listen on; default all of the machine's. */
  host?: string | undefined;
  /** Default 22236; 0 for any free one. */
  port?: number | undefined;
  zone: string;
  /** Whether it holds letters for those who are away; default true. */
  mailbox?: boolean | undefined;
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
  /** For tests: how much mail is held. */
  mailLimits?: MailLimits;
};

type Running = {
  identity: Identity;
  listener: Listener;
  directory: DirectoryServer;
  table: DirectoryTable;
  addresses: string[];
};

export class Tracker implements AsyncDisposable {
  readonly zone: string;
  readonly #options: TrackerOptions;
  readonly #clock: Clock;
  readonly #undo = new AsyncDisposableStack();
  #running: Running | undefined;

  /** Throws `invalid_argument` for a zone that is none. */
  constructor(options: TrackerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.zone = parseZone(options.zone);
  }

  /** Throws `agent_running`, `port_taken`, `corrupt` (its key or store), `invalid_argument` (its host), `unwritable`. */
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
    const store = undo.use(new Store(join(home, 'tracker.db')));
    const table = new DirectoryTable({
      store,
      clock,
      ...(ttlMs !== undefined && { ttlMs }),
      ...(graceMs !== undefined && { graceMs }),
    });
    const dialBack = undo.use(new DialBack({ check: this.#options.check ?? checkWith(identity), clock }));
    const directory = undo.use(
      new DirectoryServer({
        table,
        dialBack,
        zones: [this.zone],
        readsPerMinute: this.#options.readsPerMinute,
        clock,
        log,
      }),
    );
    const router = new Router({ settled: () => store.settled() });
    directory.attach(router);
    if (this.#options.mailbox ?? true) {
      const letters = new MailStore({ store, key: identity.key, clock, limits: this.#options.mailLimits });
      const mail = undo.use(new MailServer({ letters, isBound: (account) => table.isBound(account), clock, log }));
      mail.start();
      mail.attach(router);
    }
    const orderer = new Orderer({ key: identity.key, store, clock, log: log.child({ room: 'rooms' }) });
    orderer.start();
    orderer.attach(router);
    const software = this.#options.software ?? 'netapp';
    const self: HelloInfo = { protocol: PROTOCOL, software, role: 'tracker', account: null, batch: MOST_BATCH };
    const listener = new Listener({
      host,
      port: this.#options.port ?? TRACKER_PORT,
      identity,
      router,
      self: () => self,
      clock,
      log,
      onLink: () => {},
    });
    listener.route(DIRECTORY_PATH, directoryHttp({ table, clock }));
    listener.route('/healthz', (_request, response) => health(response));
    listener.route('/invite', (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/plain' }).end(`${this.invite}\n`);
    });
    await listener.start();
    undo.use(listener);
    directory.start();
    const addresses = (await hostsOf(host)).map((ip) => formatAddress({ host: ip, port: listener.port }));
    log.info({ peer: identity.id, addresses, zone: this.zone }, 'the tracker listens');
    return { identity, listener, directory, table, addresses };
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

  /** `host:port` each, at most 8, the likeliest first. */
  get addresses(): readonly string[] {
    return this.#now().addresses;
  }

  get invite(): string {
    return formatInvite(this.inviteOf());
  }

  inviteOf(): Invite {
    return { peer: this.peer, addresses: [...this.addresses], zone: this.zone };
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

function health(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end('{"status":"ok"}\n');
}
