/**
 * Which chunks of a part are here, in memory and in the store, so that no crash marks one that is not on the disk, and
 * none that is there is fetched again. [F-24]
 *
 * The order is: a chunk is noted as asked; it is asked for; it is verified; it is written; the part is flushed
 * (fdatasync); it is marked. So what is marked is on the disk, and what else may be there is among the asked ones: after
 * a restart those are hashed again, and only those.
 */
import { Blake3Hasher } from '@napi-rs/blake-hash';
import { toBase32 } from '../base/encoding.ts';
import { Bitmap } from './bitmap.ts';
import { chunkLength, type ManifestFile } from './manifest.ts';
import type { PartFile } from './part.ts';
import { BLOCK_BYTES } from './source.ts';
import type { FileStore } from './store.ts';

const MiB = 1024 * 1024;
/** Bytes noted as asked in one write: hashing them after a crash takes a quarter of a second. */
const ASK_BYTES = 512 * MiB;
/** Bytes and milliseconds between two flushes: a flush waits for the disk, which then has no time for more. */
const FLUSH_BYTES = 256 * MiB;
const FLUSH_MS = 5000;

export class Ledger {
  readonly have: Bitmap;
  readonly #store: FileStore;
  readonly #id: string;
  readonly #part: PartFile;
  readonly #chunk: number;
  #marked: Uint8Array;
  #asked: Bitmap;
  #bytes = 0;
  #flushedAt = performance.now();
  #flushing: Promise<void> | undefined;

  private constructor(store: FileStore, id: string, part: PartFile, chunk: number, have: Bitmap) {
    this.#store = store;
    this.#id = id;
    this.#part = part;
    this.#chunk = chunk;
    this.have = have;
    this.#marked = have.bytes();
    this.#asked = new Bitmap(have.size);
  }

  /** Reads the marks of transfer `id`, and hashes what may be there without one. */
  static async open(options: {
    store: FileStore;
    id: string;
    part: PartFile;
    file: ManifestFile;
    chunk: number;
    signal: AbortSignal;
  }): Promise<Ledger> {
    const { store, id, part, file, chunk, signal } = options;
    const { marked, asked } = store.marks(id);
    const size = file.chunks.length;
    const have = new Bitmap(size, part.fresh ? undefined : marked);
    const maybe = new Bitmap(size, part.fresh ? undefined : asked);
    const buffer = maybe.count > 0 ? Buffer.allocUnsafeSlow(BLOCK_BYTES) : undefined;
    for (let index = 0; buffer && index < size; index++) {
      signal.throwIfAborted();
      if (!maybe.has(index) || have.has(index)) continue;
      const length = chunkLength(file.size, chunk, index);
      if ((await hashAt(part, buffer, index * chunk, length)) === file.chunks[index]) have.set(index);
    }
    if (maybe.count > 0) await part.sync();
    const ledger = new Ledger(store, id, part, chunk, have);
    ledger.#save();
    return ledger;
  }

  /** Notes, before they are asked for, that these chunks may be there from now on. */
  ask(first: number, count: number): void {
    let isNew = false;
    for (let index = first; index < first + count && !isNew; index++) isNew = !this.#asked.has(index);
    if (!isNew) return;
    const ahead = Math.max(count, Math.ceil(ASK_BYTES / this.#chunk));
    for (let index = first; index < Math.min(first + ahead, this.have.size); index++) this.#asked.set(index);
    this.#save();
  }

  /** Counts what was written; flushes now and then, without anybody waiting for it. */
  wrote(bytes: number, onError: (error: unknown) => void): void {
    this.#bytes += bytes;
    if (this.#bytes < FLUSH_BYTES && performance.now() - this.#flushedAt < FLUSH_MS) return;
    if (!this.#flushing) this.flush().catch(onError);
  }

  /** Settles when all that is verified and written now is marked. */
  async flush(): Promise<void> {
    await this.#flushing?.catch(() => {}); // whoever began it hears of it
    this.#flushing = this.#flush().finally(() => {
      this.#flushing = undefined;
    });
    await this.#flushing;
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

async function hashAt(part: PartFile, buffer: Buffer, position: number, length: number): Promise<string> {
  const hasher = new Blake3Hasher();
  for (let at = 0; at < length; ) {
    const read = await part.read(buffer, Math.min(buffer.length, length - at), position + at);
    if (read === 0) break;
    hasher.update(buffer.subarray(0, read));
    at += read;
  }
  return toBase32(hasher.digestBuffer());
}
