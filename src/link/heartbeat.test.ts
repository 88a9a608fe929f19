import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { keepBeating } from './heartbeat.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('one timer serves all of a period: each beats once in it, until it stops; then no timer is left [L-28]', () => {
  const beats = Array.from({ length: 100 }, () => 0);
  const count = (n: number): void => {
    beats[n] = (beats[n] ?? 0) + 1;
  };
  const stops = beats.map((_, n) => keepBeating({ beat: () => count(n) }, 1600));
  expect(vi.getTimerCount()).toBe(1);
  vi.advanceTimersByTime(1600);
  expect(beats).toEqual(beats.map(() => 1));
  stops[0]?.();
  stops[0]?.(); // again does nothing
  vi.advanceTimersByTime(3200);
  expect(beats).toEqual(beats.map((_, n) => (n === 0 ? 1 : 3)));
  for (const stop of stops) stop();
  expect(vi.getTimerCount()).toBe(0);
});

test('one may stop another, or itself, while all are served', () => {
  const beaten: string[] = [];
  const stops: (() => void)[] = [];
  for (const name of ['a', 'b', 'c']) {
    const beat = (): void => {
      beaten.push(name);
      for (const stop of stops) stop();
    };
    stops.push(keepBeating({ beat }, 800));
  }
  vi.advanceTimersByTime(8000);
  expect(beaten).toHaveLength(1);
  expect(vi.getTimerCount()).toBe(0);
});
