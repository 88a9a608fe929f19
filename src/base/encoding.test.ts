import { blake3 } from '@napi-rs/blake-hash';
import { base32nopad } from '@scure/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fromBase32, hasHash, hash, readBase32, readBase32Hash, toBase32 } from './encoding.ts';

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

test('bytes have the hash that stands among others, and no other', () => {
  const some = fc.array(fc.uint8Array({ maxLength: 50 }), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(some, fc.nat(31), fc.integer({ min: 1, max: 255 }), (all, at, bits) => {
      const digests = Buffer.concat(all.map((data) => blake3(Buffer.from(data))));
      for (const [place, data] of all.entries()) {
        expect(hasHash(Buffer.from(data), digests, 32 * place)).toBe(true);
        const other = Buffer.from(digests);
        other[32 * place + at] = (other[32 * place + at] ?? 0) ^ bits;
        expect(hasHash(Buffer.from(data), other, 32 * place)).toBe(false);
        expect(hasHash(Buffer.from(data), digests.subarray(0, 32 * place + at), 32 * place)).toBe(false);
      }
    }),
  );
});

test('base32 is read into the middle of other bytes, which stay', () => {
  const into = Buffer.alloc(8, 1);
  expect(readBase32('mzxw6', into, 2)).toBe(true);
  expect(into.toString('latin1')).toBe('\x01\x01foo\x01\x01\x01');
  expect(readBase32('mzxw!', into, 2)).toBe(false);
});

test('the text of a hash is read from ASCII as it is read from a text, and nothing else is one', () => {
  const letters = fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz234567', 'a', 'q', 'A', '0', '\0', '\u00ff');
  const ends = fc.constantFrom('a', 'q', 'b', '=', '');
  const anyText = fc
    .tuple(fc.array(letters, { minLength: 51, maxLength: 51 }), ends)
    .map(([all, end]) => all.join('') + end);
  const right = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(toBase32);
  fc.assert(
    fc.property(fc.oneof(anyText, right), (text) => {
      const into = Buffer.alloc(34, 1);
      const expected = text.length === 52 ? fromBase32(text) : undefined;
      expect(readBase32Hash(Buffer.from(`.${text}`, 'latin1'), 1, into, 1)).toBe(expected !== undefined);
      if (expected) expect(into).toEqual(Buffer.from([1, ...expected, 1]));
    }),
  );
});
