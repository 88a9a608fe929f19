/** Makes `zones.json`, the test vectors of zones for any language: `node test/vectors/make-zones.ts > test/vectors/zones.json`. */
import { canonical } from '../../src/base/encoding.ts';
import { type Apex, type Delegation, signApex, signDelegation } from '../../src/directory/delegation.ts';
import { keyFromSeed } from './make-chat.ts';

export type ZoneVectors = {
  about: string;
  keys: { name: string; seed: string; id: string }[];
  apex: { signed: string; apex: Apex };
  delegation: { signed: string; delegation: Delegation };
};

export function makeZones(): ZoneVectors {
  const keys = ['cse', 'lab1.cse'].map((name, at) => {
    const seed = String(at + 1).repeat(64);
    return { name, seed, key: keyFromSeed(seed) };
  });
  const [upper, lower] = keys;
  if (!upper || !lower) throw new Error('two keys were made');
  const trackersOf = (peer: string, host: string) => [{ peer, addresses: [`${host}:22236`] }];
  const times = { seq: 1_800_000_000_000, until: 1_800_604_800_000 };
  const delegation = signDelegation(upper.key, {
    parent: 'cse',
    zone: 'lab1.cse',
    key: lower.key.id,
    trackers: trackersOf(lower.key.id, '192.0.2.7'),
    ...times,
  });
  const parent = { zone: 'cse', key: upper.key.id, trackers: trackersOf(upper.key.id, '192.0.2.1') };
  const trackers = trackersOf(lower.key.id, '192.0.2.7');
  const apex = signApex(lower.key, { zone: 'lab1.cse', trackers, parent, ...times });
  const signed = ({ sig: _, ...said }: Apex | Delegation, purpose: string): string =>
    `netapp.1 ${purpose}\n${canonical(said)}`;
  return {
    about: 'Ed25519 signatures over the bytes of "signed" (UTF-8); seeds are the 32 bytes of RFC 8032 in hex',
    keys: keys.map(({ name, seed, key }) => ({ name, seed, id: key.id })),
    apex: { signed: signed(apex, 'apex'), apex },
    delegation: { signed: signed(delegation, 'delegation'), delegation },
  };
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(makeZones(), null, 2)}\n`);
