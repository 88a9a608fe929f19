/** Writes link.json: keys, signatures and hashes that any implementation must reproduce. Run: node test/vectors/make-link.ts */
import { writeFileSync } from 'node:fs';
import { canonical, hash } from '../../src/base/encoding.ts';
import type { Purpose } from '../../src/link/identity.ts';
import { fixedKey } from './fixed-key.ts';

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
