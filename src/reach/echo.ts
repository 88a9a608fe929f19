/**
 * The smallest server: whatever a connection says, it is told again. It shows all that a TCP server has to do, whatever it
 * serves: listen, take connections, read no faster than the other side reads, notice each way in which a connection ends, and
 * bound what strangers can take: connections, bytes, memory, time.
 *
 * Try it with `nc 127.0.0.1 7777`; measure a path to it with `probe.ts`.
 */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { sleep } from '../base/async.ts';
import { Fault, toFault } from '../base/fault.ts';
import { formatAddress } from '../link/address.ts';

/** Beside 7, the port of RFC 862's echo, which only root may listen on. */
const ECHO_PORT = 7777;

export const ECHO_LIMITS = {
  /** Connections at once: below the 1,024 open files that a process has on most machines. */
  connections: 900,
  /** Bytes that one connection may say: enough to measure a fast path for a minute, and an end for whoever has none. */
  bytes: 64 * 2 ** 30,
  /** Milliseconds without a byte moving in either direction. */
  idleMs: 60_000,
};

/**
 * Bytes that may wait here for a reader, of each connection. Past it we do not read either: the kernel's buffers fill, and TCP
 * makes the other side wait. So a crowd that sends and never reads costs connections times this, and no more.
 */
const HELD_BYTES = 64 * 1024;
/** Milliseconds that connections have to take what is under way for them when the server ends. */
const GOODBYE_MS = 500;

export type EchoOptions = {
  /** IP to listen on. Loopback, so that nobody else reaches it unless its user says so. */
  host?: string | undefined;
  /** 0 for any free one. */
  port?: number | undefined;
  limits?: { [K in keyof typeof ECHO_LIMITS]?: number | undefined };
};

/** What has happened since the server was started. */
export type EchoCounts = {
  /** Connections that were taken. */
  taken: number;
  /** Connections that are open now. */
  open: number;
  /** Connections that were closed as one too many. */
  refused: number;
  /** Connections that were ended because nothing moved on them. */
  idle: number;
  /** Connections that were ended because they had said too much. */
  overlong: number;
  /** Bytes that came; as many went back, but for those of connections that broke. */
  bytes: number;
};

export class EchoServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #host: string;
  readonly #port: number;
  readonly #limits: typeof ECHO_LIMITS;
  readonly #sockets = new Set<Socket>();
  readonly #counts: Omit<EchoCounts, 'open'> = { taken: 0, refused: 0, idle: 0, overlong: 0, bytes: 0 };

  constructor({ host = '127.0.0.1', port = ECHO_PORT, limits = {} }: EchoOptions = {}) {
    this.#host = host;
    this.#port = port;
    this.#limits = {
      connections: limits.connections ?? ECHO_LIMITS.connections,
      bytes: limits.bytes ?? ECHO_LIMITS.bytes,
      idleMs: limits.idleMs ?? ECHO_LIMITS.idleMs,
    };
    this.#server = createServer(
      {
        // Who has nothing more to say may still want to hear the rest, as `printf hello | nc -N` does: our end is closed by us.
        allowHalfOpen: true,
        // Small answers leave at once, instead of waiting for more to send along (Nagle's algorithm).
        noDelay: true,
        highWaterMark: HELD_BYTES,
      },
      (socket) => this.#serve(socket),
    );
    this.#server.maxConnections = this.#limits.connections;
    this.#server.on('drop', () => {
      this.#counts.refused += 1; // the kernel had taken it already; it hears an end before the first byte
    });
  }

  /** Throws `port_taken`, or `invalid_argument` where the host is none of this machine's. */
  async start(): Promise<void> {
    const wanted = formatAddress({ host: this.#host, port: this.#port });
    this.#server.listen({ host: this.#host, port: this.#port });
    try {
      await once(this.#server, 'listening'); // or rejects with the `error` that came instead
    } catch (error) {
      const fault = toFault(error, `listening on "${wanted}"`, 'invalid_argument');
      if (fault.code !== 'port_taken') throw fault;
      throw new Fault(
        'port_taken',
        `listening on "${wanted}": another program uses this port; choose another with --port, or 0 for any`,
      );
    }
  }

  /** `host:port` on which it listens, after `start`. */
  get address(): string {
    const { address, port } = this.#server.address() as AddressInfo; // a TCP server's address is never a string
    return formatAddress({ host: address, port });
  }

  get counts(): EchoCounts {
    return { ...this.#counts, open: this.#sockets.size };
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    this.#counts.taken += 1;
    let came = 0;

    socket.on('data', (chunk) => {
      came += chunk.length;
      this.#counts.bytes += chunk.length;
      if (came > this.#limits.bytes) {
        this.#counts.overlong += 1;
        socket.destroy();
        return;
      }
      // `write` takes everything, and says whether that was wise. Who reads on regardless keeps the rest in memory.
      if (!socket.write(chunk)) socket.pause();
    });
    socket.on('drain', () => socket.resume());

    // TCP has two directions, and each ends for itself: theirs has; ours does once all is said that waits.
    socket.on('end', () => socket.end());

    // Nothing came and nothing left: asleep, gone without a word (a cable says no goodbye), or never meaning to read.
    socket.setTimeout(this.#limits.idleMs, () => {
      this.#counts.idle += 1;
      socket.destroy();
    });

    // A reset is no reason for the server to end, as an error that nobody listens for would be; `close` follows it.
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(socket));
  }

  /** Stops listening, gives each connection a moment to take what waits for it, and ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#server.listening) return;
    const ended = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.end();
    await Promise.race([ended, sleep(GOODBYE_MS)]);
    for (const socket of this.#sockets) socket.destroy();
    await ended;
  }
}
