/** Reads again what is said to be here, and says what is still as its hashes say. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { Blake3Hasher } from '@napi-rs/blake-hash';
import { toBase32 } from '../base/encoding.ts';
import { Bitmap } from './bitmap.ts';
import { FolderWorker } from './folder-worker.ts';
import { chunkLength, type ManifestFile, parseManifest } from './manifest.ts';
import { PartFile } from './part.ts';
import { BLOCK_BYTES } from './source.ts';
import type { FileStore } from './store.ts';
import type { Transfer } from './transfer.ts';

/** `unknown`: its hashes are no longer kept here. */
type CheckState = 'ok' | 'damaged' | 'missing' | 'unknown';

export type Check = {
  state: CheckState;
  /** Bytes of chunks that are not what their hashes say, or not there. */
  badBytes: number;
  files: CheckedFile[];
  /** Bytes of a chunk. */
  chunk: number;
};

type CheckedFile = { path: string; file: ManifestFile; isThere: boolean; isLong: boolean; right: boolean[] };

/** Checks a transfer that was received, or whose source is offered. Throws why `signal` aborted. */
export async function check(store: FileStore, transfer: Transfer, signal: AbortSignal): Promise<Check> {
  const { hash, direction, path } = transfer;
  const bytes = hash === '' ? undefined : store.manifest(hash);
  if (!bytes) return { state: 'unknown', badBytes: 0, files: [], chunk: 0 };
  if (transfer.contents) return await checkFolder(store, transfer, bytes, signal);
  const manifest = parseManifest(bytes, hash);
  const { chunk } = manifest;
  const isAlone = manifest.files.length === 1 && manifest.files[0]?.path === manifest.name;
  const files: CheckedFile[] = [];
  let badBytes = 0;
  for (const [index, file] of manifest.files.entries()) {
    const received = isAlone ? path : join(path, file.path);
    const place = direction === 'out' ? (store.share(hash, index)?.path ?? path) : received;
    const checked = await checkFile(place, file, chunk, signal);
    files.push(checked);
    for (const [n, right] of checked.right.entries()) if (!right) badBytes += chunkLength(file.size, chunk, n);
  }
  const isWhole = files.every(({ isThere, isLong, right }) => isThere && !isLong && right.every(Boolean));
  const isMissing = files.length > 0 && files.every(({ isThere }) => !isThere);
  return { state: isWhole ? 'ok' : isMissing ? 'missing' : 'damaged', badBytes, files, chunk };
}

async function checkFolder(
  store: FileStore,
  { hash, direction, path }: Transfer,
  bytes: Uint8Array,
  signal: AbortSignal,
): Promise<Check> {
  await using thread = new FolderWorker();
  const isReceived = direction === 'in';
  const root = isReceived ? path : (store.folder(hash)?.path ?? path);
  const { badBytes, isThere, isWhole } = await thread.askUntil(signal, 'inspect', bytes, hash, root, isReceived);
  return { state: isWhole ? 'ok' : isThere ? 'damaged' : 'missing', badBytes, files: [], chunk: 0 };
}

/** Which chunks of the file at `path` are right; nothing is followed there. */
async function checkFile(path: string, file: ManifestFile, chunk: number, signal: AbortSignal): Promise<CheckedFile> {
  const right = file.chunks.map(() => false);
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
    () => undefined,
  );
  if (!handle) return { path, file, isThere: false, isLong: false, right };
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) return { path, file, isThere: false, isLong: false, right };
    const block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
    for (const [n, expected] of file.chunks.entries()) {
      const length = chunkLength(file.size, chunk, n);
      const hasher = new Blake3Hasher();
      for (let at = 0; at < length; ) {
        signal.throwIfAborted();
        const most = Math.min(block.length, length - at);
        // What cannot be read is as good as wrong.
        const { bytesRead } = await handle.read(block, 0, most, n * chunk + at).catch(() => ({ bytesRead: 0 }));
        if (bytesRead === 0) break;
        hasher.update(block.subarray(0, bytesRead));
        at += bytesRead;
      }
      right[n] = toBase32(hasher.digestBuffer()) === expected;
    }
    return { path, file, isThere: true, isLong: stats.size > file.size, right };
  } finally {
    await handle.close();
  }
}

/** Makes a part of what is right of a damaged file, so that only the rest is fetched again. */
export async function seed(store: FileStore, { id, folder, size }: Transfer, { chunk, files }: Check): Promise<void> {
  const [damaged] = files;
  if (files.length !== 1 || !damaged?.isThere) return;
  const source = await open(damaged.path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  const part = await PartFile.open({ folder, id, file: damaged.file, chunk, known: undefined });
  try {
    const copied = new Bitmap(damaged.right.length);
    const block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
    for (const [n, right] of damaged.right.entries()) {
      const length = right ? chunkLength(size, chunk, n) : 0;
      for (let at = 0; at < length; ) {
        const most = Math.min(block.length, length - at);
        const { bytesRead } = await source.read(block, 0, most, n * chunk + at);
        if (bytesRead < most) break;
        await part.put(block, bytesRead, n * chunk + at);
        at += bytesRead;
      }
      if (right) copied.set(n);
    }
    // Asked, not marked: each is hashed once more before it counts, for the file may have changed while it was copied.
    store.saveMarks(id, { part: part.identity, marked: undefined, asked: copied.bytes() });
  } finally {
    await part.close();
    await source.close();
  }
}
