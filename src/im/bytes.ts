/** Bytes that came and are not read yet: appended in any pieces, read in any others, each byte copied a bounded number of times. */

const EMPTY = Buffer.alloc(0);
/** Bytes of the first buffer that pieces are gathered in. */
const CAPACITY = 512;

export class ByteQueue {
  /** Empty while nothing waits: there may be thousands of connections that say nothing. */
  #buffer: Buffer = EMPTY;
  /** The buffer is a piece that somebody else made: nothing is written behind its end. */
  #lent = false;
  #start = 0;
  #end = 0;

  get length(): number {
    return this.#end - this.#start;
  }

  /** Keeps `bytes` themselves, not a copy, until they are read or `own` is called: they must not change meanwhile. */
  push(bytes: Uint8Array): void {
    if (this.#start === this.#end) {
      this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
      this.#lent = true;
      this.#start = 0;
      this.#end = bytes.length;
      return;
    }
    if (this.#lent || this.#end + bytes.length > this.#buffer.length) this.#makeRoom(bytes.length);
    this.#buffer.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  /** The byte at this place from the front; undefined past the end. */
  at(place: number): number | undefined {
    return place < this.#end - this.#start ? this.#buffer[this.#start + place] : undefined;
  }

  /** Where this byte stands, from `from` on; -1 if it does not. */
  indexOf(byte: number, from = 0): number {
    const found = this.#buffer.indexOf(byte, this.#start + from);
    return found < 0 || found >= this.#end ? -1 : found - this.#start;
  }

  /** A view of bytes in front; good until the next `push`. */
  peek(from: number, to: number): Buffer {
    return this.#buffer.subarray(this.#start + from, Math.min(this.#start + to, this.#end));
  }

  drop(count: number): void {
    this.#start += Math.min(count, this.length);
    if (this.#start < this.#end) return;
    this.#start = 0;
    this.#end = 0;
    this.#buffer = EMPTY;
  }

  /** What is left is copied, if it is a piece of something larger: a few bytes are not to keep a whole segment alive. */
  own(): void {
    if (this.#lent && this.#start < this.#end) this.#makeRoom(0);
  }

  #makeRoom(more: number): void {
    const { length } = this;
    // At least twice what is kept: so a byte is moved once for each doubling, not once for each piece.
    const target = Buffer.allocUnsafe(Math.max(CAPACITY, 2 * (length + more)));
    this.#buffer.copy(target, 0, this.#start, this.#end);
    this.#buffer = target;
    this.#lent = false;
    this.#start = 0;
    this.#end = length;
  }
}
