/** The side that calls: TLS to an address, where only the named key is good enough. [L-2] */
import { isIP, type OnReadOpts, type TcpSocketConnectOpts } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { deadline, reasonOf } from '../base/async.ts';
import type { Clock } from '../base/clock.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { formatAddress, parseAddress } from './address.ts';
import { type Identity, peerOf } from './certificate.ts';
import type { HelloInfo } from './hello.ts';
import { Link } from './link.ts';
import type { Router } from './router.ts';
import { noteOrigin, originOf, type Rung } from './rung.ts';
import type { Sessions } from './sessions.ts';
import { TLS } from './tls.ts';
import { upgrade } from './upgrade.ts';

/** Milliseconds from the first packet to the end of the TLS handshake. */
export const DIAL_MS = 5000;

/**
 * A machine that has just come to a network checks its IPv6 addresses for duplicates for a second or two (RFC 4862, 5.4) and
 * cannot dial from them meanwhile: how often it is tried again, milliseconds apart.
 */
const CHECKED_TRIES = 16;
const CHECKED_MS = 250;

export type DialOptions = {
  /** `host:port`; a name is resolved with each dial. [N-59] */
  address: string;
  /** Peer id that must answer. */
  expect: string;
  identity: Identity;
  signal?: AbortSignal | undefined;
  timeoutMs?: number;
  /** Reads into a buffer of the caller's; Node offers it on the dialling side only, and it is the fastest way to read. */
  onread?: OnReadOpts;
  /** The connection below, where there is one already; `address` is then what people read. */
  over?: { stream: Duplex; rung: Rung } | undefined;
  /** Told once somebody is there, before a key is proved. */
  onConnect?: (() => void) | undefined;
  /** Key exchanges to offer, as `ecdhCurve` of `node:tls`; default: Node's. */
  curves?: string | undefined;
  /** Where sessions are kept to be resumed; without it each handshake is a whole one. [L-6] */
  sessions?: Sessions | undefined;
};

/**
 * A TLS 1.3 connection on which both keys are proved. Throws `peer_unreachable`, `timeout`, `wrong_key` or `cancelled`.
 * The socket is the caller's to end, and has no error handler yet but one that keeps the process alive.
 */
export async function dial(options: DialOptions): Promise<TLSSocket> {
  const { socket } = await handshake(options, options.expect);
  return socket;
}

/**
 * The key that answers at an address, for whoever was given no key: learnt on a connection of its own, on which nothing is
 * said. [L-2] Throws as `dial` does.
 */
export async function keyAt(options: Omit<DialOptions, 'expect' | 'onread'>): Promise<string> {
  const { socket, peer } = await handshake(options, undefined);
  socket.destroy();
  if (peer !== undefined) return peer;
  throw new Fault('wrong_key', `dialling "${options.address}": what answers there shows no key of the kind used here`);
}

type Proved = { socket: TLSSocket; peer: string | undefined };

/** Connects, and checks the key where one is expected; gives the key that was proved. */
async function handshake(options: Omit<DialOptions, 'expect'>, expect: string | undefined): Promise<Proved> {
  using limit = deadline(options.timeoutMs ?? DIAL_MS, `dialling "${options.address}"`, options.signal);
  for (let tries = 1; ; tries++) {
    try {
      return await attempt(options, expect, limit);
    } catch (error) {
      if (tries === CHECKED_TRIES || options.over || !isBeingChecked(error, options.address)) throw error;
      await delay(CHECKED_MS); // keeps a program alive that has nothing else to do yet; the next try looks at the limit
    }
  }
}

/** Whether the machine has no address yet to dial this one from, though it is on the network. */
function isBeingChecked(error: unknown, address: string): boolean {
  if (!(error instanceof Fault) || !(error.cause instanceof Error)) return false;
  const { host } = parseAddress(address);
  return 'code' in error.cause && error.cause.code === 'EADDRNOTAVAIL' && isIP(host) === 6 && host !== '::1';
}

async function attempt(
  options: Omit<DialOptions, 'expect'>,
  expect: string | undefined,
  limit: AbortSignal,
): Promise<Proved> {
  const { over, onread } = options;
  const { host, port } = over ? { host: '', port: 0 } : parseAddress(options.address);
  const what = `dialling "${options.address}"`;
  const sessions = over ? undefined : options.sessions;
  const session = expect === undefined ? undefined : sessions?.get(expect, options.address);
  if (limit.aborted) throw reasonOf(limit);
  return await new Promise((resolve, reject) => {
    const wanted: ConnectionOptions & Partial<TcpSocketConnectOpts> = {
      ...(over ? { socket: over.stream } : { host, port }),
      key: options.identity.key.pem,
      cert: options.identity.cert,
      ...TLS,
      rejectUnauthorized: false, // the key is checked below; no authority vouches for it
      ALPNProtocols: ['http/1.1'],
      ...(!over && isIP(host) === 0 && { servername: host }),
      ...(!over && onread && { onread }),
      ...(session && { session }),
      ...(options.curves !== undefined && { ecdhCurve: options.curves }),
    };
    const socket = connect(wanted);
    if (over) {
      noteOrigin(socket, { address: options.address, rung: over.rung });
      // TLS over a stream neither hears of its faults nor ends it.
      over.stream.on('error', (error) => socket.destroy(error));
      over.stream.once('close', () => socket.destroy());
      socket.once('close', () => over.stream.destroy());
      if (onread) readInto(socket, onread);
    } else {
      socket.setNoDelay(true);
      if (options.onConnect) socket.once('connect', options.onConnect);
    }
    const abort = (): void => fail(reasonOf(limit));
    const fail = (fault: Fault): void => {
      limit.removeEventListener('abort', abort);
      socket.destroy();
      reject(fault);
    };
    limit.addEventListener('abort', abort, { once: true });
    socket.on('error', (error) => fail(unanswered(toFault(error, what, 'peer_unreachable'), options.address)));
    socket.once('close', () => fail(nobody(options.address)));
    socket.once('secureConnect', () => {
      // Without a certificate, a resumed session proves the key that was proved when it was made: none other knows its secret.
      const peer = session && socket.isSessionReused() ? expect : peerOf(socket);
      if (expect !== undefined && peer !== expect) {
        return fail(new Fault('wrong_key', `${what}: expected the key "${expect}", found "${peer ?? 'none'}"`));
      }
      limit.removeEventListener('abort', abort);
      if (sessions && expect !== undefined) {
        socket.on('session', (made: Buffer) => sessions.keep(expect, options.address, made));
      }
      resolve({ socket, peer });
    });
  });
}

/** What Node offers only on a socket that it makes itself: reads come in the caller's buffer. */
function readInto(socket: TLSSocket, { buffer, callback }: OnReadOpts): void {
  const room = typeof buffer === 'function' ? buffer() : buffer;
  socket.on('data', (chunk: Buffer) => {
    let goesOn = true;
    for (let from = 0; from < chunk.length; from += room.length) {
      const part = chunk.subarray(from, from + room.length);
      room.set(part);
      goesOn = callback(part.length, room);
    }
    if (!goesOn) socket.pause();
  });
}

const nobody = (address: string, cause?: unknown): Fault =>
  new Fault('peer_unreachable', `dialling "${address}": nobody answers`, { cause });

/** Who refuses the connection, or ends it before a word, is not there: which of the two is nobody's business. [D-60] */
export function unanswered(fault: Fault, address: string): Fault {
  const code = fault.cause instanceof Error && 'code' in fault.cause ? fault.cause.code : undefined;
  return fault.code === 'link_closed' || code === 'ECONNREFUSED' ? nobody(address, fault) : fault;
}

export type LinkDialOptions = DialOptions & {
  router: Router;
  self: () => HelloInfo;
  clock: Clock;
  log: Log;
  /** See `LinkOptions`. */
  instead?: (() => boolean) | undefined;
};

/** A greeted link to `expect` at `address`. Throws as `dial` does, or with the fault that refused the greeting. */
export async function dialLink(options: LinkDialOptions): Promise<Link> {
  const socket = await dial(options);
  const came = originOf(socket);
  const origin = options.over ? came : { ...came, address: formatAddress(parseAddress(options.address)) };
  const host = options.over ? 'node' : origin.address.replace(/%[^\]]*/, ''); // which interface it is means nothing there
  const { stream } = await upgrade(socket, { ...options, url: `wss://${host}/link`, origin }).catch(
    (error: unknown) => {
      throw unanswered(toFault(error), options.address);
    },
  );
  const link = new Link({
    stream,
    router: options.router,
    self: options.self(),
    peer: options.expect,
    dialled: true,
    instead: options.instead,
    clock: options.clock,
    log: options.log,
  });
  await link.start().catch((error: unknown) => {
    throw unanswered(toFault(error), options.address);
  });
  return link;
}
