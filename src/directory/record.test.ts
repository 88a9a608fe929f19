import { createPrivateKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { canonical } from '../base/encoding.ts';
import { Key } from '../link/identity.ts';
import { record, recordHolds, renewal, renewed, signRecord, statusText } from './record.ts';

const account = Key.generate();
const claim = {
  handle: 'alice@lab',
  node: Key.generate().id,
  addresses: ['192.0.2.7:33357'],
  status: 'online' as const,
  text: 'at lunch ☕',
  seq: 1,
  until: 2,
};
const good = signRecord(account, claim);

test('a record says what its account signed, also after it travelled as JSON [D-2]', () => {
  expect(recordHolds(good)).toBe(true);
  expect(recordHolds(record.parse(JSON.parse(JSON.stringify(good))))).toBe(true);
});

test('no field of it can be changed, left out or added without its account [D-2]', () => {
  const mallory = Key.generate();
  const forged: Record<string, unknown>[] = [
    { handle: 'bob@lab' },
    { account: mallory.id },
    { node: mallory.id },
    { addresses: ['192.0.2.8:33357'] },
    { addresses: [] },
    { status: 'busy' },
    { text: '' },
    { seq: 2 },
    { until: 3 },
    { later: true },
    { sig: mallory.sign('record', { ...claim, account: account.id }) },
    { sig: account.sign('entry', { ...claim, account: account.id }) },
  ];
  for (const change of forged)
    expect(recordHolds(record.parse({ ...good, ...change })), JSON.stringify(change)).toBe(false);
});

test('a field of a later version is kept, and signed [D-2]', () => {
  const said = { ...claim, account: account.id, mood: { colour: 'blue' } };
  const later = record.parse({ ...said, sig: account.sign('record', said) });
  expect(later.mood).toEqual({ colour: 'blue' });
  expect(recordHolds(later)).toBe(true);
});

test('the published vector holds, byte for byte [D-2] [D-12]', async () => {
  const file = new URL('../../test/vectors/directory-record.json', import.meta.url);
  const vector = z
    .object({ accountSeed: z.string(), signed: z.string(), record, renewal })
    .parse(JSON.parse(await readFile(file, 'utf8')));
  // PKCS#8 of an Ed25519 seed (RFC 8410, section 7)
  const der = Buffer.from(`302e020100300506032b657004220420${vector.accountSeed}`, 'hex');
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const owner = Key.fromPem(key.export({ format: 'pem', type: 'pkcs8' }).toString());
  const { sig, account: id, ...said } = vector.record;
  expect(signRecord(owner, said)).toEqual(vector.record);
  expect(vector.signed).toBe(`netapp.1 record\n${canonical({ ...said, account: id })}`);
  expect(recordHolds(renewed(vector.record, vector.renewal))).toBe(true);
});

test('a renewal is the same record, signed anew with another seq and until [D-12]', () => {
  const { seq, until, sig } = signRecord(account, { ...claim, seq: 5, until: 6 });
  expect(recordHolds(renewed(good, { seq, until, sig }))).toBe(true);
  expect(recordHolds(renewed(good, { seq, until: 7, sig }))).toBe(false);
});

test.each(['\u001b[31mred', 'two\nlines', '\u202Egnp.exe', '\u2066x', '\ud800', 'x'.repeat(201)])(
  '%j is no status text [D-3]',
  (text) => {
    expect(statusText.safeParse(text).success).toBe(false);
  },
);

test('whatever text is taken can be signed and read back [D-3]', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 40 }), (text) => {
      fc.pre(statusText.safeParse(text).success);
      const signed = signRecord(account, { ...claim, text });
      expect(recordHolds(record.parse(JSON.parse(JSON.stringify(signed))))).toBe(true);
    }),
    { numRuns: 50 },
  );
});
