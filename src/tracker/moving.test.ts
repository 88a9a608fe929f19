import { expect, test } from 'vitest';
import { moving } from '../directory/messages.ts';
import { Guest, HandClock, helloOf } from '../directory/testing.ts';
import type { Link } from '../link/link.ts';
import { pair } from '../link/pair.ts';
import { Router } from '../link/router.ts';
import { sendAway } from './moving.ts';

type Told = { afterMs: number; until: number; to: string[] };

async function crowd(
  count: number,
): Promise<{ links: Set<Link>; ends: Link[]; told: Promise<Told[]>; clock: HandClock }> {
  const clock = new HandClock();
  const heard: Told[] = [];
  const { promise, resolve } = Promise.withResolvers<Told[]>();
  const router = new Router().on(moving, (notice) => {
    if (heard.push(notice) === count) resolve(heard);
  });
  const [tracker, links, ends] = [new Guest('tracker', clock), new Set<Link>(), [] as Link[]];
  for (let n = 0; n < count; n++) {
    const guest = new Guest(`n${n}`, clock);
    const [near, far] = await pair(
      { router, self: guest.hello, id: guest.node.id },
      { router: new Router(), self: helloOf('tracker'), id: tracker.node.id },
      clock,
    );
    ends.push(near);
    links.add(far);
  }
  return { links, ends, told: promise, clock };
}

test('each is sent at a time in a slice of its own, before the end; and it is over when all have gone [A-30]', async () => {
  const { links, ends, told, clock } = await crowd(50);
  const away = sendAway({ links, to: ['192.0.2.8:22236'], mostMs: 3_600_000, clock });
  const heard = await told;
  const times = heard.map(({ afterMs }) => afterMs).sort((a, b) => a - b);
  for (const [at, ms] of times.entries()) {
    expect(ms).toBeGreaterThanOrEqual(at * 20); // fifty in a second
    expect(ms).toBeLessThan((at + 1) * 20);
  }
  expect(new Set(heard.map(({ until, to }) => `${until - clock.now()} ${to}`))).toEqual(
    new Set(['2000 192.0.2.8:22236']),
  );
  for (const link of ends) link.close();
  expect(await away).toBe(0);
});

test('the bound holds for all, who stays is counted, and the wait can be given up [A-30]', async () => {
  const { links, ends, told, clock } = await crowd(3);
  const stop = new AbortController();
  const away = sendAway({ links, to: [], mostMs: 1500, clock, signal: stop.signal });
  for (const { afterMs, until } of await told) {
    expect(until - clock.now()).toBe(1500);
    expect(afterMs).toBeLessThan(750); // half of it, as of the two seconds without a bound
  }
  const [first] = links;
  ends[0]?.close();
  await first?.closed;
  stop.abort();
  expect(await away).toBe(2);
  expect(await sendAway({ links: new Set(), to: [], mostMs: 3_600_000, clock })).toBe(0);
});

test('where nobody goes, it is over at the bound', async () => {
  const { links, clock } = await crowd(2);
  expect(await sendAway({ links, to: [], mostMs: 50, clock })).toBe(2);
});
