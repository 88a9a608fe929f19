/**
 * A capability: a text that gives whoever has it the bytes of one manifest, for a while, without a certificate. [F-50]
 *
 * Base64url of 16 random bytes (its id), 8 bytes of the time at which it ends (Unix milliseconds, big-endian), and the 64
 * bytes of the issuing node's signature of both and of the manifest's hash. Only the issuer has to understand it.
 */
import { randomBytes } from 'node:crypto';
import { fromBase64url, toBase32, toBase64url } from '../base/encoding.ts';
import { type Key, verified } from '../link/identity.ts';

const ID_BYTES = 16;
const UNTIL_BYTES = 8;
const SIGNATURE_BYTES = 64;
const BYTES = ID_BYTES + UNTIL_BYTES + SIGNATURE_BYTES;
/** Characters of base64url. */
const CHARACTERS = Math.ceil((BYTES * 4) / 3);

/** Name of the query parameter that carries it. */
export const CAPABILITY_PARAMETER = 'cap';

/** What a capability says of itself. `id` is in base32, and not enough to use it. */
export type Capability = { id: string; until: number };

/** A new one, and its id, by which it can be revoked. */
export function issue(key: Pick<Key, 'sign'>, hash: string, until: number): { id: string; text: string } {
  const id = randomBytes(ID_BYTES);
  const ends = Buffer.alloc(UNTIL_BYTES);
  ends.writeBigUInt64BE(BigInt(until));
  const signed = key.sign('capability', claim(toBase32(id), hash, until));
  const signature = fromBase64url(signed) ?? new Uint8Array();
  return { id: toBase32(id), text: toBase64url(Buffer.concat([id, ends, signature])) };
}

/** What `text` gives for `hash`; undefined if `issuer` never gave it out for this, or it has ended. */
export function read(text: string, options: { issuer: string; hash: string; now: number }): Capability | undefined {
  const { issuer, hash, now } = options;
  const bytes = text.length === CHARACTERS ? fromBase64url(text) : undefined;
  if (bytes?.length !== BYTES) return undefined;
  const all = Buffer.from(bytes);
  const until = Number(all.readBigUInt64BE(ID_BYTES));
  const id = toBase32(all.subarray(0, ID_BYTES));
  if (!Number.isSafeInteger(until) || until <= now) return undefined;
  const signature = toBase64url(all.subarray(ID_BYTES + UNTIL_BYTES));
  return verified(issuer, 'capability', claim(id, hash, until), signature) ? { id, until } : undefined;
}

const claim = (id: string, hash: string, until: number) => ({ id, hash, until });
