/** The side that is called: one port for links (`GET /link`, upgraded) and for plain HTTP. [L-3] */

import type { IncomingMessage } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls';
import type { WebSocket, WebSocketServer } from 'ws';
import type { Clock } from '../base/clock.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { formatAddress, plainIp } from './address.ts';
import { Arrivals, cut } from './arrivals.ts';
import { type Identity, peerOf } from './certificate.ts';
import type { Guard } from './guard.ts';
import type { HelloInfo } from './hello.ts';
import { Link } from './link.ts';
import type { Router } from './router.ts';
import { type HttpHandler, linkUpgrades, offersLink, Routes, refuseUpgrade } from './routes.ts';
import { noteOrigin, type Origin, originOf } from './rung.ts';
import { ticketsOf } from './sessions.ts';
import { WebSocketStream } from './stream.ts';
import { TLS } from './tls.ts';
import { type VisitHandler, Visits, visitOf } from './visit.ts';

export type { HttpHandler };

export type ListenOptions = {
  /** IP to listen on; default `::`, which takes IPv4 too. */
  host?: string | undefined;
  /** 0 for any free one. */
  port: number;
  identity: Identity;
  router: Router;
  self: () => HelloInfo;
  clock: Clock;
  log: Log;
  /** Somebody for whom nobody is here: their link is cut without a word. [D-60] */
  refuses?(info: HelloInfo): boolean;
  /** Bounds what one address and one key may ask; default: nothing does. */
  guard?: Guard | undefined;
  /** Takes each link once it is greeted. */
  onLink(link: Link): void;
  /** Milliseconds that a stranger has to finish the TLS handshake, and again to say what they want; default 10,000. */
  handshakeMs?: number;
};

const HANDSHAKE_MS = 10_000;
/** Connections in all; past it the kernel's queue waits, then refuses. */
const MOST_CONNECTIONS = 20_000;
/** Connections that the kernel keeps while this process is busy with handshakes: all come at once when a tracker is back. */
const MOST_ARRIVING = 4096;

/** How a connection is taken, whichever way it came. */
const ACCEPTING = {
  requestCert: true,
  rejectUnauthorized: false, // the key is the identity; no authority vouches for it
  ...TLS,
  // A list of them would be copied for each connection, into a pool of 64 KiB that stays as long as it does.
  ALPNCallback: ({ protocols }: { protocols: string[] }) => protocols.find((offered) => offered === 'http/1.1'),
};

export class Listener {
  readonly #options: ListenOptions;
  readonly #server: Server;
  readonly #upgrades: WebSocketServer;
  readonly #routes: Routes;
  readonly #visits = new Visits();
  readonly #arrivals: Arrivals;
  readonly #links = new Set<Link>();
  /** One for all links. */
  readonly #forget = (link: Link): void => void this.#links.delete(link);
  /** Connections that did not come by the port. */
  readonly #taken = new Set<TLSSocket>();
  #context: SecureContext | undefined;
  #stopping = false;
  #closedFor: Fault | undefined;

  constructor(options: ListenOptions) {
    this.#options = options;
    this.#routes = new Routes(options.log);
    const handshakeMs = options.handshakeMs ?? HANDSHAKE_MS;
    this.#server = createServer({
      key: options.identity.key.pem,
      cert: options.identity.cert,
      ...ACCEPTING,
      ...ticketsOf(options.identity),
      handshakeTimeout: handshakeMs,
      headersTimeout: handshakeMs,
      connectionsCheckingInterval: Math.min(handshakeMs, 5000),
      requestTimeout: 30_000,
      maxHeaderSize: 8192,
      noDelay: true,
    });
    this.#server.maxConnections = MOST_CONNECTIONS;
    this.#arrivals = new Arrivals({
      onLate: () => {
        if (options.guard) options.guard.refused.late += 1;
      },
    });
    holdConnections(this.#server, options.guard, this.#arrivals, handshakeMs);
    this.#upgrades = linkUpgrades();
    this.#server.on('request', (request, response) => {
      void this.#routes.serve(request, response, () => {
        options.guard?.request(plainIp(request.socket.remoteAddress));
        return peerOf(request.socket as TLSSocket); // an https server's
      });
    });
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket as TLSSocket, head)); // an https server's
    // A handshake that ends after the goodbyes were said would be a link that nobody closes.
    this.#server.on('secureConnection', (socket) => {
      if (this.#stopping) socket.destroy();
    });
    this.#server.on('tlsClientError', (error, socket) => {
      options.log.debug({ err: error, from: plainIp(socket.remoteAddress) }, 'a TLS handshake failed');
      socket.destroy();
    });
    this.#server.on('clientError', (_error, socket) => socket.destroy());
  }

  /** Serves plain HTTP below `prefix`, e.g. `/blobs/`; the longest prefix that fits wins. */
  route(prefix: string, handler: HttpHandler): this {
    this.#routes.add(prefix, handler);
    return this;
  }

  /** Takes upgrades below `prefix`, of nodes that have proved their key. */
  visit(prefix: string, handler: VisitHandler): this {
    this.#visits.add(prefix, handler);
    return this;
  }

  /** Throws `port_taken` or `invalid_argument` (a host that is not this machine's). */
  async start(): Promise<void> {
    const { host, port } = this.#options;
    const wanted = formatAddress({ host: host ?? '::', port });
    await new Promise<void>((resolve, reject) => {
      const fail = (error: NodeJS.ErrnoException): void => {
        if (error.code === 'EADDRINUSE') {
          reject(
            new Fault(
              'port_taken',
              `listening on "${wanted}": another program uses this port; choose another with --port, or 0 for any`,
            ),
          );
        } else {
          reject(toFault(error, `listening on "${wanted}"`, 'invalid_argument'));
        }
      };
      this.#server.once('error', fail);
      // Without a host, Node takes `::` where the machine has IPv6, else 0.0.0.0.
      this.#server.listen({ port, backlog: MOST_ARRIVING, ...(host !== undefined && { host }) }, () => {
        this.#server.off('error', fail);
        this.#server.on('error', (error) => this.#options.log.error({ err: error }, 'the listening socket failed'));
        resolve();
      });
    });
  }

  /**
   * Treats a stream that came about in another way as a connection to the port: TLS, then links or plain HTTP. It is ended where
   * its handshake takes too long or fails, and when this side stops.
   */
  take(stream: Duplex, origin: Origin): void {
    const { identity, handshakeMs = HANDSHAKE_MS, log } = this.#options;
    this.#context ??= createSecureContext({ key: identity.key.pem, cert: identity.cert, ...TLS });
    const socket = new TLSSocket(stream, { isServer: true, secureContext: this.#context, ...ACCEPTING });
    noteOrigin(socket, origin);
    this.#taken.add(socket);
    const late = setTimeout(() => socket.destroy(), handshakeMs);
    const failed = (error: Error): void => {
      log.debug({ err: error, from: origin.address }, 'a TLS handshake failed');
      socket.destroy();
    };
    socket.on('error', failed);
    stream.on('error', failed);
    socket.once('close', () => {
      clearTimeout(late);
      this.#taken.delete(socket);
      stream.destroy();
    });
    socket.once('secure', () => {
      clearTimeout(late);
      this.#server.emit('secureConnection', socket);
    });
  }

  /** The port that it listens on, after `start`. */
  get port(): number {
    return (this.#server.address() as AddressInfo).port; // a TCP server's address is never a string
  }

  get links(): ReadonlySet<Link> {
    return this.#links;
  }

  /** From now on new links are refused with `fault`; those that stand, and plain HTTP, go on. */
  refuseLinks(fault: Fault): void {
    this.#closedFor = fault;
  }

  #upgrade(request: IncomingMessage, socket: TLSSocket, head: Buffer): void {
    socket.on('error', cut);
    const peer = peerOf(socket);
    if (this.#stopping) return void socket.destroy();
    const handler = this.#visits.find(request.url);
    if (request.url !== '/link' && !handler) return refuseUpgrade(socket, { code: 'unknown_operation' });
    if (!peer) return refuseUpgrade(socket, { code: 'unauthenticated' });
    if (handler) return void handler(visitOf(request, { socket, head, peer, self: this.#options.identity.id }));
    if (!offersLink(request)) return refuseUpgrade(socket, { code: 'unsupported_version' });
    if (this.#closedFor) return refuseUpgrade(socket, this.#closedFor);
    let leave = (): void => {};
    try {
      leave = this.#options.guard?.link(peer) ?? leave;
    } catch (error) {
      return refuseUpgrade(socket, toFault(error));
    }
    socket.on('close', leave); // which is said once
    this.#upgrades.handleUpgrade(request, socket, head, (ws) => this.#welcome(ws, socket, peer));
  }

  /** Of its own, so that no link keeps the request in memory that it came by. */
  #welcome(ws: WebSocket, socket: TLSSocket, peer: string): void {
    const origin = originOf(socket);
    const link = new Link({
      stream: new WebSocketStream(ws, socket, origin, { dialled: false }),
      router: this.#options.router,
      self: this.#options.self(),
      refuses: this.#options.refuses,
      peer,
      dialled: false,
      onEnd: this.#forget,
      clock: this.#options.clock,
      log: this.#options.log,
    });
    this.#links.add(link);
    link.start().then(
      () => this.#options.onLink(link),
      (error: unknown) => this.#options.log.debug({ err: error, from: origin.address }, 'a link was not greeted'),
    );
  }

  /** Says goodbye on every link and stops listening. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping = true;
    const stopped = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#arrivals[Symbol.dispose]();
    const links = [...this.#links];
    for (const link of links) link.close();
    await Promise.all(links.map((link) => link.closed));
    this.#server.closeAllConnections();
    for (const socket of this.#taken) socket.destroy();
    if (this.#server.listening) this.#server.close();
    await stopped;
  }
}

/** Before a handshake is begun: what is refused costs an accept and a close, no more; what is not waits its turn. */
function holdConnections(server: Server, guard: Guard | undefined, arrivals: Arrivals, silentMs: number): void {
  const begin = server.listeners('connection');
  server.removeAllListeners('connection');
  server.on('connection', (socket: Socket) => {
    const leave = guard ? guard.connect(plainIp(socket.remoteAddress)) : () => {};
    if (!leave) return void socket.destroy();
    socket.on('close', leave); // which is said once
    socket.setTimeout(silentMs, () => socket.destroy());
    arrivals.add(socket, () => {
      // Read here, the first bytes make TLS begin with a small buffer instead of one of 64 KiB that it would keep for good.
      socket.once('readable', () => {
        const first: unknown = socket.read();
        if (!Buffer.isBuffer(first)) return void socket.destroy();
        socket.setTimeout(0);
        socket.removeAllListeners('timeout');
        socket.unshift(first);
        for (const listener of begin) listener.call(server, socket);
      });
      socket.read(0);
    });
  });
}
