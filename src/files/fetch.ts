/** Pulls the missing chunks of one file from one holder, and believes nothing that does not hash. [F-13] */
import { Blake3Hasher, blake3 } from '@napi-rs/blake-hash';
import { toBase32 } from '../base/encoding.ts';
import { type Fault, toFault } from '../base/fault.ts';
import type { Bitmap } from './bitmap.ts';
import type { BlockPool } from './blocks.ts';
import type { BlobClient } from './client.ts';
import { chunkLength, type ManifestFile } from './manifest.ts';
import type { PartFile } from './part.ts';
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
  /** BLAKE3 of the manifest, and the file's place in it. */
  hash: string;
  index: number;
  file: ManifestFile;
  /** Bytes of a chunk. */
  chunk: number;
  /** Chunks verified and written; grows as they come. */
  have: Bitmap;
  part: PartFile;
  pool: BlockPool;
  /** Told before chunks `first` to `first + count - 1` are asked for. */
  onAsk(first: number, count: number): void;
  onChunk(bytes: number): void;
  /** A chunk had the wrong hash. May throw to give up. */
  onStrike(index: number): void;
};

/** A chunk on its way: hashed as it comes, and right only when all of it is written. */
type Chunk = { index: number; writes: number; right: boolean | undefined };

/**
 * Settles when all chunks are verified and written. Throws the fault that ended it: of the connection, of the holder, of
 * the disk (`disk_full`, `unwritable`), or of `onStrike`; by then no write is under way.
 */
export async function fetchFile(options: FetchOptions): Promise<void> {
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
    const { have, chunk, onAsk } = this.#options;
    const most = Math.max(1, Math.floor(RANGE_BYTES / chunk));
    let next = 0;
    const ask = async (): Promise<void> => {
      for (;;) {
        if (this.#fault) throw this.#fault;
        const gap = have.gap(next, most);
        if (!gap) return;
        next = gap.first + gap.count;
        onAsk(gap.first, gap.count);
        await this.#range(gap.first, gap.count);
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
    const { client, hash, index, file, chunk } = this.#options;
    const range = { start: first * chunk, end: Math.min(file.size, (first + count) * chunk) };
    await client.get({
      path: `/blobs/${hash}/${index}`,
      range,
      mostBytes: range.end - range.start,
      total: file.size,
      body: this.#sink(range.start),
    });
  }

  /** Takes the bytes from `position` on, in order, into blocks. */
  #sink(position: number): (buffer: Buffer, from: number, to: number) => void {
    const { file, chunk, pool } = this.#options;
    let filled = 0;
    let current: Chunk | undefined;
    let hasher: Blake3Hasher | undefined;
    return (buffer, from, to) => {
      let at = from;
      while (at < to) {
        const index = Math.floor(position / chunk);
        const length = chunkLength(file.size, chunk, index);
        const left = length - (position - index * chunk);
        const wanted = Math.min(BLOCK_BYTES, left);
        this.#block ??= pool.take();
        const count = Math.min(to - at, wanted - filled);
        buffer.copy(this.#block, filled, at, at + count);
        at += count;
        filled += count;
        if (filled < wanted) return;
        const block = this.#block;
        this.#block = undefined;
        current ??= { index, writes: 0, right: undefined };
        if (wanted === length) {
          current.right = this.#judge(index, blake3(block.subarray(0, wanted)));
        } else {
          hasher ??= new Blake3Hasher();
          hasher.update(block.subarray(0, wanted));
          if (wanted === left) current.right = this.#judge(index, hasher.digestBuffer());
        }
        this.#write(block, wanted, position, current);
        if (wanted === left) {
          current = undefined;
          hasher = undefined;
        }
        position += wanted;
        filled = 0;
      }
    };
  }

  #judge(index: number, digest: Buffer): boolean {
    return toBase32(digest) === this.#options.file.chunks[index];
  }

  #write(block: Buffer, length: number, position: number, chunk: Chunk): void {
    const { part, pool, client } = this.#options;
    if (chunk.right === false) {
      pool.give(block);
      this.#options.onStrike(chunk.index); // what it throws ends the connection
      return;
    }
    chunk.writes += 1;
    const writing = part.write(block, length, position).then(
      () => {
        chunk.writes -= 1;
        if (chunk.right && chunk.writes === 0) this.#mark(chunk.index);
      },
      (error: unknown) => this.#fail(toFault(error)),
    );
    const settled = writing.finally(() => {
      this.#writes.delete(settled);
      pool.give(block);
      if (this.#writes.size < MOST_WRITES / 2) client.resume();
    });
    this.#writes.add(settled);
    // Other transfers may hold the blocks that this one waits for: then none of its own writes will wake it.
    if (pool.low) pool.whenFree(() => client.resume());
    if (this.#writes.size >= MOST_WRITES || pool.low) client.pause();
  }

  #mark(index: number): void {
    const { have, file, chunk, onChunk } = this.#options;
    if (have.has(index)) return;
    have.set(index);
    onChunk(chunkLength(file.size, chunk, index));
  }

  #fail(fault: Fault): void {
    this.#fault ??= fault;
    this.#options.client.destroy(fault);
  }
}
