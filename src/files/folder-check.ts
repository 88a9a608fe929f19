/** Reads a folder that is said to be here as a whole, and says what is still as its hashes say. Calls that wait: for threads. */
import { closeSync, constants, fstatSync, lstatSync, openSync } from 'node:fs';
import { Blake3Hasher } from '@napi-rs/blake-hash';
import { toBase32 } from '../base/encoding.ts';
import { Bitmap } from './bitmap.ts';
import { Descent } from './descend.ts';
import { fill, type Places, placesAsSent } from './folder-source.ts';
import { isBlind } from './folder-writer.ts';
import { Layout } from './layout.ts';
import type { Manifest } from './manifest.ts';
import type { PartIdentity } from './part.ts';
import { planFolder } from './plan.ts';
import { BLOCK_BYTES } from './source.ts';

const READ = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW;

export type CheckedFolder = {
  /** Chunks that are right, of a file that is not too long. */
  right: Uint8Array;
  /** Bytes of the others. */
  badBytes: number;
  /** Nothing is missing, wrong or too long: files, folders and links. */
  isWhole: boolean;
  /** The folder itself; undefined where there is none. */
  identity: PartIdentity | undefined;
};

/** Where a received folder's names are: as `FolderWriter` wrote them on this disk. [F-25] */
export function placesAsWritten(
  root: string,
  manifest: Manifest,
): Places & Pick<ReturnType<typeof planFolder>, 'links'> {
  const seeing = planFolder(manifest, { blind: false });
  const blind = planFolder(manifest, { blind: true });
  // The disk is asked only where its answer makes a difference: asking makes a file for a moment.
  return blind.renamed !== seeing.renamed && isBlind(root) ? blind : seeing;
}

/** Throws what `stop` throws. */
export function checkFolder(root: string, manifest: Manifest, asSent: boolean, stop: () => void): CheckedFolder {
  const layout = new Layout(
    manifest.chunk,
    manifest.files.map(({ size }) => size),
  );
  const right = new Bitmap(layout.chunks);
  const stats = lstatSync(root, { bigint: true, throwIfNoEntry: false });
  if (!stats?.isDirectory()) {
    return { right: right.bytes(), badBytes: layout.size, isWhole: false, identity: undefined };
  }
  const {
    folders,
    files,
    links = [],
  } = asSent ? { ...placesAsSent(manifest), links: [] } : placesAsWritten(root, manifest);
  using descent = new Descent(root, folders);
  const block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  let isWhole = true;
  for (const [file, { folder, name }] of files.entries()) {
    stop();
    let fd: number | undefined;
    try {
      fd = openSync(descent.prefix(folder) + name, READ);
      const { size } = fstatSync(fd);
      if (size !== layout.fileSize(file) || !fstatSync(fd).isFile()) isWhole = false;
      if (size > layout.fileSize(file)) continue; // made anew as a whole
      for (let number = layout.firstChunk(file); number < layout.firstChunk(file + 1); number++) {
        const { index, offset, length } = layout.place(number);
        const hasher = new Blake3Hasher();
        let at = 0;
        for (let count = 0; at < length; at += count) {
          stop();
          count = Math.min(block.length, length - at);
          if (!fill(fd, block, count, offset + at)) break;
          hasher.update(block.subarray(0, count));
        }
        const isRight = at === length && toBase32(hasher.digestBuffer()) === manifest.files[file]?.chunks[index];
        if (isRight) right.set(number);
      }
    } catch {
      stop();
      isWhole = false; // what cannot be read is as good as gone
    } finally {
      if (fd !== undefined) closeSync(fd);
    }
  }
  for (let folder = 1; folder < folders.length && isWhole; folder++) isWhole = isThere(() => descent.prefix(folder));
  for (const { folder, name } of links) {
    isWhole &&= isThere(() => lstatSync(descent.prefix(folder) + name));
  }
  const badBytes = layout.size - layout.bytesOf((number) => right.has(number));
  const identity = { dev: String(stats.dev), ino: String(stats.ino) };
  return { right: right.bytes(), badBytes, isWhole: isWhole && right.full, identity };
}

function isThere(look: () => unknown): boolean {
  try {
    look();
    return true;
  } catch {
    return false;
  }
}
