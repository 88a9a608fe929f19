/** When nearer ways to a peer are tried again: now and then, ever more seldom, and at once where something changed. [N-73] */
import { Budget } from '../base/async.ts';
import { toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';

/** Milliseconds until the first try, and at most between two of one peer. */
export type AscentPace = { firstMs: number; mostMs: number; leastMs: number };

/** `leastMs`: between two tries, whatever changes: who changes their record without end costs no more than that. */
const PACE: AscentPace = { firstMs: 15_000, mostMs: 15 * 60_000, leastMs: 2000 };
/** Peers that are tried at once. */
const AT_ONCE = 4;

type Ascent = {
  stepMs: number;
  /** When the last try ended, by `performance.now()`. */
  triedAt: number;
  timer: NodeJS.Timeout | undefined;
  isRunning: boolean;
  /** Something changed while it ran. */
  isWoken: boolean;
};

/** What one try came to: `up`: no more are wanted. */
export type Tried = 'up' | 'again' | 'over';

export class Ascents implements Disposable {
  readonly #attempt: (key: string, signal: AbortSignal) => Promise<Tried>;
  readonly #pace: AscentPace;
  readonly #log: Log;
  readonly #all = new Map<string, Ascent>();
  readonly #turns: Budget;
  readonly #stop = new AbortController();

  /** `most`: of keys; those past it are not tried until another is done. */
  constructor(options: {
    attempt(key: string, signal: AbortSignal): Promise<Tried>;
    pace?: Partial<AscentPace> | undefined;
    most: number;
    log: Log;
  }) {
    this.#attempt = options.attempt;
    this.#pace = { ...PACE, ...options.pace };
    this.#turns = new Budget(AT_ONCE, { queue: options.most });
    this.#log = options.log;
  }

  /** From now on there is something to be tried for `key`. `now`: at once. */
  add(key: string, { now = false }: { now?: boolean } = {}): void {
    const known = this.#all.get(key);
    if (!known) {
      const fresh = {
        stepMs: this.#pace.firstMs,
        triedAt: Number.NEGATIVE_INFINITY,
        timer: undefined,
        isRunning: false,
        isWoken: false,
      };
      this.#all.set(key, fresh);
      if (!now) this.#later(key, fresh);
    }
    if (now) this.wake(key);
  }

  /** There is nothing better to be had. */
  remove(key: string): void {
    clearTimeout(this.#all.get(key)?.timer);
    this.#all.delete(key);
  }

  /** Something changed that makes another try worth it: of one, or of all. */
  wake(key?: string): void {
    if (key === undefined) {
      for (const each of [...this.#all.keys()]) this.wake(each);
      return;
    }
    const ascent = this.#all.get(key);
    if (!ascent) return;
    ascent.stepMs = this.#pace.firstMs / 2; // it doubles after the try
    if (ascent.isRunning) ascent.isWoken = true;
    else this.#later(key, ascent, Math.max(0, ascent.triedAt + this.#pace.leastMs - performance.now()));
  }

  /** Two nodes that lost a link together do not try at the same time. */
  #later(key: string, ascent: Ascent, ms: number = ascent.stepMs * (0.5 + Math.random() / 2)): void {
    clearTimeout(ascent.timer);
    if (this.#stop.signal.aborted) return;
    ascent.timer = setTimeout(() => void this.#try(key, ascent), ms).unref();
  }

  async #try(key: string, ascent: Ascent): Promise<void> {
    ascent.isRunning = true;
    ascent.isWoken = false;
    let tried: Tried = 'again';
    try {
      using _turn = await this.#turns.take(1, this.#stop.signal);
      if (this.#all.get(key) === ascent) tried = await this.#attempt(key, this.#stop.signal);
    } catch (error) {
      const { code, message } = toFault(error, 'trying nearer ways');
      this.#log.debug({ code, reason: message }, 'no nearer way to a peer was found');
    }
    ascent.isRunning = false;
    ascent.triedAt = performance.now();
    if (this.#all.get(key) !== ascent) return;
    if (tried !== 'again') return this.remove(key);
    if (ascent.isWoken) return this.wake(key);
    ascent.stepMs = Math.min(ascent.stepMs * 2, this.#pace.mostMs);
    this.#later(key, ascent);
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
    for (const key of [...this.#all.keys()]) this.remove(key);
  }
}
