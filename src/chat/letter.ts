/** A letter: entries and receipts sealed to one account, so that whoever holds it sees only bytes. (protocol, mailbox) */
import { z } from 'zod';
import { canonical, fromBase64url, hash, toBase64url } from '../base/encoding.ts';
import { Fault } from '../base/fault.ts';
import { type Key, peerId, signature, verified } from '../link/identity.ts';
import { open, SEAL_BYTES, type Sealed, seal } from '../link/seal.ts';
import { type Entry, hashText } from './entry.ts';
import { type Receipt, receipt } from './receipt.ts';

/** Bytes of ciphertext in one letter: the largest entry, or a hundred small ones. [M-4] */
export const LETTER_BYTES = 256 * 1024;
export const LETTER_ENTRIES = 100;
export const LETTER_RECEIPTS = 64;
/** What is sealed has a multiple of these bytes, so that its size does not tell a yes from a no. [M-3] */
const PAD_BYTES = 512;

/** Bytes of the member that names the author. */
const HANDLE_BYTES = 340;

/** Bytes of the entries' and receipts' JSON that surely fit, with what stands around them and the padding. */
export const CONTENT_BYTES = LETTER_BYTES - SEAL_BYTES - PAD_BYTES - 64 - HANDLE_BYTES;

const bytesText = (least: number, most: number, what: string) =>
  z.string().refine((text) => {
    if (text.length > Math.ceil((most * 4) / 3)) return false;
    const length = fromBase64url(text)?.length ?? -1;
    return length >= least && length <= most;
  }, what);

/** What was sealed, as it travels. */
export const envelope = z.strictObject({
  /** 32 bytes in base64url. */
  enc: bytesText(32, 32, '32 bytes in base64url'),
  /** Ciphertext in base64url. */
  data: z.string().refine((text) => (fromBase64url(text)?.length ?? 0) > SEAL_BYTES, 'a ciphertext in base64url'),
});

export type Envelope = z.infer<typeof envelope>;
/** A letter with who sealed it and for whom: what its name stands for. */
export type Letter = Envelope & { from: string; to: string };

/** The name of a letter. [M-5] */
export const letterId = ({ from, to, enc, data }: Letter): string => hash(canonical({ from, to, enc, data }));

/** Bytes of its ciphertext, which is what the bounds count. */
export const letterBytes = ({ data }: Envelope): number => Math.floor((data.length * 3) / 4);

const content = z.looseObject({
  // Each entry is read by itself, as in `chat.deliver`.
  entries: z.array(z.unknown()).max(LETTER_ENTRIES).default([]),
  receipts: z.array(receipt).max(LETTER_RECEIPTS).default([]),
  /** By which its author is found, in whatever zone: a claim, which that zone confirms or not. [M-3] */
  handle: z.string().max(320).optional().catch(undefined),
});

export type Content = {
  entries: readonly Entry[];
  receipts: readonly Receipt[];
  handle?: string | undefined;
};

/** Binds sender and recipient: a letter that is passed on as another's, or to another, does not open. [M-3] */
const infoOf = (from: string, to: string): Uint8Array =>
  Buffer.from(`netapp.1 letter\n${canonical({ from, to })}`, 'utf8');

/** Seals `content` of `from` for the account `to`, whose record names the sealing key `key`. */
export async function sealLetter(from: string, to: { account: string; key: string }, said: Content): Promise<Letter> {
  const json = Buffer.from(JSON.stringify(said));
  const padded = Buffer.alloc(Math.ceil(json.length / PAD_BYTES) * PAD_BYTES, ' ');
  json.copy(padded);
  const { enc, data } = await seal(to.key, infoOf(from, to.account), padded);
  return { from, to: to.account, enc: toBase64url(enc), data: toBase64url(data) };
}

/** Opens a letter to `account`. Throws `malformed` for one that is not to it, was altered, or holds something else. */
export async function openLetter(account: Key, letter: Letter): Promise<z.infer<typeof content>> {
  const sealed: Sealed = { enc: bytesOf(letter.enc), data: bytesOf(letter.data) };
  const bytes = await open(account, infoOf(letter.from, account.id), sealed);
  const parsed = content.safeParse(parseJson(Buffer.from(bytes).toString('utf8')));
  if (parsed.success) return parsed.data;
  throw new Fault('malformed', `opening a letter of "${letter.from}": it holds neither entries nor receipts`);
}

const bytesOf = (text: string): Uint8Array => fromBase64url(text) ?? new Uint8Array();

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A tracker's signed word that it holds a letter: the evidence for `held`. [M-6] */
export const hold = z.strictObject({
  /** Peer id of the tracker. */
  holder: peerId,
  letter: hashText,
  from: peerId,
  to: peerId,
  /** Unix milliseconds, by the tracker's clock: since when, and until when unless the recipient takes it. */
  at: z.int().min(0),
  until: z.int().min(0),
  sig: signature,
});

export type Hold = z.infer<typeof hold>;

export function signHold(holder: Key, claim: Omit<Hold, 'sig' | 'holder'>): Hold {
  const whole = { ...claim, holder: holder.id };
  return { ...whole, sig: holder.sign('hold', whole) };
}

export function holdVerified({ sig, ...claim }: Hold): boolean {
  return verified(claim.holder, 'hold', claim, sig);
}
