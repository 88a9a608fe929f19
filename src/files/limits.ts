/** How fast bytes may move, and over which connections they do. */
import type { Origin, Rung } from '../link/rung.ts';
import type { Settings } from './settings.ts';

/** Milliseconds' worth of bytes that may be taken at once after a rest: a limit holds over any longer time. */
const BURST_MS = 100;
/** Milliseconds' worth of bytes by which a peer may be ahead of others for having had less; and peers of which that is known. */
const CREDIT_MS = 500;
const MOST_KNOWN = 256;
/** Milliseconds between two looks at what moved beside, and the longest until the next while somebody waits. */
const BESIDE_MS = 50;
const LONGEST_MS = 3_600_000;
/** Milliseconds over which the rate of a connection is taken, and between two samples of it. */
const RATE_MS = 3000;
const SAMPLE_MS = 250;
/** Bytes of one write where nothing is limited: larger ones gain nothing, smaller ones cost a system call each. */
const PIECE_BYTES = 256 * 1024;
const LEAST_PIECE_BYTES = 4096;

type Payer = { name: string; owes: number; start: number; resolve: () => void };

/**
 * A token bucket that is shared fairly. Who takes more than there is owes it, and goes on once it is paid; what comes in is paid to
 * those who wait by turns of peers, however many connections each has (start-time fair queueing). [N-80]
 */
export class Bucket {
  #rate: number | null;
  #tokens = 0;
  #at = performance.now();
  #timer: NodeJS.Timeout | undefined;
  readonly #waiting: Payer[] = [];
  /** Where the line of each peer ends, in bytes of virtual time; and where that time stands. */
  readonly #ends = new Map<string, number>();
  #now = 0;
  readonly #beside: () => number;
  #besideSeen: number;
  #besideAt = 0;

  /**
   * `rate`: bytes a second; null: as many as come. `beside`: bytes so far that go by the same line and never wait, as messages do:
   * what they take is not given to others. [N-81]
   */
  constructor(rate: number | null, beside: () => number = () => 0) {
    this.#rate = rate;
    this.#beside = beside;
    this.#besideSeen = rate === null ? 0 : beside();
  }

  get rate(): number | null {
    return this.#rate;
  }

  /** Holds from now on, also for those who wait already. */
  set rate(rate: number | null) {
    this.#earn();
    if (this.#rate === null) this.#besideSeen = this.#beside();
    this.#rate = rate;
    this.#pay();
  }

  /**
   * Counts `bytes` as moved by a peer; undefined if more may follow at once, else settles when more may, or `signal` aborts: what is
   * owed then is paid before anybody else goes on.
   */
  take(bytes: number, signal: AbortSignal, peer = ''): Promise<void> | undefined {
    if (this.#rate === null || signal.aborted) return undefined;
    this.#earn();
    const start = this.#startOf(peer, bytes);
    if (this.#waiting.length === 0 && this.#tokens >= bytes) {
      this.#tokens -= bytes;
      this.#now = Math.max(this.#now, start);
      return undefined;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    const payer: Payer = { name: peer, owes: bytes, start, resolve };
    this.#waiting.push(payer);
    const leave = (): void => {
      const at = this.#waiting.indexOf(payer);
      if (at < 0) return;
      this.#waiting.splice(at, 1);
      this.#tokens -= payer.owes;
      this.#pay();
      resolve();
    };
    signal.addEventListener('abort', leave, { once: true });
    this.#pay();
    return promise.finally(() => signal.removeEventListener('abort', leave));
  }

  /**
   * Where what a peer moves now stands in line. Who had less than others for a moment, for there was enough for all who asked, is
   * ahead of them by that; who comes new is not.
   */
  #startOf(peer: string, bytes: number): number {
    const credit = ((this.#rate ?? 0) * CREDIT_MS) / 1000;
    const start = Math.max(this.#now - credit, this.#ends.get(peer) ?? this.#now);
    if (this.#ends.size > MOST_KNOWN) {
      for (const [name, end] of this.#ends) if (end < this.#now - credit) this.#ends.delete(name);
    }
    this.#ends.set(peer, start + bytes);
    return start;
  }

  #earn(): void {
    const now = performance.now();
    const rate = this.#rate ?? 0;
    this.#tokens = Math.min((rate * BURST_MS) / 1000, this.#tokens + ((now - this.#at) * rate) / 1000);
    this.#at = now;
    if (this.#rate === null || now - this.#besideAt < BESIDE_MS) return;
    this.#besideAt = now;
    const beside = this.#beside();
    this.#tokens = Math.max(-rate, this.#tokens - Math.max(0, beside - this.#besideSeen));
    this.#besideSeen = beside;
  }

  /** Pays what those who wait owe, as far as there is anything; and goes on when there is more. */
  #pay(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#rate === null) {
      this.#tokens = 0;
      for (const { resolve } of this.#waiting.splice(0)) resolve();
    }
    for (let next = this.#next(); next && this.#tokens > 0; next = this.#next()) {
      const paid = Math.min(this.#tokens, next.owes);
      this.#tokens -= paid;
      next.owes -= paid;
      this.#now = Math.max(this.#now, next.start);
      if (next.owes > 0) break;
      this.#waiting.splice(this.#waiting.indexOf(next), 1);
      next.resolve();
    }
    const next = this.#next();
    if (!next || this.#rate === null) return;
    const again = (): void => {
      this.#earn();
      this.#pay();
    };
    const ms = ((next.owes - this.#tokens) * 1000) / this.#rate;
    this.#timer = setTimeout(again, Math.min(LONGEST_MS, Math.ceil(ms))).unref();
  }

  /** Whose turn it is: they came first by virtual time. */
  #next(): Payer | undefined {
    let first: Payer | undefined;
    for (const payer of this.#waiting) if (!first || payer.start < first.start) first = payer;
    return first;
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

  /** `messages`: bytes of all links so far, which count for the limits of all transfers, and never wait for them. */
  constructor(settings: Settings, messages?: () => { sent: number; received: number }) {
    this.#settings = settings;
    const { up, down } = settings.limits();
    this.#all = {
      in: new Bucket(down, () => messages?.().received ?? 0),
      out: new Bucket(up, () => messages?.().sent ?? 0),
    };
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
    const payer = peer ?? origin.address.replace(/:\d+$/, ''); // who came with a link is known by the address alone
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
        const first = own.take(bytes, signal, payer);
        const second = all.take(bytes, signal, payer);
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
