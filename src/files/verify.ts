/** Reads again what is said to be here, and says what is still as its hashes say. */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { Blake3Hasher } from '@napi-rs/blake-hash';
import { toBase32 } from '../base/encoding.ts';
import { Bitmap } from './bitmap.ts';
import { FolderThread } from './folder-thread.ts';
import { chunkLength, type ManifestFile, parseManifest } from './manifest.ts';
import { PartFile, type PartIdentity } from './part.ts';
import { BLOCK_BYTES } from './source.ts';
import type { FileStore } from './store.ts';
import type { Transfer } from './transfer.ts';

/** `unknown`: its hashes are no longer kept here. */
type CheckState = 'ok' | 'damaged' | 'missing' | 'unknown';

export type Check = {
  state: CheckState;
  /** Bytes of chunks that are not what their hashes say, or not there. */
  badBytes: number;
  /** What is right of it, to be mended by. */
  found: FoundFile | FoundFolder | undefined;
};

type FoundFile = { file: ManifestFile; chunk: number; right: Bitmap };
type FoundFolder = { identity: PartIdentity; right: Uint8Array };

/** Checks a transfer that was received, or whose source is offered. Throws why `signal` aborted. */
export async function check(store: FileStore, transfer: Transfer, signal: AbortSignal): Promise<Check> {
  const { hash, contents } = transfer;
  const bytes = hash === '' ? undefined : store.manifest(hash);
  if (!bytes) return { state: 'unknown', badBytes: 0, found: undefined };
  if (contents) return await checkFolder(store, transfer, bytes, signal);
  return await checkFile(store, transfer, bytes, signal);
}

async function checkFolder(
  store: FileStore,
  { hash, direction, path }: Transfer,
  manifest: Uint8Array,
  signal: AbortSignal,
): Promise<Check> {
  await using thread = new FolderThread();
  const isSent = direction === 'out';
  const root = isSent ? (store.folder(hash)?.path ?? path) : path;
  const checked = await thread.askUntil(signal, 'check', manifest, hash, root, isSent);
  const { isWhole, badBytes, identity, right } = checked;
  const state = isWhole ? 'ok' : identity ? 'damaged' : 'missing';
  return { state, badBytes, found: identity && { identity, right } };
}

/** What cannot be opened or is no regular file is missing; nothing is followed there. */
async function checkFile(
  store: FileStore,
  { hash, direction, path }: Transfer,
  manifest: Uint8Array,
  signal: AbortSignal,
): Promise<Check> {
  const { chunk, size, files } = parseManifest(manifest, hash);
  const [file] = files;
  if (!file) return { state: 'unknown', badBytes: 0, found: undefined };
  const right = new Bitmap(file.chunks.length);
  const place = direction === 'out' ? (store.share(hash, 0)?.path ?? path) : path;
  await using opened = await openFound(place);
  if (!opened) return { state: 'missing', badBytes: size, found: undefined };
  let badBytes = 0;
  const block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  for (const [n, expected] of file.chunks.entries()) {
    const length = chunkLength(size, chunk, n);
    const hasher = new Blake3Hasher();
    for (let at = 0; at < length; ) {
      signal.throwIfAborted();
      const most = Math.min(block.length, length - at);
      // What cannot be read is as good as wrong.
      const { bytesRead } = await opened.handle.read(block, 0, most, n * chunk + at).catch(() => ({ bytesRead: 0 }));
      if (bytesRead === 0) break;
      hasher.update(block.subarray(0, bytesRead));
      at += bytesRead;
    }
    if (toBase32(hasher.digestBuffer()) === expected) right.set(n);
    else badBytes += length;
  }
  const isWhole = right.full && opened.size === size;
  return { state: isWhole ? 'ok' : 'damaged', badBytes, found: { file, chunk, right } };
}

async function openFound(path: string): Promise<(AsyncDisposable & { handle: FileHandle; size: number }) | undefined> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const handle = await open(path, flags).catch(() => undefined);
  if (!handle) return undefined;
  const stats = await handle.stat();
  if (stats.isFile()) return { handle, size: stats.size, [Symbol.asyncDispose]: () => handle.close() };
  await handle.close();
  return undefined;
}

/**
 * Notes what is right of what is damaged, so that only the rest is fetched again: of a file in a part beside it, which takes its
 * place when it is whole; a folder is mended where it is. Asked, not marked: each chunk is hashed once more before it
 * counts, for it may change meanwhile.
 */
export async function seed(store: FileStore, transfer: Transfer, { found }: Check): Promise<void> {
  if (!found) return;
  if ('file' in found) return await seedFile(store, transfer, found);
  const part = { ...found.identity, inPlace: true };
  store.saveMarks(transfer.id, { part, marked: undefined, asked: found.right });
}

async function seedFile(store: FileStore, { id, folder, path }: Transfer, found: FoundFile): Promise<void> {
  const { file, chunk, right } = found;
  await using source = await openFound(path);
  if (!source) return;
  const part = await PartFile.open({ folder, id, file, chunk, known: undefined });
  try {
    const block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
    for (let n = 0; n < right.size; n++) {
      const length = right.has(n) ? chunkLength(file.size, chunk, n) : 0;
      for (let at = 0; at < length; ) {
        const most = Math.min(block.length, length - at);
        const { bytesRead } = await source.handle.read(block, 0, most, n * chunk + at);
        if (bytesRead === 0) break;
        await part.write(block, bytesRead, n * chunk + at);
        at += bytesRead;
      }
    }
    store.saveMarks(id, { part: part.identity, marked: undefined, asked: right.bytes() });
  } finally {
    await part.close();
  }
}
