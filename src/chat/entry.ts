/** One signed item of a conversation: its form, its name and its place in its author's chain. (protocol, chat) */
import { z } from 'zod';
import { BASE32_OF_32_BYTES, canonical, hash } from '../base/encoding.ts';
import { Fault } from '../base/fault.ts';
import { type Key, peerId, signature, verified } from '../link/identity.ts';

/** 52 characters of lower-case base32: 32 bytes of BLAKE3. */
export const hashText = z.string().regex(BASE32_OF_32_BYTES, 'a hash in base32, 52 characters');

/** Position in an author's chain: 1 and up. */
export const position = z.int().min(1);

/** Bytes of UTF-8 that a text may have. [C-6] */
export const TEXT_BYTES = 64 * 1024;

/** Bytes of an entry's canonical JSON with its signature: a text that JSON escapes to twice its size, and the rest. [C-6] */
const ENTRY_BYTES = 136 * 1024;

/** Objects and arrays inside each other, the body itself counted: deep enough for any kind, and no reader's stack ends. [C-6] */
const BODY_DEPTH = 16;

/** No member may be missing, and none may be added: the form is what is hashed. [C-1] */
const form = z.strictObject({
  conversation: hashText,
  /** Account id. */
  author: peerId,
  /** Counts the author's entries in this conversation, from 1 without a hole. */
  seq: position,
  /** Id of the author's entry before this one; null for the first. Whoever trusts an entry so trusts all before it. [C-4] */
  prev: hashText.nullable(),
  /** Hybrid logical clock, see `tick`. */
  at: z.int().min(0),
  /** What `body` is. One that this version does not know is kept, so that the chain stays whole. [C-7] */
  kind: z.string().regex(/^[a-z][a-z-]{0,31}$/, 'a kind: lower-case letters and hyphens'),
  /** Members that a kind does not name are kept: they are part of what is hashed. */
  body: z.record(z.string(), z.unknown()),
  sig: signature,
});

export type Entry = z.infer<typeof form>;
export type Unsigned = Omit<Entry, 'sig'>;

/** Characters that a signature adds to an entry's canonical JSON. */
const SIG_CHARACTERS = `,"sig":""`.length + 86;

const wellFormed = z.string().refine((text) => text.isWellFormed(), 'text without halves of surrogate pairs');

const words = wellFormed
  .min(1)
  .refine((text) => Buffer.byteLength(text) <= TEXT_BYTES, `at most ${TEXT_BYTES} bytes of UTF-8`);

export const textBody = z.looseObject({
  text: words,
  /** Id of the entry that this one answers. It may be unknown to the reader. [H-1] */
  replyTo: hashText.optional(),
});

/** Bytes of UTF-8 that a reaction's emoji may have: families with skin tones need 25 to 35, most need 4. [H-4] */
export const EMOJI_BYTES = 32;

/** The text of a body that is one and nothing else, where `textBody` has nothing against it: most are, and so found at a tenth of the cost. */
export function plainText(body: Record<string, unknown>): string | undefined {
  for (const member in body) if (member !== 'text') return undefined;
  const { text } = body;
  if (typeof text !== 'string' || text === '' || !text.isWellFormed()) return undefined;
  return Buffer.byteLength(text) <= TEXT_BYTES ? text : undefined;
}

/** The author's other words for an own text. [H-2] */
export const editBody = z.looseObject({ target: hashText, text: words });

/** Takes an entry back. [H-3] */
export const deleteBody = z.looseObject({ target: hashText });

/** Sets a reaction, or takes it back. That it is one grapheme is the writer's duty: what one is changes with Unicode. [H-4] */
export const reactionBody = z.looseObject({
  target: hashText,
  emoji: wellFormed.min(1).refine((emoji) => Buffer.byteLength(emoji) <= EMOJI_BYTES, `at most ${EMOJI_BYTES} bytes`),
  on: z.boolean(),
});

/** The claim check for a file or folder; whoever serves files may add members. */
export const ticket = z.looseObject({
  hash: hashText,
  /** For people: whoever writes it to a disk makes it safe first. */
  name: wellFormed.min(1).refine((name) => Buffer.byteLength(name) <= 1024, 'at most 1024 bytes of UTF-8'),
  size: z.int().min(0),
});

export type Ticket = z.infer<typeof ticket>;

/** The kinds that this version understands. */
const bodies: ReadonlyMap<string, z.ZodType> = new Map<string, z.ZodType>([
  ['text', textBody],
  ['file', ticket],
  ['edit', editBody],
  ['delete', deleteBody],
  ['reaction', reactionBody],
]);

/** The name of an entry: BLAKE3 of its canonical JSON without `sig`. [C-2] */
export function entryId({ sig: _, ...unsigned }: Entry | (Unsigned & { sig?: undefined })): string {
  return hash(canonical(unsigned));
}

export function signEntry(key: Key, entry: Unsigned): Entry {
  return { ...entry, sig: key.sign('entry', entry) };
}

/** Whether the author's key signed it. [C-3] */
export function entryVerified({ sig, ...unsigned }: Entry): boolean {
  return verified(unsigned.author, 'entry', unsigned, sig);
}

/** An entry as it came, with its name and its size in bytes. */
export type Parsed = { entry: Entry; id: string; bytes: number };

/**
 * Reads what claims to be an entry; checks its form, its size and its body, not its signature or place.
 * Throws `invalid_argument` or `too_large`.
 */
export function parseEntry(value: unknown): Parsed {
  const parsed = form.safeParse(value);
  if (!parsed.success) throw notAnEntry(parsed.error);
  const entry = parsed.data;
  return { entry, ...measure(entry) };
}

/**
 * An own entry as it is kept: `value` is of its form but for its body, which is looked at here. `sig` is what it is given, or left
 * empty for whoever signs it when it is first asked for. Throws `invalid_argument` or `too_large`.
 */
export function ownEntry(value: Unsigned, sign: ((value: Unsigned) => string) | undefined): Parsed {
  const measured = measure(value);
  return { entry: { ...value, sig: sign?.(value) ?? '' }, ...measured };
}

function isDeeper(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return depth === 0 || Object.values(value).some((inner) => isDeeper(inner, depth - 1));
}

/** Throws where its body is not of its kind, or too large. */
function measure(entry: Unsigned): { bytes: number; id: string } {
  const plain = entry.kind === 'text' ? plainText(entry.body) : undefined;
  if (plain === undefined && isDeeper(entry.body, BODY_DEPTH)) {
    throw new Fault('invalid_argument', `reading an entry: body: nested more than ${BODY_DEPTH} deep`);
  }
  const text = unsignedText(entry, plain === undefined ? bodyText(entry) : `{"text":${JSON.stringify(plain)}}`);
  // With the signature it is that member longer, wherever it stands. [C-6]
  const bytes = Buffer.byteLength(text) + SIG_CHARACTERS;
  if (bytes > ENTRY_BYTES) {
    throw new Fault('too_large', `reading an entry: ${bytes} bytes, at most ${ENTRY_BYTES} are taken`);
  }
  const body = plain === undefined ? bodies.get(entry.kind)?.safeParse(entry.body) : undefined;
  if (body?.error) throw notAnEntry(body.error, 'body');
  return { bytes, id: hash(text) };
}

function bodyText({ body }: Unsigned): string {
  try {
    return canonical(body);
  } catch {
    // Half a surrogate pair, or a number past what JSON can say: no canonical form, so nothing that could be signed.
    throw new Fault('invalid_argument', 'reading an entry: it has no canonical JSON form');
  }
}

/** Canonical JSON of an entry without its signature, with that of its body. All but the body is known to be plain: no text of it needs an escape. */
function unsignedText({ at, author, conversation, kind, prev, seq }: Unsigned, body: string): string {
  const before = prev === null ? 'null' : `"${prev}"`;
  return `{"at":${at},"author":"${author}","body":${body},"conversation":"${conversation}","kind":"${kind}","prev":${before},"seq":${seq}}`;
}

function notAnEntry(error: z.ZodError, inside?: string): Fault {
  const issue = error.issues[0];
  const where = [...(inside ? [inside] : []), ...(issue?.path ?? [])].join('.') || 'it';
  return new Fault('invalid_argument', `reading an entry: ${where}: ${issue?.message ?? 'not of its form'}`);
}
