/** Writes link.json: keys, signatures and hashes that any implementation must reproduce. Run: node test/vectors/make-link.ts */
import { createPrivateKey } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { canonical, hash } from '../../src/base/encoding.ts';
import { Key, type Purpose } from '../../src/link/identity.ts';

/** A PKCS#8 Ed25519 key from 32 fixed bytes (RFC 8410, section 7): the same vectors each time. */
export function fixedKey(fill: number): Key {
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.alloc(32, fill)]);
  return Key.fromPem(
    createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({ format: 'pem', type: 'pkcs8' }).toString(),
  );
}

const [account, node] = [fixedKey(1), fixedKey(2)];
const claims: [Purpose, object][] = [
  ['binding', { account: account.id, handle: 'alice@lab', node: node.id, until: 1_790_000_000_000 }],
  ['record', { b: [1, -2, 'é\u2028"\\'], a: { z: null, y: true } }],
];
const texts = ['', 'abc', 'Grüße'];

writeFileSync(
  new URL('link.json', import.meta.url),
  `${JSON.stringify(
    {
      signatures: claims.map(([purpose, value]) => ({
        pem: account.pem,
        id: account.id,
        purpose,
        value,
        canonical: canonical(value),
        sig: account.sign(purpose, value),
      })),
      hashes: texts.map((text) => ({ text, hash: hash(text) })),
    },
    null,
    2,
  )}\n`,
);
