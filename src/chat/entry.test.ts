import fc from 'fast-check';
import { expect, test } from 'vitest';
import { canonical } from '../base/encoding.ts';
import { Key } from '../link/identity.ts';
import { entryId, ownEntry, plainText, signEntry, TEXT_BYTES, textBody } from './entry.ts';

const key = Key.generate();
const hashText = 'a'.repeat(52);

const anyText = fc.oneof(
  fc.string({ unit: 'binary' }), // control characters, quotes, halves of surrogate pairs
  fc.string({ unit: 'grapheme' }),
  fc.constantFrom(
    '',
    '\ud800',
    `x\udc00`,
    'é'.repeat(TEXT_BYTES / 2),
    'é'.repeat(TEXT_BYTES / 2 + 1),
    'x'.repeat(TEXT_BYTES),
  ),
);
const anyBody = fc.oneof(
  fc.record({ text: anyText }),
  fc.record({ text: anyText, replyTo: fc.constantFrom(hashText, 'nothing') }),
  fc.record({ text: anyText, more: fc.jsonValue() }),
  fc.constantFrom<Record<string, unknown>>({}, { text: 5 }, { text: null }, JSON.parse('{"__proto__":{"text":"x"}}')),
);

test('a plain text is taken and refused as any other body is [C-6]', () => {
  fc.assert(
    fc.property(anyBody, (body) => {
      const isOne = Object.keys(body).join() === 'text' && textBody.safeParse(body).success;
      expect(plainText(body)).toBe(isOne ? body.text : undefined);
    }),
    { numRuns: 1000 },
  );
});

test('an own entry has the name and the size that its canonical JSON gives it [C-2] [C-6]', () => {
  fc.assert(
    fc.property(anyBody, fc.constantFrom(null, hashText), (body, prev) => {
      fc.pre(textBody.safeParse(body).success);
      const unsigned = { conversation: hashText, author: key.id, seq: 1, prev, at: 1, kind: 'text', body };
      const signed = signEntry(key, unsigned);
      expect(ownEntry(unsigned, () => signed.sig)).toEqual({
        entry: signed,
        id: entryId(signed),
        bytes: Buffer.byteLength(canonical(signed)),
      });
    }),
    { numRuns: 500 },
  );
});
