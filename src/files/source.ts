/** A file of this machine's user that is offered to others: read in large blocks, and refused once it has changed. */
import type { BigIntStats } from 'node:fs';
import { constants } from 'node:fs';
import { type FileHandle, lstat, open, realpath } from 'node:fs/promises';
import { basename } from 'node:path';
import { Blake3Hasher } from '@napi-rs/blake-hash';
import { reasonOf } from '../base/async.ts';
import { hash, toBase32 } from '../base/encoding.ts';
import { Fault, toFault } from '../base/fault.ts';
import { chunkBytesFor, chunkLength, type Manifest, MOST_FILE_BYTES } from './manifest.ts';
import { offeredName } from './paths.ts';

/** What shows that a file is still the one that was hashed. */
export type Stamp = { dev: string; ino: string; size: number; mtimeNs: string };

/** Bytes of one read: a trip to the thread pool costs 20 us, so fewer and larger; hashing as much takes 0.14 ms. */
export const BLOCK_BYTES = 1024 * 1024;

const stampOf = (stats: BigIntStats): Stamp => ({
  dev: String(stats.dev),
  ino: String(stats.ino),
  size: Number(stats.size),
  mtimeNs: String(stats.mtimeNs),
});

const sameStamp = (a: Stamp, b: Stamp): boolean =>
  a.dev === b.dev && a.ino === b.ino && a.size === b.size && a.mtimeNs === b.mtimeNs;

export class Source implements AsyncDisposable {
  readonly path: string;
  readonly stamp: Stamp;
  readonly #handle: FileHandle;

  private constructor(path: string, handle: FileHandle, stamp: Stamp) {
    this.path = path;
    this.#handle = handle;
    this.stamp = stamp;
  }

  /** Throws `unreadable`; `invalid_argument` for what is not a regular file; `too_large`. */
  static async open(path: string): Promise<Source> {
    const what = `reading "${path}"`;
    let handle: FileHandle | undefined;
    try {
      // O_NONBLOCK: opening a pipe must not wait for somebody to write into it.
      handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
      const stats = await handle.stat({ bigint: true });
      if (!stats.isFile()) throw new Fault('invalid_argument', `${what}: not a regular file`);
      const stamp = stampOf(stats);
      if (stamp.size > MOST_FILE_BYTES) {
        throw new Fault('too_large', `${what}: ${stamp.size} bytes, at most ${MOST_FILE_BYTES} can be sent`);
      }
      return new Source(path, handle, stamp);
    } catch (error) {
      await handle?.close();
      throw toFault(error, what, 'unreadable');
    }
  }

  /** Opens the file that was offered, or throws `changed`. */
  static async reopen(path: string, stamp: Stamp): Promise<Source> {
    const source = await Source.open(path).catch((error: unknown) => {
      const fault = toFault(error);
      // What was a regular file at this path and is none any more, has changed.
      throw fault.code === 'invalid_argument' || isGone(fault) ? changed(path) : fault;
    });
    if (sameStamp(source.stamp, stamp)) return source;
    await source[Symbol.asyncDispose]();
    throw changed(path);
  }

  /** Bytes. */
  get size(): number {
    return this.stamp.size;
  }

  /** Fills `buffer` from `position`; throws `changed` where the file has become shorter. */
  async read(buffer: Buffer, length: number, position: number): Promise<number> {
    let filled = 0;
    while (filled < length) {
      const { bytesRead } = await this.#handle
        .read(buffer, filled, length - filled, position + filled)
        .catch((error: unknown) => {
          throw toFault(error, `reading "${this.path}"`, 'unreadable');
        });
      if (bytesRead === 0) throw changed(this.path);
      filled += bytesRead;
    }
    return filled;
  }

  /** Throws `changed` if the file is no longer what it was when it was opened. [F-14] */
  async check(): Promise<void> {
    const now = stampOf(await this.#handle.stat({ bigint: true }));
    if (!sameStamp(now, this.stamp)) throw changed(this.path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }
}

const changed = (path: string): Fault => new Fault('changed', `reading "${path}": the file changed; send it again`);
const isGone = (fault: Fault): boolean => (fault.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT'; // of fs

/** The path without symlinks: what the user named, whatever a link on the way says later. Throws `unreadable`. */
export async function realSource(path: string): Promise<string> {
  return await realpath(path).catch((error: unknown) => {
    throw toFault(error, `reading "${path}"`, 'unreadable');
  });
}

/** Whether a folder is to be sent. Throws `unreadable`. */
export async function isFolder(path: string): Promise<boolean> {
  const stats = await lstat(path).catch((error: unknown) => {
    throw toFault(error, `reading "${path}"`, 'unreadable');
  });
  return stats.isDirectory();
}

/**
 * The manifest of the file at `path`, called `name`. Two reads are under way while a block is hashed, and no turn of the
 * event loop hashes more than one. Throws `unreadable`, `invalid_argument`, `changed`, or why `signal` aborted.
 */
export async function hashSource(
  path: string,
  options: { name?: string; signal?: AbortSignal; onBytes?: (bytes: number) => void } = {},
): Promise<{ manifest: Manifest; stamp: Stamp }> {
  await using source = await Source.open(path);
  const { size } = source.stamp;
  const chunk = chunkBytesFor(size);
  const chunks: string[] = [];
  const buffers = [Buffer.allocUnsafeSlow(BLOCK_BYTES), Buffer.allocUnsafeSlow(BLOCK_BYTES)] as const;
  const start = (block: number): Promise<number> => {
    const position = block * BLOCK_BYTES;
    const reading = source.read(buffers[block & 1 ? 1 : 0], Math.min(BLOCK_BYTES, size - position), position);
    reading.catch(() => {}); // whoever waits for it hears of it; after a failure nobody does
    return reading;
  };
  const blocks = Math.ceil(size / BLOCK_BYTES);
  let [current, next] = [blocks > 0 ? start(0) : undefined, blocks > 1 ? start(1) : undefined];
  let hasher: Blake3Hasher | undefined;
  for (let block = 0; block < blocks; block++) {
    await current;
    if (options.signal?.aborted) {
      await next?.catch(() => {}); // the handle is closed only when no read uses it
      throw reasonOf(options.signal);
    }
    const position = block * BLOCK_BYTES;
    const bytes = buffers[block & 1 ? 1 : 0].subarray(0, Math.min(BLOCK_BYTES, size - position));
    const length = chunkLength(size, chunk, Math.floor(position / chunk));
    if (bytes.length === length) {
      chunks.push(hash(bytes));
    } else {
      hasher ??= new Blake3Hasher();
      hasher.update(bytes);
      if ((position % chunk) + bytes.length === length) {
        chunks.push(toBase32(hasher.digestBuffer()));
        hasher = undefined;
      }
    }
    options.onBytes?.(position + bytes.length);
    current = next;
    next = block + 2 < blocks ? start(block + 2) : undefined;
  }
  await source.check();
  const name = options.name ?? offeredName(basename(path));
  return { manifest: { v: 1, name, size, chunk, files: [{ path: name, size, chunks }] }, stamp: source.stamp };
}
