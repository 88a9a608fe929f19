import { randomInt } from 'node:crypto';
import { expect, test } from 'vitest';
import { Bitmap } from './bitmap.ts';
import { ALL_SLICES, Held, type Shape, SLICES, slicesOf } from './held.ts';
import { each, Picker } from './picker.ts';

const MiB = 1024 * 1024;
/** Four whole chunks and a short one of two slices. */
const shape: Shape = {
  chunks: 5,
  chunkBytes: MiB,
  lengthOf: (chunk) => (chunk < 4 ? MiB : (2 * MiB) / SLICES - 1),
};

function held(...chunks: number[]): Held {
  const made = new Held(shape.chunks);
  for (const chunk of chunks) made.gain(chunk);
  return made;
}

const picker = (have = new Bitmap(shape.chunks)): Picker => new Picker(shape, have, () => randomInt(1000) / 1000);

test('a short chunk has fewer slices', () => {
  expect(slicesOf(shape, 0)).toBe(ALL_SLICES);
  expect(slicesOf(shape, 4)).toBe(3);
});

test('of one holder, all is asked in order, each slice once [F-44]', () => {
  const picks = picker();
  picks.add('a', held(0, 1, 2, 3, 4));
  const asked: string[] = [];
  for (let run = picks.next('a', 3, 0); run; run = picks.next('a', 3, 0)) {
    for (const { chunk, slice } of each(run, shape)) asked.push(`${chunk}.${slice}`);
  }
  const all = [0, 1, 2, 3].flatMap((chunk) => Array.from({ length: SLICES }, (_, slice) => `${chunk}.${slice}`));
  expect(asked).toEqual([...all, '4.0', '4.1']);
});

test('the rarest chunk is begun first [F-44]', () => {
  const picks = picker();
  picks.add('a', held(0, 1, 2, 3));
  picks.add('b', held(0, 1, 3));
  picks.add('c', held(0, 1));
  expect(picks.next('a', SLICES, 0)).toEqual({ first: 2, from: 0, count: SLICES });
  picks.add('b', held(0, 1, 2, 3));
  picks.gained(3); // c
  expect([0, 1, 3]).toContain(picks.next('b', SLICES, 0)?.first);
});

test('what is begun comes before what is not, and of that what few have [F-44]', () => {
  const picks = picker();
  const a = held();
  a.addSlices(3, 0b0110);
  const b = held(0);
  b.addSlices(3, 0b0010);
  picks.add('a', a);
  picks.add('b', b);
  expect(picks.next('a', 1, 0)).toEqual({ first: 3, from: 2, count: 1 });
  expect(picks.next('b', 1, 0)).toEqual({ first: 3, from: 1, count: 1 });
  expect(picks.next('b', 1, 0)).toEqual({ first: 0, from: 0, count: 1 });
  expect(picks.next('a', 1, 0)).toBeUndefined();
});

test('what a holder owes when it goes is asked of others, what it gave is not [F-44]', () => {
  const picks = picker();
  picks.add('a', held(0));
  picks.add('b', held(0));
  expect(picks.next('a', SLICES, 0)).toMatchObject({ first: 0, count: SLICES });
  expect(picks.next('b', SLICES, 0)).toBeUndefined();
  picks.got(0, 0);
  picks.remove('a');
  expect(picks.next('b', SLICES, 0)).toEqual({ first: 0, from: 1, count: SLICES - 1 });
});

test('what is owed for too long is asked of one other, sooner at the end [F-44]', () => {
  const have = new Bitmap(shape.chunks);
  for (const chunk of [1, 2, 4]) have.set(chunk);
  const picks = picker(have);
  for (const name of ['a', 'b', 'c']) picks.add(name, held(0, 3));
  picks.next('a', 2 * SLICES, 0);
  const first = picks.next('a', 2 * SLICES, 0);
  expect(first).toMatchObject({ count: SLICES });
  expect(picks.next('b', SLICES, 100)).toBeUndefined();
  expect(picks.next('b', 1, 400)).toMatchObject({ count: 1 });
  expect(picks.next('c', 2 * SLICES, 400)).toMatchObject({ count: expect.any(Number) });
  // Chunk 1 is missing too now, and nobody has it: it is not the end.
  const more = picker();
  for (const name of ['a', 'b']) more.add(name, held(0));
  more.next('a', SLICES, 0);
  expect(more.next('b', SLICES, 400)).toBeUndefined();
  expect(more.next('b', SLICES, 2000)).toMatchObject({ first: 0, count: SLICES });
});

test('a chunk that was wrong is asked of one holder alone, that has it whole [F-45]', () => {
  const picks = picker();
  const c = held();
  c.addSlices(0, ALL_SLICES);
  picks.add('a', held(0));
  picks.add('b', held(0));
  picks.add('c', c);
  picks.next('a', 2, 0);
  picks.next('b', SLICES, 0);
  for (let slice = 0; slice < SLICES; slice++) expect(picks.got(0, slice)).toBe(slice === SLICES - 1);
  picks.failed(0);
  expect(picks.next('c', 1, 0)).toBeUndefined();
  expect(picks.next('a', 1, 0)).toEqual({ first: 0, from: 0, count: SLICES });
  expect(picks.next('b', 1, 0)).toBeUndefined();
  picks.got(0, 0);
  picks.remove('a');
  expect(picks.next('b', 1, 0)).toEqual({ first: 0, from: 0, count: SLICES });
});

test('of who gave wrong slices, only whole chunks are asked [F-45]', () => {
  const picks = picker();
  const a = held(1);
  a.addSlices(0, ALL_SLICES);
  picks.add('a', a);
  picks.add('b', held());
  picks.wholeOnly('a');
  expect(picks.next('a', 1, 0)).toMatchObject({ first: 1 });
});

test('whoever gives what, each slice is asked once while nobody is late, and all are', () => {
  for (let round = 0; round < 20; round++) {
    const picks = picker();
    const names = ['a', 'b', 'c'];
    for (const name of names) picks.add(name, held(...[0, 1, 2, 3, 4].filter(() => randomInt(2) === 1)));
    picks.add('all', held(0, 1, 2, 3, 4));
    const asked = new Map<string, number>();
    for (let isMore = true; isMore; ) {
      isMore = false;
      for (const name of [...names, 'all']) {
        const run = picks.next(name, 1 + randomInt(20), 0);
        for (const { chunk, slice } of run ? each(run, shape) : []) {
          asked.set(`${chunk}.${slice}`, (asked.get(`${chunk}.${slice}`) ?? 0) + 1);
        }
        isMore ||= run !== undefined;
      }
    }
    expect(asked.size).toBe(4 * SLICES + 2);
    expect(new Set(asked.values())).toEqual(new Set([1]));
  }
});
