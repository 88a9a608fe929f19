/** One bit a chunk: which are here. Bit n is bit `n % 8`, counted from the lowest, of byte `n / 8`. */
export class Bitmap {
  /** Chunks in all. */
  readonly size: number;
  readonly #bits: Uint8Array;
  #count = 0;

  /** `bytes` of another length, as a damaged row could give, count as none. */
  constructor(size: number, bytes?: Uint8Array) {
    this.size = size;
    const length = Math.ceil(size / 8);
    this.#bits = bytes?.length === length ? Uint8Array.from(bytes) : new Uint8Array(length);
    this.each(() => {
      this.#count += 1;
    });
  }

  get count(): number {
    return this.#count;
  }

  get full(): boolean {
    return this.#count === this.size;
  }

  has(index: number): boolean {
    return ((this.#bits[index >> 3] ?? 0) & (1 << (index & 7))) !== 0;
  }

  set(index: number): void {
    if (index >= this.size || this.has(index)) return;
    this.#bits[index >> 3] = (this.#bits[index >> 3] ?? 0) | (1 << (index & 7));
    this.#count += 1;
  }

  /** Tells of each chunk that is here, in order. */
  each(tell: (index: number) => void): void {
    for (let byte = 0; byte < this.#bits.length; byte++) {
      if (this.#bits[byte] === 0) continue;
      const end = Math.min(this.size, 8 * byte + 8);
      for (let index = 8 * byte; index < end; index++) if (this.has(index)) tell(index);
    }
  }

  /** A copy of the bits, as they are stored. */
  bytes(): Uint8Array {
    return Uint8Array.from(this.#bits);
  }

  /** The first run of missing chunks at or after `from`, at most `most` long. */
  gap(from: number, most: number): { first: number; count: number } | undefined {
    let first = from;
    while (first < this.size && this.has(first)) first += 1;
    if (first >= this.size) return undefined;
    let count = 1;
    while (count < most && first + count < this.size && !this.has(first + count)) count += 1;
    return { first, count };
  }
}
