/** Holes that two nodes make from both sides at once in what stands between them, arranged by way of a tracker. [N-30] to [N-44] */
import type { Duplex } from 'node:stream';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { Rate } from '../base/rate.ts';
import type { Origin } from '../link/rung.ts';
import { Ice } from './ice.ts';
import type { Way } from './ladder.ts';
import { GO, go, punchTcp, TCP, TcpAnswers, tcpOffer } from './punch-tcp.ts';
import { punchUdp, UDP, UDP_GO, UdpAnswers, udpGo, udpOffer } from './punch-udp.ts';
import type { Endpoint } from './signal-wire.ts';
import type { Signals } from './signals.ts';
import { Vantage, type VantageOptions } from './vantage.ts';

/** Milliseconds that TCP has before UDP is tried beside it: a hole comes about in a few round trips, or after the kernel's second try. */
const TCP_START_MS = 1500;
/** Milliseconds that ICE has before a relay: its checks and two handshakes take some round trips more. */
const UDP_START_MS = 3000;

/** Holes under way that others asked for, of one account and in all. [N-37] */
const MOST_OF_ONE = 6;
const MOST_ANSWERED = 32;
/** Holes that one account may ask for: so many at once, and so many each second after. */
const ASKED = { burst: 30, perSecond: 0.5 };
/** Accounts whose rate is remembered; past it the eldest start anew. */
const MOST_REMEMBERED = 10_000;

export type PunchOptions = VantageOptions & {
  signals: Signals;
  /** Takes a connection that another node asked for: it is the TLS server of it. */
  take(stream: Duplex, origin: Origin): void;
  clock: Clock;
  log: Log;
};

export class Punch implements Disposable {
  readonly #options: PunchOptions;
  readonly #vantage: Vantage;
  readonly #tcp: TcpAnswers;
  readonly #udp: UdpAnswers;
  readonly #ice = new Ice();
  readonly #stop = new AbortController();
  readonly #answered = new Map<string, number>();
  readonly #rates = new Map<string, Rate>();
  #answering = 0;

  constructor(options: PunchOptions) {
    this.#options = options;
    this.#vantage = new Vantage(options);
    const enter = (from: Endpoint): Disposable => this.#enter(from);
    const take = (label: string) => (stream: Duplex, address: string) => {
      options.log.debug({ from: address, by: label }, 'a hole was made for another node');
      options.take(stream, { address, rung: 'punched' });
    };
    this.#tcp = new TcpAnswers({ vantage: this.#vantage, enter, take: take('tcp') });
    this.#udp = new UdpAnswers({
      vantage: this.#vantage,
      ice: this.#ice,
      enter,
      take: take('udp'),
      stop: this.#stop.signal,
      log: options.log,
    });
  }

  /** Answers what other nodes ask by signals. */
  attach(): this {
    const { signals } = this.#options;
    signals.answer(TCP, tcpOffer, this.#tcp.offered);
    signals.answer(GO, go, this.#tcp.started);
    signals.answer(UDP, udpOffer, this.#udp.offered);
    signals.answer(UDP_GO, udpGo, this.#udp.started);
    return this;
  }

  /** The ways to a node that go through holes. */
  ways(to: Endpoint): Way<Duplex>[] {
    const { signals } = this.#options;
    const vantage = this.#vantage;
    return [
      {
        rung: 'punched',
        label: 'tcp',
        headStartMs: TCP_START_MS,
        attempt: (signal) => punchTcp({ to, signals, vantage, signal }),
      },
      {
        rung: 'punched',
        label: 'udp',
        headStartMs: UDP_START_MS,
        attempt: (signal) => punchUdp({ to, signals, vantage, ice: this.#ice, signal }),
      },
    ];
  }

  /** [N-37] */
  #enter({ account }: Endpoint): Disposable {
    const own = this.#answered.get(account) ?? 0;
    if (own >= MOST_OF_ONE || this.#answering >= MOST_ANSWERED || !this.#rateOf(account).take()) {
      throw new Fault('too_many', 'making a hole: too many are asked for; come back in a minute', {
        data: { retryAfterMs: 60_000 },
      });
    }
    this.#answered.set(account, own + 1);
    this.#answering += 1;
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        this.#answering -= 1;
        const left = (this.#answered.get(account) ?? 1) - 1;
        if (left > 0) this.#answered.set(account, left);
        else this.#answered.delete(account);
      },
    };
  }

  #rateOf(account: string): Rate {
    let rate = this.#rates.get(account);
    if (!rate) {
      rate = new Rate({ ...ASKED, clock: this.#options.clock });
      this.#rates.set(account, rate);
      const [eldest] = this.#rates.keys();
      if (this.#rates.size > MOST_REMEMBERED && eldest !== undefined) this.#rates.delete(eldest);
    }
    return rate;
  }

  [Symbol.dispose](): void {
    this.#stop.abort(new Fault('cancelled', 'the node is stopping'));
    this.#tcp[Symbol.dispose]();
    this.#ice[Symbol.dispose]();
  }
}
