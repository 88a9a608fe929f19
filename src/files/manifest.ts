/** What a ticket stands for: names, sizes, and the BLAKE3 of every chunk. Its own BLAKE3 is the ticket's hash. [F-1] */
import { BASE32_OF_32_BYTES, canonical, hash, readBase32 } from '../base/encoding.ts';
import { Fault } from '../base/fault.ts';

const MiB = 1024 * 1024;

/** Bytes of a chunk, unless the file is too large for it: small enough to lose little at a cut, large enough to hash fast. */
export const CHUNK_BYTES = MiB;
/** Bytes that a chunk may have at most. */
const MOST_CHUNK_BYTES = 64 * MiB;
/** Chunks that one file may have: their hashes make 3.6 MB of manifest. [F-3] */
export const MOST_CHUNKS = 65_536;
/** Bytes that one content may have: 4 TiB, what the two bounds above allow. */
export const MOST_FILE_BYTES = MOST_CHUNKS * MOST_CHUNK_BYTES;
/** Bytes that the manifest of a single file may have. */
export const MOST_MANIFEST_BYTES = 16 * MiB;
/** Files, folders and links that a folder's manifest may name together. [F-7] */
export const MOST_ENTRIES = 1_000_000;
/** Bytes that a folder's manifest may have: 13 MB are 100,000 small files with paths of 20 characters. */
export const MOST_FOLDER_MANIFEST_BYTES = 192 * MiB;
/** Milliseconds since 1970: what the years 1 to 9999 allow. */
const EARLIEST_MS = -62_135_596_800_000;
const LATEST_MS = 253_402_300_799_999;

/** Characters of a path. */
export const MOST_PATH = 1024;

export type ManifestFile = {
  path: string;
  size: number;
  /** BLAKE3-256 of each, in base32. */
  chunks: string[];
  /** Time of change in milliseconds, and whether its owner may run it: in folders alone. */
  mtime?: number | undefined;
  exec?: boolean | undefined;
};
/** A file whose chunks' hashes may stand elsewhere. */
export type ListedFile = Omit<ManifestFile, 'chunks'> & { chunks?: string[] };
type ManifestFolder = { path: string; mtime?: number | undefined };
type ManifestLink = { path: string; target: string };
export type Manifest = {
  v: number;
  name: string;
  size: number;
  chunk: number;
  /** True where `files` are the contents of a folder called `name`. */
  folder?: boolean | undefined;
  files: ManifestFile[];
  /** Folders below: those that are empty must stand here, others may for their time. */
  folders?: ManifestFolder[] | undefined;
  /** Symlinks below: recorded, never followed. */
  links?: ManifestLink[] | undefined;
};

/** A manifest whose chunks' hashes may stand elsewhere. */
export type Listing = Omit<Manifest, 'files'> & { files: ListedFile[] };

type Members = Record<string, unknown>;

/**
 * Which member is not what it may be; undefined if all are. Members that it does not know, a reader skips: they are how the
 * format grows [F-2]. By hand: a schema took a third of a second more for a hundred thousand files, and its library 30 ms until
 * the thread that reads them had loaded it.
 */
function wrongInFile({ path, size, chunks, mtime, exec }: Members): string | undefined {
  if (!isName(path)) return 'path';
  if (!isSize(size)) return 'size';
  if (!Array.isArray(chunks) || chunks.length > MOST_CHUNKS || !chunks.every(isContentHash)) return 'chunks';
  if (!isTime(mtime)) return 'mtime';
  return exec === undefined || typeof exec === 'boolean' ? undefined : 'exec';
}

function wrongInFolder({ path, mtime }: Members): string | undefined {
  if (!isName(path)) return 'path';
  return isTime(mtime) ? undefined : 'mtime';
}

function wrongInLink({ path, target }: Members): string | undefined {
  if (!isName(path)) return 'path';
  return isName(target) ? undefined : 'target';
}

function wrongInManifest(members: Members, areFilesRight: boolean): string | undefined {
  const { v, name, size, chunk, folder, files, folders, links } = members;
  if (!Number.isSafeInteger(v)) return 'v';
  if (!isName(name)) return 'name';
  if (!isSize(size)) return 'size';
  if (!Number.isSafeInteger(chunk)) return 'chunk';
  if (folder !== undefined && typeof folder !== 'boolean') return 'folder';
  if (files === undefined) return 'files';
  return (
    (areFilesRight ? undefined : wrongInList('files', files, wrongInFile)) ??
    wrongInList('folders', folders, wrongInFolder) ??
    wrongInList('links', links, wrongInLink)
  );
}

function wrongInList(
  name: string,
  list: unknown,
  wrongIn: (members: Members) => string | undefined,
): string | undefined {
  if (list === undefined) return undefined;
  if (!Array.isArray(list) || list.length > MOST_ENTRIES) return name;
  for (let index = 0; index < list.length; index++) {
    const entry: unknown = list[index];
    const wrong = isObject(entry) ? wrongIn(entry) : '';
    if (wrong !== undefined) return `${name}.${index}${wrong && `.${wrong}`}`;
  }
  return undefined;
}

const isObject = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A name as its owner wrote it; what it is written as on disk is the receiver's business (paths.ts). */
export const isName = (value: unknown): value is string =>
  typeof value === 'string' && value !== '' && value.length <= MOST_PATH && value.isWellFormed();

export const isSize = (value: unknown): boolean => isWithin(value, 0, MOST_FILE_BYTES);

export const isTime = (value: unknown): boolean => value === undefined || isWithin(value, EARLIEST_MS, LATEST_MS);

const isWithin = (value: unknown, least: number, most: number): boolean =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= most;

const isContentHash = (value: unknown): boolean => typeof value === 'string' && BASE32_OF_32_BYTES.test(value);

/** Bytes of a chunk for `size` bytes, of a file or of all in a folder: 1 MiB, doubled until 65,536 chunks are enough. [F-3] */
export function chunkBytesFor(size: number): number {
  let bytes = CHUNK_BYTES;
  while (Math.ceil(size / bytes) > MOST_CHUNKS) bytes *= 2;
  return bytes;
}

/** Bytes of chunk number `index`: the last one of a file is what remains. */
export function chunkLength(size: number, chunk: number, index: number): number {
  return Math.min(chunk, size - index * chunk);
}

/** A manifest's bytes and their hash. */
export function encodeManifest(value: Manifest): { bytes: Buffer; hash: string } {
  const bytes = Buffer.from(canonical(value), 'utf8');
  return { bytes, hash: hash(bytes) };
}

/**
 * The manifest in these bytes. Throws `hash_mismatch` if they are not what `expected` names, `malformed` if what they say
 * cannot be, `bad_name` for paths that lead out of the folder, `unsupported_version` for a later format.
 */
export function parseManifest(bytes: Uint8Array, expected: string): Manifest {
  return parseListing(bytes, expected, () => undefined) as Manifest; // what nobody has read yet is read with all its hashes
}

/** As `parseManifest`. `read` gives the JSON of these bytes if somebody has read it, whose files are right each by itself. */
export function parseListing(bytes: Uint8Array, expected: string, read: () => object | undefined): Listing {
  if (hash(bytes) !== expected) {
    throw new Fault('hash_mismatch', `reading the manifest "${expected}": the bytes have another hash`);
  }
  const known = read();
  const json = known ?? jsonOf(bytes);
  const version = isObject(json) ? json.v : undefined;
  if (Number.isInteger(version) && version !== 1) {
    throw new Fault('unsupported_version', 'reading a manifest: this program takes those of format 1');
  }
  const value = shapeOf(json, known !== undefined);
  if (!value.folder && bytes.length > MOST_MANIFEST_BYTES) throw lie(`over ${MOST_MANIFEST_BYTES} bytes`);
  checkSums(value);
  if (value.folder) checkFolder(value);
  else if (value.files.length !== 1 || value.files[0]?.path !== value.name || value.folders || value.links)
    throw lie('files: a single file has one entry, called as the whole');
  return value;
}

/** Throws `malformed` for what is not of a manifest's shape. */
function shapeOf(json: unknown, areFilesRight: boolean): Listing {
  if (!isObject(json)) throw lie('no object');
  const wrong = wrongInManifest(json, areFilesRight);
  if (wrong !== undefined) throw lie(`${wrong}: not what it may be`);
  return json as Listing; // looked at member by member
}

/** The hashes of all chunks of these files, 32 bytes each; in memory that other threads see without a copy. */
export function digestsOf(files: readonly ListedFile[]): Buffer {
  const count = files.reduce((sum, { chunks = [] }) => sum + chunks.length, 0);
  const digests = Buffer.from(new SharedArrayBuffer(32 * count));
  let at = 0;
  for (const { chunks = [] } of files) {
    for (const chunk of chunks) {
      readBase32(chunk, digests, at);
      at += 32;
    }
  }
  return digests;
}

/** Sizes, counts and sums must agree, or whoever wrote it lies. [F-4] */
function checkSums({ chunk, files, size }: Listing): void {
  const isPowerOfTwo = Number.isInteger(Math.log2(chunk));
  if (!isPowerOfTwo || chunk < CHUNK_BYTES || chunk > MOST_CHUNK_BYTES) {
    throw lie(`chunk: ${chunk} is not a power of two from ${CHUNK_BYTES} to ${MOST_CHUNK_BYTES}`);
  }
  let sum = 0;
  for (let index = 0; index < files.length; index++) {
    const file = files[index] as ListedFile; // within its bounds
    const count = Math.ceil(file.size / chunk);
    if (file.chunks && file.chunks.length !== count) {
      throw lie(`files.${index}: ${file.size} bytes are ${count} chunks, not ${file.chunks.length}`);
    }
    sum += file.size;
  }
  if (sum !== size) throw lie(`size: ${size}, but the files have ${sum} bytes`);
  if (size > chunk * MOST_CHUNKS) throw lie(`size: ${size} bytes are over ${MOST_CHUNKS} chunks of ${chunk}`);
}

/** What stands in the folder must be able to stand there: each path once, and nothing below what is no folder. [F-7] */
function checkFolder({ files, folders = [], links = [] }: Listing): void {
  const count = files.length + folders.length + links.length;
  if (count > MOST_ENTRIES) throw lie(`${count} entries, at most ${MOST_ENTRIES}`);
  const [fileAt, linkAt] = [lookup(files), lookup(links)];
  const inner = new Set<string>();
  const above = new Set<string>();
  let last = '';
  const climb = (path: string): void => {
    let end = path.lastIndexOf('/');
    if (end <= 0 || (end === last.length && path.startsWith(last))) return; // a neighbour of the one before
    last = path.slice(0, end);
    for (let folder = last; end > 0 && !above.has(folder); folder = path.slice(0, end)) {
      above.add(folder);
      end = path.lastIndexOf('/', end - 1);
    }
  };
  for (const list of [files, links]) {
    for (const { path } of list) {
      checkPath(path);
      climb(path);
    }
  }
  const isApart = fileAt.size === files.length && linkAt.size === links.length;
  if (!isApart || links.some(({ path }) => fileAt.has(path))) {
    const seen = new Set<string>();
    const twice = [...files, ...links].find(({ path }) => seen.size === seen.add(path).size);
    throw lie(`"${shown(twice?.path ?? '')}" stands there twice`);
  }
  for (const { path } of folders) {
    checkPath(path);
    if (inner.has(path)) throw lie(`the folder "${shown(path)}" stands there twice`);
    inner.add(path);
    climb(path);
  }
  for (const paths of [inner, above]) {
    for (const path of paths)
      if (fileAt.has(path) || linkAt.has(path)) throw lie(`"${shown(path)}" is a folder, and is none`);
  }
}

/**
 * The paths of entries, to be asked for one. In the order in which this program writes them, nothing has to be built: of a
 * hundred thousand that took a sixth of the time until the first byte.
 */
function lookup(entries: readonly { path: string }[]): { size: number; has(path: string): boolean } {
  let last: string | undefined;
  for (const { path } of entries) {
    if (last !== undefined && last >= path) return new Set(entries.map((entry) => entry.path));
    last = path;
  }
  const has = (path: string): boolean => {
    let [from, to] = [0, entries.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if ((entries[middle]?.path ?? '') < path) from = middle + 1;
      else to = middle;
    }
    return entries[from]?.path === path;
  };
  return { size: entries.length, has };
}

/** Throws `bad_name` for a path that is not names with `/` between, below the folder. [F-6] */
function checkPath(path: string): void {
  if (leadsOut.test(path)) {
    throw new Fault('bad_name', `reading a manifest: ${JSON.stringify(shown(path))} is no path inside a folder`);
  }
}

/** An empty name, `.` or `..` between slashes; a separator of other systems; NUL. */
const leadsOut = /(?:^|\/)\.{0,2}(?:\/|$)|[\\\0]/;

const shown = (path: string): string => path.slice(0, 100);

function jsonOf(bytes: Uint8Array): unknown {
  if (bytes.length > MOST_FOLDER_MANIFEST_BYTES) throw lie(`over ${MOST_FOLDER_MANIFEST_BYTES} bytes`);
  try {
    return JSON.parse(textOf(bytes));
  } catch {
    throw lie('not JSON in UTF-8');
  }
}

/** Throws `TypeError` for what is not UTF-8. */
export const textOf = (bytes: Uint8Array): string => new TextDecoder('utf-8', { fatal: true }).decode(bytes);

const lie = (what: string): Fault => new Fault('malformed', `reading a manifest: ${what}`);
