/** What one holder says it has of a content: whole chunks, and slices of chunks that are not whole yet. */
import { Bitmap } from './bitmap.ts';

/** Slices of a chunk: what is asked for, and passed on before the chunk is whole. [F-40] */
export const SLICES = 8;
/** The mask of all slices of a chunk. */
export const ALL_SLICES = 2 ** SLICES - 1;

/** How a content is cut. Chunks are numbered through all its files from 0. */
export type Shape = {
  readonly chunks: number;
  /** Bytes of a chunk that is not the last of its file. */
  readonly chunkBytes: number;
  lengthOf(chunk: number): number;
};

export const sliceBytes = ({ chunkBytes }: Shape): number => chunkBytes / SLICES;

/** The mask of the slices that a chunk has: one that is short has fewer. */
export function slicesOf(shape: Shape, chunk: number): number {
  return 2 ** Math.ceil(shape.lengthOf(chunk) / sliceBytes(shape)) - 1;
}

export class Held {
  readonly whole: Bitmap;
  readonly #slices = new Map<number, number>();

  constructor(chunks: number, bytes?: Uint8Array) {
    this.whole = new Bitmap(chunks, bytes);
  }

  /** Slices of chunks that are not whole, by chunk. */
  get slices(): ReadonlyMap<number, number> {
    return this.#slices;
  }

  /** The slices of a chunk that are there. */
  maskOf(chunk: number): number {
    return this.whole.has(chunk) ? ALL_SLICES : (this.#slices.get(chunk) ?? 0);
  }

  /** A chunk is whole; false if it was before. */
  gain(chunk: number): boolean {
    if (chunk >= this.whole.size || this.whole.has(chunk)) return false;
    this.whole.set(chunk);
    this.#slices.delete(chunk);
    return true;
  }

  addSlices(chunk: number, mask: number): void {
    if (chunk >= this.whole.size || this.whole.has(chunk)) return;
    this.#slices.set(chunk, (this.#slices.get(chunk) ?? 0) | mask);
  }

  /** The slices of a chunk were wrong, and are gone. */
  loseSlices(chunk: number): void {
    this.#slices.delete(chunk);
  }
}
