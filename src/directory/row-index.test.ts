import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LiveRow } from './row.ts';
import { NumberedRows, RowIndex } from './row-index.ts';

function numbered(rows: readonly LiveRow[]): NumberedRows {
  const all = new NumberedRows();
  for (const row of rows) all.add(row);
  return all;
}

const id = (n: number): string => n.toString(2).padStart(52, 'a').replaceAll('0', 'b').replaceAll('1', 'c');

function rowOf(n: number, name: string): LiveRow {
  const record = {
    handle: `${name}@lab`,
    account: id(n),
    node: id(n),
    addresses: [],
    status: 'online' as const,
    text: '',
    seq: 1,
    until: 2,
    seal: id(0),
    sig: '',
  };
  return LiveRow.of(record, { verified: [], observed: '', online: true, lastSeen: 0 });
}

const byBytes = (index: RowIndex, key: string): LiveRow | undefined => {
  const text = Buffer.from(`..${key}..`);
  return index.find(text, 2, text.length - 2);
};

test('says what a Map would, whatever is put in and taken out, asked by text and by bytes', () => {
  const step = fc.record({ name: fc.integer({ min: 0, max: 40 }), put: fc.boolean(), other: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), fc.constantFrom(Number.POSITIVE_INFINITY, 1, 3), (steps, most) => {
      const rows = Array.from({ length: 82 }, (_, n) => rowOf(n, `person-${n % 41}`));
      const [index, map] = [new RowIndex(numbered(rows), ({ handle }) => handle, most), new Map<string, LiveRow>()];
      for (const { name, put, other } of steps) {
        const row = rows[name + (other ? 41 : 0)];
        if (!row) throw new Error('there is one for each name');
        if (put) {
          index.set(row);
          map.set(row.handle, row);
        } else {
          index.delete(row);
          if (map.get(row.handle) === row) map.delete(row.handle);
        }
        expect(index.size).toBe(map.size);
        for (let n = 0; n < 41; n++) {
          const handle = `person-${n}@lab`;
          expect(index.get(handle)).toBe(map.get(handle));
          expect(byBytes(index, handle)).toBe(map.get(handle));
        }
      }
    }),
    { numRuns: 30 },
  );
});

test('finds each of many rows, and nobody else', () => {
  const rows = Array.from({ length: 20_000 }, (_, n) => rowOf(n, `person-${n}`));
  const index = new RowIndex(numbered(rows), ({ handle }) => handle);
  for (const row of rows) index.set(row);
  expect(index.size).toBe(rows.length);
  for (const row of rows) expect(byBytes(index, row.handle)).toBe(row);
  for (const text of ['', 'person-1', 'person-1@la', 'person-20000@lab', 'person-1@labb']) {
    expect(index.get(text)).toBeUndefined();
    expect(byBytes(index, text)).toBeUndefined();
  }
  for (const row of rows.slice(0, 19_000)) index.delete(row);
  expect(rows.filter((row) => index.get(row.handle) === row)).toEqual(rows.slice(19_000));
});
