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

/** Bytes that each of the connections got by the time that `most` had passed in all, by name of its peer. */
async function shares(bucket: Bucket, peers: readonly string[], most: number): Promise<Map<string, number>> {
  const stop = new AbortController();
  const got = new Map<string, number>();
  let all = 0;
  const PIECE = 4096;
  const move = async (peer: string): Promise<void> => {
    while (!stop.signal.aborted) {
      await bucket.take(PIECE, stop.signal, peer);
      if (stop.signal.aborted) return;
      got.set(peer, (got.get(peer) ?? 0) + PIECE);
      all += PIECE;
      if (all >= most) stop.abort();
    }
  };
  await Promise.all(peers.map(move));
  return got;
}

test('a peer with many connections gets no more of a limit than one with a single one [N-80]', async () => {
  const many = Array.from({ length: 12 }, () => 'many');
  const got = await shares(new Bucket(4_000_000), [...many, 'one', 'other'], 4_000_000);
  const [most = 0, one = 0, other = 0] = ['many', 'one', 'other'].map((peer) => got.get(peer));
  // What was saved up while this process did not run goes to whoever asks first: at most a tenth of a second's worth.
  expect(most).toBeLessThan(one + 600_000);
  expect(most).toBeLessThan(other + 600_000);
});

test('what one peer leaves is for the others', async () => {
  const bucket = new Bucket(4_000_000);
  const slow = bucket.take(4096, never, 'slow');
  const got = await shares(bucket, ['fast'], 400_000);
  await slow;
  expect(got.get('fast')).toBeGreaterThanOrEqual(400_000);
});

test('messages never wait, and what they take is not given to files [N-81]', async () => {
  let messages = 0;
  const bucket = new Bucket(1_000_000, () => messages);
  const at = performance.now();
  const drained = drain(bucket, 200_000, 10_000);
  messages += 300_000;
  await drained;
  expect(performance.now() - at).toBeGreaterThanOrEqual(390); // half a second's worth, less what may be saved up
  // However many they were, files wait a second for them at the most.
  messages += 1_000_000_000;
  const later = performance.now();
  await drain(bucket, 20_000, 10_000);
  await drain(bucket, 20_000, 10_000);
  expect(performance.now() - later).toBeLessThan(20_000);
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
