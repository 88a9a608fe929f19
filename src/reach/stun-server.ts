/** Tells whoever asks by UDP where the packet came from; and never more, nor more often, than would make it a weapon. [N-43] [N-44] */
import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import type { Clock } from '../base/clock.ts';
import { toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { Rate } from '../base/rate.ts';
import { plainIp } from '../link/address.ts';
import { networkOf } from '../link/guard.ts';
import { readRequest, writeAnswer } from './stun.ts';

/** Answers to one address: so many at once, and so many each second after. A school behind one NAT asks at most that much. */
const EACH = { burst: 60, perSecond: 10 };
/** Answers to all addresses: a sender’s address can be a lie. */
const ALL = { burst: 5000, perSecond: 5000 };
/** Addresses whose rate is remembered; past it the eldest start anew. */
const MOST_REMEMBERED = 50_000;

export class StunServer implements Disposable {
  readonly #host: string | undefined;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #rates = new Map<string, Rate>();
  readonly #all: Rate;
  readonly #sockets: Socket[] = [];
  /** Its port, and the second one at which the same is told; null where it is not to be had. */
  port: number | null = null;
  otherPort: number | null = null;

  constructor(options: { host: string | undefined; clock: Clock; log: Log }) {
    this.#host = options.host;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#all = new Rate({ ...ALL, clock: options.clock });
  }

  /** Listens at `port`, and at the one after it. A port that another program has is done without: never throws for it. */
  async start(port: number): Promise<void> {
    const first = await this.#listen(port);
    if (!first) return;
    const second = port < 65_535 ? await this.#listen(port + 1) : undefined;
    this.port = port;
    this.otherPort = second ? port + 1 : null;
    this.#answer(first, this.otherPort);
    if (second) this.#answer(second, port);
  }

  async #listen(port: number): Promise<Socket | undefined> {
    for (const type of this.#types()) {
      const socket = createSocket({ type });
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      socket.once('error', reject);
      socket.bind({ port, ...(this.#host !== undefined && { address: this.#host }), exclusive: true }, resolve);
      try {
        await promise;
        socket.off('error', reject);
        socket.on('error', (error) => this.#log.error({ err: error }, 'the UDP socket failed'));
        this.#sockets.push(socket);
        return socket;
      } catch (error) {
        socket.close();
        const { code } = toFault(error, 'listening for STUN');
        if (code === 'port_taken' || type === 'udp4') {
          this.#log.warn(
            { err: error, port },
            'nobody is told by UDP where they are seen: holes come about by TCP alone',
          );
          return undefined;
        }
      }
    }
    return undefined;
  }

  /** Both families on one socket, where the machine has both. */
  #types(): ('udp4' | 'udp6')[] {
    if (this.#host === undefined) return ['udp6', 'udp4'];
    return [isIPv6(this.#host) ? 'udp6' : 'udp4'];
  }

  #answer(socket: Socket, other: number | null): void {
    socket.on('message', (bytes, { address, port }) => {
      const request = readRequest(bytes);
      const host = plainIp(address);
      if (!request || port === 0 || !this.#mayAnswer(host)) return;
      // The other port is told with the address at which this machine was asked, which it does not know: zeros stand for it.
      const elsewhere = other === null ? undefined : { host: isIPv6(host) ? '::' : '0.0.0.0', port: other };
      socket.send(writeAnswer(request, { host, port }, elsewhere), port, address, () => {});
    });
  }

  #mayAnswer(host: string): boolean {
    const network = networkOf(host);
    let rate = this.#rates.get(network);
    if (!rate) {
      rate = new Rate({ ...EACH, clock: this.#clock });
      this.#rates.set(network, rate);
      const [eldest] = this.#rates.keys();
      if (this.#rates.size > MOST_REMEMBERED && eldest !== undefined) this.#rates.delete(eldest);
    }
    return rate.take() && this.#all.take();
  }

  [Symbol.dispose](): void {
    for (const socket of this.#sockets.splice(0)) socket.close();
  }
}
