/** A folder that is not whole yet, as the event loop sees it: a thread writes it, and at the end it gets its name. */
import { execFile } from 'node:child_process';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { toBase32 } from '../base/encoding.ts';
import { Fault } from '../base/fault.ts';
import type { Bitmap } from './bitmap.ts';
import type { FolderThread } from './folder-thread.ts';
import type { Calls, Outline } from './folder-worker.ts';
import { Layout } from './layout.ts';
import { identityAt, makeFolder, type Part, type PartIdentity, samePart, syncFolder, writeFault } from './part.ts';
import { candidates, partName } from './paths.ts';
import type { Conflict } from './settings.ts';

const GiB = 1024 * 1024 * 1024;

export class PartFolder implements Part {
  readonly layout: Layout;
  readonly identity: PartIdentity;
  readonly fresh: boolean;
  /** A flush takes in all that the file system holds back, also what is others': seldom, for what has no mark is hashed again. */
  readonly syncAfter = { bytes: GiB, ms: 60_000 };
  readonly outline: Outline;
  /** Paths of links that may lead out of the folder. */
  readonly leftOut: string[];
  /** Names that are written as another one. */
  readonly renamed: number;
  readonly #folder: string;
  readonly #path: string;
  readonly #thread: FolderThread;
  readonly #digests: Uint8Array;
  readonly #isShared: boolean;
  #stamps: Uint8Array | undefined;

  private constructor(
    { folder, thread, isShared }: { folder: string; thread: FolderThread; isShared: boolean },
    path: string,
    opened: ReturnType<Calls['openPart']>,
  ) {
    const { outline, digests, identity, fresh, leftOut, renamed } = opened;
    this.#folder = folder;
    this.#path = path;
    this.#thread = thread;
    this.#digests = digests;
    this.#isShared = isShared;
    this.outline = outline;
    this.layout = new Layout(outline.chunk, outline.sizes);
    this.identity = identity;
    this.fresh = fresh;
    this.leftOut = leftOut;
    this.renamed = renamed;
  }

  /**
   * The part of transfer `id` in `folder`, which is made if it is not there. Throws as `PartFile.open`, as `parseManifest`,
   * and `bad_name`.
   */
  static async open(options: {
    folder: string;
    id: string;
    known: PartIdentity | undefined;
    /** Where it is that is mended in place. */
    path: string;
    manifest: Uint8Array;
    hash: string;
    ticket: { name: string; size: number; entries: number };
    /** From now on the part's to end. */
    thread: FolderThread;
    /** It is served to others once it has its name. */
    isShared: boolean;
  }): Promise<PartFolder> {
    const { folder, id, known, manifest, hash, ticket, thread } = options;
    const path = known?.inPlace ? options.path : join(folder, partName(id));
    try {
      await makeFolder(folder);
      const opened = await thread.ask('openPart', manifest, hash, { root: path, known, ticket });
      return new PartFolder(options, path, opened);
    } catch (error) {
      await thread[Symbol.asyncDispose]();
      throw writing(error, path);
    }
  }

  get stamps(): Uint8Array | undefined {
    return this.#stamps;
  }

  hashOf(chunk: number): string | undefined {
    const digest = this.#digests.subarray(32 * chunk, 32 * chunk + 32);
    return digest.length === 32 ? toBase32(digest) : undefined;
  }

  async #ask<N extends keyof Calls>(name: N, ...args: Parameters<Calls[N]>): Promise<ReturnType<Calls[N]>> {
    try {
      return await this.#thread.ask(name, ...args);
    } catch (error) {
      throw writing(error, this.#path);
    }
  }

  async put(buffer: Buffer, length: number, position: number): Promise<number[]> {
    return await this.#ask('put', buffer, length, position);
  }

  async write(buffer: Buffer, length: number, position: number): Promise<void> {
    await this.#ask('write', buffer, length, position);
  }

  async read(buffer: Buffer, length: number, position: number): Promise<number> {
    return await this.#ask('readPart', buffer, length, position);
  }

  async verify(maybe: Bitmap, from: number, to: number): Promise<number[]> {
    return await this.#ask('verify', maybe.size, maybe.bytes(), from, to);
  }

  /** Flushes the file system, in one call of the system for any number of files; where that cannot be, each file. [F-27] */
  async sync(): Promise<void> {
    const isFlushed = await promisify(execFile)('sync', ['-f', this.#path]).then(
      () => true,
      () => false,
    );
    await this.#ask(isFlushed ? 'synced' : 'syncEach');
  }

  /** As every part; but what has the name already is never replaced by a folder: then `overwrite` throws `exists` too. [F-22] */
  async finish(name: string, intend: (path: string) => void, conflict: Conflict = 'rename'): Promise<string> {
    const what = `naming "${join(this.#folder, name)}"`;
    this.#stamps = await this.#ask('complete', this.#isShared);
    await this.sync();
    try {
      if (!samePart(await identityAt(this.#path), this.identity)) {
        throw new Fault('unwritable', `${what}: the folder that was written was replaced or removed meanwhile`);
      }
      if (this.identity.inPlace) return this.#path;
      for (const candidate of conflict === 'rename' ? candidates(name) : [name]) {
        const path = join(this.#folder, candidate);
        if ((await identityAt(path)) !== undefined) continue;
        intend(path);
        if (!(await this.#take(path))) continue;
        if (!samePart(await identityAt(path), this.identity)) {
          throw new Fault('unwritable', `${what}: the folder that was written was replaced meanwhile`);
        }
        await syncFolder(this.#folder);
        return path;
      }
      const why = {
        rename: 'all names like it are taken',
        skip: 'it is taken',
        overwrite: 'a folder replaces nothing',
      };
      throw new Fault('exists', `${what}: ${why[conflict]}; accept it into another folder`);
    } catch (error) {
      throw writeFault(error, what);
    }
  }

  /** A rename of a folder replaces nothing but an empty folder that came in the same moment. */
  async #take(path: string): Promise<boolean> {
    try {
      await rename(this.#path, path);
      return true;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException; // a system error of fs
      if (code === 'EEXIST' || code === 'ENOTEMPTY' || code === 'ENOTDIR') return false;
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#thread[Symbol.asyncDispose]();
  }
}

/** What the system refused while a folder was written is `unwritable`, unless it has a better code. */
function writing(error: unknown, path: string): Fault {
  if (!(error instanceof Fault)) return writeFault(error, `writing "${path}"`);
  const isOfSystem = error.data?.errno !== undefined;
  if (!isOfSystem || error.code === 'disk_full') return error;
  return new Fault('unwritable', `writing "${path}": ${error.message}`, { cause: error });
}
