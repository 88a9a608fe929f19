import fc from 'fast-check';
import { expect, test } from 'vitest';
import { handle, parseHandle, parseZone } from './handle.ts';

const alnum = 'abcdefghijklmnopqrstuvwxyz0123456789';
const text = (first: string, rest: string, most: number): fc.Arbitrary<string> =>
  fc
    .tuple(fc.constantFrom(...first), fc.array(fc.constantFrom(...rest), { maxLength: most - 1 }))
    .map(([head, tail]) => head + tail.join(''));
const name = text(alnum, `${alnum}._-`, 64);
const label = text(alnum, `${alnum}-`, 20).map((word) => word.replace(/-+$/, ''));
const zone = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'));

test('every handle of the grammar is taken, in any case, and comes out as it is [D-1]', () => {
  fc.assert(
    fc.property(name, zone, (n, z) => {
      const whole = `${n}@${z}`;
      expect(parseHandle(whole, 'other')).toEqual({ handle: whole, name: n, zone: z });
      expect(parseHandle(n, z).handle).toBe(whole);
      expect(parseHandle(` ${whole.toUpperCase()} `, 'other').handle).toBe(whole);
      expect(handle.safeParse(whole).success).toBe(true);
    }),
  );
});

test('whatever is taken is of the grammar, and the rest is invalid_argument [D-1]', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string({ unit: 'binary-ascii' }), fc.string({ unit: fc.constantFrom(...'aZ0.-_@ ') })),
      (any) => {
        const strict = handle.safeParse(any).success;
        if (strict) expect(any).toMatch(/^[a-z0-9][a-z0-9._-]{0,63}@[a-z0-9.-]{1,253}$/);
        try {
          expect(handle.safeParse(parseHandle(any, 'lab').handle).success).toBe(true);
        } catch (error) {
          expect(error).toMatchObject({ code: 'invalid_argument' });
          expect(strict).toBe(false);
        }
      },
    ),
  );
});

test.each([
  '',
  '@lab',
  'alice@',
  '.a@lab',
  '-a@lab',
  'a b@lab',
  'a@b@c',
  'a@-lab',
  'a@lab-',
  'a@lab..x',
  'a@.lab',
  'аlice@lab', // a Cyrillic letter
  'a\n@lab',
  'a@lab\n',
  `${'a'.repeat(65)}@lab`,
  `a@${'b'.repeat(64)}`,
  `a@${'b.'.repeat(127)}bb`,
])('%j is no handle [D-1]', (bad) => {
  expect(handle.safeParse(bad).success).toBe(false);
});

test('a zone is checked alone, too', () => {
  expect(parseZone(' Lab1.CSE ')).toBe('lab1.cse');
  expect(() => parseZone('a b')).toThrow(expect.objectContaining({ code: 'invalid_argument' }));
});
