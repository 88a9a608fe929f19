/**
 * Notices within two seconds that a tracker gives no sign of life, long before its link is given up. Such a tracker is suspected:
 * others are asked meanwhile, and if it speaks again nothing has to be dialled anew. [D-71]
 */
import type { Link } from '../link/link.ts';

/**
 * Milliseconds between two looks, of silence until a sign of life is asked for, and then until the other side is suspected: in all,
 * under two seconds. A ping costs a tracker some 20 us.
 */
const LOOK_MS = 150;
const QUIET_MS = 1000;
const PATIENCE_MS = 550;
/** A far tracker is given as many round trips. */
const ROUND_TRIPS = 4;

export class Heartbeat implements Disposable {
  readonly #link: () => Link | undefined;
  readonly #isWanted: () => boolean;
  readonly #onChange: () => void;
  #timer: NodeJS.Timeout | undefined;
  #silentSince: number | undefined;

  /** `isWanted`: whether there is anybody else to turn to; else it is left to the link’s own keeping alive. */
  constructor(options: { link(): Link | undefined; isWanted(): boolean; onChange(): void }) {
    this.#link = options.link;
    this.#isWanted = options.isWanted;
    this.#onChange = options.onChange;
  }

  start(): void {
    this.#timer ??= setInterval(() => this.#look(), LOOK_MS).unref();
  }

  get isSilent(): boolean {
    return this.#silentSince !== undefined;
  }

  /** Milliseconds for which it has been silent. */
  get silentMs(): number {
    return this.#silentSince === undefined ? 0 : Math.round(performance.now() - this.#silentSince);
  }

  #look(): void {
    const link = this.#link();
    const silent = link && this.#isWanted() ? link.unansweredMs(QUIET_MS) : 0;
    const patience = Math.max(PATIENCE_MS, (link?.rttMs ?? 0) * ROUND_TRIPS);
    const before = this.isSilent;
    this.#silentSince = silent > patience ? (this.#silentSince ?? performance.now() - silent) : undefined;
    if (before !== this.isSilent) this.#onChange();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#silentSince = undefined;
  }
}
