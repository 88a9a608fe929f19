/** What one address may cost: connections, commands a second, and passwords that are wrong. [P-36] */
import type { Clock } from '../base/clock.ts';
import { Rate } from '../base/rate.ts';

export type Limits = {
  /** Connections of one address at once; 0: no bound. */
  perAddress: number;
  /** Commands a second of one address, ten times as many at once; 0: no bound. */
  rate: number;
};

/** A class behind one router; and faster than anybody types, by far. */
export const LIMITS: Limits = { perAddress: 256, rate: 100 };

/** Wrong passwords at once, and seconds for each one more. */
const WRONG_BURST = 5;
const WRONG_SECONDS = 10;
/** Seconds of commands that may come at once. */
const BURST_SECONDS = 10;
/** Addresses that are remembered after their last connection: coming anew is not to make anybody faster. */
const MOST_REMEMBERED = 10_000;

class Address {
  connections = 0;
  readonly commands: Rate | undefined;
  readonly wrong: Rate;

  constructor({ rate }: Limits, clock: Clock) {
    this.commands = rate > 0 ? new Rate({ burst: BURST_SECONDS * rate, perSecond: rate, clock }) : undefined;
    this.wrong = new Rate({ burst: WRONG_BURST, perSecond: 1 / WRONG_SECONDS, clock });
  }
}

/** One address's share, as its connections see it. */
export type Share = {
  /** False: that was too fast. */
  command(): boolean;
  /** Takes one of the tries that a password has; false if none is left. */
  guess(): boolean;
};

export class Addresses {
  readonly #limits: Limits;
  readonly #clock: Clock;
  readonly #addresses = new Map<string, Address>();

  constructor(limits: Limits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** Lets a connection in, until it is given back; undefined where the address has too many. */
  admit(ip: string): (Share & Disposable) | undefined {
    let address = this.#addresses.get(ip);
    if (!address) {
      this.#forget();
      address = new Address(this.#limits, this.#clock);
      this.#addresses.set(ip, address);
    }
    const { perAddress } = this.#limits;
    if (perAddress > 0 && address.connections >= perAddress) return undefined;
    const mine = address;
    mine.connections += 1;
    return {
      command: () => mine.commands?.take() ?? true,
      guess: () => mine.wrong.take(),
      [Symbol.dispose]: () => {
        mine.connections -= 1;
      },
    };
  }

  #forget(): void {
    if (this.#addresses.size < MOST_REMEMBERED) return;
    for (const [ip, { connections }] of this.#addresses) if (connections === 0) this.#addresses.delete(ip);
  }
}
