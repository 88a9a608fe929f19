/** So many at once, and so many each second after. */
import type { Clock } from './clock.ts';

export class Rate {
  readonly #options: { readonly burst: number; readonly perSecond: number; readonly clock: Clock };
  #left: number;
  #at: number;

  /** `options` is kept as it is: many that are alike share one. */
  constructor(options: { readonly burst: number; readonly perSecond: number; readonly clock: Clock }) {
    this.#options = options;
    this.#left = options.burst;
    this.#at = options.clock.now();
  }

  /** Milliseconds until there is one to take. */
  get waitMs(): number {
    this.#earn();
    return this.#left >= 1 ? 0 : Math.ceil(((1 - this.#left) * 1000) / this.#options.perSecond);
  }

  /** Takes so many, all or none; false if fewer are left. A clock that goes back gives none and takes none. */
  take(many = 1): boolean {
    this.#earn();
    if (this.#left < many) return false;
    this.#left -= many;
    return true;
  }

  /** Undoes a `take`. */
  giveBack(many: number): void {
    this.#left = Math.min(this.#options.burst, this.#left + many);
  }

  #earn(): void {
    const now = this.#options.clock.now();
    const earned = (Math.max(0, now - this.#at) * this.#options.perSecond) / 1000;
    this.#left = Math.min(this.#options.burst, this.#left + earned);
    this.#at = now;
  }
}
