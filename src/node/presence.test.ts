import { expect, test } from 'vitest';
import { Store } from '../base/sqlite.ts';
import { HandClock } from '../directory/testing.ts';
import { Presence, type Said } from './presence.ts';

const MINUTE = 60_000;

function make(awayAfterMs: number | null = 10 * MINUTE, store = new Store(':memory:'), clock = new HandClock()) {
  const told: Said[] = [];
  const presence = new Presence({ store, clock, awayAfterMs, apply: (said) => told.push(said) });
  presence.start();
  return { presence, told, store, clock };
}

test('after the time without a use the user is away, and at the next use online again; told once each', () => {
  using stack = new DisposableStack();
  const { presence, told, clock } = make();
  stack.use(presence);
  clock.pass(10 * MINUTE - 1);
  presence.tick();
  expect(presence.shown.status).toBe('online');
  clock.pass(1);
  presence.tick();
  presence.tick();
  expect(presence.shown.status).toBe('away');
  presence.used();
  presence.used();
  expect(presence.shown.status).toBe('online');
  expect(told.map(({ status }) => status)).toEqual(['away', 'online']);
});

test('each use begins the time anew', () => {
  using stack = new DisposableStack();
  const { presence, clock } = make();
  stack.use(presence);
  for (let n = 0; n < 5; n++) {
    clock.pass(9 * MINUTE);
    presence.tick();
    expect(presence.shown.status).toBe('online');
    presence.used();
  }
});

test('a status set by hand is never changed, neither by idling nor by coming back', () => {
  using stack = new DisposableStack();
  const { presence, told, clock } = make();
  stack.use(presence);
  for (const status of ['busy', 'away'] as const) {
    presence.say({ status, text: 'mine' });
    clock.pass(60 * MINUTE);
    presence.tick();
    presence.used();
    expect(presence.shown).toEqual({ status, text: 'mine' });
  }
  expect(told).toEqual([]);
});

test('words stay while the user is away, and online by hand is still online by itself', () => {
  using stack = new DisposableStack();
  const { presence, clock } = make();
  stack.use(presence);
  presence.say({ status: 'online', text: 'in room 5' });
  clock.pass(10 * MINUTE);
  presence.tick();
  expect(presence.shown).toEqual({ status: 'away', text: 'in room 5' });
});

test('what was said by hand is there after a restart', () => {
  using stack = new DisposableStack();
  const { presence, store, clock } = make();
  stack.use(presence);
  presence.say({ status: 'busy', text: 'writing' });
  const again = stack.use(make(10 * MINUTE, store, clock).presence);
  expect(again.shown).toEqual({ status: 'busy', text: 'writing' });
});

test('off is never', () => {
  using stack = new DisposableStack();
  const { presence, clock } = make(null);
  stack.use(presence);
  clock.pass(1e12);
  presence.tick();
  expect(presence.shown.status).toBe('online');
});
