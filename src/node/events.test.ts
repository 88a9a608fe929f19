import { expect, test } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { Store } from '../base/sqlite.ts';
import { EventLog } from './events.ts';

async function take(log: EventLog, from: number, count: number, match?: string): Promise<[number, string][]> {
  const seen: [number, string][] = [];
  for await (const { cursor, type } of log.follow({ from, match: match === undefined ? undefined : [match] })) {
    seen.push([cursor, type]);
    if (seen.length === count) break;
  }
  return seen;
}

test('a follower gets kept events, then live ones, from its cursor and of its kind', async () => {
  using store = new Store(':memory:');
  const log = new EventLog(store, systemClock);
  for (const type of ['a.one', 'b.one', 'a.two']) log.emit(type, {});
  expect(await take(log, 1, 2)).toEqual([
    [2, 'b.one'],
    [3, 'a.two'],
  ]);
  const live = take(log, 0, 3, 'a.*');
  log.emit('b.two', {});
  log.emit('a.three', {});
  expect(await live).toEqual([
    [1, 'a.one'],
    [3, 'a.two'],
    [5, 'a.three'],
  ]);
  expect(await take(log, 0, 1, 'b.two')).toEqual([[4, 'b.two']]);
});

test('events of a transaction are seen once it is committed, and never if it is not', async () => {
  using store = new Store(':memory:');
  const log = new EventLog(store, systemClock);
  const first = take(log, 0, 1);
  expect(() =>
    store.transaction(() => {
      log.emit('never', {});
      throw new Error('no');
    }),
  ).toThrow();
  store.transaction(() => log.emit('kept', {}));
  expect((await first).map(([, type]) => type)).toEqual(['kept']);
  expect(log.last).toBe((await first)[0]?.[0]);
});

test('cursors go on after a restart, and a follower ends with its signal', async () => {
  using store = new Store(':memory:');
  {
    using before = new EventLog(store, systemClock);
    before.emit('before', {});
  }
  using log = new EventLog(store, systemClock);
  expect(log.last).toBe(1);
  log.emit('after', {});
  expect(log.last).toBe(2);
  const controller = new AbortController();
  const seen: string[] = [];
  const following = (async () => {
    for await (const { type } of log.follow({ from: 0, signal: controller.signal })) seen.push(type);
  })();
  await expect.poll(() => seen.length).toBe(2);
  controller.abort();
  await following;
  expect(seen).toEqual(['before', 'after']);
});

test('old events are dropped, and a follower from before goes on at the oldest kept', async () => {
  using store = new Store(':memory:');
  const log = new EventLog(store, systemClock);
  store.transaction(() => {
    for (let n = 0; n < 22_000; n++) log.emit('x', {});
  });
  const [[first] = [0]] = await take(log, 0, 1);
  expect(first).toBeGreaterThan(1);
  expect(log.last - first).toBeGreaterThanOrEqual(19_999);
});

test('after an unclean end, cursors go on beyond any that may have been seen', () => {
  using store = new Store(':memory:');
  new EventLog(store, systemClock).emit('seen', {});
  const log = new EventLog(store, systemClock); // the one before was never ended
  log.emit('after', {});
  expect(log.last).toBeGreaterThan(10_000);
});
