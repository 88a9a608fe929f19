/** The thread beside the event loop that walks, hashes, reads and writes one folder: calls that wait for the disk, by message. */
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { toBase32 } from '../base/encoding.ts';
import { Fault, type FaultCode, toFault } from '../base/fault.ts';
import { Bitmap } from './bitmap.ts';
import { type CheckedFolder, checkFolder, placesAsWritten } from './folder-check.ts';
import { FolderSource, type HashedFolder, hashFolder, placesAsSent } from './folder-source.ts';
import { FolderWriter } from './folder-writer.ts';
import { digestsOf, type Listing, type Manifest, parseListing, parseManifest } from './manifest.ts';
import { ManifestReader, type ReadManifest } from './manifest-reader.ts';
import type { PartIdentity } from './part.ts';

/** What is known of a folder's manifest outside of the thread. */
export type Outline = {
  name: string;
  size: number;
  chunk: number;
  sizes: Float64Array;
  entries: number;
  files: number;
};

/** What the thread does, one call after the other. */
export type Calls = {
  /** Also opens it to be read. */
  hash(root: string, name: string): Omit<HashedFolder, 'manifest'> & { outline: Outline };
  /** `asSent`: its names are those of the manifest; else it was received, and they are as they were written. */
  openSource(bytes: Uint8Array, hash: string, root: string, stamps: Uint8Array, asSent: boolean): Outline;
  /**
   * Opens a folder that may have been changed since, to be read all the same. Gives which of the chunks with these digests
   * should stand there: the digest's place in the list, and the chunk's first byte in the linear space, two numbers each.
   */
  openFound(bytes: Uint8Array, hash: string, root: string, asSent: boolean, digests: Uint8Array): Float64Array;
  /** Into memory that both sides see. Gives how many bytes; fewer where a file has changed. */
  read(block: Uint8Array, start: number, end: number): number;
  /** A manifest begins to come, into this memory: it is read meanwhile, and is the one of the part that is opened next. */
  expect(bytes: Uint8Array): void;
  /** So many bytes of it are here. */
  came(length: number): void;
  openPart(
    bytes: Uint8Array,
    hash: string,
    options: {
      /** The part; or, of one that is mended in place, the folder itself. */
      root: string;
      known: PartIdentity | undefined;
      /** What the ticket says. */
      ticket: { name: string; size: number; entries: number };
    },
  ): {
    outline: Outline;
    digests: Uint8Array;
    identity: PartIdentity;
    fresh: boolean;
    leftOut: string[];
    renamed: number;
  };
  put(block: Uint8Array, length: number, position: number): number[];
  write(block: Uint8Array, length: number, position: number): void;
  /** As `read`, of the part; gives how many bytes there were. */
  readPart(block: Uint8Array, length: number, position: number): number;
  /** Which chunks of a folder that is said to be whole are right; `asSent`: its names are those of the manifest. */
  check(bytes: Uint8Array, hash: string, root: string, asSent: boolean): CheckedFolder;
  /** Paths of the first `most` files. */
  paths(bytes: Uint8Array, hash: string, most: number): string[];
  /** Name of a file of the folder that is read. */
  nameOf(file: number): string | undefined;
  verify(size: number, maybe: Uint8Array, from: number, to: number): number[];
  /** Gives the files' stamps, if they are wanted. */
  complete(withStamps: boolean): Uint8Array | undefined;
  syncEach(): void;
  synced(): void;
};

export type Call = { id: number; name: keyof Calls; args: unknown[] };
export type Reply = { id: number; value?: unknown; fault?: { code: FaultCode; message: string; errno?: string } };
/** One number, not 0 once the work is to stop. */
export type WorkerData = { stop: SharedArrayBuffer };

const buffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function outlineOf({ name, size, chunk, files, folders = [], links = [] }: Listing): Outline {
  const sizes = new Float64Array(new SharedArrayBuffer(8 * files.length)); // goes to the event loop without a copy
  for (let file = 0; file < files.length; file++) sizes[file] = files[file]?.size ?? 0;
  return {
    name,
    size,
    chunk,
    sizes,
    entries: files.length + folders.length + links.length,
    files: files.length,
  };
}

/** Of each digest the first chunk that has it: the digest's place, and the chunk's first byte. */
function matches({ files, chunk: size }: Manifest, digests: Uint8Array): Float64Array {
  const wanted = new Map<string, number>();
  for (let n = 0; 32 * n < digests.length; n++) wanted.set(toBase32(digests.subarray(32 * n, 32 * n + 32)), n);
  const found: number[] = [];
  let start = 0;
  for (const file of files) {
    for (const [n, chunk] of file.chunks.entries()) {
      const place = wanted.get(chunk);
      if (place !== undefined) found.push(place, start + n * size);
      wanted.delete(chunk);
    }
    start += file.size;
  }
  return Float64Array.from(found);
}

/** The manifest of a folder. Throws as `parseManifest`, and `malformed` for one of a single file. */
const parseFolder = (bytes: Uint8Array, hash: string): Manifest => ofFolder(parseManifest(bytes, hash));

function ofFolder<M extends Listing>(manifest: M): M {
  if (!manifest.folder) throw new Fault('malformed', 'reading a manifest: it is not of a folder, as its ticket says');
  return manifest;
}

export function folderCalls(isStopped: () => boolean): Calls {
  let source: FolderSource | undefined;
  let writer: FolderWriter | undefined;
  let coming: ManifestReader | undefined;
  const stop = (): void => {
    if (isStopped()) throw new Fault('cancelled', 'reading a folder: it was cancelled');
  };
  const writing = (): FolderWriter => {
    if (!writer) throw new Fault('wrong_state', 'writing a folder: it is not open');
    return writer;
  };
  return {
    hash(root, name) {
      const { manifest, ...hashed } = hashFolder(root, name, stop);
      source = new FolderSource(root, manifest, hashed.stamps);
      return { ...hashed, outline: outlineOf(manifest) };
    },
    openSource(bytes, hash, root, stamps, asSent) {
      const manifest = parseFolder(bytes, hash);
      const places = asSent ? placesAsSent(manifest) : placesAsWritten(root, manifest);
      source = new FolderSource(root, manifest, new BigUint64Array(Uint8Array.from(stamps).buffer), places);
      return outlineOf(manifest);
    },
    openFound(bytes, hash, root, asSent, digests) {
      const manifest = parseFolder(bytes, hash);
      const places = asSent ? placesAsSent(manifest) : placesAsWritten(root, manifest);
      source?.[Symbol.dispose]();
      source = new FolderSource(root, manifest, undefined, places);
      return matches(manifest, digests);
    },
    read(block, start, end) {
      if (!source) throw new Fault('wrong_state', 'reading a folder: it is not open');
      return source.read(buffer(block), start, end);
    },
    expect(bytes) {
      coming = new ManifestReader(bytes);
    },
    came: (length) => coming?.came(length),
    openPart(bytes, hash, options) {
      let read: ReadManifest | undefined;
      const parse = (): object | undefined => {
        read = coming?.end();
        coming = undefined;
        return read?.json;
      };
      const manifest = ofFolder(parseListing(coming?.bytes ?? bytes, hash, parse));
      const outline = outlineOf(manifest);
      const { name, size, entries } = options.ticket;
      if (outline.name !== name || outline.size !== size || outline.entries !== entries) {
        throw new Fault('malformed', 'reading a manifest: its name, size and entries are not what the ticket says'); // [F-7]
      }
      const digests = read?.digests ?? digestsOf(manifest.files);
      writer = FolderWriter.open({ ...options, manifest, digests });
      const { identity, fresh, plan } = writer;
      return { outline, digests, identity, fresh, leftOut: plan.leftOut, renamed: plan.renamed };
    },
    write: (block, length, position) => writing().write(buffer(block), length, position),
    readPart: (block, length, position) => writing().read(buffer(block), length, position),
    check: (bytes, hash, root, asSent) => checkFolder(root, parseFolder(bytes, hash), asSent, stop),
    paths: (bytes, hash, most) =>
      parseFolder(bytes, hash)
        .files.slice(0, most)
        .map(({ path }) => path),
    nameOf: (file) => source?.nameOf(file),
    put: (block, length, position) => writing().put(buffer(block), length, position),
    verify: (size, maybe, from, to) => writing().verify(new Bitmap(size, maybe), from, to),
    complete: (withStamps) => {
      writing().complete();
      return withStamps ? new Uint8Array(writing().stamps().buffer) : undefined;
    },
    syncEach: () => writing().syncEach(),
    synced: () => writing().synced(),
  };
}

if (!isMainThread && parentPort) {
  const port = parentPort;
  const stop = new Int32Array((workerData as WorkerData).stop); // who starts this thread gives it
  const calls = folderCalls(() => Atomics.load(stop, 0) !== 0);
  port.on('message', ({ id, name, args }: Call) => {
    try {
      const call = calls[name] as (...args: unknown[]) => unknown; // the caller's side is typed by the same table
      const value = call(...args);
      port.postMessage({ id, value } satisfies Reply);
    } catch (error) {
      const { code, message } = toFault(error);
      const errno = error instanceof Fault ? undefined : (error as NodeJS.ErrnoException).code; // of fs, where it is one
      const fault = { code, message, ...(errno !== undefined && { errno }) };
      port.postMessage({ id, fault } satisfies Reply);
    }
  });
}
