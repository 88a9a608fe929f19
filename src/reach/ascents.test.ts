import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { silentLog } from '../base/log.ts';
import { Ascents, type Tried } from './ascents.ts';

let tried: { key: string; at: number }[];
let ends: Disposable[];
beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, 'random').mockReturnValue(1);
  [tried, ends] = [[], []];
});
afterEach(() => {
  for (const each of ends) each[Symbol.dispose]();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

function make(attempt: (key: string) => Promise<Tried> = async () => 'again'): Ascents {
  const ascents = new Ascents({
    attempt: (key) => {
      tried.push({ key, at: performance.now() - began });
      return attempt(key);
    },
    most: 100,
    log: silentLog(),
  });
  const began = performance.now();
  ends.push(ascents);
  return ascents;
}

const at = (key: string): number[] =>
  tried.filter((each) => each.key === key).map((each) => Math.round(each.at / 1000));

test('nearer ways are tried ever more seldom, and never less than four times an hour [N-73]', async () => {
  make().add('peer');
  await vi.advanceTimersByTimeAsync(2 * 3600_000);
  expect(at('peer').slice(0, 7)).toEqual([15, 45, 105, 225, 465, 945, 1845]);
  const [last = 0, before = 0] = at('peer').reverse();
  expect(last - before).toBe(900);
});

test('a change has them tried at once, however many there are no sooner than two seconds after the last try [N-73]', async () => {
  const ascents = make();
  ascents.add('peer');
  await vi.advanceTimersByTimeAsync(1000);
  ascents.wake('peer');
  await vi.advanceTimersByTimeAsync(0);
  expect(at('peer')).toEqual([1]);
  for (let n = 0; n < 100; n++) ascents.wake();
  await vi.advanceTimersByTimeAsync(2000);
  expect(at('peer')).toEqual([1, 3]);
  await vi.advanceTimersByTimeAsync(15_000);
  expect(at('peer')).toEqual([1, 3, 18]); // and the waits begin anew
});

test('what changed during a try has it tried once more', async () => {
  const { promise, resolve } = Promise.withResolvers<Tried>();
  const ascents = make(() => promise);
  ascents.add('peer', { now: true });
  await vi.advanceTimersByTimeAsync(1000);
  ascents.wake('peer');
  resolve('again');
  await vi.advanceTimersByTimeAsync(3000);
  expect(at('peer')).toEqual([0, 3]);
});

test('once the best is had nothing more is tried, and no more than four peers are tried at once', async () => {
  let running = 0;
  let most = 0;
  const ascents = make(async (key) => {
    running += 1;
    most = Math.max(most, running);
    await new Promise((done) => setTimeout(done, 100));
    running -= 1;
    return key === 'over' ? 'over' : 'up';
  });
  for (const key of ['a', 'b', 'c', 'd', 'e', 'f', 'over']) ascents.add(key, { now: true });
  await vi.advanceTimersByTimeAsync(3600_000);
  expect([tried.length, most]).toEqual([7, 4]);
  ascents.add('gone');
  ascents.remove('gone');
  await vi.advanceTimersByTimeAsync(3600_000);
  expect(tried.length).toBe(7);
});
