/** What two nodes say to each other about files: the ticket, the report, and who asks for bytes. */
import { z } from 'zod';
import { BASE32_OF_32_BYTES, fromBase64url, toBase64url } from '../base/encoding.ts';
import { Fault } from '../base/fault.ts';
import { type Binding, binding } from '../link/binding.ts';
import { method, notice } from '../link/message.ts';
import { ALL_SLICES } from './held.ts';
import { isName, MOST_CHUNKS, MOST_ENTRIES, MOST_FILE_BYTES } from './manifest.ts';

/** BLAKE3-256 in base32. The last of the 52 characters carries a single bit. */
const contentHash = z.string().regex(BASE32_OF_32_BYTES, 'a BLAKE3 in base32, 52 characters');

/** The claim check for a file: it travels as an entry, the bytes are fetched when wanted. [F-1] */
export const ticket = z.object({
  /** BLAKE3 of the manifest. */
  hash: contentHash,
  name: z.string().refine(isName, 'expected a name of 1 to 1024 characters of well-formed Unicode'),
  /** Bytes. */
  size: z.number().int().nonnegative().max(MOST_FILE_BYTES),
  /** Of a folder: how many files, folders and links it has. [F-7] */
  folder: z.object({ entries: z.number().int().nonnegative().max(MOST_ENTRIES) }).optional(),
});

export type Ticket = z.infer<typeof ticket>;

/** What the two ends of a transfer tell each other of its state. [F-30] */
export const report = method('files.report', {
  params: z.object({
    /** Id of the entry that carries the ticket. */
    entry: z.string().min(1).max(100),
    state: z.enum(['accepted', 'fetching', 'done', 'declined', 'cancelled', 'failed']),
    /** Bytes verified on the receiver's disk. */
    bytes: z.number().int().nonnegative().max(MOST_FILE_BYTES),
    /** Why, where the state is `failed`. */
    error: z.object({ code: z.string().max(40), message: z.string().max(1000) }).nullable(),
  }),
  result: z.null(),
});

export type Report = z.infer<typeof report.params>;

/** Chunks that one content may have: a folder has one more for each file. */
const MOST_CONTENT_CHUNKS = MOST_CHUNKS + MOST_ENTRIES;
/** Characters of a have-bitmap in base64url. */
const MOST_HAVE_CHARACTERS = Math.ceil((MOST_CONTENT_CHUNKS / 8) * (4 / 3));
const chunkNumber = z
  .number()
  .int()
  .nonnegative()
  .max(MOST_CONTENT_CHUNKS - 1);
/** Chunk and mask of its slices, lowest first. */
const slices = z.array(z.tuple([chunkNumber, z.number().int().min(1).max(ALL_SLICES)])).max(2048);

/** "I fetch this too: here is what I have. What have you?" From then on both tell each other what comes. [F-41] */
export const join = method('files.join', {
  params: z.object({ hash: contentHash, have: z.string().max(MOST_HAVE_CHARACTERS) }),
  result: z.object({ have: z.string().max(MOST_HAVE_CHARACTERS), slices, fetching: z.boolean() }),
  maxBytes: 256 * 1024,
});

/** What came since: chunks that are whole, slices of others, and chunks whose slices were wrong. [F-42] */
export const have = notice('files.have', {
  params: z.object({
    hash: contentHash,
    chunks: z.array(chunkNumber).max(4096),
    slices,
    lost: z.array(chunkNumber).max(4096),
    /** All chunks are there. */
    all: z.boolean(),
  }),
});

export type Have = z.infer<typeof have.params>;

/** "I neither fetch nor serve this any more." */
export const leave = notice('files.leave', { params: z.object({ hash: contentHash }) });

/** HTTP header in which a request for bytes names its account: base64url of the binding's JSON. [F-10] */
export const ACCOUNT_HEADER = 'x-netapp-account';
/** Characters that the header may have: a binding with the longest handle, and room. */
const MOST_ACCOUNT_CHARACTERS = 2048;

export const encodeAccount = (value: Binding): string => toBase64url(Buffer.from(JSON.stringify(value), 'utf8'));

/** The binding in the header, of the right shape but not yet believed. Throws `unauthenticated`. */
export function decodeAccount(text: string): Binding {
  const bytes = text.length <= MOST_ACCOUNT_CHARACTERS ? fromBase64url(text) : undefined;
  try {
    if (bytes) return binding.parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
  } catch {
    // falls through: what is not JSON and what is not a binding are the same fault
  }
  throw new Fault('unauthenticated', `reading the header "${ACCOUNT_HEADER}": not a binding in base64url`);
}
