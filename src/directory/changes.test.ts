import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Changes } from './changes.ts';
import type { LiveRow } from './row.ts';

const rowOf = (account: string): LiveRow => ({ account }) as LiveRow; // all that is looked at
const rows = ['a', 'b', 'c', 'd'].map(rowOf);

test('all that changed after a version is told, whatever gaps there are; where that is not known, this is told', () => {
  const steps = fc.array(fc.tuple(fc.constantFrom(...rows), fc.integer({ min: 1, max: 30 })), { maxLength: 40 });
  fc.assert(
    fc.property(steps, (all) => {
      const changes = new Changes();
      for (const [row, version] of all) changes.add(row, version);
      const last = Math.max(0, ...all.map(([, version]) => version));
      expect(changes.after(last)).toEqual(new Set());
      for (let asked = 0; asked < 31; asked++) {
        const told = changes.after(asked);
        if (told) expect(told).toEqual(new Set(all.flatMap(([row, version]) => (version > asked ? row : []))));
      }
    }),
  );
});

test('changes that come in order are all known, until a hundred thousand came after them', () => {
  const changes = new Changes();
  const [first, other] = [rowOf('first'), rowOf('other')];
  changes.add(first, 2);
  for (let n = 0; n < 100_000; n++) changes.add(other, 10 + n * 3);
  expect(changes.after(0)).toEqual(new Set([first, other]));
  expect(changes.after(2)).toEqual(new Set([other]));
  for (let n = 100_000; n < 250_000; n++) changes.add(other, 10 + n * 3);
  expect(changes.after(2)).toBeUndefined();
  expect(changes.after(10 + 249_998 * 3)).toEqual(new Set([other]));
  expect(changes.after(10 + 249_999 * 3)).toEqual(new Set());
});
