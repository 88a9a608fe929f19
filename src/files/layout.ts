/**
 * Where the bytes of a content lie. A content is one linear space: its files in the manifest's order, one after the other,
 * each cut into chunks of its own, which are numbered through all files from 0. Pure arithmetic. [F-5]
 */

/** A run of one file's bytes. */
export type Piece = { file: number; offset: number; length: number };

/** A chunk: which file's, the how-manieth of it, where it begins in the file and in the linear space, and its bytes. */
export type Place = { file: number; index: number; offset: number; start: number; length: number };

export class Layout {
  /** Bytes of a chunk; the last one of a file has what remains. */
  readonly chunk: number;
  /** Files, chunks and bytes in all. An empty file has no chunk and takes no room. */
  readonly files: number;
  readonly chunks: number;
  readonly size: number;
  /** Of each file: its first byte in the linear space, and the number of its first chunk. One more entry ends the last. */
  readonly #starts: Float64Array;
  readonly #firsts: Float64Array;
  /** The files found last: whoever asks goes on from there, as a rule. */
  #fileOfChunk = 0;
  #fileAt = 0;

  constructor(chunk: number, sizes: ArrayLike<number>) {
    this.chunk = chunk;
    this.files = sizes.length;
    this.#starts = new Float64Array(sizes.length + 1);
    this.#firsts = new Float64Array(sizes.length + 1);
    let [size, chunks] = [0, 0];
    for (let file = 0; file < sizes.length; file++) {
      size += sizes[file] ?? 0;
      chunks += Math.ceil((sizes[file] ?? 0) / chunk);
      this.#starts[file + 1] = size;
      this.#firsts[file + 1] = chunks;
    }
    this.size = size;
    this.chunks = chunks;
  }

  /** First byte of a file in the linear space; of `files`, the end. */
  start(file: number): number {
    return this.#starts[file] ?? this.size;
  }

  /** Bytes of a file. */
  fileSize(file: number): number {
    return this.start(file + 1) - this.start(file);
  }

  /** Global number of a file's first chunk; of `files`, the number of chunks. */
  firstChunk(file: number): number {
    return this.#firsts[file] ?? this.chunks;
  }

  /** The file that has chunk `number`. Throws `RangeError` past the end. */
  fileOfChunk(number: number): number {
    this.#fileOfChunk = lastUpTo(this.#firsts, number, this.chunks, this.#fileOfChunk);
    return this.#fileOfChunk;
  }

  /** The file that has the byte at `position`. Throws `RangeError` past the end. */
  fileAt(position: number): number {
    this.#fileAt = lastUpTo(this.#starts, position, this.size, this.#fileAt);
    return this.#fileAt;
  }

  place(number: number): Place {
    const file = this.fileOfChunk(number);
    const index = number - this.firstChunk(file);
    const offset = index * this.chunk;
    const length = Math.min(this.chunk, this.fileSize(file) - offset);
    return { file, index, offset, start: this.start(file) + offset, length };
  }

  /** Global number of the chunk that has the byte at `position`. */
  chunkAt(position: number): number {
    const file = this.fileAt(position);
    return this.firstChunk(file) + Math.floor((position - this.start(file)) / this.chunk);
  }

  /** The bytes of `count` chunks from `first` on: first one, and first one after. Chunks in a row lie in a row. */
  range(first: number, count: number): { start: number; end: number } {
    const { start } = this.place(first);
    const last = this.place(first + count - 1);
    return { start, end: last.start + last.length };
  }

  /** How many chunks from `first` on, at most `most`, have no more than `bytes` bytes together; at least one. */
  within(first: number, most: number, bytes: number): number {
    const { start } = this.place(first);
    if (start + bytes >= this.size) return Math.min(most, this.chunks - first);
    return Math.max(1, Math.min(most, this.chunkAt(start + bytes) - first));
  }

  /** The range `start` to `end` (first byte after), file by file. */
  *pieces(start: number, end: number): Generator<Piece, void> {
    if (start >= end) return;
    for (let file = this.fileAt(start), at = start; at < end; file++) {
      const length = Math.min(end, this.start(file + 1)) - at;
      if (length > 0) yield { file, offset: at - this.start(file), length };
      at += length;
    }
  }

  /** Bytes of those chunks that `has` says yes to. */
  bytesOf(has: (number: number) => boolean): number {
    let bytes = 0;
    for (let file = 0; file < this.files; file++) {
      const [first, end] = [this.firstChunk(file), this.firstChunk(file + 1)];
      for (let number = first; number < end; number++) {
        if (has(number)) bytes += Math.min(this.chunk, this.fileSize(file) - (number - first) * this.chunk);
      }
    }
    return bytes;
  }
}

/**
 * The last index whose value is at most `value`: of several equal ones the last, the others being empty files. Looks at `hint`
 * and the one after it first.
 */
function lastUpTo(values: Float64Array, value: number, end: number, hint: number): number {
  if (!(value >= 0 && value < end)) throw new RangeError(`looking for ${value} in a content: it ends at ${end}`);
  for (let index = hint; index <= hint + 1 && index + 1 < values.length; index++) {
    if ((values[index] ?? 0) <= value && value < (values[index + 1] ?? 0)) return index;
  }
  let [low, high] = [0, values.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((values[middle] ?? 0) <= value) low = middle;
    else high = middle;
  }
  return low;
}
