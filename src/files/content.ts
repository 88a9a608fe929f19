/** A manifest as one row of chunks: how it is cut, where each chunk lies, and what its hash must be. */
import { Fault } from '../base/fault.ts';
import type { Shape } from './held.ts';
import { chunkLength, type Manifest } from './manifest.ts';

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

/** Throws `malformed` for a manifest without a file. */
export function contentOf({ files, chunk: chunkBytes }: Manifest, hash: string): Content {
  const [file] = files;
  if (!file) throw new Fault('malformed', 'reading a manifest: no file');
  return {
    path: `/blobs/${hash}/0`,
    bytes: file.size,
    chunks: file.chunks.length,
    chunkBytes,
    lengthOf: (chunk) => chunkLength(file.size, chunkBytes, chunk),
    startOf: (chunk) => chunk * chunkBytes,
    chunkAt: (byte) => Math.floor(byte / chunkBytes),
    hashOf: (chunk) => file.chunks[chunk],
  };
}
