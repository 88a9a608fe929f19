import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { systemClock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { silentLog } from '../base/log.ts';
import type { HelloInfo } from './hello.ts';
import { Key } from './identity.ts';
import { KeptLink, type KeptState } from './keep.ts';
import type { Link } from './link.ts';
import { pair } from './pair.ts';
import { Router } from './router.ts';

const hello: HelloInfo = { protocol: { min: 1, max: 1 }, software: 'test', role: 'tracker', account: null };
const linked = (): Promise<[Link, Link]> =>
  pair(
    { router: new Router(), self: hello, id: Key.generate().id },
    { router: new Router(), self: hello, id: Key.generate().id },
    systemClock,
  );

let cleanup: AsyncDisposable[];
beforeEach(() => {
  cleanup = [];
});
afterEach(async () => {
  vi.restoreAllMocks();
  for (const thing of cleanup) await thing[Symbol.asyncDispose]();
});

/** What was dialled, and how it ends. */
function keep(dial: (instead: Link | undefined) => Promise<Link>, over: { onUp?: (link: Link) => Promise<void> } = {}) {
  const states: KeptState['state'][] = [];
  const kept = new KeptLink({
    dial: (_signal, { instead }) => dial(instead),
    onUp: over.onUp ?? (() => {}),
    onChange: ({ state }) => states.push(state),
    log: silentLog(),
  });
  cleanup.push(kept);
  kept.start();
  return { kept, states };
}

/** Waits in milliseconds, as they are told to the log. */
async function waitsOf(fault: Fault, chance: number, count: number): Promise<unknown[]> {
  vi.spyOn(Math, 'random').mockReturnValue(chance);
  const log = silentLog();
  const info = vi.spyOn(log, 'info');
  const kept = new KeptLink({
    dial: () => Promise.reject(fault),
    onUp: () => {},
    pace: () => ({ firstMs: 4, mostMs: 16 }),
    log,
  });
  kept.start();
  const told = (): unknown[] =>
    info.mock.calls.map(([fields]) => z.object({ againInMs: z.number() }).parse(fields).againInMs);
  await vi.waitFor(() => expect(told().length).toBeGreaterThanOrEqual(count));
  await kept[Symbol.asyncDispose]();
  return told().slice(0, count);
}

test('the wait before a dial is anything up to a step that doubles: those who lost a link together come apart [D-72]', async () => {
  const gone = new Fault('peer_unreachable', 'nobody');
  expect(await waitsOf(gone, 0.999, 5)).toEqual([4, 8, 16, 16, 16]);
  expect(await waitsOf(gone, 0.5, 3)).toEqual([2, 4, 8]);
  expect(await waitsOf(gone, 0, 2)).toEqual([0, 0]);
});

test('who was told when to come back comes not sooner, and not all at once [D-72]', async () => {
  const told = new Fault('too_many', 'come back later', { data: { retryAfterMs: 30_000 } });
  expect(await waitsOf(told, 0, 1)).toEqual([30_000]);
  expect(await waitsOf(told, 0.5, 1)).toEqual([37_500]);
  const days = new Fault('too_many', 'never', { data: { retryAfterMs: 1e12 } });
  expect(await waitsOf(days, 0, 1)).toEqual([3_600_000]); // nobody is believed for more than an hour
});

test('the pace may depend on whether the link fell silent or was ended [D-75]', async () => {
  const asked: boolean[] = [];
  const made: [Link, Link][] = [];
  const kept = new KeptLink({
    dial: async () => {
      const ends = await linked();
      made.push(ends);
      return ends[0];
    },
    onUp: () => {},
    pace: ({ silent }) => {
      asked.push(silent);
      return { firstMs: 1, mostMs: 1 };
    },
    log: silentLog(),
  });
  cleanup.push(kept);
  kept.start();
  await vi.waitFor(() => expect(made).toHaveLength(1));
  made[0]?.[0].close(new Fault('timeout', 'the other side gives no sign of life'));
  await vi.waitFor(() => expect(made).toHaveLength(2));
  made[1]?.[1].close();
  await vi.waitFor(() => expect(made).toHaveLength(3));
  expect(asked).toEqual([true, false]);
});

test('a link is replaced without a gap: the old one is let go of once the new one is set up', async () => {
  const made: [Link, Link][] = [];
  const setUp = Promise.withResolvers<void>();
  const { kept, states } = keep(
    async () => {
      const ends = await linked();
      made.push(ends);
      return ends[0];
    },
    { onUp: (link) => (made.length > 1 && link === made[1]?.[0] ? setUp.promise : Promise.resolve()) },
  );
  await vi.waitFor(() => expect(kept.state.state).toBe('up'));
  const replacing = kept.replace();
  await vi.waitFor(() => expect(made).toHaveLength(2));
  expect(made[0]?.[0].open).toBe(true);
  setUp.resolve();
  expect(await replacing).toBe(true);
  expect(await made[0]?.[1].closed).toMatchObject({ code: 'normal' });
  expect(kept.state).toMatchObject({ state: 'up', link: made[1]?.[0] });
  expect(states).toEqual(['connecting', 'up', 'up']); // never down
  made[1]?.[1].close();
  await vi.waitFor(() => expect(made).toHaveLength(3)); // and it is kept as the first one was
});

test('where no other link comes about, the present one stays', async () => {
  const made: [Link, Link][] = [];
  const { kept, states } = keep(async (instead) => {
    if (instead) throw new Fault('peer_unreachable', 'nobody else');
    const ends = await linked();
    made.push(ends);
    return ends[0];
  });
  await vi.waitFor(() => expect(kept.state.state).toBe('up'));
  expect(await kept.replace()).toBe(false);
  expect(made[0]?.[0].open).toBe(true);
  expect(states).toEqual(['connecting', 'up']);
});

/** A link that this test gives the address that it went out from, and whether its other side answers. */
async function from(ip: string, made: [Link, Link][]): Promise<Link> {
  const ends = await linked();
  vi.spyOn(ends[0], 'localIp', 'get').mockReturnValue(ip);
  made.push(ends);
  return ends[0];
}

test('when the address is gone that a link went out from, another one takes its place without a gap [N-75]', async () => {
  const made: [Link, Link][] = [];
  const { kept, states } = keep(() => from(made.length === 0 ? '192.0.2.1' : '192.0.2.2', made));
  await vi.waitFor(() => expect(kept.state.state).toBe('up'));
  kept.moved((ip) => ip === '192.0.2.2');
  await vi.waitFor(() => expect(kept.state).toMatchObject({ state: 'up', link: made[1]?.[0] }));
  kept.moved((ip) => ip === '192.0.2.2'); // nothing is dialled for what stands
  expect(states).not.toContain('down');
  expect(made).toHaveLength(2);
});

test('a link that gives no sign of life after a move is dialled again at once [N-76]', async () => {
  const made: [Link, Link][] = [];
  const { kept } = keep(() => from('192.0.2.1', made));
  await vi.waitFor(() => expect(kept.state.state).toBe('up'));
  const [near] = made[0] ?? expect.fail();
  const probe = vi.spyOn(near, 'probe').mockImplementation(async () => {
    near.close(new Fault('timeout', 'the other side gives no sign of life'));
    return false;
  });
  const chance = vi.spyOn(Math, 'random').mockReturnValue(0.999); // the usual wait would be as long as it gets
  kept.moved(() => true);
  expect(probe).toHaveBeenCalledOnce();
  await vi.waitFor(() => expect(kept.state).toMatchObject({ state: 'up', link: made[1]?.[0] }));
  chance.mockRestore();
});
