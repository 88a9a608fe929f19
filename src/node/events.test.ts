import { expect, test } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { Store } from '../base/sqlite.ts';
import { EventLog, skipCursors } from './events.ts';

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

test('old events are dropped: 0 means the oldest kept, and a cursor from before says what is gone [E-2] [E-3]', async () => {
  using store = new Store(':memory:');
  const log = new EventLog(store, systemClock);
  store.transaction(() => {
    for (let n = 0; n < 22_000; n++) log.emit('x', {});
  });
  const [[first] = [0]] = await take(log, 0, 1);
  expect(first).toBeGreaterThan(1);
  expect(log.last - first).toBeGreaterThanOrEqual(19_999);
  expect(() => log.follow({ from: first - 2 })).toThrow(
    expect.objectContaining({ code: 'cursor_gone', data: { oldest: first, last: 22_000 } }),
  );
  expect(await take(log, first - 1, 1)).toEqual([[first, 'x']]);
  const again = new EventLog(store, systemClock);
  expect(() => again.follow({ from: 1 })).toThrow(expect.objectContaining({ code: 'cursor_gone' }));
});

test('a follower who falls behind what is kept is told so, and one who does not misses nothing', async () => {
  using store = new Store(':memory:');
  const log = new EventLog(store, systemClock);
  log.emit('x', {});
  const slow = log.follow({ from: 0 });
  const first = await slow.next();
  expect(first.value).toMatchObject({ cursor: 1 });
  store.transaction(() => {
    for (let n = 0; n < 22_000; n++) log.emit('x', {});
  });
  await expect(slow.next()).rejects.toMatchObject({ code: 'cursor_gone', data: { oldest: expect.any(Number) } });
});

test('events are kept for seven days, also where there are few', async () => {
  using store = new Store(':memory:');
  let now = Date.parse('2026-03-01T00:00:00Z');
  const clock = { now: () => now };
  const log = new EventLog(store, clock);
  log.emit('old', {});
  now += 6 * 86_400_000;
  log.emit('young', {});
  expect(await take(log, 0, 1)).toEqual([[1, 'old']]);
  now += 2 * 86_400_000;
  log.emit('new', {});
  expect(await take(log, 0, 2)).toEqual([
    [2, 'young'],
    [3, 'new'],
  ]);
  expect(() => log.follow({ from: 0.5 })).toThrow(expect.objectContaining({ code: 'cursor_gone' }));
});

test('a cursor that was never given is refused, rather than waited for', async () => {
  using store = new Store(':memory:');
  const log = new EventLog(store, systemClock);
  log.emit('x', {});
  expect(() => log.follow({ from: 2 })).toThrow(expect.objectContaining({ code: 'cursor_gone' }));
  const [next] = [log.follow({ from: 1 }).next()];
  log.emit('y', {});
  expect((await next).value).toMatchObject({ cursor: 2 });
});

test('one of several patterns is enough, and a conversation is one [E-4]', async () => {
  using store = new Store(':memory:');
  const log = new EventLog(store, systemClock);
  log.emit('message.received', { id: 'm', conversation: 'c1' });
  log.emit('message.received', { id: 'm', conversation: 'c2' });
  log.emit('room.joined', { id: 'c1' });
  log.emit('file.done', { id: 'c1' });
  log.emit('file.progress', {});
  log.emit('conversation.read', { id: 'c1' });
  const seen = async (match: string[], count: number) => {
    const cursors: number[] = [];
    for await (const { cursor } of log.follow({ from: 0, match })) {
      cursors.push(cursor);
      if (cursors.length === count) break;
    }
    return cursors;
  };
  expect(await seen(['conversation:c1'], 3)).toEqual([1, 3, 6]);
  expect(await seen(['conversation:c2', 'file.*'], 3)).toEqual([2, 4, 5]);
  expect(await seen(['file.done', 'file.nothing', '*'], 6)).toEqual([1, 2, 3, 4, 5, 6]);
});

test('a restored home numbers its events beyond those of the home that it copies', () => {
  using store = new Store(':memory:');
  new EventLog(store, systemClock).emit('seen', {});
  skipCursors(store);
  const log = new EventLog(store, systemClock);
  log.emit('after', {});
  expect(log.last).toBeGreaterThan(1_000_000_000);
});

test('after an unclean end, cursors go on beyond any that may have been seen [E-1]', () => {
  using store = new Store(':memory:');
  new EventLog(store, systemClock).emit('seen', {});
  const log = new EventLog(store, systemClock); // the one before was never ended
  log.emit('after', {});
  expect(log.last).toBeGreaterThan(10_000);
});

test('events of one transaction share rows, and are followed, resumed among and dropped one by one [E-1] [E-2]', async () => {
  using store = new Store(':memory:');
  const log = new EventLog(store, systemClock);
  store.transaction(() => {
    for (const type of ['a.one', 'a.one', 'a.one', 'b.one', 'a.one']) log.emit(type, { text: 'x'.repeat(10) });
    for (let n = 0; n < 3; n++) log.emit('c.large', { text: 'y'.repeat(2000), n });
  });
  const rows = () => store.prepare<{ cursor: number; count: number }>('SELECT cursor, count FROM events').all();
  expect(rows().map(({ cursor, count }) => [cursor, count])).toEqual([
    [3, 3],
    [4, 1],
    [5, 1],
    [7, 2], // what fits a page of the store
    [8, 1],
  ]);
  const all = await take(log, 0, 8);
  expect(all.map(([cursor]) => cursor)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  for (let from = 1; from < 8; from++) expect(await take(log, from, 8 - from)).toEqual(all.slice(from));
  expect(await take(log, 1, 1, 'b.*')).toEqual([[4, 'b.one']]);
});

test('what is undone within a transaction is no event, and its neighbours are', async () => {
  using store = new Store(':memory:');
  const log = new EventLog(store, systemClock);
  const said = ['one', 'two', 'three'].map((text) =>
    store.grouped(() => {
      log.emit('x', { text });
      if (text === 'two') throw new Error('undone');
    }),
  );
  expect((await Promise.allSettled(said)).map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  const texts: unknown[] = [];
  for await (const { data } of log.follow({ from: 0 })) {
    texts.push(data.text);
    if (texts.length === 2) break;
  }
  expect(texts).toEqual(['one', 'three']);
  expect(log.last).toBe(2);
});

test('old events are dropped by the row, also where one stands for many, and no more of them than are too many [E-2]', () => {
  using store = new Store(':memory:');
  const log = new EventLog(store, systemClock);
  for (let n = 0; n < 300; n++) {
    store.transaction(() => {
      for (let m = 0; m < 70; m++) log.emit('x', {});
    });
  }
  const kept = store.prepare<{ n: number }>('SELECT sum(count) AS n FROM events').get()?.n ?? 0;
  expect(log.last).toBe(21_000);
  expect(kept).toBeGreaterThanOrEqual(20_000);
  expect(kept).toBeLessThan(20_000 + 70);
  expect(log.floor).toBe(21_000 - kept);
});
