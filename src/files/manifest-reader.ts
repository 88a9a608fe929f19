/** Reads a folder's list of files while it comes, so that little is left to do when its last byte is here. */
import { readBase32Hash } from '../base/encoding.ts';
import { isName, isSize, isTime, type ListedFile, MOST_ENTRIES, MOST_PATH, textOf } from './manifest.ts';

/** How a manifest begins, and bytes in which that stands. */
const BEGINNING = /^\{"chunk":([1-9]\d{0,15}),"files":\[/;
const BEGINNING_BYTES = 64;
/** What stands between two files, and in no text: for it has a quote. */
const BETWEEN = '},{"chunks":[';
/** What stands between the members of a file, and after the last file. */
const [CHUNKS, EXEC, MTIME, PATH, SIZE, LAST] = [
  Buffer.from('{"chunks":['),
  Buffer.from(',"exec":true'),
  Buffer.from(',"mtime":'),
  Buffer.from(',"path":"'),
  Buffer.from(',"size":'),
  Buffer.from('],"folder":'),
];
/** Characters by their codes. */
const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const ZERO = 0x30;
const BACKSLASH = 0x5c;
const BRACKET = 0x5d;
const BRACE = 0x7d;
/** Characters of a hash, its bytes, and the least bytes that it takes in a list: with quotes and what parts it from the next. */
const HASH = { characters: 52, bytes: 32, listed: 55 };
/** Digits of which every number is exact: all that a list has to say have fewer, or as many. */
const MOST_DIGITS = 15;

/** A manifest but for its chunks' hashes, as JSON that is right file by file; and these hashes as bytes. */
export type ReadManifest = { json: object; digests: Buffer };

/**
 * Knows the manifests that this program writes: canonical JSON without members that it does not know. Where another one says the same
 * in another way, it gives up, and who knows all of JSON reads it in the end. By hand, for `JSON.parse` makes a text of each hash,
 * and looking at these and turning them into bytes takes longer than reading.
 */
export class ManifestReader {
  readonly bytes: Buffer;
  readonly #files: ListedFile[] = [];
  /** In memory that other threads see without a copy; more of it than will be used. */
  readonly #digests: Buffer;
  #chunks = 0;
  /** Bytes of a chunk. */
  #chunk = 0;
  /** The first byte that is not read yet. */
  #at = 0;
  #isOdd = false;

  /** `bytes`: as many as there will be; memory that others fill. */
  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#digests = Buffer.from(new SharedArrayBuffer(HASH.bytes * Math.ceil(bytes.length / HASH.listed)));
  }

  /** The first `length` bytes are here. */
  came(length: number): void {
    const end = this.bytes.lastIndexOf(BETWEEN, length - BETWEEN.length);
    if (end > BEGINNING_BYTES) this.#try(() => this.#readUpTo(end));
  }

  /** All bytes are here. Undefined for what it does not know. */
  end(): ReadManifest | undefined {
    return this.#try(() => this.#readRest());
  }

  #try<T>(read: () => T): T | undefined {
    if (this.#isOdd) return undefined;
    try {
      return read();
    } catch {
      this.#isOdd = true;
      return undefined;
    }
  }

  #begin(): void {
    if (this.#at > 0) return;
    const found = BEGINNING.exec(this.bytes.toString('latin1', 0, BEGINNING_BYTES));
    if (!found) throw odd();
    this.#chunk = Number(found[1]);
    this.#at = found[0].length;
  }

  /** Files up to the one that ends at `end`, which another one follows. */
  #readUpTo(end: number): void {
    this.#begin();
    while (this.#at < end) {
      this.#file();
      this.#takeOne(COMMA);
    }
  }

  #readRest(): ReadManifest {
    this.#begin();
    if (this.#files.length > 0 || this.bytes[this.#at] !== BRACKET) {
      do this.#file();
      while (this.#skipOne(COMMA));
    }
    this.#take(LAST);
    const rest: object = JSON.parse(`{${textOf(this.bytes.subarray(this.#at - LAST.length + 2))}`);
    if ('chunk' in rest || 'files' in rest) throw odd();
    const digests = this.#digests.subarray(0, HASH.bytes * this.#chunks);
    return { json: { ...rest, chunk: this.#chunk, files: this.#files }, digests };
  }

  #file(): void {
    const first = this.#chunks;
    this.#take(CHUNKS);
    if (this.bytes[this.#at] === QUOTE) {
      do this.#digest();
      while (this.#skipOne(COMMA));
    }
    this.#takeOne(BRACKET);
    const exec = this.#skip(EXEC) || undefined;
    const mtime = this.#skip(MTIME) ? this.#number() : undefined;
    this.#take(PATH);
    const path = this.#path();
    this.#take(SIZE);
    const size = this.#number();
    this.#takeOne(BRACE);
    const areAll = this.#chunks - first === Math.ceil(size / this.#chunk);
    if (!areAll || !isSize(size) || !isTime(mtime) || this.#files.length >= MOST_ENTRIES) throw odd();
    this.#files.push({ path, size, mtime, exec });
  }

  #digest(): void {
    this.#takeOne(QUOTE);
    if (!readBase32Hash(this.bytes, this.#at, this.#digests, HASH.bytes * this.#chunks)) throw odd();
    this.#at += HASH.characters;
    this.#takeOne(QUOTE);
    this.#chunks += 1;
  }

  /** A text whose first quote is read. */
  #path(): string {
    const { bytes } = this;
    const start = this.#at;
    let at = start;
    let isPlain = true;
    for (let byte = bytes[at]; byte !== QUOTE; byte = bytes[at]) {
      if (byte === undefined || byte < SPACE) throw odd();
      if (byte === BACKSLASH) at += 1;
      if (byte === BACKSLASH || byte > 0x7e) isPlain = false;
      at += 1;
    }
    this.#at = at + 1;
    if (isPlain && at > start && at - start <= MOST_PATH) return bytes.toString('latin1', start, at);
    const path: unknown = JSON.parse(textOf(bytes.subarray(start - 1, at + 1)));
    if (!isName(path)) throw odd();
    return path;
  }

  #number(): number {
    const isNegative = this.#skipOne(MINUS);
    const start = this.#at;
    let value = 0;
    for (;;) {
      const digit = (this.bytes[this.#at] ?? 0) - ZERO;
      if (digit < 0 || digit > 9) break;
      value = 10 * value + digit;
      this.#at += 1;
    }
    const digits = this.#at - start;
    const isOdd = digits === 0 || digits > MOST_DIGITS || (this.bytes[start] === ZERO && (digits > 1 || isNegative));
    if (isOdd) throw odd();
    return isNegative ? -value : value;
  }

  #takeOne(byte: number): void {
    if (!this.#skipOne(byte)) throw odd();
  }

  #skipOne(byte: number): boolean {
    if (this.bytes[this.#at] !== byte) return false;
    this.#at += 1;
    return true;
  }

  #take(text: Buffer): void {
    if (!this.#skip(text)) throw odd();
  }

  #skip(text: Buffer): boolean {
    for (let n = 0; n < text.length; n++) if (this.bytes[this.#at + n] !== text[n]) return false;
    this.#at += text.length;
    return true;
  }
}

const odd = (): SyntaxError => new SyntaxError('not as this program writes it');
