import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type Rates, type Seat, Turns } from './turns.ts';

let now = 1_000_000;
let turns: Turns;
const given = new Map<string, number>();

function make(rates: Rates): void {
  turns = new Turns({ rates, clock: { now: () => now } });
}
beforeEach(() => given.clear());
afterEach(() => {
  turns[Symbol.dispose]();
  vi.useRealTimers();
});

/** A connection that reads whatever it may, and wants more. */
function greedy(name: string): Seat {
  const seat: Seat = turns.join(name, (bytes) => {
    given.set(name, (given.get(name) ?? 0) + bytes);
    seat.ask();
  });
  return seat;
}

test('of two parties one with many connections gets no more than one with a single one [N-22]', async () => {
  make({ each: 0, all: 0 });
  const seats = [...Array.from({ length: 50 }, () => greedy('many')), greedy('one')];
  for (const seat of seats) seat.ask();
  for (let n = 0; n < 100; n++) await turn();
  const [many = 0, one = 0] = [given.get('many'), given.get('one')];
  expect(one).toBeGreaterThan(1_000_000);
  expect(many / one).toBeCloseTo(1, 1);
});

test('a rate of all is shared in equal parts, and one of each is kept [N-22]', () => {
  vi.useFakeTimers();
  make({ each: 0, all: 1_000_000 });
  const seats = [greedy('a'), greedy('a'), greedy('a'), greedy('b')];
  for (const seat of seats) seat.ask();
  const run = (seconds: number): void => {
    for (let ms = 0; ms < seconds * 1000; ms += 10) {
      now += 10;
      vi.advanceTimersByTime(10);
    }
  };
  run(20);
  const [a = 0, b = 0] = [given.get('a'), given.get('b')];
  expect(a + b).toBeGreaterThan(19_000_000);
  expect(a + b).toBeLessThan(22_000_000);
  expect(a / b).toBeCloseTo(1, 1);

  given.clear();
  turns.rates = { each: 100_000, all: 0 };
  run(20);
  for (const name of ['a', 'b']) {
    expect(given.get(name)).toBeGreaterThan(1_900_000);
    expect(given.get(name)).toBeLessThan(2_300_000);
  }
  for (const seat of seats) seat.leave();
  given.clear();
  greedy('a').ask(); // with a new connection it still owes what it owed
  vi.advanceTimersByTime(0);
  expect(given.get('a') ?? 0).toBeLessThan(50_000);
});

test('whoever has left is given nothing', async () => {
  make({ each: 0, all: 0 });
  const seat = turns.join('a', (bytes) => given.set('a', bytes));
  expect(seat.ask()).toBeGreaterThan(0); // there is nobody else
  const other = turns.join('b', () => {});
  expect([seat.ask(), other.ask()]).toEqual([0, 0]);
  seat.leave();
  await turn();
  expect(given.size).toBe(0);
});
