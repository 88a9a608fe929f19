import { expect, test } from 'vitest';
import { Fault } from '../base/fault.ts';
import { rungOf } from '../link/rung.ts';
import { type Climbed, climb as climbWays, waysTo } from './ladder.ts';

/** What came about on ways that are all addresses. */
async function climb<T>(options: {
  addresses: readonly string[];
  attempt(address: string, signal: AbortSignal): Promise<T>;
  discard(late: T): void;
  signal?: AbortSignal;
  headStartMs?: number;
}): Promise<T> {
  const { won } = await climbWays({ ...options, ways: waysTo(options.addresses, options.attempt) });
  return won;
}

const never = (_address: string, signal: AbortSignal): Promise<string> =>
  new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
const refuse = (): Promise<string> => Promise.reject(new Fault('peer_unreachable', 'refused'));

test('addresses are classed by their network', () => {
  expect(['127.0.0.1:1', '[::1]:1', '192.168.1.2:1', '[fd00::1]:1', '203.0.113.5:1'].map(rungOf)).toEqual([
    'local',
    'local',
    'lan',
    'lan',
    'direct',
  ]);
});

test('nearer rungs are tried first [N-70]', async () => {
  const tried: string[] = [];
  const made = await climb({
    addresses: ['203.0.113.5:1', '192.168.1.2:1', '127.0.0.1:1'],
    attempt: async (address) => {
      tried.push(address);
      if (address.startsWith('203')) return address;
      return refuse();
    },
    discard: () => {},
  });
  expect(made).toBe('203.0.113.5:1');
  expect(tried).toEqual(['127.0.0.1:1', '192.168.1.2:1', '203.0.113.5:1']);
});

test('an address that hangs holds nobody up, and is given up when another answers', async () => {
  let gaveUp = false;
  const made = await climb({
    addresses: ['127.0.0.1:1', '192.168.1.2:1'],
    attempt: async (address, signal) => {
      if (!address.startsWith('127')) return address;
      return never(address, signal).catch((error) => {
        gaveUp = true;
        throw error;
      });
    },
    discard: () => {},
    headStartMs: 1,
  });
  expect(made).toBe('192.168.1.2:1');
  await Promise.resolve();
  expect(gaveUp).toBe(true);
});

test('of two that answer, the later one is ended', async () => {
  const discarded: string[] = [];
  const { promise: late, resolve } = Promise.withResolvers<string>();
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  const made = await climb({
    addresses: ['127.0.0.1:1', '192.168.1.2:1'],
    attempt: (address) => (address.startsWith('127') ? late : Promise.resolve(address)),
    discard: (what) => {
      discarded.push(what);
      end();
    },
    headStartMs: 1,
  });
  resolve('late');
  await ended;
  expect([made, discarded]).toEqual(['192.168.1.2:1', ['late']]);
});

test('where nothing answers, the fault says what happened at each address', async () => {
  const climbing = climb({ addresses: ['127.0.0.1:1', '192.168.1.2:2'], attempt: refuse, discard: () => {} });
  await expect(climbing).rejects.toMatchObject({
    code: 'peer_unreachable',
    message: expect.stringMatching(/127\.0\.0\.1:1: refused; 192\.168\.1\.2:2: refused/),
  });
  await expect(climb({ addresses: [], attempt: refuse, discard: () => {} })).rejects.toMatchObject({
    code: 'peer_unreachable',
  });
});

test('cancelling ends the climb with the reason', async () => {
  const controller = new AbortController();
  const climbing = climb({
    addresses: ['127.0.0.1:1'],
    attempt: never,
    discard: () => {},
    signal: controller.signal,
  });
  controller.abort(new Fault('timeout', 'too long'));
  await expect(climbing).rejects.toMatchObject({ code: 'timeout' });
});

test('a detour is gone where no address answers, and the climb tells what failed before', async () => {
  const ways = [
    { rung: 'relay' as const, label: 'relay by lab', attempt: () => Promise.resolve('by relay') },
    ...waysTo(['127.0.0.1:1'], refuse),
  ];
  expect(await climbWays({ ways, discard: () => {} })).toEqual({
    won: 'by relay',
    rung: 'relay',
    label: 'relay by lab',
    failures: [{ rung: 'local', label: '127.0.0.1:1', reason: 'refused' }],
  });
});

test('a nearer rung that comes about later takes the place of the worse one; what is no nearer is given up [N-71]', async () => {
  const late = Promise.withResolvers<string>();
  const ends: string[] = [];
  const better = Promise.withResolvers<Climbed<string>>();
  const discarded: string[] = [];
  const direct = { rung: 'direct' as const, label: 'direct', attempt: () => late.promise };
  const lan = { rung: 'lan' as const, label: 'lan', attempt: () => refuse().finally(() => ends.push('lan')) };
  const relays = ['one', 'two'].map((label) => ({
    rung: 'relay' as const,
    label,
    attempt: (signal: AbortSignal) =>
      label === 'one' ? never(label, signal).finally(() => ends.push(label)) : Promise.resolve(label),
  }));
  const climbed = await climbWays({
    ways: [...relays, direct, lan],
    discard: (what) => discarded.push(what),
    better: better.resolve,
    headStartMs: 1,
  });
  expect(climbed).toMatchObject({ won: 'two', rung: 'relay' });
  late.resolve('direct');
  expect(await better.promise).toMatchObject({ won: 'direct', rung: 'direct' });
  expect(climbed.failures).toEqual([{ rung: 'lan', label: 'lan', reason: 'refused' }]); // no failure is what was given up
  expect([ends, discarded]).toEqual([['lan', 'one'], []]);
});

test('the way that is known to lead there is gone first', async () => {
  const tried: string[] = [];
  const ways = waysTo(['127.0.0.1:1', '203.0.113.5:1'], async (address) => {
    tried.push(address);
    return address;
  });
  await climbWays({ ways, discard: () => {}, first: '203.0.113.5:1' });
  expect(tried).toEqual(['203.0.113.5:1']);
});

test('one that has answered is waited for longer than one that says nothing, and not for ever [N-70]', async () => {
  const ways = (speaks: boolean, tried: string[]) => {
    const way = (rung: 'lan' | 'relay') => ({
      rung,
      label: rung,
      attempt: async (signal: AbortSignal, answered?: () => void) => {
        tried.push(rung);
        if (rung === 'relay') return rung;
        answered?.();
        return speaks ? await new Promise<string>((done) => setTimeout(done, 30, rung)) : await never('', signal);
      },
    });
    return [way('lan'), way('relay')];
  };
  const slow: string[] = [];
  const options = { discard: () => {}, headStartMs: 1, answeredMs: 10_000 };
  expect((await climbWays({ ...options, ways: ways(true, slow) })).won).toBe('lan');
  expect(slow).toEqual(['lan']);
  const mute: string[] = [];
  expect((await climbWays({ ...options, answeredMs: 20, ways: ways(false, mute) })).won).toBe('relay');
  expect(mute).toEqual(['lan', 'relay']);
});
