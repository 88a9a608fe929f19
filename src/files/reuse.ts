/** Chunks that are on this machine already, in other files sent or received and in other parts: found by hash, not fetched. [F-46] */
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { blake3 } from '@napi-rs/blake-hash';
import { toBase32 } from '../base/encoding.ts';
import { Bitmap } from './bitmap.ts';
import type { Content } from './content.ts';
import { type Manifest, parseManifest } from './manifest.ts';
import type { Part } from './part.ts';
import { partName } from './paths.ts';
import { BLOCK_BYTES, Source } from './source.ts';
import type { FileStore } from './store.ts';

/** Chunks whose hashes are looked at in one turn of the event loop. */
const TURN_CHUNKS = 4096;

export type ReuseOptions = {
  store: FileStore;
  /** The transfer that wants them. */
  id: string;
  content: Content;
  have: Bitmap;
  part: Pick<Part, 'put'>;
  /** Told before a chunk is written. */
  onAsk(first: number, count: number): void;
  onChunks(indexes: readonly number[], bytes: number): void;
  signal: AbortSignal;
};

/** Copies what is here; believes only what hashes. Settles when no place is left to look at. Throws the faults of writing. */
export async function reuse(options: ReuseOptions): Promise<void> {
  const { store, id, content, have, signal } = options;
  const places = store.places(id);
  if (places.length === 0) return;
  const wanted = new Map<string, number[]>();
  for (let chunk = 0; chunk < content.chunks; chunk++) {
    if (chunk % TURN_CHUNKS === TURN_CHUNKS - 1) await setImmediate();
    const hash = content.hashOf(chunk);
    if (hash === undefined || have.has(chunk)) continue;
    const same = wanted.get(hash);
    if (same) same.push(chunk);
    else wanted.set(hash, [chunk]);
  }
  for (const place of places) {
    if (wanted.size === 0) return;
    signal.throwIfAborted();
    await setImmediate(); // a large manifest takes a while to read
    const bytes = store.manifest(place.hash);
    const manifest = bytes && known(bytes, place.hash);
    if (!manifest) continue;
    const marked = place.marked && new Bitmap(manifest.files[place.file]?.chunks.length ?? 0, place.marked);
    const path = place.part === undefined ? place.path : join(place.path, partName(place.part));
    await copyFrom(path, manifest, place.file, marked, wanted, options);
  }
}

async function copyFrom(
  path: string,
  { files, chunk: size }: Manifest,
  index: number,
  marked: Bitmap | undefined,
  wanted: Map<string, number[]>,
  { content, have, part, onAsk, onChunks, signal }: ReuseOptions,
): Promise<void> {
  const hashes = files[index]?.chunks ?? [];
  const found = hashes.flatMap((hash, n) => (wanted.has(hash) && (marked?.has(n) ?? true) ? [{ hash, n }] : []));
  if (found.length === 0) return;
  const source = await Source.open(path).catch(() => undefined); // gone since: then it is fetched
  if (!source) return;
  await using _source = source;
  for (const { hash, n } of found) {
    signal.throwIfAborted();
    const [first] = wanted.get(hash) ?? [];
    if (first === undefined) continue;
    const length = content.lengthOf(first);
    const buffer = Buffer.from(new SharedArrayBuffer(length));
    const isRead = await source.read(buffer, length, n * size).then(
      () => true,
      () => false,
    );
    if (!isRead || toBase32(blake3(buffer)) !== hash) continue;
    for (const chunk of wanted.get(hash) ?? []) {
      onAsk(chunk, 1);
      if (!(await putWhole(part, buffer, content.startOf(chunk)))) continue;
      have.set(chunk);
      onChunks([chunk], length);
    }
    wanted.delete(hash);
  }
}

/** Gives a chunk to the part, piece by piece; false where it is not believed. */
async function putWhole(part: Pick<Part, 'put'>, buffer: Buffer, position: number): Promise<boolean> {
  for (let at = 0; at < buffer.length; at += BLOCK_BYTES) {
    const piece = buffer.subarray(at, at + BLOCK_BYTES);
    if ((await part.put(piece, piece.length, position + at)).length > 0) return false;
  }
  return true;
}

function known(bytes: Uint8Array, hash: string): Manifest | undefined {
  try {
    return parseManifest(bytes, hash);
  } catch {
    return undefined; // of another version of this program
  }
}
