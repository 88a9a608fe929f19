/** The door for clients of the classic IM protocol: listens, lets in, and tells everybody what concerns them. (docs/protocol-im.md) */
import { type AddressInfo, createServer, isIP, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { HostedEvent, Hosting } from '../api/hosting.ts';
import { Budget } from '../base/async.ts';
import type { Clock } from '../base/clock.ts';
import { Fault, toFault } from '../base/fault.ts';
import { interfaceIps } from '../base/interfaces.ts';
import type { Log } from '../base/log.ts';
import type { Store } from '../base/sqlite.ts';
import { Client } from './client.ts';
import { Desk } from './commands.ts';
import { Crowd } from './crowd.ts';
import { Files } from './files.ts';
import { Addresses, LIMITS, type Limits } from './limits.ts';
import { Names } from './names.ts';
import { Notice } from './notice.ts';
import { Flush } from './outlet.ts';
import { Records } from './records.ts';
import { Roster } from './roster.ts';

export const IM_PORT = 6666;

/** Connections in all; past it new ones are closed at once. */
const MOST_CONNECTIONS = 20_000;
/** Milliseconds between two looks at how far clients are: after a kill they are sent so much again. */
const TOLD_MS = 5000;
/** Milliseconds after which the system asks a silent client whether it is still there. */
const ALIVE_MS = 30_000;
const HANDSHAKE_MS = 10_000;
/** Passwords that are looked at together, and that wait for it: each takes 16 MiB. */
const PASSWORDS = { together: 2, waiting: 64 };

export type GatewayOptions = {
  hosting: Hosting;
  /** Handle of the hosting node itself, which is nobody to talk to. */
  own: string;
  store: Store;
  /** IP to listen at; default: this machine alone. */
  host?: string | undefined;
  /** 0 for any free one. */
  port: number;
  /** Key and certificate, PEM; without them nothing is encrypted. */
  tls?: { key: string; cert: string } | undefined;
  limits?: Limits | undefined;
  /** Milliseconds between two lists of who is here where nothing changes. */
  rosterMs?: number | undefined;
  clock: Clock;
  log: Log;
};

/** One connected client, as `im list` shows it. */
export type ClientInfo = {
  name: string | null;
  handle: string | null;
  status: string | null;
  address: string;
  form: string;
  since: string;
  receivedBytes: number;
  sentBytes: number;
};

export class Gateway implements AsyncDisposable {
  readonly #options: GatewayOptions;
  readonly #server: Server;
  readonly #records: Records;
  readonly #names: Names;
  readonly #addresses: Addresses;
  readonly #flush: Flush;
  readonly #crowd: Crowd;
  readonly #roster: Roster;
  readonly #desk: Desk;
  readonly #files: Files;
  readonly #connected = new Set<Client>();
  /** Those who have registered, by account. */
  readonly #clients = new Map<string, Client>();
  /** Who has, or is taking, each name. */
  readonly #claims = new Map<string, Client>();
  /** What trackers are told of each name, in its order. */
  readonly #presence = new Map<string, Promise<void>>();
  readonly #passwords = new Budget(PASSWORDS.together, { queue: PASSWORDS.waiting });
  readonly #undo = new DisposableStack();

  constructor(options: GatewayOptions) {
    this.#options = options;
    const { hosting, store, clock, tls } = options;
    this.#records = new Records(store, clock);
    this.#names = new Names(hosting.zone, this.#records.spellings());
    this.#addresses = new Addresses(options.limits ?? LIMITS, clock);
    this.#flush = new Flush({ settled: () => this.#settled(), before: () => this.#crowd.settle() });
    this.#crowd = new Crowd({ clients: this.#clients, soon: () => this.#flush.soon() });
    this.#roster = new Roster({
      who: () => this.#who(),
      clients: () => this.#clients.values(),
      periodMs: options.rosterMs,
    });
    this.#files = new Files({ hosting, clock, secret: this.#records.secret(), base: () => this.#base });
    this.#desk = new Desk({
      hosting,
      records: this.#records,
      names: this.#names,
      crowd: this.#crowd,
      files: this.#files,
      knows: (shown) => this.#here.has(shown),
      admits: (client, name, password) => this.#admits(client, name, password),
      claim: (client, name, { over }) => this.#claim(client, name, over),
      registered: (client) => this.#registered(client),
      presented: () => this.#roster.changed(),
      present: (name, work) => this.#present(name, work),
      log: options.log,
    });
    this.#server = tls
      ? createTlsServer(
          {
            ...tls,
            handshakeTimeout: HANDSHAKE_MS,
            minVersion: 'TLSv1.2',
            noDelay: true,
            keepAlive: true,
            keepAliveInitialDelay: ALIVE_MS,
          },
          (socket) => this.#take(socket),
        )
      : createServer(
          { noDelay: true, keepAlive: true, keepAliveInitialDelay: ALIVE_MS, allowHalfOpen: true },
          (socket) => this.#take(socket),
        );
    this.#server.maxConnections = MOST_CONNECTIONS;
    this.#server.on('tlsClientError', (_error, socket: Socket) => socket.destroy());
  }

  /** Throws `port_taken`, `invalid_argument` (a host that is not this machine's). */
  async start(): Promise<void> {
    const { host = '127.0.0.1', port, hosting, log } = this.#options;
    await listen(this.#server, host, port);
    this.#server.on('error', (error) => log.error({ err: error }, 'the listening socket failed'));
    const end = hosting.on((event) => this.#heard(event));
    const told = setInterval(() => this.#writeTold(), TOLD_MS).unref();
    this.#undo.defer(() => {
      end();
      clearInterval(told);
    });
    this.#undo.use(this.#roster);
    this.#undo.use(this.#files);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port; // a TCP server's address is never a string
  }

  /** `host:port`. */
  get address(): string {
    const { address } = this.#server.address() as AddressInfo; // as above
    return formatAddress(address, this.port);
  }

  get #base(): string {
    const { address, port } = this.#server.address() as AddressInfo; // as above
    const isAny = address === '::' || address === '0.0.0.0';
    const host = isAny ? (interfaceIps()[0] ?? address) : address;
    return `${this.#options.tls ? 'https' : 'http'}://${formatAddress(host, port)}`;
  }

  clients(): ClientInfo[] {
    return [...this.#connected].map((client) => ({
      name: client.user?.shown ?? null,
      handle: client.user?.hosted.handle ?? null,
      status: client.user?.status ?? null,
      address: client.address,
      form: client.form === 6 ? 'json' : `pickle ${client.form}`,
      since: new Date(client.since).toISOString(),
      receivedBytes: client.received,
      sentBytes: client.written,
    }));
  }

  #take(socket: Socket): void {
    const ip = plainIp(socket.remoteAddress ?? '');
    const address = formatAddress(ip, socket.remotePort ?? 0);
    const share = this.#addresses.admit(ip);
    if (!share) {
      const refusal = new Notice('ERROR', `too many connections from ${ip}: end one of them first`);
      socket.on('error', () => socket.destroy());
      socket.end(refusal.in(0));
      return;
    }
    const client = new Client({
      socket,
      address,
      share,
      flush: this.#flush,
      carry: this.#desk.carry,
      onEnd: (ended) => {
        share[Symbol.dispose]();
        this.#ended(ended);
      },
      onHttp: (bytes) => this.#files.take(socket, bytes),
      onTrouble: (_, error) => this.#trouble(address, error),
    });
    client.onDrain(() => this.#roster.drained(client));
    this.#connected.add(client);
  }

  #trouble(address: string, error: unknown): void {
    const fault = toFault(error);
    if (fault.code === 'internal')
      this.#options.log.error({ err: error, from: address }, 'a command of a client failed by a defect');
    else this.#options.log.info({ from: address, why: fault.message }, 'a client was cut');
  }

  /** Throws `unauthenticated`, `too_many`. [P-35] */
  async #admits(client: Client, name: string, password: string | undefined): Promise<{ hasPassword: boolean }> {
    if (!this.#records.hasPassword(name)) return { hasPassword: false };
    if (password === undefined) {
      throw new Fault(
        'unauthenticated',
        `password needed: "${name}" has one; send REGISTER [username, status, password], or "${name}:password" as username`,
      );
    }
    if (!client.share.guess()) throw new Fault('too_many', 'too fast: too many passwords were tried; wait a minute');
    using _place = await this.#passwords.take();
    if (await this.#records.passes(name, password)) return { hasPassword: true };
    throw new Fault('unauthenticated', `password wrong: it is not the one of "${name}"`);
  }

  /** The name is this client's, once it is registered until it ends. */
  #claim(client: Client, name: string, over: boolean): Disposable {
    const other = this.#claims.get(name);
    if (other && !(over && other.user)) throw new Fault('name_taken', `username taken: somebody is here as "${name}"`);
    other?.fail(new Fault('cancelled', `you came in as "${name}" from elsewhere, with the password`), { end: true });
    this.#claims.set(name, client);
    return {
      [Symbol.dispose]: () => {
        const isKept = client.user?.name === name && !client.ended;
        if (!isKept && this.#claims.get(name) === client) this.#claims.delete(name);
      },
    };
  }

  #registered(client: Client): void {
    const account = client.user?.hosted.account;
    if (account === undefined) return;
    this.#clients.set(account, client);
    this.#crowd.changed();
    this.#roster.welcome(client);
  }

  #ended(client: Client): void {
    this.#connected.delete(client);
    const { user } = client;
    if (!user) return;
    const { hosted, name } = user;
    this.#records.tell(this.#crowd.toldTo(client));
    if (this.#clients.get(hosted.account) === client) this.#clients.delete(hosted.account);
    this.#crowd.changed();
    this.#roster.changed();
    if (this.#claims.get(name) !== client) return; // they came in from elsewhere
    this.#claims.delete(name);
    this.#present(name, () => hosted.setOffline()).catch((error: unknown) => {
      this.#options.log.info({ name, err: error }, 'trackers were not told that somebody went');
    });
  }

  /** One after the other, so that what was said last holds. */
  #present(name: string, work: () => Promise<void>): Promise<void> {
    const before = this.#presence.get(name) ?? Promise.resolve();
    const mine = before.then(work, work);
    const kept = mine
      .catch(() => {})
      .finally(() => {
        if (this.#presence.get(name) === kept) this.#presence.delete(name);
      });
    this.#presence.set(name, kept);
    return mine;
  }

  #here = new Map<string, string>();

  /** Status of everybody who is here: users of this door as it knows them, others as the trackers list them. */
  #who(): Map<string, string> {
    const { hosting } = this.#options;
    const here = new Map<string, string>();
    for (const { user } of this.#clients.values()) if (user) here.set(user.shown, user.status);
    // Of users of this door it is known better than trackers have it.
    for (const { handle, status, text } of hosting.others()) {
      if (status === 'offline' || handle === this.#options.own || this.#claims.has(handle.split('@')[0] ?? ''))
        continue;
      here.set(this.#names.show(handle), text === '' ? status : `${status}: ${text}`);
    }
    this.#here = here;
    return here;
  }

  /** A number and a message that somebody has seen are there also after a power cut: an echo is its author's receipt. */
  #settled(): Promise<void> | undefined {
    const [numbers, messages] = [this.#records.settled(), this.#options.hosting.settled()];
    return numbers && messages ? Promise.all([numbers, messages]).then(() => {}) : (numbers ?? messages);
  }

  #heard(event: HostedEvent): void {
    try {
      this.#hear(event);
    } catch (error) {
      this.#options.log.error({ err: toFault(error) }, 'clients were not told of something'); // a full disk, perhaps
    }
  }

  #hear(event: HostedEvent): void {
    switch (event.type) {
      case 'message': {
        const { id, conversation, room, from, kind, to } = event;
        const number = this.#records.numberOf(conversation);
        const text = (kind === 'file' && this.#files.textOf({ ...event, account: to[0] ?? '' })) || event.text;
        this.#crowd.say({ id, conversation, number, from: this.#names.show(from), text, isRoom: room !== null, to });
        return;
      }
      case 'invited': {
        const client = this.#clients.get(event.account);
        client?.tell(
          new Notice('INVITATION', [this.#records.numberOf(event.conversation), this.#names.show(event.from)]),
        );
        return;
      }
      case 'people':
        this.#roster.changed();
        return;
      case 'room':
        return; // the protocol has no word for it
    }
  }

  #writeTold(): void {
    try {
      this.#records.tell(this.#crowd.takeTold());
    } catch (error) {
      this.#options.log.warn(
        { err: toFault(error) },
        'how far clients are was not written down; after a kill they hear it again',
      );
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#undo.dispose();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const client of this.#connected) client.end();
    // Who does not take its last words within a moment is not waited for.
    const connected = [...this.#connected];
    const timer = setTimeout(() => connected.forEach((client) => void client.destroy()), 500);
    await closed;
    clearTimeout(timer);
    await Promise.all(this.#presence.values());
  }
}

async function listen(server: Server, host: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException): void => {
      const what = `listening for IM clients on "${formatAddress(host, port)}"`;
      if (error.code !== 'EADDRINUSE') return reject(toFault(error, what, 'invalid_argument'));
      reject(new Fault('port_taken', `${what}: another program uses this port; choose another one, or 0 for any`));
    };
    server.once('error', fail);
    server.listen({ port, host }, () => {
      server.off('error', fail);
      resolve();
    });
  });
}

const formatAddress = (host: string, port: number): string => `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;

/** An IPv4 address that came in through an IPv6 socket is what it was. */
const plainIp = (ip: string): string => (ip.startsWith('::ffff:') ? ip.slice(7) : ip);
