import { blake3 } from '@napi-rs/blake-hash';
import { base32nopad } from '@scure/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fromBase32, hash, toBase32 } from './encoding.ts';

test('whatever text is no base32 is refused as the library refuses it', () => {
  const letters = fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz234567', 'A', '0', '=', 'é', '\u2170');
  fc.assert(
    fc.property(fc.array(letters, { maxLength: 60 }), (characters) => {
      const text = characters.join('');
      let expected: Uint8Array | undefined;
      try {
        if (text === text.toLowerCase()) expected = base32nopad.decode(text.toUpperCase());
      } catch {
        // refused
      }
      expect(fromBase32(text)).toEqual(expected);
    }),
  );
});

test('base32 is what the library says, and is read back', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      const text = toBase32(bytes);
      expect(text).toBe(base32nopad.encode(bytes).toLowerCase());
      expect(fromBase32(text)).toEqual(bytes);
    }),
  );
});

test('the test vectors of RFC 4648', () => {
  const of = (text: string): string => toBase32(Buffer.from(text));
  expect(['', 'f', 'fo', 'foo', 'foob', 'fooba', 'foobar'].map(of)).toEqual([
    '',
    'my',
    'mzxq',
    'mzxw6',
    'mzxw6yq',
    'mzxw6ytb',
    'mzxw6ytboi',
  ]);
});

test('a hash is the BLAKE3 of text and of bytes, also of a part of a buffer', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 5000 }), fc.nat(50), (bytes, skip) => {
      const part = bytes.subarray(skip);
      expect(hash(part)).toBe(toBase32(blake3(Buffer.from(part))));
    }),
  );
  expect(hash('größer')).toBe(hash(Buffer.from('größer')));
  expect(hash(new Uint8Array(new SharedArrayBuffer(3)))).toBe(hash(new Uint8Array(3)));
});
