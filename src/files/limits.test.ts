import { expect, test } from 'vitest';
import { Store } from '../base/sqlite.ts';
import { Bucket, Traffic } from './limits.ts';
import { Settings } from './settings.ts';

const never = new AbortController().signal;

async function drain(bucket: Bucket, bytes: number, piece: number): Promise<number> {
  const at = performance.now();
  for (let moved = 0; moved < bytes; moved += piece) await bucket.take(piece, never);
  return performance.now() - at;
}

test('no more than the rate passes, but for a burst', async () => {
  const bucket = new Bucket(1_000_000);
  expect(await drain(bucket, 300_000, 10_000)).toBeGreaterThanOrEqual(190); // 100 ms' worth may be saved up
});

test('several share a rate', async () => {
  const bucket = new Bucket(1_000_000);
  const at = performance.now();
  await Promise.all([1, 2, 3].map(() => drain(bucket, 100_000, 10_000)));
  expect(performance.now() - at).toBeGreaterThanOrEqual(190);
});

test('without a limit nobody waits', () => {
  expect(new Bucket(null).take(1e12, never)).toBeUndefined();
});

test('a new limit holds for who waits already; who gives up waits no more', async () => {
  const bucket = new Bucket(1000);
  const waits = bucket.take(1_000_000, never);
  expect(waits).toBeDefined();
  bucket.rate = null; // a quarter of an hour is over
  await waits;
  bucket.rate = 1000;
  const stop = new AbortController();
  const other = bucket.take(1_000_000, stop.signal);
  stop.abort();
  await other;
  expect(bucket.take(1, stop.signal)).toBeUndefined();
});

test('a transfer is bound by its own limit and by that of all; connections are shown while they are open', async () => {
  using store = new Store(':memory:');
  const settings = new Settings(store);
  settings.setControl('t', { limit: 64_000 });
  settings.setLimits({ down: 32_000 });
  const traffic = new Traffic(settings);
  const flow = traffic.open({
    transfer: 't',
    direction: 'in',
    peer: 'p',
    origin: { address: '10.0.0.1:7', rung: 'lan' },
  });
  expect(flow.piece).toBe(4096);
  expect(flow.moved(1_000_000, never)).toBeDefined();
  expect(traffic.of('t')).toMatchObject([{ peer: 'p', address: '10.0.0.1:7' }]);
  const other = traffic.open({
    transfer: 'u',
    direction: 'out',
    peer: null,
    origin: { address: '10.0.0.2:7', rung: 'lan' },
  });
  expect(other.moved(1_000_000, never)).toBeUndefined();
  expect(other.piece).toBe(256 * 1024);
  flow[Symbol.dispose]();
  expect(traffic.of('t')).toEqual([]);
  settings.setLimits({ down: null });
  settings.setControl('t', { limit: null });
  traffic.limitsChanged();
  const again = traffic.open({
    transfer: 't',
    direction: 'in',
    peer: 'p',
    origin: { address: '10.0.0.1:7', rung: 'lan' },
  });
  expect(again.moved(1_000_000, never)).toBeUndefined();
  settings.setControl('t', { limit: 50_000 });
  traffic.controlChanged('t');
  expect(again.moved(1_000_000, never)).toBeDefined();
  settings.setControl('t', { limit: null });
  traffic.controlChanged('t');
});
