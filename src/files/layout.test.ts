import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Layout } from './layout.ts';

const sizes = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 40 })), { maxLength: 30 });
const chunk = fc.constantFrom(4, 8, 16);

/** All bytes of a content, each as the file it is of and its offset there. */
const bytesOf = (all: number[]): string[] =>
  all.flatMap((size, file) => Array.from({ length: size }, (_, offset) => `${file}:${offset}`));

test('the linear space is the files one after the other, and its chunks are each file’s own [F-5]', () => {
  fc.assert(
    fc.property(sizes, chunk, (all, bytes) => {
      const layout = new Layout(bytes, all);
      const space = bytesOf(all);
      expect([layout.files, layout.size]).toEqual([all.length, space.length]);
      const chunks = all.flatMap((size, file) =>
        Array.from({ length: Math.ceil(size / bytes) }, (_, index) => ({ file, index, offset: index * bytes })),
      );
      expect(layout.chunks).toBe(chunks.length);
      for (const [number, expected] of chunks.entries()) {
        const place = layout.place(number);
        expect(place).toMatchObject(expected);
        expect(space[place.start]).toBe(`${place.file}:${place.offset}`);
        expect(place.length).toBe(Math.min(bytes, (all[place.file] ?? 0) - place.offset));
        expect(layout.chunkAt(place.start)).toBe(number);
        expect(layout.chunkAt(place.start + place.length - 1)).toBe(number);
      }
    }),
  );
});

test('what was looked up before changes no answer', () => {
  fc.assert(
    fc.property(sizes, chunk, fc.array(fc.nat(1000), { maxLength: 40 }), (all, bytes, asked) => {
      const layout = new Layout(bytes, all);
      fc.pre(layout.size > 0);
      for (const number of asked) {
        const [place, position] = [number % layout.chunks, number % layout.size];
        expect(layout.place(place)).toEqual(new Layout(bytes, all).place(place));
        expect(layout.fileAt(position)).toBe(new Layout(bytes, all).fileAt(position));
      }
    }),
  );
});

test('a range is the same bytes piece by piece, and no piece is empty', () => {
  fc.assert(
    fc.property(sizes, fc.nat(500), fc.nat(500), (all, a, b) => {
      const layout = new Layout(8, all);
      const [start, end] = [Math.min(a, b, layout.size), Math.min(Math.max(a, b), layout.size)];
      const pieces = [...layout.pieces(start, end)];
      const bytes = pieces.flatMap(({ file, offset, length }) =>
        Array.from({ length }, (_, index) => `${file}:${offset + index}`),
      );
      expect(bytes).toEqual(bytesOf(all).slice(start, end));
      expect(pieces.every(({ length }) => length > 0)).toBe(true);
    }),
  );
});

test('chunks in a row are one range, and as many as asked for fit into it', () => {
  fc.assert(
    fc.property(
      sizes,
      fc.nat(100),
      fc.integer({ min: 1, max: 50 }),
      fc.integer({ min: 1, max: 200 }),
      (all, from, most, bytes) => {
        const layout = new Layout(8, all);
        fc.pre(layout.chunks > 0);
        const first = from % layout.chunks;
        const count = layout.within(first, most, bytes);
        const { start, end } = layout.range(first, count);
        expect(count).toBeGreaterThanOrEqual(1);
        expect(count).toBeLessThanOrEqual(most);
        if (count > 1) expect(end - start).toBeLessThanOrEqual(bytes);
        if (first + count < layout.chunks && count < most) {
          expect(layout.range(first, count + 1).end - start).toBeGreaterThan(bytes);
        }
        const sum = Array.from({ length: count }, (_, index) => layout.place(first + index).length);
        expect(sum.reduce((a, b) => a + b, 0)).toBe(end - start);
        expect(layout.bytesOf((number) => number >= first && number < first + count)).toBe(end - start);
      },
    ),
  );
});

test('what is past the end is no place', () => {
  const layout = new Layout(8, [0, 9, 0]);
  expect([layout.chunks, layout.size, layout.fileOfChunk(1)]).toEqual([2, 9, 1]);
  for (const wrong of [-1, 2, 0.5 + 2, Number.NaN]) expect(() => layout.place(wrong)).toThrow(RangeError);
  expect(() => layout.fileAt(9)).toThrow(RangeError);
  expect(() => new Layout(8, []).place(0)).toThrow(RangeError);
  expect([...new Layout(8, []).pieces(0, 0)]).toEqual([]);
});
