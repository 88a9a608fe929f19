/** Bytes as text, values as bytes: the three encodings that the protocol's signatures and names rest on. */
import { blake3 } from '@napi-rs/blake-hash';
import { base32nopad, base64urlnopad } from '@scure/base';
import canonicalize from 'canonicalize';

/** Lower-case base32 (RFC 4648, section 6) without padding. */
export function toBase32(bytes: Uint8Array): string {
  return base32nopad.encode(bytes).toLowerCase();
}

/** 32 bytes in base32: 52 characters, of which the last carries one bit. Says the same as decoding, at a fraction of the cost. */
export const BASE32_OF_32_BYTES = /^[a-z2-7]{51}[aq]$/;

/** Bytes of lower-case base32 without padding; undefined if it is not that. */
export function fromBase32(text: string): Uint8Array | undefined {
  if (text !== text.toLowerCase()) return undefined;
  try {
    return base32nopad.decode(text.toUpperCase());
  } catch {
    return undefined;
  }
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
  return toBase32(blake3(typeof data === 'string' ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength)));
}
