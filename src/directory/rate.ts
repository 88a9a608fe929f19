/** How often somebody may do something: a number in each window of time. */
import type { Clock } from '../base/clock.ts';

export class Rate {
  readonly #most: number;
  readonly #perMs: number;
  readonly #clock: Clock;
  #since = Number.NEGATIVE_INFINITY;
  #count = 0;

  constructor(most: number, perMs: number, clock: Clock) {
    this.#most = most;
    this.#perMs = perMs;
    this.#clock = clock;
  }

  /** Counts one more; false if that is more than allowed. */
  take(): boolean {
    const now = this.#clock.now();
    if (now - this.#since >= this.#perMs || now < this.#since) {
      this.#since = now;
      this.#count = 0;
    }
    if (this.#count >= this.#most) return false;
    this.#count += 1;
    return true;
  }
}
