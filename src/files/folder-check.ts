/** Reads a folder again that is said to be here, and says what of it is as its manifest says. For worker threads. */
import { closeSync, constants, fstatSync, lstatSync, openSync, readlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { Blake3Hasher } from '@napi-rs/blake-hash';
import { toBase32 } from '../base/encoding.ts';
import { Descent } from './descend.ts';
import { fill, placesOf } from './folder-source.ts';
import { chunkLength, type Manifest, type ManifestFile } from './manifest.ts';
import { planFolder } from './plan.ts';
import { BLOCK_BYTES } from './source.ts';

/** `badBytes` are those of chunks that are not what their hashes say, or not there. */
export type Inspected = { badBytes: number; isThere: boolean; isWhole: boolean };

/** `isReceived`: names are those that a receiver writes, else the sender's own. Throws what `stop` throws. */
export function inspectFolder(root: string, manifest: Manifest, isReceived: boolean, stop: () => void): Inspected {
  if (!lstatSync(root, { throwIfNoEntry: false })?.isDirectory()) {
    return { badBytes: manifest.size, isThere: false, isWhole: false };
  }
  const plan = isReceived ? planFolder(manifest, { blind: isBlind(root) }) : undefined;
  const { below, files } = plan ? { below: plan.folders, files: plan.files } : placesOf(manifest);
  using descent = new Descent(root, below);
  let [badBytes, isWhole] = [0, true];
  for (const [index, file] of manifest.files.entries()) {
    stop();
    const { folder, name } = files[index] ?? { folder: 0, name: '' };
    const bad = badBytesOf(() => descent.prefix(folder) + name, file, manifest.chunk, stop);
    badBytes += bad ?? file.size;
    if (bad !== 0) isWhole = false;
  }
  for (const { folder, name, target } of plan?.links ?? []) {
    if (linkAt(() => descent.prefix(folder) + name) !== target) isWhole = false;
  }
  for (let number = 1; number < below.length && isWhole; number++) {
    try {
      descent.prefix(number);
    } catch {
      isWhole = false;
    }
  }
  return { badBytes, isThere: true, isWhole };
}

/** Undefined where it is not there, or longer than it should be. */
function badBytesOf(path: () => string, file: ManifestFile, chunk: number, stop: () => void): number | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(path(), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const stats = fstatSync(fd);
    if (!stats.isFile() || stats.size > file.size) return undefined;
    const block = Buffer.allocUnsafe(Math.min(BLOCK_BYTES, file.size));
    let bad = 0;
    for (const [index, expected] of file.chunks.entries()) {
      const length = chunkLength(file.size, chunk, index);
      const hasher = new Blake3Hasher();
      for (let at = 0; at < length; at += block.length) {
        stop();
        const count = Math.min(block.length, length - at);
        if (!fill(fd, block, count, index * chunk + at)) break;
        hasher.update(block.subarray(0, count));
      }
      if (toBase32(hasher.digestBuffer()) !== expected) bad += length;
    }
    return bad;
  } catch (error) {
    stop(); // what was thrown may be that it is to stop
    if (error instanceof RangeError) throw error;
    return undefined; // not there, or it cannot be read
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function linkAt(path: () => string): string | undefined {
  try {
    return readlinkSync(path());
  } catch {
    return undefined;
  }
}

/** Whether names beside `root` that differ in case are one: asked without writing anything into what is checked. */
function isBlind(root: string): boolean {
  const name = basename(root);
  const other = name === name.toUpperCase() ? name.toLowerCase() : name.toUpperCase();
  if (other === name) return false;
  const [own, seen] = [root, join(dirname(root), other)].map((path) => lstatSync(path, { throwIfNoEntry: false }));
  return own !== undefined && own.dev === seen?.dev && own.ino === seen.ino;
}
