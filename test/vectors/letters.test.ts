import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { toBase32 } from '../../src/base/encoding.ts';
import { holdVerified, letterId, openLetter } from '../../src/chat/letter.ts';
import type { Key } from '../../src/link/identity.ts';
import { sealingKey } from '../../src/link/seal.ts';
import { keyFromSeed } from './make-chat.ts';
import type { LetterVectors } from './make-letters.ts';

const vectors: LetterVectors = JSON.parse(readFileSync(new URL('./letters.json', import.meta.url), 'utf8'));
const keys = new Map<string, Key>(vectors.keys.map(({ id, seed }) => [id, keyFromSeed(seed)]));
const keyOf = (id: string): Key => keys.get(id) ?? expect.fail('an unknown account');

test('sealing keys follow from the accounts’ seeds [M-1]', () => {
  for (const { id, seal, private: secret } of vectors.keys) {
    expect([sealingKey(keyOf(id)), toBase32(keyOf(id).derive('seal'))]).toEqual([seal, secret]);
  }
});

test('letters open to what they hold, under their names, and altered ones do not [M-2] [M-3] [M-5]', async () => {
  expect(vectors.letters.length).toBeGreaterThan(0);
  for (const { letter, id, content } of vectors.letters) {
    expect(letterId(letter)).toBe(id);
    expect(await openLetter(keyOf(letter.to), letter)).toEqual(content);
  }
  expect(vectors.refused.length).toBeGreaterThan(0);
  for (const { letter } of vectors.refused) {
    await expect(openLetter(keyOf(letter.to), letter)).rejects.toMatchObject({ code: 'malformed' });
  }
});

test('a hold is signed as it stands [M-6]', () => {
  const { hold, signed } = vectors.hold;
  expect(holdVerified(hold)).toBe(true);
  const { sig: _, ...claim } = hold;
  expect(JSON.parse(signed.slice('netapp.1 hold\n'.length))).toEqual(claim);
});
