/** The vectors of zones are what this program makes and takes. [Z-2] [Z-3] */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { apex, apexHolds, delegation, delegationHolds } from '../../src/directory/delegation.ts';
import { makeZones, type ZoneVectors } from './make-zones.ts';

const vectors: ZoneVectors = JSON.parse(readFileSync(join(import.meta.dirname, 'zones.json'), 'utf8'));

test('are made again as they are', () => {
  expect(makeZones()).toEqual(vectors);
});

test('are taken, and not when something in them is another', () => {
  const [said, given] = [apex.parse(vectors.apex.apex), delegation.parse(vectors.delegation.delegation)];
  expect([apexHolds(said), delegationHolds(given)]).toEqual([true, true]);
  expect(apexHolds({ ...said, parent: null })).toBe(false);
  expect(delegationHolds({ ...given, key: given.by })).toBe(false);
  // A signature of one kind is none of the other.
  expect(delegationHolds({ ...given, sig: said.sig })).toBe(false);
});
