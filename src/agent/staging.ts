/** Files that are handed over piece by piece, kept in the home until they are sent. */
import { randomUUID } from 'node:crypto';
import { type FileHandle, mkdir, open, rename, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Staged } from '../api/shapes.ts';
import { Fault, toFault } from '../base/fault.ts';

/** Bytes that stay free on the disk of the home: its own store must go on. */
const RESERVE_BYTES = 64 * 1024 * 1024;

/** Of one that is not whole yet: nobody sends half a file. */
const DRAFT = '.draft';

/** `folder`, `as`: of a file in a folder that is sent as one; the folder's id is made by who sends, `as` is the file's path in it. */
type Piece = {
  upload?: string | undefined;
  at: number;
  data: string;
  last: boolean;
  folder?: string | undefined;
  as?: string | undefined;
};

/** Names in a path, and characters of one, at most. */
const MOST_NAMES = 64;
const MOST_NAME = 255;

export class Staging {
  readonly #folder: string;
  /** Pieces of one file are written one after another. */
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Throws `unknown_id`, `wrong_state` with the `size` that is here, `disk_full`, `unwritable`. */
  async take({ upload, ...piece }: Piece): Promise<Staged> {
    const id = upload ?? randomUUID();
    const before = this.#turns.get(id) ?? Promise.resolve();
    const turn = before.catch(() => {}).then(() => this.#write(id, { ...piece, isNew: upload === undefined }));
    this.#turns.set(id, turn);
    try {
      return await turn;
    } catch (error) {
      throw toFault(error, 'taking a piece of a file', 'unwritable');
    } finally {
      if (this.#turns.get(id) === turn) this.#turns.delete(id);
    }
  }

  async #write(id: string, piece: Omit<Piece, 'upload'> & { isNew: boolean }): Promise<Staged> {
    const draftPath = join(this.#folder, `${id}${DRAFT}`);
    const { path, shown } = this.#placeOf(id, piece);
    const bytes = Buffer.from(piece.data, 'base64');
    if (piece.isNew) await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const file = await openDraft(draftPath, piece.isNew);
    if (!file) return await this.#whole(id, path, shown, piece.at + bytes.length);
    await using draft = file;
    const { size } = await draft.stat();
    if (piece.at > size) {
      throw new Fault('wrong_state', `taking a piece at ${piece.at}: only ${size} bytes are here; go on from there`, {
        data: { size },
      });
    }
    // What is here already was taken before, by a request whose answer got lost.
    const fresh = bytes.subarray(Math.min(bytes.length, size - piece.at));
    if (fresh.length > 0) await this.#append(draft, fresh, size);
    const now = size + fresh.length;
    const isWhole = piece.last && piece.at + bytes.length === now;
    if (isWhole) {
      await draft.sync();
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await rename(draftPath, path);
    }
    return { upload: id, size: now, path: isWhole ? shown : null };
  }

  /** Where it stands once it is whole, and what is to be sent then. Throws `invalid_argument` for a way out of the folder. */
  #placeOf(id: string, { folder, as }: Omit<Piece, 'upload'>): { path: string; shown: string } {
    const path = join(this.#folder, id);
    if (folder === undefined && as === undefined) return { path, shown: path };
    const names = as?.split('/') ?? [];
    const isGood = (name: string): boolean =>
      name !== '' && name !== '.' && name !== '..' && !/[\0\\]/.test(name) && Buffer.byteLength(name) <= MOST_NAME;
    if (folder === undefined || names.length === 0 || names.length > MOST_NAMES || !names.every(isGood)) {
      throw new Fault(
        'invalid_argument',
        `taking a piece of "${as?.slice(0, 200) ?? ''}": expected the id of a folder, and a path in it such as 2026/may.jpg`,
      );
    }
    const shown = join(this.#folder, folder);
    return { path: join(shown, ...names), shown };
  }

  async #append(draft: FileHandle, bytes: Buffer, size: number): Promise<void> {
    const { bavail, bsize } = await statfs(this.#folder);
    if (bavail * bsize < RESERVE_BYTES + bytes.length) {
      throw new Fault(
        'disk_full',
        `taking a piece: less than ${RESERVE_BYTES} bytes would be free in "${this.#folder}"`,
      );
    }
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await draft.write(bytes, done, bytes.length - done, size + done);
      done += bytesWritten;
    }
  }

  /** It is whole already: the answer to its last piece got lost. */
  async #whole(id: string, path: string, shown: string, end: number): Promise<Staged> {
    const found = await stat(path).catch(() => undefined);
    if (found?.size === end) return { upload: id, size: end, path: shown };
    throw new Fault('unknown_id', `taking a piece of "${id}": there is no such file on its way; start again`);
  }
}

/** Undefined where there is none to go on with. */
async function openDraft(path: string, isNew: boolean): Promise<FileHandle | undefined> {
  try {
    return await open(path, isNew ? 'wx' : 'r+', 0o600);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
