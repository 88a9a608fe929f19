/** Counts the files of a content whose chunks are all here. */
import type { Bitmap } from './bitmap.ts';
import type { Layout } from './layout.ts';

export class WholeFiles {
  /** Files in all, and those that are whole; an empty one always is. */
  readonly files: number;
  count = 0;
  readonly #layout: Layout;
  /** Chunks that each file misses. */
  readonly #missing: Uint32Array;

  constructor(layout: Layout, have: Bitmap) {
    this.#layout = layout;
    this.files = layout.files;
    this.#missing = new Uint32Array(layout.files);
    for (let file = 0; file < layout.files; file++) {
      let missing = 0;
      for (let chunk = layout.firstChunk(file); chunk < layout.firstChunk(file + 1); chunk++) {
        if (!have.has(chunk)) missing += 1;
      }
      this.#missing[file] = missing;
      if (missing === 0) this.count += 1;
    }
  }

  /** Chunk `index` has come, for the first time. */
  add(index: number): void {
    const file = this.#layout.fileOfChunk(index);
    const missing = (this.#missing[file] ?? 0) - 1;
    this.#missing[file] = missing;
    if (missing === 0) this.count += 1;
  }
}
