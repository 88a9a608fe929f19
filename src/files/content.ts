/** A content as one row of chunks: how it is cut, where each chunk lies, and what its hash must be. [F-5] */
import type { Shape } from './held.ts';
import type { Layout } from './layout.ts';
import type { Part } from './part.ts';

export type Content = Shape & {
  /** What a holder is asked for; byte ranges are of it. */
  readonly path: string;
  /** Bytes of it in all. */
  readonly bytes: number;
  /** First byte of a chunk. */
  startOf(chunk: number): number;
  /** The chunk in which a byte lies. */
  chunkAt(byte: number): number;
  hashOf(chunk: number): string | undefined;
};

export function shapeOf(layout: Layout): Shape {
  return { chunks: layout.chunks, chunkBytes: layout.chunk, lengthOf: (chunk) => layout.place(chunk).length };
}

export function contentOf(part: Pick<Part, 'layout' | 'hashOf'>, path: string): Content {
  const { layout } = part;
  return {
    ...shapeOf(layout),
    path,
    bytes: layout.size,
    startOf: (chunk) => (chunk < layout.chunks ? layout.place(chunk).start : layout.size),
    chunkAt: (byte) => layout.chunkAt(byte),
    hashOf: (chunk) => part.hashOf(chunk),
  };
}
