/** A file that is not whole yet: written in place beside its future name, which it gets only when all of it is on disk. */
import { type BigIntStats, constants, fdatasync, read, write } from 'node:fs';
import { type FileHandle, link, lstat, mkdir, open, rename, rm, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Fault, toFault } from '../base/fault.ts';
import { candidates, partName } from './paths.ts';
import type { Conflict } from './settings.ts';

/** Which file the part is, so that another one in its place is noticed. */
export type PartIdentity = { dev: string; ino: string };

const identityOf = (stats: BigIntStats): PartIdentity => ({ dev: String(stats.dev), ino: String(stats.ino) });
const same = (a: PartIdentity | undefined, b: PartIdentity): boolean => a?.dev === b.dev && a.ino === b.ino;

const errnoOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code; // a system error of fs

export class PartFile {
  readonly path: string;
  readonly identity: PartIdentity;
  /** True if nothing of an earlier part could be used. */
  readonly fresh: boolean;
  readonly #folder: string;
  readonly #handle: FileHandle;

  private constructor(folder: string, path: string, handle: FileHandle, identity: PartIdentity, fresh: boolean) {
    this.#folder = folder;
    this.path = path;
    this.#handle = handle;
    this.identity = identity;
    this.fresh = fresh;
  }

  /**
   * The part of transfer `id` in `folder` (made if it is not there), `size` bytes, sparse at first. `known` is the part
   * that was there before. Throws `disk_full` where less than `missing` bytes are free, `unwritable` where the folder
   * cannot be written or something else stands in the way: nothing is followed, nothing replaced. [F-21]
   */
  static async open(options: {
    folder: string;
    id: string;
    size: number;
    known: PartIdentity | undefined;
  }): Promise<PartFile> {
    const { folder, size, known } = options;
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
      const kept = same(known, identity) && Number(stats.size) === size;
      if (!kept && (!stats.isFile() || stats.nlink !== 1n)) {
        throw new Fault('unwritable', `${what}: something else stands in the way`);
      }
      if (!kept) {
        await handle.truncate(0);
        await handle.truncate(size);
      }
      return new PartFile(folder, path, handle, identity, !kept);
    } catch (error) {
      await handle?.close();
      throw writeFault(error, what);
    }
  }

  /** Writes at `position`. The buffer is the caller's again when this settles. Throws `disk_full` or `unwritable`. */
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

  /** Reads up to `length` bytes at `position`; gives how many there were. */
  read(buffer: Buffer, length: number, position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      read(this.#handle.fd, buffer, 0, length, position, (error, bytes) => {
        if (error) reject(toFault(error, `reading "${this.path}"`, 'corrupt'));
        else resolve(bytes);
      });
    });
  }

  /** Returns when all that was written before is on the disk. */
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
      if (!same(await identityAt(this.path), this.identity)) {
        throw new Fault('unwritable', `${what}: the part file was replaced or removed meanwhile`);
      }
      if (conflict === 'overwrite') return await this.#replace(join(this.#folder, name), what, intend);
      for (const candidate of conflict === 'skip' ? [name] : candidates(name)) {
        const path = join(this.#folder, candidate);
        if ((await identityAt(path)) !== undefined) continue;
        intend(path);
        if (!(await this.#take(path))) continue;
        if (!same(await identityAt(path), this.identity)) {
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
    if (!same(await identityAt(path), this.identity)) {
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
  return same(await identityAt(path), known);
}

/** Removes the part of transfer `id`, if there is one. */
export async function removePart(folder: string, id: string): Promise<void> {
  await rm(join(folder, partName(id)), { force: true });
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

/** Throws `disk_full` unless `bytes` are free where `folder` is. [F-23] */
export async function checkSpace(folder: string, bytes: number): Promise<void> {
  await makeFolder(folder);
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize >= bytes) return;
  throw new Fault('disk_full', `writing into "${folder}": ${bytes} bytes are needed, ${bavail * bsize} are free`);
}

async function identityAt(path: string): Promise<PartIdentity | undefined> {
  return await lstat(path, { bigint: true }).then(identityOf, () => undefined);
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY).catch(() => undefined); // Windows opens no folders
  await handle?.sync().catch(() => {}); // some file systems cannot; they have no better way either
  await handle?.close();
}

/** What cannot be written is `unwritable`, whatever code reading it would have; a full disk stays `disk_full`. */
function writeFault(error: unknown, what: string): Fault {
  const fault = toFault(error, what, 'unwritable');
  if (error instanceof Fault || fault.code !== 'unreadable') return fault;
  return new Fault('unwritable', fault.message, { cause: error });
}
