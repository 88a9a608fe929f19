/** Who gave which bytes of chunks that were wrong, until the right ones show who lied. [F-45] */
import { hash } from '../base/encoding.ts';
import type { Content } from './content.ts';
import { sliceBytes } from './held.ts';
import type { Part } from './part.ts';

/** Chunks that are kept in mind: more wrong ones than that judge nobody. */
const MOST_CHUNKS = 64;

type Given = { account: string; claimedWhole: boolean; hash: string };

export class Suspects {
  readonly #content: Content;
  readonly #part: Pick<Part, 'read'>;
  readonly #chunks = new Map<number, Given[][]>();

  constructor(content: Content, part: Pick<Part, 'read'>) {
    this.#content = content;
    this.#part = part;
  }

  /** A chunk was wrong, whose slices came from `givers`. */
  async note(chunk: number, givers: readonly string[], claimedWhole: (account: string) => boolean): Promise<void> {
    if (!this.#chunks.has(chunk) && this.#chunks.size >= MOST_CHUNKS) return;
    const slices = this.#chunks.get(chunk) ?? [];
    this.#chunks.set(chunk, slices);
    if (new Set(givers).size < 2 && givers.every(claimedWhole)) return; // judged at once
    const hashes = await this.#hashes(chunk);
    for (const [slice, account] of givers.entries()) {
      const given = { account, claimedWhole: claimedWhole(account), hash: hashes[slice] ?? '' };
      slices[slice] = [...(slices[slice] ?? []), given];
    }
  }

  /** The chunk is right now: who gave other bytes than these before, each once. */
  async judge(chunk: number): Promise<{ account: string; claimedWhole: boolean }[]> {
    const slices = this.#chunks.get(chunk);
    if (!slices) return [];
    this.#chunks.delete(chunk);
    const hashes = await this.#hashes(chunk);
    const liars = new Map<string, { account: string; claimedWhole: boolean }>();
    for (const [slice, givens] of slices.entries()) {
      for (const { account, claimedWhole, hash } of givens ?? []) {
        if (hash !== hashes[slice]) liars.set(account, { account, claimedWhole });
      }
    }
    return [...liars.values()];
  }

  async #hashes(chunk: number): Promise<string[]> {
    const length = this.#content.lengthOf(chunk);
    const size = sliceBytes(this.#content);
    const buffer = Buffer.from(new SharedArrayBuffer(size));
    const hashes: string[] = [];
    for (let at = 0; at < length; at += size) {
      const count = Math.min(size, length - at);
      await this.#part.read(buffer, count, this.#content.startOf(chunk) + at);
      hashes.push(hash(buffer.subarray(0, count)));
    }
    return hashes;
  }
}
