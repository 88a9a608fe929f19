/** One timer for the signs of life of all links: each of its own, they and their lists were a tenth of what an idle link kept. [L-28] */

/** What is looked after: `beat` is called about once a period. */
export interface Beating {
  beat(): void;
}

/** Parts of a period, so that links that came together do not all speak at once; few, for each wakes the machine. */
const PARTS = 16;

class Heartbeat {
  readonly #periodMs: number;
  readonly #parts = Array.from({ length: PARTS }, () => new Set<Beating>());
  #timer: NodeJS.Timeout | undefined;
  #size = 0;
  #next = 0;

  constructor(periodMs: number) {
    this.#periodMs = periodMs;
  }

  add(one: Beating): () => void {
    const part = this.#parts[Math.floor(Math.random() * PARTS)];
    part?.add(one);
    this.#size += 1;
    this.#timer ??= setInterval(() => this.#beat(), this.#periodMs / PARTS).unref();
    return () => {
      if (!part?.delete(one)) return;
      this.#size -= 1;
      if (this.#size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
    };
  }

  #beat(): void {
    const part = this.#parts[this.#next];
    this.#next = (this.#next + 1) % PARTS;
    if (part) for (const one of part) one.beat();
  }
}

const byPeriod = new Map<number, Heartbeat>();

/** Calls `one.beat()` once in every `periodMs` milliseconds, the first time some time within them; the result ends that. */
export function keepBeating(one: Beating, periodMs: number): () => void {
  const known = byPeriod.get(periodMs) ?? new Heartbeat(periodMs);
  byPeriod.set(periodMs, known);
  return known.add(one);
}
