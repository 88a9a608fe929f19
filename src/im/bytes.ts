/** Bytes that came and are not read yet: appended in any pieces, read in any others, each byte copied a bounded number of times. */

const CAPACITY = 512;

export class ByteQueue {
  #buffer = Buffer.allocUnsafe(CAPACITY);
  #start = 0;
  #end = 0;

  get length(): number {
    return this.#end - this.#start;
  }

  push(bytes: Uint8Array): void {
    if (this.#end + bytes.length > this.#buffer.length) this.#makeRoom(bytes.length);
    this.#buffer.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  /** The byte at this place from the front; undefined past the end. */
  at(place: number): number | undefined {
    return place < this.length ? this.#buffer[this.#start + place] : undefined;
  }

  /** Where this byte stands, from `from` on; -1 if it does not. */
  indexOf(byte: number, from = 0): number {
    const found = this.#buffer.subarray(this.#start, this.#end).indexOf(byte, from);
    return found;
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
    // A long message leaves no long buffer behind: there may be thousands of connections.
    if (this.#buffer.length > 64 * CAPACITY) this.#buffer = Buffer.allocUnsafe(CAPACITY);
  }

  #makeRoom(more: number): void {
    const { length } = this;
    // At least twice what is kept: so a byte is moved once for each doubling, not once for each piece.
    const wanted = Math.max(CAPACITY, 2 * (length + more));
    const target = wanted > this.#buffer.length ? Buffer.allocUnsafe(wanted) : this.#buffer;
    this.#buffer.copy(target, 0, this.#start, this.#end);
    this.#buffer = target;
    this.#start = 0;
    this.#end = length;
  }
}
