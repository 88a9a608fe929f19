import { expect, test } from 'vitest';
import { Held, type Shape, SLICES } from './held.ts';
import { slicesIn } from './picker.ts';
import { Seeding, type Showing } from './seeding.ts';

const shape: Shape = { chunks: 6, chunkBytes: 1024 * 1024, lengthOf: () => 1024 * 1024 };

function take(name: string, held: Held, showings: Map<string, Showing>, seen: string[]): void {
  const showing = showings.get(name);
  if (!(showing instanceof Map)) return;
  for (const [chunk, mask] of showing) {
    held.addSlices(chunk, mask);
    for (const slice of slicesIn(mask)) seen.push(`${chunk}.${slice}`);
  }
}

test('each slice is shown to one, until all are out; then all to all [F-43]', () => {
  const seeding = new Seeding(shape);
  const people = ['a', 'b', 'c'].map((name) => ({ name, held: new Held(shape.chunks) }));
  for (const { name, held } of people) seeding.add(name, held, 0, false);
  const seen: string[] = [];
  const all = new Set<string>();
  for (let now = 0; all.size < people.length; now += 10) {
    expect(now).toBeLessThan(10_000);
    const showings = seeding.show(now);
    for (const { name, held } of people) {
      take(name, held, showings, seen);
      if (showings.get(name) === 'all') all.add(name);
      seeding.came(name, now + 5);
    }
  }
  expect(seen).toHaveLength(shape.chunks * SLICES);
  expect(new Set(seen).size).toBe(seen.length);
});

test('what was shown to one who is gone, or does not get it, is shown to another [F-43]', () => {
  const seeding = new Seeding(shape);
  const [a, b] = [new Held(shape.chunks), new Held(shape.chunks)];
  seeding.add('a', a, 0, false);
  seeding.add('b', b, 0, false);
  const first = seeding.show(0);
  const lost: string[] = [];
  take('a', new Held(shape.chunks), first, lost);
  expect(lost.length).toBeGreaterThan(0);
  const seen: string[] = [];
  take('b', b, first, seen);
  for (let now = 100; now < 20_000 && seen.length < shape.chunks * SLICES; now += 100) {
    seeding.came('b', now);
    take('b', b, seeding.show(now), seen);
  }
  expect(seen).toEqual(expect.arrayContaining(lost));
  expect(new Set(seen).size).toBe(shape.chunks * SLICES);
});

test('what one does not get goes to one other, and to a third only if that takes as long again [F-43]', () => {
  const seeding = new Seeding({ ...shape, chunks: 1 });
  const names = ['a', 'b', 'c', 'd', 'e'];
  const helds = names.map(() => new Held(1));
  for (const [n, name] of names.entries()) seeding.add(name, helds[n] ?? new Held(1), 0, false);
  const shownTo = new Map<string, Set<string>>();
  const show = (now: number): void => {
    for (const [name, showing] of seeding.show(now)) {
      if (!(showing instanceof Map)) continue;
      for (const [chunk, mask] of showing) {
        for (const slice of slicesIn(mask)) {
          const key = `${chunk}.${slice}`;
          shownTo.set(key, (shownTo.get(key) ?? new Set()).add(name));
        }
      }
    }
  };
  const most = (): number => Math.max(...[...shownTo.values()].map(({ size }) => size));
  show(0); // nobody takes anything
  expect(shownTo.size).toBe(SLICES);
  expect(most()).toBe(1);
  show(1100); // twice the time that is usual at first is over
  expect(most()).toBe(2);
  show(1900);
  expect(most()).toBe(2);
  show(2200);
  expect(most()).toBe(3);
});

test('who fetches alone is shown all soon, and at once where nobody else can come [F-43]', () => {
  const seeding = new Seeding(shape);
  seeding.add('a', new Held(shape.chunks), 0, false);
  expect(seeding.show(0).get('a')).toBeInstanceOf(Map);
  expect(seeding.show(1000).get('a')).toBe('all');
  seeding.add('a', new Held(shape.chunks), 0, true);
  expect(seeding.isShownAll('a')).toBe(true);
});

test('what others have already is not shown again while there is something that nobody has [F-43]', () => {
  const seeding = new Seeding(shape);
  const a = new Held(shape.chunks);
  for (let chunk = 0; chunk < shape.chunks - 1; chunk++) a.gain(chunk);
  seeding.add('a', a, 0, false);
  seeding.add('b', new Held(shape.chunks), 0, false);
  for (const showing of seeding.show(0).values()) {
    expect(showing instanceof Map && [...showing.keys()]).toEqual([shape.chunks - 1]);
  }
});
