/** A file that is not whole yet: written in place beside its future name, which it gets only when all of it is on disk. */
import { type BigIntStats, constants, fdatasync, read, write } from 'node:fs';
import { type FileHandle, link, lstat, mkdir, open, rename, rm, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Blake3Hasher } from '@napi-rs/blake-hash';
import { hash, toBase32 } from '../base/encoding.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Bitmap } from './bitmap.ts';
import { Layout } from './layout.ts';
import type { ManifestFile } from './manifest.ts';
import { candidates, partName } from './paths.ts';
import type { Conflict } from './settings.ts';
import { BLOCK_BYTES } from './source.ts';

/** Which file the part is, so that another one in its place is noticed. */
export type PartIdentity = {
  dev: string;
  ino: string;
  /** It has its name already: what is damaged of it is mended where it is. */
  inPlace?: boolean | undefined;
};

const identityOf = (stats: BigIntStats): PartIdentity => ({ dev: String(stats.dev), ino: String(stats.ino) });
export const samePart = (a: PartIdentity | undefined, b: PartIdentity): boolean => a?.dev === b.dev && a.ino === b.ino;

const errnoOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code; // a system error of fs

/**
 * What is not whole yet, a file or a folder, by its linear space: bytes go in, and are believed only if they hash; at the
 * end it gets its name. Bytes that are asked for in pieces must come in their order.
 */
export interface Part {
  readonly layout: Layout;
  readonly identity: PartIdentity;
  /** True if nothing of an earlier part could be used. */
  readonly fresh: boolean;
  /** Of a folder that is served too: what shows that its files are still what was written; there once it has its name. */
  readonly stamps?: Uint8Array | undefined;
  /** What a chunk must hash to. */
  hashOf(chunk: number): string | undefined;
  /** Bytes, and milliseconds, after which what was written is worth a `sync`. */
  readonly syncAfter: { bytes: number; ms: number };
  /**
   * Writes `length` bytes from `position` on: whole chunks, or the next piece of one. Gives the chunks that ended in it with
   * another hash than theirs; those that ended in it otherwise are written. The buffer is the caller's again when this settles.
   * Throws `disk_full` or `unwritable`.
   */
  put(buffer: Buffer, length: number, position: number): Promise<number[]>;
  /** Writes bytes that are not believed yet. Throws `disk_full` or `unwritable`. */
  write(buffer: Buffer, length: number, position: number): Promise<void>;
  /** Reads up to `length` bytes from `position` on; gives how many there were. Memory that threads share costs no copy. */
  read(buffer: Buffer, length: number, position: number): Promise<number>;
  /** Which of the chunks `from` to `to` (first one after) that `maybe` has are here and right. */
  verify(maybe: Bitmap, from: number, to: number): Promise<number[]>;
  /** Returns when all that was written before is on the disk. */
  sync(): Promise<void>;
  /**
   * All chunks are here: gives it its name, or what `conflict` says where that is taken. `intend` is told each path before it is
   * taken. Throws `exists`. [F-22]
   */
  finish(name: string, intend: (path: string) => void, conflict?: Conflict): Promise<string>;
  close(): Promise<void>;
}

/** Pieces of one chunk as they come. */
type Pieces = { hasher: Blake3Hasher; bytes: number; writes: Promise<void>[] };

export class PartFile implements Part {
  readonly layout: Layout;
  readonly syncAfter = { bytes: 256 * 1024 * 1024, ms: 5000 };
  readonly path: string;
  readonly identity: PartIdentity;
  /** True if nothing of an earlier part could be used. */
  readonly fresh: boolean;
  readonly #folder: string;
  readonly #handle: FileHandle;
  readonly #file: ManifestFile;
  readonly #pieces = new Map<number, Pieces>();

  private constructor(
    { folder, file, chunk }: { folder: string; file: ManifestFile; chunk: number },
    path: string,
    handle: FileHandle,
    identity: PartIdentity,
    fresh: boolean,
  ) {
    this.layout = new Layout(chunk, [file.size]);
    this.#file = file;
    this.#folder = folder;
    this.path = path;
    this.#handle = handle;
    this.identity = identity;
    this.fresh = fresh;
  }

  /**
   * The part of transfer `id` in `folder` (made if it is not there), of the file's size, sparse at first. `known` is the part
   * that was there before. Throws `disk_full` where less than `missing` bytes are free, `unwritable` where the folder
   * cannot be written or something else stands in the way: nothing is followed, nothing replaced. [F-21]
   */
  static async open(options: {
    folder: string;
    id: string;
    file: ManifestFile;
    /** Bytes of a chunk. */
    chunk: number;
    known: PartIdentity | undefined;
  }): Promise<PartFile> {
    const { folder, known } = options;
    const { size } = options.file;
    const path = join(folder, partName(options.id));
    const what = `writing "${path}"`;
    let handle: FileHandle | undefined;
    try {
      await makeFolder(folder);
      handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW).catch(
        async (error: unknown) => {
          if (errnoOf(error) !== 'EEXIST') throw error;
          return await open(path, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK);
        },
      );
      const stats = await handle.stat({ bigint: true });
      const identity = identityOf(stats);
      const kept = samePart(known, identity) && Number(stats.size) === size;
      if (!kept && (!stats.isFile() || stats.nlink !== 1n)) {
        throw new Fault('unwritable', `${what}: something else stands in the way`);
      }
      if (!kept) {
        await handle.truncate(0);
        await handle.truncate(size);
      }
      return new PartFile(options, path, handle, identity, !kept);
    } catch (error) {
      await handle?.close();
      throw writeFault(error, what);
    }
  }

  async put(buffer: Buffer, length: number, position: number): Promise<number[]> {
    const number = this.layout.chunkAt(position);
    const place = this.layout.place(number);
    if (length === place.length) {
      if (hash(buffer.subarray(0, length)) !== this.#file.chunks[number]) return [number];
      await this.write(buffer, length, position);
      return [];
    }
    const begun = position > place.start ? this.#pieces.get(number) : undefined; // after a cut it comes anew
    const pieces = begun ?? { hasher: new Blake3Hasher(), bytes: 0, writes: [] };
    if (position - place.start !== pieces.bytes) throw new RangeError(`chunk ${number}: its pieces come out of order`);
    pieces.hasher.update(buffer.subarray(0, length));
    pieces.bytes += length;
    const isLast = pieces.bytes === place.length;
    if (isLast) this.#pieces.delete(number);
    else this.#pieces.set(number, pieces);
    if (isLast && !this.#isChunk(number, pieces.hasher.digestBuffer())) {
      await Promise.all(pieces.writes);
      return [number];
    }
    const writing = this.write(buffer, length, position);
    pieces.writes.push(writing);
    await (isLast ? Promise.all(pieces.writes) : writing);
    return [];
  }

  hashOf(chunk: number): string | undefined {
    return this.#file.chunks[chunk];
  }

  #isChunk(number: number, digest: Buffer): boolean {
    return toBase32(digest) === this.#file.chunks[number];
  }

  write(buffer: Buffer, length: number, position: number): Promise<void> {
    return new Promise((resolve, reject) => {
      let written = 0;
      const more = (): void => {
        write(this.#handle.fd, buffer, written, length - written, position + written, (error, bytes) => {
          if (error) return reject(writeFault(error, `writing "${this.path}"`));
          written += bytes;
          if (written < length) more();
          else resolve();
        });
      };
      more();
    });
  }

  read(buffer: Buffer, length: number, position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      read(this.#handle.fd, buffer, 0, length, position, (error, bytes) => {
        if (error) reject(toFault(error, `reading "${this.path}"`, 'corrupt'));
        else resolve(bytes);
      });
    });
  }

  async verify(maybe: Bitmap, from: number, to: number): Promise<number[]> {
    const right: number[] = [];
    const buffer = Buffer.allocUnsafeSlow(BLOCK_BYTES);
    for (let number = from; number < to; number++) {
      if (!maybe.has(number)) continue;
      const { start, length } = this.layout.place(number);
      const hasher = new Blake3Hasher();
      for (let at = 0; at < length; ) {
        const count = await this.read(buffer, Math.min(buffer.length, length - at), start + at);
        if (count === 0) break;
        hasher.update(buffer.subarray(0, count));
        at += count;
      }
      if (this.#isChunk(number, hasher.digestBuffer())) right.push(number);
    }
    return right;
  }

  sync(): Promise<void> {
    return new Promise((resolve, reject) => {
      fdatasync(this.#handle.fd, (error) => (error ? reject(writeFault(error, `writing "${this.path}"`)) : resolve()));
    });
  }

  /**
   * Gives the whole file its name: `name`, or what `conflict` says where that is taken. A file that somebody put in the
   * part's place is not passed off as ours. `intend` is told each path before it is taken. Throws `exists`. [F-22]
   */
  async finish(name: string, intend: (path: string) => void, conflict: Conflict = 'rename'): Promise<string> {
    const what = `naming "${join(this.#folder, name)}"`;
    try {
      await this.#handle.sync();
      if (!samePart(await identityAt(this.path), this.identity)) {
        throw new Fault('unwritable', `${what}: the part file was replaced or removed meanwhile`);
      }
      if (conflict === 'overwrite') return await this.#replace(join(this.#folder, name), what, intend);
      for (const candidate of conflict === 'skip' ? [name] : candidates(name)) {
        const path = join(this.#folder, candidate);
        if ((await identityAt(path)) !== undefined) continue;
        intend(path);
        if (!(await this.#take(path))) continue;
        if (!samePart(await identityAt(path), this.identity)) {
          throw new Fault('unwritable', `${what}: the part file was replaced meanwhile`);
        }
        await rm(this.path, { force: true });
        await syncFolder(this.#folder);
        return path;
      }
      throw new Fault('exists', `${what}: ${conflict === 'skip' ? 'it is taken' : 'all names like it are taken'}`);
    } catch (error) {
      throw writeFault(error, what);
    }
  }

  /** Takes the name from what has it: at any moment there is the old file or the new one, whole. A symlink is not followed. */
  async #replace(path: string, what: string, intend: (path: string) => void): Promise<string> {
    const present = await lstat(path).catch(() => undefined);
    if (present?.isDirectory()) throw new Fault('exists', `${what}: a folder has this name; choose another folder`);
    intend(path);
    await rename(this.path, path);
    if (!samePart(await identityAt(path), this.identity)) {
      throw new Fault('unwritable', `${what}: the part file was replaced meanwhile`);
    }
    await syncFolder(this.#folder);
    return path;
  }

  /** Whether `path` was free and is now ours. */
  async #take(path: string): Promise<boolean> {
    try {
      await link(this.path, path); // fails where anything is, also a dangling symlink
      return true;
    } catch (error) {
      if (errnoOf(error) === 'EEXIST') return false;
      if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(errnoOf(error) ?? '')) throw error;
    }
    // A file system without hard links: an empty file of ours holds the name, and is then replaced.
    try {
      await (await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL)).close();
    } catch (error) {
      if (errnoOf(error) === 'EEXIST') return false;
      throw error;
    }
    await rename(this.path, path);
    return true;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

/** Whether the file at `path` is the part `known`: it got its name, and a crash kept that from being written down. */
export async function isFinished(path: string, known: PartIdentity): Promise<boolean> {
  return samePart(await identityAt(path), known);
}

/** Removes the part of transfer `id`, if there is one. */
export async function removePart(folder: string, id: string): Promise<void> {
  await rm(join(folder, partName(id)), { recursive: true, force: true }); // symlinks are removed, not followed
}

/**
 * Makes the folder and those above it. Throws `unwritable` or `disk_full`. By hand, for where a folder cannot hold another
 * (as in /proc) the recursive `mkdir` of Node 24 never ends.
 */
export async function makeFolder(folder: string): Promise<void> {
  try {
    const isGone = await mkdir(folder).then(
      () => false,
      (error: unknown) => {
        if (errnoOf(error) === 'ENOENT') return true;
        if (errnoOf(error) === 'EEXIST') return false;
        throw error;
      },
    );
    if (!isGone || dirname(folder) === folder) return;
    await makeFolder(dirname(folder));
    await mkdir(folder);
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw writeFault(error, `making the folder "${folder}"`);
  }
}

/**
 * Throws `disk_full` unless `bytes` are free where `folder` is, and room for as many `entries`: each takes a file number, and
 * on average half a block more than its bytes. [F-23]
 */
export async function checkSpace(folder: string, bytes: number, entries = 1): Promise<void> {
  await makeFolder(folder);
  const { bavail, bsize, files, ffree } = await statfs(folder);
  const [free, wanted] = [bavail * bsize, bytes + Math.floor(((entries - 1) * bsize) / 2)];
  const what = `writing into "${folder}"`;
  if (free < wanted) throw new Fault('disk_full', `${what}: ${wanted} bytes are needed, ${free} are free`);
  // A file system without a table of files says that it has none.
  if (files > 0 && ffree < entries) {
    throw new Fault('disk_full', `${what}: ${entries} files are too many, there is room for ${ffree}`);
  }
}

export async function identityAt(path: string): Promise<PartIdentity | undefined> {
  return await lstat(path, { bigint: true }).then(identityOf, () => undefined);
}

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY).catch(() => undefined); // Windows opens no folders
  await handle?.sync().catch(() => {}); // some file systems cannot; they have no better way either
  await handle?.close();
}

/** What cannot be written is `unwritable`, whatever code reading it would have; a full disk stays `disk_full`. */
export function writeFault(error: unknown, what: string): Fault {
  const fault = toFault(error, what, 'unwritable');
  if (error instanceof Fault || fault.code !== 'unreadable') return fault;
  return new Fault('unwritable', fault.message, { cause: error });
}
