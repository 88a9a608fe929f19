/** What a ticket stands for: names, sizes, and the BLAKE3 of every chunk. Its own BLAKE3 is the ticket's hash. [F-1] */
import { z } from 'zod';
import { BASE32_OF_32_BYTES, canonical, hash } from '../base/encoding.ts';
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
const MOST_PATH = 1024;

/** BLAKE3-256 in base32. The last of the 52 characters carries a single bit. */
export const contentHash = z.string().regex(BASE32_OF_32_BYTES, 'a BLAKE3 in base32, 52 characters');

/** A name as its owner wrote it; what it is written as on disk is the receiver's business (paths.ts). */
export const fileName = z
  .string()
  .min(1)
  .max(MOST_PATH)
  .refine((text) => text.isWellFormed(), 'well-formed Unicode');

const fileBytes = z.number().int().nonnegative().max(MOST_FILE_BYTES);

const mtime = z.number().int().min(EARLIEST_MS).max(LATEST_MS);

const manifestFile = z.object({
  path: fileName,
  size: fileBytes,
  chunks: z.array(contentHash).max(MOST_CHUNKS),
  /** Time of change in milliseconds, and whether its owner may run it: in folders alone. */
  mtime: mtime.optional(),
  exec: z.boolean().optional(),
});

/** Members that it does not know, a reader skips: they are how the format grows. [F-2] */
const manifest = z.object({
  v: z.number().int(),
  name: fileName,
  size: fileBytes,
  chunk: z.number().int(),
  /** True where `files` are the contents of a folder called `name`. */
  folder: z.boolean().optional(),
  files: z.array(manifestFile).max(MOST_ENTRIES),
  /** Folders below: those that are empty must stand here, others may for their time. */
  folders: z
    .array(z.object({ path: fileName, mtime: mtime.optional() }))
    .max(MOST_ENTRIES)
    .optional(),
  /** Symlinks below: recorded, never followed. */
  links: z
    .array(z.object({ path: fileName, target: fileName }))
    .max(MOST_ENTRIES)
    .optional(),
});

export type Manifest = z.infer<typeof manifest>;
export type ManifestFile = Manifest['files'][number];

/**
 * Whether it is what `manifestFile` takes, and has nothing more: at a twentieth of the cost, which for a hundred thousand files is a third of
 * a second before the first byte. Where it says no, the schema says why, or skips what it does not know.
 */
function isPlainFile(value: unknown): value is ManifestFile {
  if (typeof value !== 'object' || value === null) return false;
  let members = 0;
  for (const name in value) {
    const member: unknown = (value as Record<string, unknown>)[name]; // an object has members
    switch (name) {
      case 'path':
        if (typeof member !== 'string' || member === '' || member.length > MOST_PATH || !member.isWellFormed())
          return false;
        members += 1;
        break;
      case 'size':
        if (!isWithin(member, 0, MOST_FILE_BYTES)) return false;
        members += 1;
        break;
      case 'chunks':
        if (!Array.isArray(member) || member.length > MOST_CHUNKS || !member.every(isContentHash)) return false;
        members += 1;
        break;
      case 'mtime':
        if (!isWithin(member, EARLIEST_MS, LATEST_MS)) return false;
        break;
      case 'exec':
        if (typeof member !== 'boolean') return false;
        break;
      default:
        return false;
    }
  }
  return members === 3;
}

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
  if (hash(bytes) !== expected) {
    throw new Fault('hash_mismatch', `reading the manifest "${expected}": the bytes have another hash`);
  }
  const json = jsonOf(bytes);
  const version: unknown = typeof json === 'object' && json !== null && 'v' in json ? json.v : undefined;
  if (Number.isInteger(version) && version !== 1) {
    throw new Fault('unsupported_version', 'reading a manifest: this program takes those of format 1');
  }
  const value = shapeOf(json);
  if (!value.folder && bytes.length > MOST_MANIFEST_BYTES) throw lie(`over ${MOST_MANIFEST_BYTES} bytes`);
  checkSums(value);
  if (value.folder) checkFolder(value);
  else if (value.files.length !== 1 || value.files[0]?.path !== value.name || value.folders || value.links)
    throw lie('files: a single file has one entry, called as the whole');
  return value;
}

/** Throws `malformed` for what is not of a manifest's shape. */
function shapeOf(json: unknown): Manifest {
  const files: unknown = typeof json === 'object' && json !== null && 'files' in json ? json.files : undefined;
  if (Array.isArray(files) && files.length <= MOST_ENTRIES && files.every(isPlainFile)) {
    const framed = manifest.safeParse({ ...(json as object), files: [] });
    if (framed.success) return { ...framed.data, files };
  }
  const parsed = manifest.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw lie(`${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not of its shape'}`);
}

/** Sizes, counts and sums must agree, or whoever wrote it lies. [F-4] */
function checkSums({ chunk, files, size }: Manifest): void {
  const isPowerOfTwo = Number.isInteger(Math.log2(chunk));
  if (!isPowerOfTwo || chunk < CHUNK_BYTES || chunk > MOST_CHUNK_BYTES) {
    throw lie(`chunk: ${chunk} is not a power of two from ${CHUNK_BYTES} to ${MOST_CHUNK_BYTES}`);
  }
  let sum = 0;
  for (const [index, file] of files.entries()) {
    const count = Math.ceil(file.size / chunk);
    if (file.chunks.length !== count) {
      throw lie(`files.${index}: ${file.size} bytes are ${count} chunks, not ${file.chunks.length}`);
    }
    sum += file.size;
  }
  if (sum !== size) throw lie(`size: ${size}, but the files have ${sum} bytes`);
  if (size > chunk * MOST_CHUNKS) throw lie(`size: ${size} bytes are over ${MOST_CHUNKS} chunks of ${chunk}`);
}

/** What stands in the folder must be able to stand there: each path once, and nothing below what is no folder. [F-7] */
function checkFolder({ files, folders = [], links = [] }: Manifest): void {
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
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw lie('not JSON in UTF-8');
  }
}

const lie = (what: string): Fault => new Fault('malformed', `reading a manifest: ${what}`);
