/**
 * Which chunks of a part are here, in memory and in the store, so that no crash marks one that is not on the disk, and
 * none that is there is fetched again. [F-24]
 *
 * The order is: a chunk is noted as asked; it is asked for; it is verified; it is written; the part is flushed
 * (fdatasync); it is marked. So what is marked is on the disk, and what else may be there is among the asked ones: after
 * a restart those are hashed again, and only those.
 */
import { Bitmap } from './bitmap.ts';
import type { Part } from './part.ts';
import type { FileStore } from './store.ts';

const MiB = 1024 * 1024;
/** Bytes noted as asked in one write: hashing them after a crash takes a quarter of a second. */
const ASK_BYTES = 512 * MiB;
/** Bytes hashed again at a time, so that whoever cancels does not wait. */
const VERIFY_BYTES = 64 * MiB;

export class Ledger {
  readonly have: Bitmap;
  readonly #store: FileStore;
  readonly #id: string;
  readonly #part: Part;
  #marked: Uint8Array;
  #asked: Bitmap;
  #bytes = 0;
  #flushedAt = performance.now();
  #flushing: Promise<void> | undefined;

  private constructor(store: FileStore, id: string, part: Part, have: Bitmap) {
    this.#store = store;
    this.#id = id;
    this.#part = part;
    this.have = have;
    this.#marked = have.bytes();
    this.#asked = new Bitmap(have.size);
  }

  /** Reads the marks of transfer `id`, and hashes what may be there without one. */
  static async open(options: { store: FileStore; id: string; part: Part; signal: AbortSignal }): Promise<Ledger> {
    const { store, id, part, signal } = options;
    const { layout } = part;
    const { marked, asked } = store.marks(id);
    const have = new Bitmap(layout.chunks, part.fresh ? undefined : marked);
    const maybe = new Bitmap(layout.chunks);
    const noted = new Bitmap(layout.chunks, part.fresh ? undefined : asked);
    noted.each((index) => {
      if (!have.has(index)) maybe.set(index);
    });
    for (let from = 0; maybe.count > 0 && from < layout.chunks; ) {
      signal.throwIfAborted();
      const to = from + layout.within(from, layout.chunks - from, VERIFY_BYTES);
      for (const index of await part.verify(maybe, from, to)) have.set(index);
      from = to;
    }
    if (maybe.count > 0) await part.sync();
    const ledger = new Ledger(store, id, part, have);
    ledger.#save();
    return ledger;
  }

  /** Notes, before they are asked for, that these chunks may be there from now on. */
  ask(first: number, count: number): void {
    let isNew = false;
    for (let index = first; index < first + count && !isNew; index++) isNew = !this.#asked.has(index);
    if (!isNew) return;
    const { layout } = this.#part;
    const ahead = Math.max(count, layout.within(first, layout.chunks - first, ASK_BYTES));
    for (let index = first; index < first + ahead; index++) this.#asked.set(index);
    this.#save();
  }

  /** Counts what was written; flushes now and then, without anybody waiting for it. */
  wrote(bytes: number, onError: (error: unknown) => void): void {
    this.#bytes += bytes;
    const { bytes: most, ms } = this.#part.syncAfter;
    if (this.#bytes < most && performance.now() - this.#flushedAt < ms) return;
    if (!this.#flushing) this.flush().catch(onError);
  }

  /** Settles when no flush is under way any more. */
  async rested(): Promise<void> {
    await this.#flushing?.catch(() => {}); // whoever began it hears of it
  }

  /** Settles when all that is verified and written now is marked. */
  async flush(): Promise<void> {
    await this.rested();
    this.#flushing = this.#flush().finally(() => {
      this.#flushing = undefined;
    });
    await this.#flushing;
  }

  /** What has a mark is not here after all, as somebody took it away: it is hashed again next time. */
  distrust(): void {
    this.#marked = new Bitmap(this.have.size).bytes();
    for (let index = 0; index < this.have.size; index++) this.#asked.set(index);
    this.#save();
  }

  async #flush(): Promise<void> {
    this.#bytes = 0;
    this.#flushedAt = performance.now();
    const written = this.have.bytes();
    await this.#part.sync();
    this.#marked = written;
    this.#save();
  }

  #save(): void {
    this.#store.saveMarks(this.#id, { part: this.#part.identity, marked: this.#marked, asked: this.#asked.bytes() });
  }
}
