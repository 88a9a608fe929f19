/**
 * The side that is called, behind a proxy that ends TLS: plain HTTP and WebSocket, from that proxy alone. Keys are proved
 * by signature instead. [L-41] to [L-45]
 */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { WebSocketServer } from 'ws';
import type { Clock } from '../base/clock.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { formatAddress, formatProxied, parseProxied, plainIp } from './address.ts';
import {
  answerHeaders,
  type Challenge,
  isProved,
  newNonce,
  prove,
  readAsk,
  readProof,
  visitChallenge,
} from './challenge.ts';
import type { TrustedProxies } from './forwarded.ts';
import type { Guard } from './guard.ts';
import type { HelloInfo } from './hello.ts';
import type { Key } from './identity.ts';
import { Link } from './link.ts';
import type { Router } from './router.ts';
import { type HttpHandler, linkUpgrades, offersLink, Routes, refuseUpgrade } from './routes.ts';
import { rungOf } from './rung.ts';
import { WebSocketStream } from './stream.ts';
import { type VisitHandler, Visits, visitOf } from './visit.ts';

export type ProxiedOptions = {
  /** IP and port to listen at; port 0 for any free one. */
  host: string;
  port: number;
  /** Addresses at which the proxy answers for this side, `wss://…`: a link made for any other is refused. */
  publicUrls: readonly string[];
  proxies: TrustedProxies;
  key: Key;
  router: Router;
  self: () => HelloInfo;
  clock: Clock;
  log: Log;
  /** How much one client's address and one key may ask. */
  guard?: Guard | undefined;
  /** Takes each link once it is greeted, and its key proved. */
  onLink?(link: Link): void;
};

/** Milliseconds that a proxy has to say what it wants. */
const HEADERS_MS = 10_000;
const MOST_CONNECTIONS = 20_000;
const MINUTE_MS = 60_000;

export class ProxiedListener implements AsyncDisposable {
  readonly #options: ProxiedOptions;
  readonly #urls: ReadonlySet<string>;
  readonly #server: Server;
  readonly #upgrades: WebSocketServer;
  readonly #routes: Routes;
  readonly #visits = new Visits();
  readonly #links = new Set<Link>();
  /** One for all links. */
  readonly #forget = (link: Link): void => void this.#links.delete(link);
  /** What the answer to each request for a link carries besides. */
  readonly #answers = new WeakMap<IncomingMessage, string[]>();
  #stopping = false;
  #warnedAt = 0;
  #closedFor: Fault | undefined;

  constructor(options: ProxiedOptions) {
    this.#options = options;
    this.#urls = new Set(options.publicUrls.map((text) => formatProxied(parseProxied(text))));
    this.#routes = new Routes(options.log);
    this.#server = createServer({
      headersTimeout: HEADERS_MS,
      connectionsCheckingInterval: 5000,
      requestTimeout: 30_000,
      maxHeaderSize: 16_384, // a proxy adds to the 8 KiB of its client
      noDelay: true,
    });
    this.#server.maxConnections = MOST_CONNECTIONS;
    this.#upgrades = linkUpgrades();
    this.#upgrades.on('headers', (headers, request) => headers.push(...(this.#answers.get(request) ?? [])));
    this.#server.on('connection', (socket) => {
      // Whoever speaks plain HTTP here and is no proxy of ours would be whoever they say. [L-45]
      if (options.proxies.has(plainIp(socket.remoteAddress))) return;
      socket.destroy();
      const now = options.clock.now();
      if (now - this.#warnedAt < MINUTE_MS) return; // one line is enough to find it by, and no flood fills the log
      this.#warnedAt = now;
      options.log.warn({ from: plainIp(socket.remoteAddress) }, 'somebody who is no trusted proxy is cut off');
    });
    this.#server.on('request', (request, response) => {
      void this.#routes.serve(request, response, () => {
        const from = options.proxies.clientOf(request);
        if (from !== undefined) options.guard?.request(from);
        return undefined; // a client's certificate does not pass a proxy
      });
    });
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket as Socket, head)); // a TCP server's
    this.#server.on('clientError', (_error, socket) => socket.destroy());
  }

  /** As `Listener.route`. */
  route(prefix: string, handler: HttpHandler): this {
    this.#routes.add(prefix, handler);
    return this;
  }

  /** As `Listener.visit`; the key is proved by signature in the request. [N-14] */
  visit(prefix: string, handler: VisitHandler): this {
    this.#visits.add(prefix, handler);
    return this;
  }

  /** Throws `port_taken` or `invalid_argument` (a host that is not this machine's). */
  async start(): Promise<void> {
    const { host, port } = this.#options;
    await new Promise<void>((resolve, reject) => {
      const fail = (error: unknown): void =>
        reject(toFault(error, `listening for the proxy at "${formatAddress({ host, port })}"`, 'invalid_argument'));
      this.#server.once('error', fail);
      this.#server.listen({ host, port }, () => {
        this.#server.off('error', fail);
        this.#server.on('error', (error) => this.#options.log.error({ err: error }, 'the listening socket failed'));
        resolve();
      });
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port; // a TCP server's address is never a string
  }

  get links(): ReadonlySet<Link> {
    return this.#links;
  }

  /** As `Listener.refuseLinks`. */
  refuseLinks(fault: Fault): void {
    this.#closedFor = fault;
  }

  /** What keeps the request from becoming a link, or what else it wants; else who asks, from where, and the challenge. */
  #look(request: IncomingMessage): { from: string; challenge: Challenge; handler: VisitHandler | undefined } {
    const [path = ''] = (request.url ?? '').split('?');
    const handler = this.#visits.find(path);
    if (path !== '/link' && !handler)
      throw new Fault('unknown_operation', `asking for "${path}" as a link: there is none`);
    const from = this.#options.proxies.clientOf(request);
    if (from === undefined) {
      // Everybody would seem to be on this machine, and be shown what is for this machine alone. [L-45]
      throw new Fault(
        'invalid_argument',
        'opening a link: the proxy does not say for whom; let it set X-Forwarded-For',
      );
    }
    const ask = readAsk(request.headers);
    if (!ask) throw new Fault('unauthenticated', `opening a link from "${from}": no challenge comes with it`);
    if (!this.#urls.has(ask.at)) {
      throw new Fault(
        'forbidden',
        `opening a link from "${from}": it was made for "${ask.at}", which is no --public-url of this tracker`,
      );
    }
    if (handler) {
      const challenge = visitChallenge(ask, this.#options.key.id, path);
      if (isProved('node', challenge, readProof(request.headers) ?? '')) return { from, challenge, handler };
      throw new Fault('unauthenticated', `asking from "${from}": the request does not prove the key that it names`);
    }
    if (!offersLink(request)) throw new Fault('unsupported_version', 'opening a link: no known subprotocol');
    return { from, challenge: { ...ask, tracker: this.#options.key.id, trackerNonce: newNonce() }, handler };
  }

  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    socket.on('error', () => socket.destroy());
    if (this.#stopping) return void socket.destroy();
    try {
      const { from, challenge, handler } = this.#look(request);
      if (this.#closedFor && !handler) throw this.#closedFor;
      // Its address is counted as at a port of the tracker's own: the proxy's connection is its one.
      const leave = this.#options.guard ? this.#options.guard.connect(from) : () => {};
      if (!leave) {
        throw new Fault('too_many', `opening a link from "${from}": too many connections`, {
          data: { retryAfterMs: MINUTE_MS },
        });
      }
      socket.once('close', leave);
      if (handler) {
        const { key } = this.#options;
        const answers = [`x-netapp-proof: ${prove(key, 'tracker', challenge)}`];
        return void handler(visitOf(request, { socket, head, peer: challenge.node, self: key.id, answers }));
      }
      this.#greet(request, socket, head, from, challenge);
    } catch (error) {
      const fault = toFault(error, 'opening a link');
      this.#options.log.info({ code: fault.code, reason: fault.message }, 'a link through the proxy is refused');
      refuseUpgrade(socket, fault);
    }
  }

  #greet(request: IncomingMessage, socket: Socket, head: Buffer, host: string, challenge: Challenge): void {
    const { key, router, self, clock, log } = this.#options;
    const answer = answerHeaders(challenge.trackerNonce, prove(key, 'tracker', challenge));
    this.#answers.set(request, answer);
    this.#upgrades.handleUpgrade(request, socket, head, (ws) => {
      // The port is the proxy's own affair; one stands here for the form.
      const from = formatAddress({ host, port: socket.remotePort ?? 0 });
      const link = new Link({
        stream: new WebSocketStream(ws, socket, { address: from, rung: rungOf(from) }, { dialled: false }),
        router,
        self: self(),
        peer: challenge.node,
        proves: (proof) => isProved('node', challenge, proof),
        dialled: false,
        onEnd: this.#forget,
        clock,
        log,
      });
      this.#links.add(link);
      link.start().then(
        () => this.#count(link),
        (error: unknown) => log.debug({ err: error, from }, 'a link was not greeted'),
      );
    });
  }

  /** Once the key is proved, and not before: nobody is to use up what is another's. */
  #count(link: Link): void {
    try {
      const leave = this.#options.guard?.link(link.peer);
      if (leave) void link.closed.then(leave);
      this.#options.onLink?.(link);
    } catch (error) {
      link.close(toFault(error));
    }
  }

  /** Says goodbye on every link and stops listening. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping = true;
    const stopped = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    const links = [...this.#links];
    for (const link of links) link.close();
    await Promise.all(links.map((link) => link.closed));
    this.#server.closeAllConnections();
    await stopped;
  }
}
