/** Keys and what they sign. A peer id is an Ed25519 public key in base32; identity is the key. (protocol.md, section 2) */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  randomUUID,
  sign,
  verify,
} from 'node:crypto';
import { chmod, link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { BASE32_OF_32_BYTES, canonical, fromBase32, fromBase64url, toBase32, toBase64url } from '../base/encoding.ts';
import { Fault, toFault } from '../base/fault.ts';

/** 52 characters of lower-case base32: the 32 bytes of an Ed25519 public key. Names a node, a tracker or an account. */
export const peerId = z.string().regex(BASE32_OF_32_BYTES, 'a key in base32, 52 characters');

/** 64 bytes of Ed25519 signature in base64url. */
export const signature = z.string().length(86);

/** What a signature is for: it is part of what is signed, so that none can be passed off as another. [L-4] */
export type Purpose =
  | 'binding'
  | 'record'
  | 'entry'
  | 'receipt'
  | 'hold'
  | 'room'
  | 'membership'
  | 'order'
  | 'capability'
  | 'invitation'
  | 'proof'
  | 'apex'
  | 'delegation'
  | 'sighting';

const signedBytes = (purpose: Purpose, value: unknown): Buffer =>
  Buffer.from(`netapp.1 ${purpose}\n${canonical(value)}`, 'utf8');

/** DER of an Ed25519 private key in PKCS#8 up to its seed (RFC 8410, section 7). */
const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex');
/** DER of an Ed25519 SubjectPublicKeyInfo up to the key's 32 bytes (RFC 8410, section 4). */
const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex');

/** Public keys are few and checked often; making a KeyObject costs as much as a third of a verification. */
const publicKeys = new Map<string, KeyObject>();
const MOST_PUBLIC_KEYS = 4096;

function publicKeyOf(id: string): KeyObject | undefined {
  const known = publicKeys.get(id);
  if (known) return known;
  const raw = fromBase32(id);
  if (raw?.length !== 32) return undefined;
  const key = createPublicKey({ key: Buffer.concat([spkiPrefix, raw]), format: 'der', type: 'spki' });
  if (publicKeys.size >= MOST_PUBLIC_KEYS) publicKeys.clear();
  publicKeys.set(id, key);
  return key;
}

/** The id of an Ed25519 public key; undefined for a key of another kind. */
export function idOf(key: KeyObject): string | undefined {
  if (key.asymmetricKeyType !== 'ed25519') return undefined;
  return toBase32(key.export({ format: 'der', type: 'spki' }).subarray(spkiPrefix.length));
}

/** What pins the key of a peer id in TLS clients that know no authority for it: base64 of the SHA-256 of its public key (RFC 7469). */
export function pinOf(id: string): string | undefined {
  const raw = fromBase32(id);
  if (raw?.length !== 32) return undefined;
  return createHash('sha256').update(spkiPrefix).update(raw).digest('base64');
}

/** Whether `id`'s key made this signature of `value` for this purpose. */
export function verified(id: string, purpose: Purpose, value: unknown, signed: string): boolean {
  const key = publicKeyOf(id);
  const bytes = fromBase64url(signed);
  return key !== undefined && bytes?.length === 64 && verify(null, signedBytes(purpose, value), key, bytes);
}

/** A private Ed25519 key: a node's, a tracker's or an account's. */
export class Key {
  readonly id: string;
  readonly #private: KeyObject;

  private constructor(privateKey: KeyObject) {
    this.#private = privateKey;
    this.id = idOf(createPublicKey(privateKey)) ?? '';
  }

  static generate(): Key {
    return new Key(generateKeyPairSync('ed25519').privateKey);
  }

  /** The key of a seed of 32 bytes. Throws `corrupt` for anything else. */
  static fromSeed(seed: Uint8Array): Key {
    if (seed.length !== 32) throw new Fault('corrupt', `reading a key: ${seed.length} bytes, expected 32`);
    return new Key(createPrivateKey({ key: Buffer.concat([pkcs8Prefix, seed]), format: 'der', type: 'pkcs8' }));
  }

  /** Throws `corrupt` if `pem` is not a PKCS#8 Ed25519 private key. */
  static fromPem(pem: string): Key {
    try {
      const key = createPrivateKey(pem);
      if (key.asymmetricKeyType === 'ed25519') return new Key(key);
    } catch {
      // falls through: both ways in are the same fault
    }
    throw new Fault('corrupt', 'not a whole Ed25519 private key in PKCS#8 PEM');
  }

  get pem(): string {
    return this.#private.export({ format: 'pem', type: 'pkcs8' }).toString();
  }

  /**
   * Bytes (32, unless told) that only this key's owner can have, the same each time: HKDF-SHA256 of the key's seed without
   * salt, with `netapp.1 <purpose>` as info. So whoever restores the key has them too. [M-1] [L-6]
   */
  derive(purpose: 'seal' | 'tickets' | 'hosting', bytes = 32): Uint8Array {
    return new Uint8Array(hkdfSync('sha256', this.seed, '', `netapp.1 ${purpose}`, bytes));
  }

  /** The 32 bytes of which it is made: whoever has them is this key. */
  get seed(): Uint8Array {
    const { d } = this.#private.export({ format: 'jwk' });
    const seed = fromBase64url(d ?? '');
    if (seed?.length !== 32) throw new Fault('corrupt', 'reading a key: the private key has no seed of 32 bytes');
    return seed;
  }

  /** Signs `value`'s canonical JSON for one purpose. */
  sign(purpose: Purpose, value: unknown): string {
    return toBase64url(sign(null, signedBytes(purpose, value), this.#private));
  }
}

/**
 * The key in the file at `path`, made there (0600) if there is none. Throws `corrupt` for a damaged file: a new key would
 * be a new identity, so nothing is replaced.
 */
export async function loadOrCreateKey(path: string): Promise<Key> {
  const pem = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw toFault(error, `reading the identity "${path}"`);
  });
  if (pem === undefined) return createKeyFile(path);
  try {
    const key = Key.fromPem(pem);
    await chmod(path, 0o600);
    return key;
  } catch (error) {
    if (!(error instanceof Fault)) throw toFault(error, `reading the identity "${path}"`);
    throw new Fault(
      'corrupt',
      `reading the identity "${path}": ${error.message}. Restore it from a backup; if you move it away, you start as somebody new`,
    );
  }
}

async function createKeyFile(path: string): Promise<Key> {
  const key = Key.generate();
  const whole = `${path}.${randomUUID()}.new`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await writeFile(whole, key.pem, { mode: 0o600, flush: true });
    await link(whole, path); // fails where somebody else was first; a rename would replace their key
    return key;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return loadOrCreateKey(path); // a system error of fs
    throw toFault(error, `writing the identity "${path}"`, 'unwritable');
  } finally {
    await rm(whole, { force: true });
  }
}
