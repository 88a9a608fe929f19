/** Keys that are the same each time, for vectors. */
import { createPrivateKey } from 'node:crypto';
import { Key } from '../../src/link/identity.ts';

/** A PKCS#8 Ed25519 key from 32 fixed bytes (RFC 8410, section 7): the same vectors each time. */
export function fixedKey(fill: number): Key {
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.alloc(32, fill)]);
  return Key.fromPem(
    createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({ format: 'pem', type: 'pkcs8' }).toString(),
  );
}
