/** How fast bytes may move, and over which connections they do. */
import type { Origin, Rung } from '../link/rung.ts';
import type { Settings } from './settings.ts';

/** Milliseconds' worth of bytes that may be taken at once after a rest: a limit holds over any longer time. */
const BURST_MS = 100;
/** Milliseconds over which the rate of a connection is taken, and between two samples of it. */
const RATE_MS = 3000;
const SAMPLE_MS = 250;
/** Bytes of one write where nothing is limited: larger ones gain nothing, smaller ones cost a system call each. */
const PIECE_BYTES = 256 * 1024;
const LEAST_PIECE_BYTES = 4096;

/** A token bucket: who takes more than there is waits until nothing is owed any more. */
export class Bucket {
  #rate: number | null;
  #tokens = 0;
  #at = performance.now();
  #timer: NodeJS.Timeout | undefined;
  readonly #waiting: { resolve: () => void }[] = [];

  /** `rate`: bytes a second; null: as many as come. */
  constructor(rate: number | null) {
    this.#rate = rate;
  }

  get rate(): number | null {
    return this.#rate;
  }

  /** Holds from now on, also for those who wait already. */
  set rate(rate: number | null) {
    this.#earn();
    this.#rate = rate;
    this.#grant();
  }

  /** Counts `bytes` as moved; undefined if more may follow at once, else settles when more may, or `signal` aborts. */
  take(bytes: number, signal: AbortSignal): Promise<void> | undefined {
    if (this.#rate === null || signal.aborted) return undefined;
    this.#earn();
    this.#tokens -= bytes;
    if (this.#tokens >= 0) return undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiting = { resolve };
    this.#waiting.push(waiting);
    const leave = (): void => {
      const at = this.#waiting.indexOf(waiting);
      if (at >= 0) this.#waiting.splice(at, 1);
      resolve();
    };
    signal.addEventListener('abort', leave, { once: true });
    this.#grant();
    return promise.finally(() => signal.removeEventListener('abort', leave));
  }

  #earn(): void {
    const now = performance.now();
    const rate = this.#rate ?? 0;
    this.#tokens = Math.min((rate * BURST_MS) / 1000, this.#tokens + ((now - this.#at) * rate) / 1000);
    this.#at = now;
  }

  /** Lets go who waits, where nothing is owed any more; else once that is so. */
  #grant(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#rate === null) this.#tokens = 0;
    if (this.#tokens >= 0 || this.#rate === null) {
      for (const { resolve } of this.#waiting.splice(0)) resolve();
      return;
    }
    if (this.#waiting.length === 0) return;
    const again = (): void => {
      this.#earn();
      this.#grant();
    };
    this.#timer = setTimeout(again, Math.ceil((-this.#tokens * 1000) / this.#rate)).unref();
  }
}

/** A connection over which a transfer moves, as it is shown. */
export type Moving = {
  /** Account at its other end; null for one that came with a link. */
  readonly peer: string | null;
  /** `host:port`. */
  readonly address: string;
  readonly rung: Rung;
  /** Bytes a second over the last seconds. */
  readonly rate: number;
};

type Seen = { peer: string | null; origin: Origin; bytes: number; samples: { at: number; bytes: number }[] };

/** One connection's share in a transfer, from its opening to its end. */
export type Flow = Disposable & {
  /** Bytes to move before the next `moved`. */
  readonly piece: number;
  /** Counts what moved; undefined if more may follow at once, else settles when it may, or `signal` aborts. */
  moved(bytes: number, signal: AbortSignal): Promise<void> | undefined;
};

export class Traffic {
  readonly #settings: Settings;
  readonly #all: { in: Bucket; out: Bucket };
  readonly #own = new Map<string, Bucket>();
  readonly #seen = new Map<string, Set<Seen>>();

  constructor(settings: Settings) {
    this.#settings = settings;
    const { up, down } = settings.limits();
    this.#all = { in: new Bucket(down), out: new Bucket(up) };
  }

  /** Takes over what the settings say of all transfers. */
  limitsChanged(): void {
    const { up, down } = this.#settings.limits();
    this.#all.in.rate = down;
    this.#all.out.rate = up;
  }

  /** Takes over what the settings say of one transfer. */
  controlChanged(transfer: string): void {
    const bucket = this.#own.get(transfer);
    if (bucket) bucket.rate = this.#settings.control(transfer).limit;
  }

  open(flow: { transfer: string; direction: 'in' | 'out'; peer: string | null; origin: Origin }): Flow {
    const { transfer, direction, peer, origin } = flow;
    const seen: Seen = { peer, origin, bytes: 0, samples: [] };
    const all = this.#all[direction];
    const own = this.#own.get(transfer) ?? new Bucket(this.#settings.control(transfer).limit);
    this.#own.set(transfer, own);
    this.#seen.set(transfer, (this.#seen.get(transfer) ?? new Set()).add(seen));
    return {
      get piece(): number {
        const rate = Math.min(own.rate ?? Number.POSITIVE_INFINITY, all.rate ?? Number.POSITIVE_INFINITY);
        return Math.max(LEAST_PIECE_BYTES, Math.min(PIECE_BYTES, Math.floor(rate / 8)));
      },
      moved: (bytes, signal) => {
        note(seen, bytes);
        const first = own.take(bytes, signal);
        const second = all.take(bytes, signal);
        return first && second ? Promise.all([first, second]).then(() => undefined) : (first ?? second);
      },
      [Symbol.dispose]: () => {
        const others = this.#seen.get(transfer);
        others?.delete(seen);
        if (others?.size !== 0) return;
        this.#seen.delete(transfer);
        this.#own.delete(transfer);
      },
    };
  }

  /** Connections over which the transfer moves now. */
  of(transfer: string): Moving[] {
    return [...(this.#seen.get(transfer) ?? [])].map((seen) => ({
      peer: seen.peer,
      ...seen.origin,
      rate: rateOf(seen),
    }));
  }
}

function note(seen: Seen, bytes: number): void {
  const at = performance.now();
  const last = seen.samples.at(-1);
  if (!last || at - last.at >= SAMPLE_MS) seen.samples.push({ at, bytes: seen.bytes });
  if (seen.samples.length > RATE_MS / SAMPLE_MS) seen.samples.shift();
  seen.bytes += bytes;
}

function rateOf({ samples, bytes }: Seen): number {
  const now = performance.now();
  const first = samples.find(({ at }) => now - at <= RATE_MS);
  return first && now > first.at ? Math.round(((bytes - first.bytes) * 1000) / (now - first.at)) : 0;
}
