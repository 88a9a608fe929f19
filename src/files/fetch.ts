/** Pulls the missing chunks of one content from one holder, and believes nothing that does not hash. [F-13] */
import { type Fault, toFault } from '../base/fault.ts';
import type { Bitmap } from './bitmap.ts';
import type { BlockPool } from './blocks.ts';
import type { BlobClient } from './client.ts';
import type { Part } from './part.ts';
import { BLOCK_BYTES } from './source.ts';

/** Bytes of one range: long, so that a request's cost does not count; short enough to give other work a turn. */
const RANGE_BYTES = 64 * 1024 * 1024;
/** Requests under way on a connection: while one is answered the next is already there, so the line never idles. */
const REQUESTS = 2;
/** Writes that may wait for the disk; past it nothing more is read from the line. */
const MOST_WRITES = 4;
/** Chunks with a wrong hash after which a holder is given up. */
export const MOST_STRIKES = 3;

export type FetchOptions = {
  client: BlobClient;
  /** Path under which the holder has the linear space. */
  path: string;
  /** Chunks verified and written; grows as they come. */
  have: Bitmap;
  part: Part;
  pool: BlockPool;
  /** Told before chunks `first` to `first + count - 1` are asked for. */
  onAsk(first: number, count: number): void;
  /** These chunks are verified and written, for the first time: a block of many small files at once. */
  onChunks(indexes: number[], bytes: number): void;
  /** A chunk had the wrong hash. May throw to give up. */
  onStrike(index: number): void;
};

/**
 * Settles when all chunks are verified and written. Throws the fault that ended it: of the connection, of the holder, of
 * the disk (`disk_full`, `unwritable`), or of `onStrike`; by then no write is under way.
 */
export async function fetchContent(options: FetchOptions): Promise<void> {
  const run = new FetchRun(options);
  try {
    while (!options.have.full) await run.pass();
  } finally {
    await run.settle();
  }
}

class FetchRun {
  readonly #options: FetchOptions;
  readonly #writes = new Set<Promise<void>>();
  #fault: Fault | undefined;
  #block: Buffer | undefined;

  constructor(options: FetchOptions) {
    this.#options = options;
  }

  /** Asks once for every chunk that is missing. */
  async pass(): Promise<void> {
    const { have, part, onAsk } = this.#options;
    const { layout } = part;
    let next = 0;
    const ask = async (): Promise<void> => {
      for (;;) {
        if (this.#fault) throw this.#fault;
        const gap = have.gap(next, layout.chunks);
        if (!gap) return;
        const count = layout.within(gap.first, gap.count, RANGE_BYTES);
        next = gap.first + count;
        onAsk(gap.first, count);
        await this.#range(gap.first, count);
      }
    };
    try {
      await Promise.all(Array.from({ length: REQUESTS }, ask));
    } catch (error) {
      this.#fail(toFault(error));
    }
    await this.settle();
    if (this.#fault) throw this.#fault;
  }

  async settle(): Promise<void> {
    while (this.#writes.size > 0) await Promise.all(this.#writes);
    if (this.#block) this.#options.pool.give(this.#block);
    this.#block = undefined;
  }

  async #range(first: number, count: number): Promise<void> {
    const { client, path, part } = this.#options;
    const range = part.layout.range(first, count);
    const sink = this.#sink(range.start, first + count);
    try {
      const [mostBytes, total] = [range.end - range.start, part.layout.size];
      await client.get({ path, range, mostBytes, total, body: sink.body });
    } catch (error) {
      sink.cut();
      throw error;
    }
  }

  /**
   * Takes the bytes from `position` on up to chunk `end`, in order, into blocks: of whole chunks, or of pieces of a large one.
   * After a cut the chunks that are whole by then are kept: what comes next may be what the holder cannot give.
   */
  #sink(position: number, end: number): { body(buffer: Buffer, from: number, to: number): void; cut(): void } {
    const { pool, part } = this.#options;
    let [filled, wanted] = [0, 0];
    const cut = (): void => {
      const block = this.#block;
      if (filled === 0 || !block) return;
      const place = part.layout.place(part.layout.chunkAt(position + filled)); // not the end: that would have been a full block
      const length = place.start - position;
      filled = 0;
      if (length <= 0) return;
      this.#block = undefined;
      this.#put(block, length, position);
    };
    const body = (buffer: Buffer, from: number, to: number): void => {
      let at = from;
      while (at < to) {
        if (wanted === 0) wanted = this.#blockAt(position, end);
        this.#block ??= pool.take();
        const count = Math.min(to - at, wanted - filled);
        buffer.copy(this.#block, filled, at, at + count);
        at += count;
        filled += count;
        if (filled < wanted) return;
        const block = this.#block;
        this.#block = undefined;
        this.#put(block, wanted, position);
        position += wanted;
        [filled, wanted] = [0, 0];
      }
    };
    return { body, cut };
  }

  /** Bytes of the block that begins at `position`. */
  #blockAt(position: number, end: number): number {
    const { layout } = this.#options.part;
    const index = layout.chunkAt(position);
    const { start, length } = layout.place(index);
    const left = start + length - position;
    if (left >= BLOCK_BYTES || position > start) return Math.min(BLOCK_BYTES, left);
    return layout.range(index, layout.within(index, end - index, BLOCK_BYTES)).end - position;
  }

  #put(block: Buffer, length: number, position: number): void {
    const { part, pool, client } = this.#options;
    const putting = part
      .put(block, length, position)
      .then((wrong) => this.#mark(position, length, wrong))
      .catch((error: unknown) => this.#fail(toFault(error)));
    const settled = putting.finally(() => {
      this.#writes.delete(settled);
      pool.give(block);
      if (this.#writes.size < MOST_WRITES / 2) client.resume();
    });
    this.#writes.add(settled);
    // Other transfers may hold the blocks that this one waits for: then none of its own writes will wake it.
    if (pool.low) pool.whenFree(() => client.resume());
    if (this.#writes.size >= MOST_WRITES || pool.low) client.pause();
  }

  /** Marks the chunks that end within these bytes; strikes for those that are wrong, which may end it all. */
  #mark(position: number, length: number, wrong: number[]): void {
    const { have, part, onChunks, onStrike } = this.#options;
    const { layout } = part;
    const right: number[] = [];
    let bytes = 0;
    let index = layout.chunkAt(position);
    for (let at = position; at < position + length; index++) {
      const place = layout.place(index);
      at = place.start + place.length;
      if (at > position + length || have.has(index) || wrong.includes(index)) continue;
      have.set(index);
      right.push(index);
      bytes += place.length;
    }
    if (right.length > 0) onChunks(right, bytes);
    for (const index of wrong) onStrike(index);
  }

  #fail(fault: Fault): void {
    this.#fault ??= fault;
    this.#options.client.destroy(fault);
  }
}
