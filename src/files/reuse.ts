/** Chunks that are on this machine already, in other files sent or received and in other parts: found by hash, not fetched. [F-46] */
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { fromBase32, hash as hashOf } from '../base/encoding.ts';
import { Bitmap } from './bitmap.ts';
import type { Content } from './content.ts';
import { FolderWorker } from './folder-worker.ts';
import { type Manifest, parseManifest } from './manifest.ts';
import type { Part } from './part.ts';
import { partName } from './paths.ts';
import { BLOCK_BYTES, Source } from './source.ts';
import type { FileStore } from './store.ts';

/** Chunks whose hashes are looked at in one turn of the event loop. */
const TURN_CHUNKS = 4096;

/** Bytes of folders' manifests that are looked through, the newest first: a thread needs some 60 ms for each MiB. */
const MOST_LISTED = 64 * 1024 * 1024;

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
  const folders = store.folderPlaces(id);
  if (places.length + folders.length === 0) return;
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
  let listed = 0;
  await using thread = new FolderWorker();
  for (const place of folders) {
    if (wanted.size === 0) return;
    const bytes = store.manifest(place.hash);
    listed += bytes?.length ?? 0;
    if (listed > MOST_LISTED) return;
    if (bytes) await copyFromFolder(thread, { ...place, bytes }, wanted, options);
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
    if (!isRead || hashOf(buffer) !== hash) continue;
    for (const chunk of wanted.get(hash) ?? []) {
      onAsk(chunk, 1);
      if (!(await putWhole(part, buffer, content.startOf(chunk)))) continue;
      have.set(chunk);
      onChunks([chunk], length);
    }
    wanted.delete(hash);
  }
}

/** Chunks of the content that stand in a row in a folder too: the first byte there, the first chunk here, and their bytes. */
type Run = { there: number; first: number; count: number; bytes: number };

async function copyFromFolder(
  thread: FolderWorker,
  place: { hash: string; path: string; asSent: boolean; bytes: Uint8Array },
  wanted: Map<string, number[]>,
  { content, have, part, onAsk, onChunks, signal }: ReuseOptions,
): Promise<void> {
  const hashes = [...wanted.keys()];
  const digests = new Uint8Array(32 * hashes.length);
  for (const [n, hash] of hashes.entries()) digests.set(fromBase32(hash) ?? [], 32 * n);
  const opening = thread.askUntil(signal, 'openFound', place.bytes, place.hash, place.path, place.asSent, digests);
  const matches = await opening.catch(() => []); // gone since, or of another version of this program
  signal.throwIfAborted();
  const block = Buffer.from(new SharedArrayBuffer(BLOCK_BYTES));

  /** False where not all of them are what they were. */
  const copy = async ({ there, first, count, bytes }: Run): Promise<boolean> => {
    signal.throwIfAborted();
    onAsk(first, count);
    let wrong: number[] = [];
    for (let at = 0; at < bytes; at += BLOCK_BYTES) {
      const length = Math.min(BLOCK_BYTES, bytes - at);
      const read = await thread.ask('read', block, there + at, there + at + length).catch(() => 0);
      if (read < length) return false;
      wrong = await part.put(block, length, content.startOf(first) + at);
    }
    const right = Array.from({ length: count }, (_, n) => first + n).filter((chunk) => !wrong.includes(chunk));
    for (const chunk of right) {
      have.set(chunk);
      wanted.delete(content.hashOf(chunk) ?? '');
    }
    if (right.length === 0) return true;
    onChunks(
      right,
      right.reduce((sum, chunk) => sum + content.lengthOf(chunk), 0),
    );
    return true;
  };

  const found: { chunk: number; there: number }[] = [];
  for (let at = 0; at < matches.length; at += 2) {
    const [n = 0, there = 0] = [matches[at], matches[at + 1]];
    for (const chunk of wanted.get(hashes[n] ?? '') ?? []) found.push({ chunk, there });
  }
  for (const run of runs(found, content)) {
    if ((await copy(run)) || run.count === 1) continue;
    // One of them was changed: the others are still worth it.
    let { there } = run;
    for (let chunk = run.first; chunk < run.first + run.count; chunk++) {
      const bytes = content.lengthOf(chunk);
      await copy({ there, first: chunk, count: 1, bytes });
      there += bytes;
    }
  }
}

/** What stands in the same order here and there, as blocks; a larger chunk is a run of its own. */
function* runs(found: { chunk: number; there: number }[], content: Content): Generator<Run> {
  found.sort((a, b) => a.chunk - b.chunk);
  let run: Run | undefined;
  for (const { chunk, there } of found) {
    const bytes = content.lengthOf(chunk);
    const follows = run && run.first + run.count === chunk && run.there + run.bytes === there;
    if (run && follows && run.bytes + bytes <= BLOCK_BYTES) {
      run.count += 1;
      run.bytes += bytes;
      continue;
    }
    if (run) yield run;
    run = { there, first: chunk, count: 1, bytes };
  }
  if (run) yield run;
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
