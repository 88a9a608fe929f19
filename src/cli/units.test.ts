import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Fault } from '../base/fault.ts';
import { parseBytes, showAgo, showBytes, showDuration, showTime } from './units.ts';

test.each([
  ['700', 700],
  ['10MB', 10_000_000],
  ['1GiB', 1_073_741_824],
  ['1.5 k', 1_500],
  ['0', 0],
  ['none', null],
])('%s is %s bytes', (written, bytes) => {
  expect(parseBytes(written)).toBe(bytes);
});

test.each(['', 'MB', '-5', '10 parsecs', '1e9', '99999999TB'])('"%s" is no size', (written) => {
  expect(() => parseBytes(written)).toThrow(Fault);
});

test('any number of bytes is shown in at most six characters and a unit, and reads back within rounding', () => {
  fc.assert(
    fc.property(fc.nat({ max: 2 ** 50 }), (bytes) => {
      const shown = showBytes(bytes);
      expect(shown).toMatch(/^\d{1,3}(\.\d)? (B|kB|MB|GB|TB|PB)$/);
      if (!shown.endsWith('PB'))
        expect(parseBytes(shown)).toBeCloseTo(bytes, -Math.max(3, Math.log10(bytes + 1) - 0.5));
    }),
  );
});

test('times are short', () => {
  const now = new Date(2026, 2, 1, 15, 0);
  expect(showTime(new Date(2026, 2, 1, 9, 5).toISOString(), now)).toBe('09:05');
  expect(showTime(new Date(2025, 11, 31, 23, 59).toISOString(), now)).toBe('2025-12-31 23:59');
  expect(showAgo(new Date(2026, 2, 1, 14, 55).toISOString(), now)).toBe('5 min ago');
  expect(showAgo(new Date(2026, 2, 1, 15, 1).toISOString(), now)).toBe('now');
  expect(showDuration(7)).toBe('0:07');
  expect(showDuration(3_730)).toBe('1:02:10');
});
