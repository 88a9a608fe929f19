import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import vectors from '../../test/vectors/link.json' with { type: 'json' };
import { canonical, fromBase32, hash, toBase32 } from '../base/encoding.ts';
import { loadIdentity } from './certificate.ts';
import { Key, loadOrCreateKey, peerId, verified } from './identity.ts';

const folder = mkdtempSync(join(tmpdir(), 'netapp-identity-'));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('the vectors of the protocol page hold [L-4]', () => {
  for (const { pem, id, purpose, value, canonical: text, sig } of vectors.signatures) {
    const key = Key.fromPem(pem);
    expect(key.id).toBe(id);
    expect(canonical(value)).toBe(text);
    expect(key.sign(purpose as 'record', value)).toBe(sig); // the file's own words
    expect(verified(id, purpose as 'record', value, sig)).toBe(true); // as above
    expect(verified(id, 'receipt', value, sig)).toBe(false);
  }
  for (const { text, hash: expected } of vectors.hashes) expect(hash(text)).toBe(expected);
});

test('what is not a signature of the value is not verified', () => {
  const key = Key.generate();
  const sig = key.sign('record', { a: 1 });
  expect(verified(key.id, 'record', { a: 1 }, sig)).toBe(true);
  expect(verified(key.id, 'record', { a: 2 }, sig)).toBe(false);
  expect(verified(Key.generate().id, 'record', { a: 1 }, sig)).toBe(false);
  expect(verified('nonsense', 'record', { a: 1 }, sig)).toBe(false);
  expect(verified(key.id, 'record', { a: 1 }, 'nonsense')).toBe(false);
});

test('a key file is made once, private, and read back; two starters at once agree on one', async () => {
  const path = join(folder, 'deep', 'account.key');
  const keys = await Promise.all([loadOrCreateKey(path), loadOrCreateKey(path)]);
  expect(keys[0].id).toBe(keys[1].id);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect((await loadOrCreateKey(path)).id).toBe(keys[0].id);
  const identity = await loadIdentity(path);
  expect([identity.id, (await loadIdentity(path)).cert]).toEqual([keys[0].id, identity.cert]);
});

test('a truncated key file is corrupt, is not replaced, and the message says what to do', async () => {
  const path = join(folder, 'account.key');
  await loadOrCreateKey(path);
  const half = readFileSync(path, 'utf8').slice(0, 60);
  writeFileSync(path, half);
  await expect(loadOrCreateKey(path)).rejects.toMatchObject({
    code: 'corrupt',
    message: expect.stringContaining('Restore it from a backup'),
  });
  expect(readFileSync(path, 'utf8')).toBe(half);
});

test('a peer id is exactly what decodes to 32 bytes', () => {
  const ids = fc.oneof(
    fc.uint8Array({ minLength: 30, maxLength: 34 }).map(toBase32),
    fc.stringMatching(/^[a-z2-7]{50,54}$/),
    fc.string({ minLength: 52, maxLength: 52 }),
    fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => toBase32(bytes).toUpperCase()),
  );
  fc.assert(fc.property(ids, (text) => peerId.safeParse(text).success === (fromBase32(text)?.length === 32)));
});
