/**
 * The file of the shared-memory door. Programs map it; the agent reads and writes it by position, which on one machine is
 * the same memory: the kernel keeps one copy of a file's pages for both. (docs/shared-memory.md)
 *
 * Bytes 0 to 63 are the head: a command, or what became of it. What follows is the body.
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  statSync,
  writeSync,
} from 'node:fs';
import { Fault, toFault } from '../base/fault.ts';

/** Bytes of the head. Every word that the agent writes there fits, with a NUL behind it; a command may be longer and run on into the body. */
const HEAD_BYTES = 64;
/** The smallest area: a program may know nothing but to truncate a file to 100 bytes. */
export const AREA_BYTES_MIN = 100;
/** One page of memory on most machines. */
export const AREA_BYTES = 4096;
/** The largest: a longer answer is read in pieces. */
export const AREA_BYTES_MAX = 16 * 1024 * 1024;

const NEWLINE = 10;

export type Written = {
  line: string;
  /** It ends with a newline: nothing more of it can be on its way. */
  whole: boolean;
};

export class Area {
  readonly #path: string;
  readonly #size: number;
  #fd: number | undefined;
  #inode = 0;

  /** `size`: bytes, 100 to 16 MiB, of a file that is made here. One that is there keeps its own. */
  constructor(path: string, size: number) {
    this.#path = path;
    this.#size = size;
  }

  /**
   * Makes the file (mode 0600), or takes the one that is there, if `ours` says so of its text.
   *
   * Faults: `exists`, `forbidden`, `unwritable`.
   */
  open(ours: (line: string) => boolean): void {
    const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;
    const doing = `serving shared memory at "${this.#path}"`;
    let fd: number;
    try {
      fd = openSync(this.#path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
    } catch (error) {
      throw toFault(error, doing, 'unwritable');
    }
    try {
      const there = fstatSync(fd);
      const { size, uid, ino } = there;
      if (!there.isFile()) throw new Fault('exists', `${doing}: what is there is no plain file; name another`);
      if (uid !== process.getuid?.()) throw new Fault('forbidden', `${doing}: the file there belongs to another user`);
      this.#fd = fd;
      this.#inode = ino;
      const { line } = this.read();
      if (line !== '' && !ours(line)) {
        throw new Fault('exists', `${doing}: a file with other content is there; move it away, or name another`);
      }
      fchmodSync(fd, 0o600);
      if (size === 0) ftruncateSync(fd, this.#size);
    } catch (error) {
      this.#fd = undefined;
      closeSync(fd);
      throw toFault(error, doing, 'unwritable');
    }
  }

  /** Somebody removed the file, or put another in its place. */
  get replaced(): boolean {
    return statSync(this.#path, { throwIfNoEntry: false })?.ino !== this.#inode;
  }

  /** Bytes that the area has now: a program may truncate it at any time. */
  get size(): number {
    return this.#fd === undefined ? 0 : fstatSync(this.#fd).size;
  }

  /** Bytes of an answer that fit. */
  get room(): number {
    return Math.max(0, this.size - HEAD_BYTES);
  }

  /** What stands in the head, up to a NUL or a newline. */
  head(): string {
    return this.#line(HEAD_BYTES).line;
  }

  /** What stands in the whole area, up to a NUL or a newline. */
  read(): Written {
    return this.#line(Math.min(this.size, AREA_BYTES_MAX));
  }

  #line(most: number): Written {
    if (this.#fd === undefined) return { line: '', whole: false };
    const bytes = Buffer.alloc(most);
    const text = bytes.subarray(0, readSync(this.#fd, bytes, 0, most, 0));
    const end = text.findIndex((byte) => byte === 0 || byte === NEWLINE);
    return { line: text.toString('utf8', 0, end < 0 ? undefined : end).trim(), whole: text[end] === NEWLINE };
  }

  /** The body first, then the head: who sees the head change finds the answer whole. Whatever does not fit is cut. */
  write(head: string, body: Uint8Array = new Uint8Array()): void {
    if (this.#fd === undefined) return;
    const { size } = this;
    const place = Buffer.alloc(Math.max(0, size - HEAD_BYTES));
    place.set(body.subarray(0, place.length));
    if (place.length > 0) writeSync(this.#fd, place, 0, place.length, HEAD_BYTES);
    const word = Buffer.alloc(Math.min(size, HEAD_BYTES));
    word.write(head, 0, Math.max(0, word.length - 1), 'utf8');
    if (word.length > 0) writeSync(this.#fd, word, 0, word.length, 0);
  }

  close(): void {
    const fd = this.#fd;
    this.#fd = undefined;
    if (fd !== undefined) closeSync(fd);
  }
}
