import { expect, test } from 'vitest';
import { plan } from './queue.ts';
import { type Control, DEFAULT_CONTROL } from './settings.ts';

const controls = (set: Record<string, Partial<Control>>): Map<string, Control> =>
  new Map(Object.entries(set).map(([id, control]) => [id, { ...DEFAULT_CONTROL, ...control }]));
const waiting = (...ids: string[]) => ids.map((id) => ({ id, inMs: 0 }));
const running = (...ids: string[]) => ids.map((id) => ({ id, yielding: false }));

test('as many run as may, first come, first served', () => {
  const made = plan({ waiting: waiting('a', 'b', 'c'), running: running('x'), controls: new Map(), atOnce: 3 });
  expect(made).toEqual({ start: ['a', 'b'], stop: [], againInMs: undefined });
});

test('what is more urgent goes first, and what is paused does not go', () => {
  const set = controls({ a: { priority: 'low' }, b: { paused: true }, d: { priority: 'high' } });
  expect(plan({ waiting: waiting('a', 'b', 'c', 'd'), running: [], controls: set, atOnce: 3 }).start).toEqual([
    'd',
    'c',
    'a',
  ]);
});

test('what is less urgent gives its place, the last started first; what is as urgent keeps it', () => {
  const set = controls({ h: { priority: 'high' }, i: { priority: 'high' }, x: { priority: 'high' } });
  const made = plan({ waiting: waiting('n', 'h', 'i'), running: running('x', 'y', 'z'), controls: set, atOnce: 3 });
  expect(made).toMatchObject({ start: [], stop: ['z', 'y'] });
  expect(plan({ waiting: waiting('n'), running: running('y'), controls: set, atOnce: 1 }).stop).toEqual([]);
});

test('a place that is about to be free is not made twice', () => {
  const set = controls({ h: { priority: 'high' } });
  const leaving = [
    { id: 'x', yielding: false },
    { id: 'y', yielding: true },
  ];
  expect(plan({ waiting: waiting('h'), running: leaving, controls: set, atOnce: 2 })).toMatchObject({
    start: [],
    stop: [],
  });
});

test('a lower bound stops what is over it', () => {
  const set = controls({ y: { priority: 'low' } });
  expect(plan({ waiting: waiting('a'), running: running('x', 'y', 'z'), controls: set, atOnce: 2 })).toMatchObject({
    start: [],
    stop: ['y'],
  });
});

test('what may be tried later says when, unless it is paused', () => {
  const later = [
    { id: 'a', inMs: 500 },
    { id: 'b', inMs: 200 },
    { id: 'c', inMs: 10 },
  ];
  const made = plan({ waiting: later, running: [], controls: controls({ c: { paused: true } }), atOnce: 3 });
  expect(made).toEqual({ start: [], stop: [], againInMs: 200 });
});
