/** Writes proof.json: what node and tracker sign behind a proxy. Run: node test/vectors/make-proof.ts */
import { writeFileSync } from 'node:fs';
import { canonical, toBase32 } from '../../src/base/encoding.ts';
import { prove } from '../../src/link/challenge.ts';
import { fixedKey } from './fixed-key.ts';

const [node, tracker] = [fixedKey(2), fixedKey(3)];
const challenge = {
  at: 'wss://tracker.example.org:443/netapp',
  node: node.id,
  tracker: tracker.id,
  nodeNonce: toBase32(Buffer.alloc(32, 4)),
  trackerNonce: toBase32(Buffer.alloc(32, 5)),
};

writeFileSync(
  new URL('proof.json', import.meta.url),
  `${JSON.stringify(
    {
      about: 'canonical JSON and signatures by which a node and a tracker prove their keys behind a proxy',
      proofs: [
        { by: 'tracker' as const, key: tracker },
        { by: 'node' as const, key: node },
      ].map(({ by, key }) => ({
        by,
        pem: key.pem,
        id: key.id,
        challenge,
        signed: `netapp.1 proof\n${canonical({ ...challenge, by })}`,
        sig: prove(key, by, challenge),
      })),
    },
    null,
    2,
  )}\n`,
);
