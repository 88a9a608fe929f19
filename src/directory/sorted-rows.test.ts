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
      const added = (early ? all.toSorted() : all).map(rowOf);
      for (const row of added) rows.add(row);
      const read = (from?: string): string[] => [...rows.after(from)].map(({ account }) => account);
      expect(read()).toEqual(all.toSorted());
      expect(read(after)).toEqual(all.toSorted().filter((account) => account > after));
      const left = added.filter(({ account }) => account >= after);
      for (const row of left) rows.remove(row);
      expect(read()).toEqual(all.toSorted().filter((account) => account < after));
      for (const { account } of left) rows.add(rowOf(account));
      expect(read()).toEqual(all.toSorted());
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

test('thousands leave from among thousands, and those who come back stand there once', () => {
  const rows = new SortedRows();
  const name = (n: number): string => `${n}`.padStart(6, '0');
  const all = Array.from({ length: 5000 }, (_, n) => rowOf(name(n)));
  for (const row of all) rows.add(row);
  for (const [n, row] of all.entries()) if (n % 2 === 0) rows.remove(row);
  for (let n = 0; n < 5000; n += 4) rows.add(rowOf(name(n)));
  expect([...rows.after(undefined)].map(({ account }) => account)).toEqual(
    Array.from({ length: 5000 }, (_, n) => n)
      .filter((n) => n % 4 !== 2)
      .map(name),
  );
});
