/** Waiting with an end: deadlines, backoff, bounded concurrency. */
import { setTimeout as delay } from 'node:timers/promises';
import { Fault } from './fault.ts';

/** A signal that aborts when `signal` does, or after `ms` milliseconds with a `timeout` fault that says `what`. */
export function deadline(ms: number, what: string, signal?: AbortSignal): AbortSignal & Disposable {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(new Fault('timeout', `${what}: no answer within ${ms} ms`)), ms);
  timer.unref();
  const follow = (): void => controller.abort(signal?.reason);
  if (signal?.aborted) follow();
  signal?.addEventListener('abort', follow, { once: true });
  return Object.assign(controller.signal, {
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', follow);
    },
  });
}

/** Rejects with the signal's reason as soon as it aborts; otherwise settles as `promise` does. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => reject(reasonOf(signal));
    signal.addEventListener('abort', abort, { once: true });
    // Also where it is given up already: what it comes to later is then nobody's concern, and no unhandled rejection.
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
    if (signal.aborted) abort();
  });
}

/** The fault that an aborted signal stands for. */
export function reasonOf(signal: AbortSignal): Fault {
  return signal.reason instanceof Fault ? signal.reason : new Fault('cancelled', 'the request was cancelled');
}

/** Waits `ms` milliseconds; rejects when `signal` aborts. Keeps no process alive. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { ref: false, ...(signal && { signal }) });
  } catch (error) {
    if (signal?.aborted) throw reasonOf(signal);
    throw error;
  }
}

/** Exponential backoff with full jitter (each wait is between half and all of the step), in milliseconds. */
export class Backoff {
  readonly #first: number;
  readonly #most: number;
  #step: number;

  constructor(options: { firstMs: number; mostMs: number }) {
    this.#first = options.firstMs;
    this.#most = options.mostMs;
    this.#step = options.firstMs;
  }

  next(): number {
    const wait = this.#step * (0.5 + Math.random() / 2);
    this.#step = Math.min(this.#step * 2, this.#most);
    return Math.round(wait);
  }

  reset(): void {
    this.#step = this.#first;
  }
}

/** A number of permits, bytes or places; takers wait in order of arrival, at most `queue` of them. */
export class Budget {
  #free: number;
  readonly #size: number;
  readonly #bound: number;
  readonly #waiting: { amount: number; take: () => void }[] = [];

  constructor(size: number, options: { queue?: number } = {}) {
    this.#size = size;
    this.#free = size;
    this.#bound = options.queue ?? 1024;
  }

  /** Takes `amount`, at most the whole budget. Throws `queue_full` at the bound. The result gives it back, once. */
  async take(amount = 1, signal?: AbortSignal): Promise<Disposable> {
    const wanted = Math.min(amount, this.#size);
    if (signal?.aborted) throw reasonOf(signal);
    if (this.#waiting.length > 0 || this.#free < wanted) {
      if (this.#waiting.length >= this.#bound) throw new Fault('queue_full', 'waiting for a place: the queue is full');
      const { promise, resolve } = Promise.withResolvers<void>();
      const entry = { amount: wanted, take: resolve };
      this.#waiting.push(entry);
      try {
        await abortable(promise, signal);
      } catch (error) {
        const at = this.#waiting.indexOf(entry);
        if (at >= 0) this.#waiting.splice(at, 1);
        else this.#give(wanted); // it was granted in the same moment
        throw error;
      }
    } else {
      this.#free -= wanted;
    }
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (held) this.#give(wanted);
        held = false;
      },
    };
  }

  #give(amount: number): void {
    this.#free += amount;
    for (let next = this.#waiting[0]; next && next.amount <= this.#free; next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#free -= next.amount;
      next.take();
    }
  }
}
