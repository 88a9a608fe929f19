import { Aes128Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from '@hpke/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Key } from './identity.ts';
import { open, seal, sealingKey } from './seal.ts';

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));
const info = Buffer.from('for a test');

test('the KEM and the KDF are those of RFC 9180, appendix A.1.1 [M-2]', async () => {
  // The appendix has no vector with AES-256-GCM; the AEAD is pinned by test/vectors/letters.json.
  const suite = new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes128Gcm() });
  const pair = await suite.kem.deriveKeyPair(hex('6db9df30aa07dd42ee5e8181afdb977e538f5e1fec8a06223f33f7013e525037'));
  expect(Buffer.from(await suite.kem.serializePublicKey(pair.publicKey)).toString('hex')).toBe(
    '3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d',
  );
  const recipientKey = await suite.kem.deserializePrivateKey(
    hex('4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8'),
  );
  const enc = hex('37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431');
  const opened = await suite.open(
    { recipientKey, enc, info: hex('4f6465206f6e2061204772656369616e2055726e') },
    hex('f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a'),
    hex('436f756e742d30'),
  );
  expect(Buffer.from(opened).toString()).toBe('Beauty is truth, truth beauty');
});

test('the same account has the same sealing key each time, and another one another [M-1]', () => {
  const key = Key.generate();
  expect(sealingKey(Key.fromPem(key.pem))).toBe(sealingKey(key));
  expect(sealingKey(Key.generate())).not.toBe(sealingKey(key));
});

test('whatever is sealed to a key opens with it, whole', async () => {
  const key = Key.generate();
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 5000 }), async (bytes) => {
      expect(await open(key, info, await seal(sealingKey(key), info, bytes))).toEqual(bytes);
    }),
    { numRuns: 50 },
  );
});

test('what was altered in any byte, sealed to another key, or for another purpose does not open', async () => {
  const key = Key.generate();
  const { enc, data } = await seal(sealingKey(key), info, Buffer.from('secret'));
  const refused = { code: 'malformed' };
  await fc.assert(
    fc.asyncProperty(fc.nat(enc.length + data.length - 1), fc.integer({ min: 0, max: 7 }), async (at, bit) => {
      const both = Buffer.concat([enc, data]);
      // The top bit of an X25519 key is not looked at (RFC 7748): altered there, it is the same key.
      fc.pre(!(at === 31 && bit === 7));
      both[at] = (both[at] ?? 0) ^ (1 << bit);
      await expect(open(key, info, { enc: both.subarray(0, 32), data: both.subarray(32) })).rejects.toMatchObject(
        refused,
      );
    }),
    { numRuns: 100 },
  );
  await expect(open(Key.generate(), info, { enc, data })).rejects.toMatchObject(refused);
  await expect(open(key, Buffer.from('another'), { enc, data })).rejects.toMatchObject(refused);
});

test('a key that is none is refused', async () => {
  for (const bad of ['', 'aa', 'a'.repeat(52), 'not base32 at all']) {
    await expect(seal(bad, info, Buffer.from('x'))).rejects.toMatchObject({ code: 'invalid_argument' });
  }
});
