/**
 * Moves what a store's log holds into its main file, on a thread of its own: whoever writes much does not wait for it, and
 * neither does whoever is talked to meanwhile. The store's own checkpoint stays as the bound of the log.
 */
import { OPEN, STOPPED } from './checkpoint-flags.ts';
import { Thread } from './thread.ts';

/**
 * Changes after which a round is due: some ten thousand pages at most. Entries stand in indexes by their hashes, so what is
 * written in bulk touches the same pages again and again: the later they are moved, the fewer times each is.
 */
const CHANGES = 20_000;
/** Pages of the log, 4 MiB, from which on it is to start anew: what came during the round is then moved by its writer. */
const RESTART_PAGES = 1000;
/** Milliseconds that a store waits at its end for a round under way. */
const END_MS = 30_000;

export class Checkpoints implements Disposable {
  readonly #thread: Thread<null, { pages: number }>;
  readonly #restart: () => void;
  readonly #flags = new Int32Array(new SharedArrayBuffer(8));
  #from = 0;
  #running = false;

  /** `restart`: moves what little was written during the last round; nothing is written then, so the log starts anew. */
  constructor(path: string, restart: () => void) {
    this.#thread = new Thread('checkpoint-thread', import.meta.url, { path, flags: this.#flags });
    this.#restart = restart;
  }

  /** So many changes were made so far. */
  wrote(changes: number): void {
    if (this.#running || changes - this.#from < CHANGES) return;
    this.#from = changes;
    this.#running = true;
    this.#round()
      .catch(() => {}) // a full disk, perhaps: the store's own checkpoint says so to whoever writes
      .finally(() => {
        this.#running = false;
      });
  }

  async #round(): Promise<void> {
    const { pages } = await this.#thread.ask(null);
    if (pages < RESTART_PAGES) return;
    await this.#thread.ask(null); // what was written during the long round
    if (this.#flags[STOPPED] === 0) this.#restart();
  }

  /** Waits until no round is under way, so that the store's connection is the last one. */
  [Symbol.dispose](): void {
    Atomics.store(this.#flags, STOPPED, 1);
    Atomics.wait(this.#flags, OPEN, 1, END_MS);
    void this.#thread[Symbol.asyncDispose]();
  }
}
