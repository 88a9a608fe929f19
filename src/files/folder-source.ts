/**
 * A folder of this machine's user that is offered to others: walked and hashed once, then read as one linear space, and
 * refused where it has changed. Calls that wait for the disk: for worker threads.
 */
import {
  type BigIntStats,
  closeSync,
  constants,
  type Dirent,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
} from 'node:fs';
import { join } from 'node:path';
import { Blake3Hasher } from '@napi-rs/blake-hash';
import { hash, toBase32 } from '../base/encoding.ts';
import { Fault, toFault } from '../base/fault.ts';
import { type Below, Descent } from './descend.ts';
import { Layout } from './layout.ts';
import { linkEnd } from './links.ts';
import {
  chunkBytesFor,
  type Manifest,
  MOST_ENTRIES,
  MOST_FILE_BYTES,
  MOST_FOLDER_MANIFEST_BYTES,
  MOST_PATH,
} from './manifest.ts';
import { isPartName } from './paths.ts';
import { BLOCK_BYTES } from './source.ts';

/** Paths that were left out and are told; of more only their number is. */
const MOST_LEFT_OUT = 100;
/** O_NONBLOCK: opening a pipe must not wait for somebody to write into it. */
const READ = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW;

type LeftOut = { count: number; paths: { path: string; why: string }[] };

function leaveOut(leftOut: LeftOut, path: string, why: string): void {
  leftOut.count += 1;
  if (leftOut.paths.length < MOST_LEFT_OUT) leftOut.paths.push({ path, why });
}

type Found = { path: string; folder: number; name: string; size: number };
type Walked = {
  below: Below[];
  files: Found[];
  folders: { path: string; mtime: number }[];
  links: { path: string; target: string }[];
  leftOut: LeftOut;
};

/** What stands below `root`. Throws `unreadable`, `too_large`, or what `stop` throws. */
function walk(root: string, stop: () => void): Walked {
  const walked: Walked = {
    below: [{ parent: 0, name: '' }],
    files: [],
    folders: [],
    links: [],
    leftOut: { count: 0, paths: [] },
  };
  const { below, files, folders, links, leftOut } = walked;
  using descent = new Descent(root, below);
  const waiting = [{ folder: 0, path: '' }];
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    stop();
    const { folder } = next;
    const above = next.path === '' ? '' : `${next.path}/`;
    let prefix: string;
    let entries: Dirent[];
    try {
      prefix = descent.prefix(folder);
      entries = readdirSync(prefix, { withFileTypes: true });
    } catch (error) {
      if (folder === 0) throw toFault(error, `reading "${root}"`, 'unreadable');
      leaveOut(leftOut, next.path, 'it cannot be read');
      continue;
    }
    for (const { name } of entries) {
      const path = above + name;
      if (files.length + folders.length + links.length >= MOST_ENTRIES) {
        throw new Fault('too_large', `sending "${root}": over ${MOST_ENTRIES} files and folders; send it in parts`);
      }
      if (isPartName(name)) {
        leaveOut(leftOut, path, 'it is on its way from somebody');
        continue;
      }
      // What the system's name is not UTF-8 cannot be opened by the text that stands for it.
      if (name.includes('\\') || name.includes('\ufffd') || path.length > MOST_PATH) {
        leaveOut(leftOut, path.slice(0, MOST_PATH), 'its name cannot be sent');
        continue;
      }
      const stats = lstatSync(prefix + name, { throwIfNoEntry: false });
      if (!stats) continue; // gone since the folder was read
      if (stats.isFile()) files.push({ path, folder, name, size: stats.size });
      else if (stats.isDirectory()) {
        below.push({ parent: folder, name });
        folders.push({ path, mtime: Math.floor(stats.mtimeMs) });
        waiting.push({ folder: below.length - 1, path });
      } else if (stats.isSymbolicLink()) {
        const target = readlinkSync(prefix + name);
        if (linkEnd(path, target) !== undefined && target.length <= MOST_PATH) links.push({ path, target });
        else leaveOut(leftOut, path, 'it is a link that leads out of the folder');
      } else leaveOut(leftOut, path, 'it is neither a file nor a folder');
    }
  }
  for (const list of [files, folders, links]) list.sort((a, b) => (a.path < b.path ? -1 : 1));
  return walked;
}

export type HashedFolder = {
  manifest: Manifest;
  bytes: Buffer;
  hash: string;
  size: number;
  /** Files, folders and links. */
  entries: number;
  files: number;
  /** Of each file what shows that it is still the one that was hashed: device, file number, time of change. */
  stamps: BigUint64Array;
  leftOut: LeftOut;
};

export const stampOf = ({ dev, ino, mtimeNs }: BigIntStats): readonly [bigint, bigint, bigint] => [
  BigInt.asUintN(64, dev),
  BigInt.asUintN(64, ino),
  BigInt.asUintN(64, mtimeNs),
];

/** The manifest of the folder at `root`, called `name`. Throws `unreadable`, `changed`, `too_large`, or what `stop` throws. */
export function hashFolder(root: string, name: string, stop: () => void): HashedFolder {
  const walked = walk(root, stop);
  const found = walked.files.reduce((sum, file) => sum + file.size, 0);
  if (found > MOST_FILE_BYTES) {
    throw new Fault('too_large', `sending "${root}": ${found} bytes, at most ${MOST_FILE_BYTES} can be sent`);
  }
  const chunk = chunkBytesFor(found);
  const block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  using descent = new Descent(root, walked.below);
  const files: Manifest['files'] = [];
  const stamps: bigint[] = [];
  for (const found of walked.files) {
    stop();
    const changed = (): Fault => changedFile(join(root, found.path));
    let fd: number;
    try {
      fd = openSync(descent.prefix(found.folder) + found.name, READ);
    } catch (error) {
      // What was there and is not, has changed; that it may not be read is known only now.
      if (!['EACCES', 'EPERM'].includes(errnoOf(error))) throw changed();
      leaveOut(walked.leftOut, found.path, 'it cannot be read');
      continue;
    }
    try {
      const stats = fstatSync(fd, { bigint: true });
      if (!stats.isFile() || Number(stats.size) !== found.size) throw changed();
      const chunks = hashOpen(fd, found.size, chunk, block, stop);
      const after = fstatSync(fd, { bigint: true });
      if (!chunks || after.mtimeNs !== stats.mtimeNs || after.size !== stats.size) throw changed();
      stamps.push(...stampOf(stats));
      const mtime = Math.floor(Number(stats.mtimeNs / 1_000_000n));
      const exec = (stats.mode & 0o100n) !== 0n;
      // The members in the order of canonical JSON.
      files.push({ chunks, ...(exec && { exec }), mtime, path: found.path, size: found.size });
    } finally {
      closeSync(fd);
    }
  }
  const { folders, links } = walked;
  const size = files.reduce((sum, file) => sum + file.size, 0);
  const manifest = {
    chunk,
    files,
    folder: true,
    ...(folders.length > 0 && { folders: folders.map(({ path, mtime }) => ({ mtime, path })) }),
    ...(links.length > 0 && { links: links.map(({ path, target }) => ({ path, target })) }),
    name,
    size,
    v: 1,
  };
  // Members stand in their order already, so this is canonical JSON, in a third of the time.
  const bytes = Buffer.from(JSON.stringify(manifest), 'utf8');
  if (bytes.length > MOST_FOLDER_MANIFEST_BYTES) {
    throw new Fault('too_large', `sending "${root}": its list of files has ${bytes.length} bytes; send it in parts`);
  }
  const entries = files.length + folders.length + links.length;
  return {
    manifest,
    bytes,
    hash: hash(bytes),
    size,
    entries,
    files: files.length,
    stamps: BigUint64Array.from(stamps),
    leftOut: walked.leftOut,
  };
}

/** The hashes of an open file's chunks; undefined where it is shorter than it was. */
function hashOpen(fd: number, size: number, chunk: number, block: Buffer, stop: () => void): string[] | undefined {
  const chunks: string[] = [];
  for (let start = 0; start < size; start += chunk) {
    const length = Math.min(chunk, size - start);
    if (length <= block.length) {
      if (!fill(fd, block, length, start)) return undefined;
      chunks.push(hash(block.subarray(0, length)));
      continue;
    }
    const hasher = new Blake3Hasher();
    for (let at = 0; at < length; at += block.length) {
      stop();
      const count = Math.min(block.length, length - at);
      if (!fill(fd, block, count, start + at)) return undefined;
      hasher.update(block.subarray(0, count));
    }
    chunks.push(toBase32(hasher.digestBuffer()));
  }
  return chunks;
}

/** Reads `length` bytes at `position`; false where there are fewer. */
export function fill(fd: number, buffer: Buffer, length: number, position: number): boolean {
  for (let filled = 0; filled < length; ) {
    const count = readSync(fd, buffer, filled, length - filled, position + filled);
    if (count === 0) return false;
    filled += count;
  }
  return true;
}

const changedFile = (path: string): Fault => new Fault('changed', `reading "${path}": the file changed; send it again`);

const errnoOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? ''; // a system error of fs

/** Where the files of a manifest are: each in one of `folders`, the first of which is the whole. */
export type Places = { folders: readonly Below[]; files: readonly { folder: number; name: string }[] };

/** The places that the manifest itself names. */
export function placesAsSent({ files, folders: named = [] }: Manifest): Places {
  const folders: Below[] = [{ parent: 0, name: '' }];
  const known = new Map([['', 0]]);
  const folderOf = (path: string): number => {
    const found = known.get(path);
    if (found !== undefined) return found;
    const slash = path.lastIndexOf('/');
    const parent = folderOf(slash < 0 ? '' : path.slice(0, slash));
    known.set(path, folders.length);
    folders.push({ parent, name: path.slice(slash + 1) });
    return folders.length - 1;
  };
  const placed = files.map(({ path }) => {
    const slash = path.lastIndexOf('/');
    return { folder: folderOf(slash < 0 ? '' : path.slice(0, slash)), name: path.slice(slash + 1) };
  });
  for (const { path } of named) folderOf(path);
  return { folders, files: placed };
}

/** A folder that was offered, read by its linear space. */
export class FolderSource implements Disposable {
  readonly layout: Layout;
  readonly #root: string;
  readonly #stamps: BigUint64Array | undefined;
  readonly #files: Places['files'];
  readonly #descent: Descent;

  /** `stamps` are those that `hashFolder` gave, undefined where whoever reads checks what comes; `places`, where the folder's names are not those of the manifest. */
  constructor(
    root: string,
    manifest: Manifest,
    stamps: BigUint64Array | undefined,
    places: Places = placesAsSent(manifest),
  ) {
    this.#root = root;
    this.#stamps = stamps;
    this.layout = new Layout(
      manifest.chunk,
      manifest.files.map(({ size }) => size),
    );
    this.#files = places.files;
    this.#descent = new Descent(root, places.folders);
  }

  /**
   * Fills `block` with the bytes from `start` to `end`, or up to a file that is not what was hashed; gives how many. Throws
   * `changed` where already the first one is none. [F-14]
   */
  read(block: Buffer, start: number, end: number): number {
    let at = 0;
    try {
      for (const { file, offset, length } of this.layout.pieces(start, end)) {
        this.#readFile(file, block.subarray(at, at + length), offset);
        at += length;
      }
    } catch (error) {
      if (at === 0) throw error;
    }
    return at;
  }

  nameOf(file: number): string | undefined {
    return this.#files[file]?.name;
  }

  #readFile(file: number, into: Buffer, offset: number): void {
    const { folder, name } = this.#files[file] ?? { folder: 0, name: '' };
    let fd: number | undefined;
    try {
      fd = openSync(this.#descent.prefix(folder) + name, READ);
      if (!fill(fd, into, into.length, offset)) throw changedFile(name);
      this.#check(file, fd); // what it is after the read, it was before: else its time of change would be another
    } catch (error) {
      if (errnoOf(error) === 'EACCES' || errnoOf(error) === 'EMFILE') {
        throw toFault(error, `reading "${join(this.#root, name)}"`, 'unreadable');
      }
      throw changedFile(name); // gone, a folder, a link, another file, shorter: all of it is no longer what was hashed
    } finally {
      if (fd !== undefined) closeSync(fd);
    }
  }

  #check(file: number, fd: number): void {
    const stats = fstatSync(fd, { bigint: true });
    const [dev, ino, mtimeNs] = stampOf(stats);
    const at = 3 * file;
    const was = this.#stamps;
    const same = !was || (was[at] === dev && was[at + 1] === ino && was[at + 2] === mtimeNs);
    if (!same || !stats.isFile() || (was && Number(stats.size) !== this.layout.fileSize(file))) throw changedFile('');
  }

  [Symbol.dispose](): void {
    this.#descent[Symbol.dispose]();
  }
}
