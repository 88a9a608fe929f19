/** Memory that file data passes through: blocks that are used again, and a bound on how many are out. */
import { BLOCK_BYTES } from './source.ts';

/** Blocks out at once, for all transfers together: 24 MiB. */
const MOST_BLOCKS = 24;

export class BlockPool {
  readonly #most: number;
  readonly #free: Buffer[] = [];
  readonly #waiting = new Set<() => void>();
  #out = 0;

  constructor(most = MOST_BLOCKS) {
    this.#most = most;
  }

  /** At the bound. Who takes blocks must then stop its source, and may take only what the source has already given. */
  get low(): boolean {
    return this.#out >= this.#most;
  }

  take(): Buffer {
    this.#out += 1;
    // Threads that read and write folders see the same memory.
    return this.#free.pop() ?? Buffer.from(new SharedArrayBuffer(BLOCK_BYTES));
  }

  give(block: Buffer): void {
    this.#out -= 1;
    if (this.#free.length + this.#out < this.#most) this.#free.push(block);
    if (this.low) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const tell of waiting) tell();
  }

  /** Calls `tell` once, when the pool is no longer low. */
  whenFree(tell: () => void): void {
    this.#waiting.add(tell);
  }
}
