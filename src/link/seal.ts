/** Sealing: bytes that only the owner of a key can read, by HPKE (RFC 9180) with the one suite below. [M-2] */
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { Aes256Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from '@hpke/core';
import { BASE32_OF_32_BYTES, fromBase32, toBase32 } from '../base/encoding.ts';
import { Fault } from '../base/fault.ts';
import type { Key } from './identity.ts';

/** All three come from Node's own WebCrypto. */
const suite = new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes256Gcm() });

/** DER of an X25519 PKCS#8 private key, and of a SubjectPublicKeyInfo, up to the key's 32 bytes (RFC 8410). */
const pkcs8Prefix = Buffer.from('302e020100300506032b656e04220420', 'hex');
const spkiBytes = 12;

export type Sealed = {
  /** 32 bytes: the sender's key for this one message. */
  enc: Uint8Array;
  /** Ciphertext with its tag: 16 bytes more than what was sealed. */
  data: Uint8Array;
};

/** Bytes by which `data` is longer than what was sealed. */
export const SEAL_BYTES = 16;

/** The public key to which one seals for the owner of `account`: 32 bytes of X25519 in base32. [M-1] */
export function sealingKey(account: Key): string {
  const der = Buffer.concat([pkcs8Prefix, account.derive('seal')]);
  const key = createPublicKey(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }));
  return toBase32(key.export({ format: 'der', type: 'spki' }).subarray(spkiBytes));
}

/** Whether `text` is of the form that `sealingKey` gives. */
export const isSealingKey = (text: unknown): text is string =>
  typeof text === 'string' && BASE32_OF_32_BYTES.test(text);

/** Seals `bytes` to the public key `to`; `info` must be the same at the opening. Throws `invalid_argument` for a bad key. */
export async function seal(to: string, info: Uint8Array, bytes: Uint8Array): Promise<Sealed> {
  const raw = fromBase32(to);
  try {
    const recipientPublicKey = await suite.kem.deserializePublicKey(raw ?? new Uint8Array());
    const { enc, ct } = await suite.seal({ recipientPublicKey, info }, bytes);
    return { enc: new Uint8Array(enc), data: new Uint8Array(ct) };
  } catch (error) {
    throw new Fault('invalid_argument', `sealing to "${to}": it is no usable X25519 key`, { cause: error });
  }
}

/** What was sealed to `account` under `info`. Throws `malformed`: another key, another `info`, or altered bytes. */
export async function open(account: Key, info: Uint8Array, { enc, data }: Sealed): Promise<Uint8Array> {
  try {
    const recipientKey = await suite.kem.deserializePrivateKey(account.derive('seal'));
    return new Uint8Array(await suite.open({ recipientKey, enc, info }, data));
  } catch (error) {
    throw new Fault('malformed', 'opening what was sealed: not to this key, for another purpose, or altered', {
      cause: error,
    });
  }
}
