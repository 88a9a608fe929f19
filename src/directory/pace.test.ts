import { expect, test } from 'vitest';
import { waitBefore } from '../link/keep.ts';
import { paceOf } from './pace.ts';

/** Milliseconds that the unluckiest node waits before each dial, as long as none succeeds. */
const waits = (told: Parameters<typeof paceOf>[0]): number[] =>
  [0, 1, 2, 3, 9].map((failures) => waitBefore(failures, paceOf(told), undefined, 1));

test('where few were linked, a tracker that restarts is found at once [D-75]', () => {
  expect(waits({ hasOthers: false, returnWithinMs: 4, silent: false })).toEqual([200, 400, 800, 1600, 30_000]);
});

test('where many were, they spread as they were told, and over twice as long once they came in vain [D-75]', () => {
  expect(waits({ hasOthers: false, returnWithinMs: 60_000, silent: false })).toEqual([
    60_000, 120_000, 120_000, 120_000, 120_000,
  ]);
  expect(waits({ hasOthers: true, returnWithinMs: 1000, silent: false })).toEqual([
    5000, 10_000, 20_000, 40_000, 60_000,
  ]);
});

test('a link that fell silent alone is dialled at once, and only then as the others [D-75]', () => {
  const told = { hasOthers: false, returnWithinMs: 60_000 };
  expect(waitBefore(0, paceOf({ ...told, silent: true }), undefined, 1)).toBe(200);
  expect(waitBefore(1, paceOf({ ...told, silent: false }), undefined, 1)).toBe(120_000);
});
