/**
 * A folder that is not whole yet: written beside its future name, already in its own structure, which gets its name only when
 * all of it is here. Calls that wait for the disk: for worker threads. [F-21] [F-25] [F-28]
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  futimesSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { Blake3Hasher } from '@napi-rs/blake-hash';
import { hasHash } from '../base/encoding.ts';
import { Fault } from '../base/fault.ts';
import { Bitmap } from './bitmap.ts';
import { Descent } from './descend.ts';
import { lookThrough } from './folder-look.ts';
import { fill, stampOf } from './folder-source.ts';
import { Layout, type Place } from './layout.ts';
import type { Listing } from './manifest.ts';
import type { PartIdentity } from './part.ts';
import { type Plan, planFolder } from './plan.ts';
import { BLOCK_BYTES } from './source.ts';

/** Files of several chunks held open: of those that come at the same time, one a holder. */
const MOST_OPEN = 16;
const NEW = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
const OLD = constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK;

const errnoOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? ''; // a system error of fs

export class FolderWriter implements Disposable {
  readonly layout: Layout;
  readonly identity: PartIdentity;
  /** True if nothing of an earlier part could be used. */
  readonly fresh: boolean;
  readonly plan: Plan;
  readonly #manifest: Listing;
  /** The hashes of all chunks, 32 bytes each. */
  readonly #digests: Buffer;
  readonly #descent: Descent;
  /** Chunks that come in several pieces: hashed as far as they are here. */
  readonly #hashing = new Map<number, { hasher: Blake3Hasher; bytes: number }>();
  readonly #open = new Map<number, number>();
  /** Files of one chunk that were written in pieces. */
  readonly #begun = new Set<number>();
  /** Files written since the last `syncEach`. */
  #unsynced: Bitmap;

  private constructor(options: {
    manifest: Listing;
    layout: Layout;
    plan: Plan;
    descent: Descent;
    identity: PartIdentity;
    fresh: boolean;
    digests: Buffer;
  }) {
    this.#manifest = options.manifest;
    this.#digests = options.digests;
    this.#unsynced = new Bitmap(options.plan.files.length);
    this.layout = options.layout;
    this.plan = options.plan;
    this.#descent = options.descent;
    this.identity = options.identity;
    this.fresh = options.fresh;
  }

  /**
   * The part at `root`, in a folder that is there; `known` is the part that was there before, `digests` the hashes of all
   * chunks. Throws `unwritable` where something else stands in the way, `bad_name`, or an error of the system.
   */
  static open(options: {
    root: string;
    known: PartIdentity | undefined;
    manifest: Listing;
    digests: Buffer;
  }): FolderWriter {
    const { root, known, manifest, digests } = options;
    const inPlace = known?.inPlace ?? false;
    let fresh = true;
    try {
      if (inPlace) fresh = false;
      else mkdirSync(root);
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error;
      fresh = false;
    }
    const stats = lstatSync(root, { bigint: true });
    const identity = { dev: String(stats.dev), ino: String(stats.ino), ...(inPlace && { inPlace }) };
    const isOurs = stats.isDirectory() && known?.dev === identity.dev && known.ino === identity.ino;
    // A folder made just before a kill is not known yet; then it is empty.
    if (!fresh && !isOurs && (inPlace || !stats.isDirectory() || readdirSync(root).length > 0)) {
      throw new Fault('unwritable', `writing "${root}": something else stands in the way`);
    }
    const plan = planFolder(manifest, { blind: isBlind(root) });
    const layout = new Layout(
      manifest.chunk,
      manifest.files.map(({ size }) => size),
    );
    const descent = new Descent(root, plan.folders);
    for (let number = 1; number < plan.folders.length; number++) descent.make(number);
    return new FolderWriter({ manifest, layout, plan, descent, identity, digests, fresh: fresh || !isOurs });
  }

  /**
   * Verifies and writes `length` bytes of the linear space from `position` on, which begin and end with chunks, or within one whose
   * pieces come in order. Gives the numbers of chunks whose hash is another: of these nothing counts. [F-13]
   */
  put(block: Buffer, length: number, position: number): number[] {
    const wrong: number[] = [];
    for (let at = 0; at < length; ) {
      const number = this.layout.chunkAt(position + at);
      const place = this.layout.place(number);
      const skip = position + at - place.start;
      const count = Math.min(place.length - skip, length - at);
      const bytes = block.subarray(at, at + count);
      if (this.#isRight(number, place, skip, bytes) === false) wrong.push(number);
      else if (place.index === 0 && bytes.length === this.layout.fileSize(place.file))
        this.#writeWhole(place.file, bytes);
      else this.#writeAt(place.file, place.offset + skip, bytes);
      at += count;
    }
    return wrong;
  }

  /** Undefined while more of the chunk is to come. */
  #isRight(number: number, place: Place, skip: number, bytes: Buffer): boolean | undefined {
    if (bytes.length === place.length) return hasHash(bytes, this.#digests, 32 * number);
    const known = this.#hashing.get(number);
    const running = known && known.bytes === skip ? known : { hasher: new Blake3Hasher(), bytes: 0 };
    if (running.bytes !== skip) throw new RangeError(`chunk ${number}: its pieces come out of order`);
    running.hasher.update(bytes);
    running.bytes += bytes.length;
    this.#hashing.set(number, running);
    if (running.bytes < place.length) return undefined;
    this.#hashing.delete(number);
    return this.#isHashOf(number, running.hasher);
  }

  #isHashOf(chunk: number, hasher: Blake3Hasher): boolean {
    return hasher.digestBuffer().equals(this.#digests.subarray(32 * chunk, 32 * chunk + 32));
  }

  #path(file: number): string {
    const { folder, name } = this.plan.files[file] ?? { folder: 0, name: '' };
    return this.#descent.prefix(folder) + name;
  }

  #mode(file: number): number {
    return this.#manifest.files[file]?.exec ? 0o777 : 0o666; // less what the umask takes
  }

  /** A file in one piece. What may stand there, of an earlier try or of somebody else, makes way. */
  #writeWhole(file: number, bytes: Buffer): void {
    const path = this.#path(file);
    let fd: number;
    try {
      fd = openSync(path, NEW, this.#mode(file));
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error;
      unlinkSync(path);
      fd = openSync(path, NEW, this.#mode(file));
    }
    try {
      writeAll(fd, bytes, 0);
      this.#setTime(fd, file);
    } finally {
      closeSync(fd);
    }
    this.#unsynced.set(file);
  }

  /** Writes bytes from `position` on, not believed yet. */
  write(block: Buffer, length: number, position: number): void {
    let at = 0;
    for (const piece of this.layout.pieces(position, position + length)) {
      const bytes = block.subarray(at, at + piece.length);
      if (bytes.length === this.layout.fileSize(piece.file)) this.#writeWhole(piece.file, bytes);
      else this.#writeAt(piece.file, piece.offset, bytes);
      at += piece.length;
    }
  }

  /** Fills the block from `position` on; gives how many bytes there were. */
  read(block: Buffer, length: number, position: number): number {
    let at = 0;
    for (const piece of this.layout.pieces(position, position + length)) {
      const held = this.#open.get(piece.file);
      const fd = held ?? this.#openExisting(piece.file);
      if (fd === undefined) break;
      const isThere = fill(fd, block.subarray(at, at + piece.length), piece.length, piece.offset);
      if (held === undefined) closeSync(fd);
      if (!isThere) break;
      at += piece.length;
    }
    return at;
  }

  #writeAt(file: number, offset: number, bytes: Buffer): void {
    writeAll(this.#descriptor(file), bytes, offset);
    this.#begun.add(file);
    this.#unsynced.set(file);
  }

  /** An open file of several chunks; made where it is not there. */
  #descriptor(file: number): number {
    const known = this.#open.get(file);
    if (known !== undefined) {
      this.#open.delete(file); // the ones used last stand last
      this.#open.set(file, known);
      return known;
    }
    const path = this.#path(file);
    let fd: number;
    try {
      fd = openSync(path, NEW, this.#mode(file));
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error;
      fd = openSync(path, OLD);
      const stats = fstatSync(fd);
      if (!stats.isFile() || stats.nlink !== 1) {
        closeSync(fd);
        throw new Fault('unwritable', `writing "${path}": something else stands in the way`);
      }
      if (stats.size > this.layout.fileSize(file)) ftruncateSync(fd, this.layout.fileSize(file));
    }
    this.#open.set(file, fd);
    for (const [oldest, old] of this.#open) {
      if (this.#open.size <= MOST_OPEN) break;
      this.#open.delete(oldest);
      closeSync(old);
    }
    return fd;
  }

  #setTime(fd: number, file: number): void {
    const mtime = this.#manifest.files[file]?.mtime;
    if (mtime !== undefined) futimesSync(fd, secondsOf(mtime), secondsOf(mtime));
  }

  /** Which of the chunks `from` to `to` (first one after) that `maybe` has are really here. [F-24] */
  verify(maybe: Bitmap, from: number, to: number): number[] {
    const right: number[] = [];
    const block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
    let present = -1;
    let fd: number | undefined;
    try {
      for (let number = from; number < to; number++) {
        if (!maybe.has(number)) continue;
        const place = this.layout.place(number);
        if (place.file !== present) {
          if (fd !== undefined) closeSync(fd);
          present = place.file;
          fd = this.#openExisting(present);
        }
        if (fd === undefined) continue;
        const hasher = new Blake3Hasher();
        let at = 0;
        while (at < place.length) {
          const count = Math.min(block.length, place.length - at);
          if (!fill(fd, block, count, place.offset + at)) break;
          hasher.update(block.subarray(0, count));
          at += count;
        }
        if (at === place.length && this.#isHashOf(number, hasher)) right.push(number);
      }
    } finally {
      if (fd !== undefined) closeSync(fd);
    }
    return right;
  }

  /** A file that may be there: only a regular one of ours, no longer than it should be. */
  #openExisting(file: number): number | undefined {
    let fd: number;
    try {
      fd = openSync(this.#path(file), OLD);
    } catch {
      return undefined; // not there, or something that is written anew
    }
    const stats = fstatSync(fd);
    if (stats.isFile() && stats.nlink === 1 && stats.size <= this.layout.fileSize(file)) return fd;
    closeSync(fd);
    return undefined;
  }

  /** Flushes each file that was written; for where a file system cannot be flushed at once. */
  syncEach(): void {
    for (let file = 0; file < this.#unsynced.size; file++) {
      if (!this.#unsynced.has(file)) continue;
      const fd = openSync(this.#path(file), OLD);
      try {
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
    }
    this.synced();
  }

  /** Everything that was written before is on the disk. */
  synced(): void {
    this.#unsynced = new Bitmap(this.#unsynced.size);
  }

  /**
   * All chunks are here: makes what has no bytes, looks that there is nothing else in it, sets times, and links last of all, for
   * then nothing is written any more that could follow one. Throws `unwritable` for what is not ours. [F-26] [F-28]
   */
  complete(): void {
    const { files, links, folders } = this.plan;
    for (const fd of this.#open.values()) closeSync(fd);
    this.#open.clear();
    for (let file = 0; file < files.length; file++) {
      const size = this.layout.fileSize(file);
      if (size === 0) this.#writeWhole(file, Buffer.alloc(0));
      else if (size > this.layout.chunk || size > BLOCK_BYTES || this.#begun.has(file)) this.#settle(file);
    }
    if (!this.identity.inPlace) lookThrough(this.plan, (folder) => this.#descent.prefix(folder));
    for (const { folder, name, target } of links) {
      const path = this.#descent.prefix(folder) + name;
      try {
        symlinkSync(target, path);
      } catch (error) {
        // In a folder that is in use, what its user put in a link's place stays.
        const stays = this.identity.inPlace || readlinkSync(path) === target;
        if (errnoOf(error) !== 'EEXIST' || !stays) throw error;
      }
    }
    for (let number = folders.length - 1; number > 0; number--) {
      const mtime = folders[number]?.mtime;
      if (mtime === undefined) continue;
      const fd = this.#descent.descriptor(number);
      if (fd === undefined) utimesSync(this.#descent.prefix(number), secondsOf(mtime), secondsOf(mtime));
      else futimesSync(fd, secondsOf(mtime), secondsOf(mtime));
    }
  }

  /** Of each file what shows that it is still the one that was written. */
  stamps(): BigUint64Array {
    return BigUint64Array.from(
      this.plan.files.flatMap((_, file) => stampOf(lstatSync(this.#path(file), { bigint: true }))),
    );
  }

  /** The size, mode and time of a file that came in several pieces. */
  #settle(file: number): void {
    const fd = this.#descriptor(file);
    if (fstatSync(fd).size !== this.layout.fileSize(file)) {
      throw new Fault('unwritable', `writing "${this.#path(file)}": somebody else changed it meanwhile`);
    }
    // An earlier try may have made it under another umask, or somebody else another mode.
    fchmodSync(fd, this.#mode(file) & ~process.umask());
    this.#setTime(fd, file);
  }

  [Symbol.dispose](): void {
    for (const fd of this.#open.values()) closeSync(fd);
    this.#open.clear();
    this.#descent[Symbol.dispose]();
  }
}

/** A microsecond more than the milliseconds: the seconds' fraction is cut off on the way, and would be one less each time. */
const secondsOf = (mtime: number): number => (mtime % 1000 === 0 ? mtime : mtime + 0.001) / 1000;

function writeAll(fd: number, bytes: Buffer, position: number): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, position + at);
}

/** Whether names here that differ in case alone are one: asked of the disk, for each folder may be told otherwise. */
export function isBlind(root: string): boolean {
  const probe = join(root, '.netapp-probe-é');
  closeSync(openSync(probe, constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW));
  try {
    return ['.NETAPP-PROBE-É', '.netapp-probe-é'.normalize('NFD')].some(
      (other) => lstatSync(join(root, other), { throwIfNoEntry: false }) !== undefined,
    );
  } finally {
    rmSync(probe, { force: true });
  }
}
