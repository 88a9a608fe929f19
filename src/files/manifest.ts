/** What a ticket stands for: names, sizes, and the BLAKE3 of every chunk. Its own BLAKE3 is the ticket's hash. [F-1] */
import { z } from 'zod';
import { canonical, hash } from '../base/encoding.ts';
import { Fault } from '../base/fault.ts';

const MiB = 1024 * 1024;

/** Bytes of a chunk, unless the file is too large for it: small enough to lose little at a cut, large enough to hash fast. */
export const CHUNK_BYTES = MiB;
/** Bytes that a chunk may have at most. */
const MOST_CHUNK_BYTES = 64 * MiB;
/** Chunks that one file may have: their hashes make 3.6 MB of manifest. [F-3] */
export const MOST_CHUNKS = 65_536;
/** Bytes that one file may have: 4 TiB, what the two bounds above allow. */
export const MOST_FILE_BYTES = MOST_CHUNKS * MOST_CHUNK_BYTES;
/** Bytes that a manifest may have. */
export const MOST_MANIFEST_BYTES = 16 * MiB;
/** Files that a manifest may name. */
const MOST_FILES = 131_072;

/** BLAKE3-256 in base32. The last of the 52 characters carries a single bit. */
export const contentHash = z.string().regex(/^[a-z2-7]{51}[aq]$/, 'a BLAKE3 in base32, 52 characters');

/** A name as its owner wrote it; what it is written as on disk is the receiver's business (paths.ts). */
export const fileName = z
  .string()
  .min(1)
  .max(1024)
  .refine((text) => text.isWellFormed(), 'well-formed Unicode');

const fileBytes = z.number().int().nonnegative().max(MOST_FILE_BYTES);

const manifestFile = z.object({
  path: fileName,
  size: fileBytes,
  chunks: z.array(contentHash).max(MOST_CHUNKS),
});

/** Members that it does not know, a reader skips: they are how the format grows. [F-2] */
const manifest = z.object({
  v: z.number().int(),
  name: fileName,
  size: fileBytes,
  chunk: z.number().int(),
  /** True where `files` are the contents of a folder called `name`. */
  folder: z.boolean().optional(),
  files: z.array(manifestFile).min(1).max(MOST_FILES),
});

export type Manifest = z.infer<typeof manifest>;
export type ManifestFile = Manifest['files'][number];

/** Bytes of a chunk for a file of `size` bytes: 1 MiB, doubled until at most 65,536 chunks are needed. [F-3] */
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
 * The manifest of one file in these bytes. Throws `hash_mismatch` if they are not what `expected` names, `malformed` if
 * what they say cannot be, `unsupported_version` for a later format or a folder.
 */
export function parseManifest(bytes: Uint8Array, expected: string): Manifest {
  if (hash(bytes) !== expected) {
    throw new Fault('hash_mismatch', `reading the manifest "${expected}": the bytes have another hash`);
  }
  const parsed = manifest.safeParse(jsonOf(bytes));
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw lie(`${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not of its shape'}`);
  }
  const value = parsed.data;
  if (value.v !== 1 || value.folder) {
    throw new Fault('unsupported_version', 'reading a manifest: this version takes single files in format 1');
  }
  checkSums(value);
  return value;
}

/** Sizes, counts and sums must agree, or whoever wrote it lies. [F-4] */
function checkSums({ chunk, files, size, name }: Manifest): void {
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
  if (files.length !== 1 || files[0]?.path !== name)
    throw lie('files: a single file has one entry, called as the whole');
}

function jsonOf(bytes: Uint8Array): unknown {
  if (bytes.length > MOST_MANIFEST_BYTES) throw lie(`over ${MOST_MANIFEST_BYTES} bytes`);
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw lie('not JSON in UTF-8');
  }
}

const lie = (what: string): Fault => new Fault('malformed', `reading a manifest: ${what}`);
