/** Bytes as text, values as bytes: the three encodings that the protocol's signatures and names rest on. */
import { blake3UrlSafeBase64 } from '@napi-rs/blake-hash';
import { base64urlnopad } from '@scure/base';
import canonicalize from 'canonicalize';

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';
const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
/** The two characters of each ten bits. */
const PAIRS = Array.from({ length: 1024 }, (_, bits) => BASE32.charAt(bits >> 5) + BASE32.charAt(bits & 31));

/**
 * Lower-case base32 (RFC 4648, section 6) without padding. Of its own, where a library took 2 us for 32 bytes, a tenth of
 * which is left: every chunk, entry and record that comes is named by it.
 */
export function toBase32(bytes: Uint8Array): string {
  let text = '';
  let at = 0;
  // Five bytes are eight characters: four pairs.
  for (; at + 5 <= bytes.length; at += 5) {
    const [a = 0, b = 0, c = 0, d = 0, e = 0] = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3], bytes[at + 4]];
    text +=
      pair((a << 2) | (b >> 6)) +
      pair(((b & 63) << 4) | (c >> 4)) +
      pair(((c & 15) << 6) | (d >> 2)) +
      pair(((d & 3) << 8) | e);
  }
  let [bits, held] = [0, 0];
  for (; at < bytes.length; at++) {
    held = ((held << 8) | (bytes[at] ?? 0)) & 0xfff;
    for (bits += 8; bits >= 5; bits -= 5) text += BASE32.charAt((held >> (bits - 5)) & 31);
  }
  return bits === 0 ? text : text + BASE32.charAt((held << (5 - bits)) & 31);
}

const pair = (bits: number): string => PAIRS[bits] ?? '';

/** 32 bytes in base32: 52 characters, of which the last carries one bit. Says the same as decoding, at a fraction of the cost. */
export const BASE32_OF_32_BYTES = /^[a-z2-7]{51}[aq]$/;

/** What each character's code stands for; negative for none. */
const VALUES = Int8Array.from({ length: 256 }, (_, code) => BASE32.indexOf(String.fromCharCode(code)));

/** Bytes of lower-case base32 without padding; undefined if it is not that, or if bits are left over that are not 0. */
export function fromBase32(text: string): Uint8Array<ArrayBuffer> | undefined {
  const bytes = new Uint8Array(Math.floor((text.length * 5) / 8));
  return readBase32(text, bytes) ? bytes : undefined;
}

/** The number that the first `count` characters of base32 say, at most ten; undefined where one of them is none. */
export function base32Number(text: string, count: number): number | undefined {
  let number = 0;
  for (let n = 0; n < count; n++) {
    const value = VALUES[text.charCodeAt(n)] ?? -1;
    if (value < 0) return undefined;
    number = number * 32 + value;
  }
  return number;
}

/** As `fromBase32`, into `bytes` from `at` on; false where it gives undefined, and then what was written counts for nothing. */
export function readBase32(text: string, bytes: Uint8Array, at = 0): boolean {
  let [held, bits, next] = [0, 0, at];
  for (let n = 0; n < text.length; n++) {
    const value = VALUES[text.charCodeAt(n)] ?? -1;
    if (value < 0) return false;
    held = ((held << 5) | value) & 0xfff;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes[next++] = held >> bits;
  }
  return bits < 5 && (held & ((1 << bits) - 1)) === 0;
}

/** The twenty bits that four characters stand for; negative where one of them stands for nothing. */
const twenty = (ascii: Uint8Array, at: number): number =>
  ((VALUES[ascii[at] ?? 0] ?? -1) << 15) |
  ((VALUES[ascii[at + 1] ?? 0] ?? -1) << 10) |
  ((VALUES[ascii[at + 2] ?? 0] ?? -1) << 5) |
  (VALUES[ascii[at + 3] ?? 0] ?? -1);

/**
 * As `readBase32`, of the 52 characters from `start` on, that is of 32 bytes: in ASCII, and eight at a time, for it takes a quarter of
 * the time, and a list of files has a hundred thousand.
 */
export function readBase32Hash(ascii: Uint8Array, start: number, bytes: Uint8Array, at: number): boolean {
  let all = 0;
  let to = at;
  for (let from = start; from < start + 48; from += 8) {
    const [high, low] = [twenty(ascii, from), twenty(ascii, from + 4)];
    all |= high | low;
    bytes[to] = high >> 12;
    bytes[to + 1] = high >> 4;
    bytes[to + 2] = (high << 4) | (low >> 16);
    bytes[to + 3] = low >> 8;
    bytes[to + 4] = low;
    to += 5;
  }
  const last = twenty(ascii, start + 48); // two bytes, and four bits that must be 0
  bytes[to] = last >> 12;
  bytes[to + 1] = last >> 4;
  return (all | last) >= 0 && (last & 15) === 0;
}

/** Base64url (RFC 4648, section 5) without padding. */
export const toBase64url = (bytes: Uint8Array): string => base64urlnopad.encode(bytes);

/** Bytes of unpadded base64url; undefined if it is not that. */
export function fromBase64url(text: string): Uint8Array | undefined {
  try {
    return base64urlnopad.decode(text);
  } catch {
    return undefined;
  }
}

/** The canonical JSON text of a value (RFC 8785): what is hashed and signed. Throws on what JSON cannot say. */
export function canonical(value: unknown): string {
  const text = canonicalize(value);
  if (text === undefined) throw new TypeError('canonical JSON: the value has no JSON form');
  return text;
}

/** BLAKE3-256 in base32: 52 characters. */
export function hash(data: string | Uint8Array): string {
  const bytes = typeof data === 'string' ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  // As text, for the buffer that it would give otherwise costs more than hashing 4 KiB.
  return base32OfHash(blake3UrlSafeBase64(bytes));
}

/** What each character's code stands for in base64url. */
const SIXES = Uint8Array.from({ length: 128 }, (_, code) => Math.max(0, BASE64URL.indexOf(String.fromCharCode(code))));
const six = (text: string, at: number): number => SIXES[text.charCodeAt(at)] ?? 0;

/** What each of the 32 stands as in ASCII. */
const LETTERS = Buffer.from(BASE32);
/** For one name at a time: a text that is put together of pairs is flattened by whoever looks at it, which took as long again. */
const NAME = Buffer.alloc(52);

/** 32 bytes in base64url as base32: five characters are six, without the bytes between. */
function base32OfHash(base64: string): string {
  for (let at = 0, to = 0; at < 40; at += 5, to += 6) {
    const high = (six(base64, at) << 12) | (six(base64, at + 1) << 6) | six(base64, at + 2);
    const low = (six(base64, at + 3) << 6) | six(base64, at + 4);
    name(to, high >> 8);
    name(to + 2, ((high & 255) << 2) | (low >> 10));
    name(to + 4, low & 1023);
  }
  const rest = (six(base64, 40) << 12) | (six(base64, 41) << 6) | six(base64, 42);
  name(48, rest >> 8);
  name(50, (rest & 255) << 2);
  return NAME.toString('latin1');
}

/** Two characters for ten bits. */
function name(at: number, bits: number): void {
  NAME[at] = LETTERS[bits >> 5] ?? 0;
  NAME[at + 1] = LETTERS[bits & 31] ?? 0;
}

/** Characters of 32 bytes in base64url, without the padding. */
const BASE64_OF_32_BYTES = 43;

/**
 * Whether the BLAKE3-256 of `data` is the 32 bytes of `digests` from `at` on; false where there are fewer. Compared as text, for the
 * same reason.
 */
export function hasHash(data: Buffer, digests: Buffer, at = 0): boolean {
  const expected = digests.toString('base64url', at, at + 32);
  return expected.length === BASE64_OF_32_BYTES && blake3UrlSafeBase64(data).startsWith(expected);
}
