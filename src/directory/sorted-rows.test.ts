import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { LiveRow } from './row.ts';
import { SortedRows } from './sorted-rows.ts';

const rowOf = (account: string): LiveRow => ({ account }) as LiveRow; // all that is looked at

test('rows are read in the order of account ids, from any of them on, in whatever order they came', () => {
  const accounts = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 4 }), { maxLength: 60 });
  fc.assert(
    fc.property(accounts, fc.string({ maxLength: 4 }), fc.boolean(), (all, after, early) => {
      const rows = new SortedRows();
      for (const account of early ? all.toSorted() : all) rows.add(rowOf(account));
      const read = (from?: string): string[] => [...rows.after(from)].map(({ account }) => account);
      expect(read()).toEqual(all.toSorted());
      expect(read(after)).toEqual(all.toSorted().filter((account) => account > after));
      rows.keep(({ account }) => account < after);
      expect(read()).toEqual(all.toSorted().filter((account) => account < after));
    }),
  );
});

test('thousands of newcomers find their places among thousands that were there', () => {
  const rows = new SortedRows();
  const name = (n: number): string => `${n}`.padStart(6, '0');
  for (let n = 0; n < 5000; n++) rows.add(rowOf(name(n * 2)));
  for (let n = 0; n < 5000; n++) rows.add(rowOf(name(((n * 7919) % 5000) * 2 + 1)));
  expect([...rows.after(undefined)].map(({ account }) => account)).toEqual(
    Array.from({ length: 10_000 }, (_, n) => name(n)),
  );
});
