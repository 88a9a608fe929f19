import { afterEach, expect, test, vi } from 'vitest';
import { Fault } from '../base/fault.ts';
import { silentLog } from '../base/log.ts';
import { Store } from '../base/sqlite.ts';
import { Key } from '../link/identity.ts';
import type { Link } from '../link/link.ts';
import { pair } from '../link/pair.ts';
import { Router } from '../link/router.ts';
import { DirectoryClient, type DirectoryClientOptions } from './client.ts';
import type { ChosenTracker } from './invite.ts';
import * as messages from './messages.ts';
import { Guest, HandClock, helloOf, Lab } from './testing.ts';

const cleanup: AsyncDisposable[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const thing of cleanup.splice(0)) await thing[Symbol.asyncDispose]();
});

const clock = new HandClock();

/** What the lab's own server answers, with a say of the test's in it. */
class Overheard extends Router {
  readonly #spot: Spot;

  constructor(spot: Spot) {
    super();
    this.#spot = spot;
  }

  override async answer(...asked: Parameters<Router['answer']>): Promise<unknown> {
    const [name] = asked;
    const { full, lab } = this.#spot;
    this.#spot.asked.push(name);
    if (name === messages.announce.name && full) throw full;
    if (name === messages.find.name) await this.#spot.before();
    return await lab.router.answer(...asked);
  }
}

/** A tracker in memory at any number of addresses, each of which may be down. */
class Spot {
  readonly key = Key.generate();
  /** Over how long it wants its nodes to come back. */
  returnWithinMs = 0;
  readonly lab = new Lab({ clock, returnWithinMs: () => this.returnWithinMs });
  readonly addresses: string[];
  readonly down = new Set<string>();
  /** The tracker's ends of links that stand or stood, oldest first, with the address that was dialled. */
  readonly ends: { link: Link; address: string }[] = [];
  /** Questions that came, by name. */
  readonly asked: string[] = [];
  /** What is to be done before an answer to `find`. */
  before: () => Promise<void> = async () => {};
  /** What an announce is refused with. */
  full: Fault | undefined;
  readonly #router: Router;

  constructor(name: string, count = 1) {
    this.addresses = Array.from({ length: count }, (_, n) => `${name}-${n}.example:22236`);
    this.#router = new Overheard(this);
  }

  chosen(tier: number): ChosenTracker {
    return { peer: this.key.id, addresses: this.addresses, zone: 'lab', tier };
  }

  stop(): void {
    for (const address of this.addresses) this.down.add(address);
    for (const { link } of this.ends) link.close();
  }

  async dial(address: string, guest: Guest, router: Router): Promise<Link> {
    if (this.down.has(address)) throw new Fault('peer_unreachable', `dialling "${address}": nobody`);
    const [near, far] = await pair(
      { router, self: guest.hello, id: guest.node.id },
      { router: this.#router, self: helloOf('tracker'), id: this.key.id },
      clock,
    );
    this.ends.push({ link: far, address });
    return near;
  }

  /** Whether the tracker says that the guest is online. */
  has(guest: Guest): boolean {
    return this.lab.table.get(guest.account.id)?.online === true;
  }

  get open(): string[] {
    return this.ends.filter(({ link }) => link.open).map(({ address }) => address);
  }
}

function clientOf(
  guest: Guest,
  spots: readonly (readonly Spot[])[],
  over: Partial<DirectoryClientOptions> = {},
): DirectoryClient {
  const router = new Router();
  const client = new DirectoryClient({
    trackers: spots.flatMap((tier, index) => tier.map((spot) => spot.chosen(index + 1))),
    dial: async (address, expect) => {
      const spot = spots.flat().find(({ key }) => key.id === expect);
      if (!spot) throw new Fault('wrong_key', 'nobody has this key');
      return await spot.dial(address, guest, router);
    },
    account: guest.account,
    handle: `${guest.name}@lab`,
    node: guest.node.id,
    addresses: () => [],
    store: new Store(':memory:'),
    clock,
    log: silentLog(),
    ...over,
  }).attach(router);
  client.start();
  cleanup.push(client);
  return client;
}

const used = (client: DirectoryClient): string[] =>
  client.states().flatMap(({ used, announced, peer }) => (used && announced ? peer : []));
const uses = (client: DirectoryClient, ...spots: Spot[]): Promise<void> =>
  vi.waitFor(() => expect(used(client)).toEqual(spots.map(({ key }) => key.id)), 10_000);

test('all trackers of the first tier are told, and none of the next is dialled while one of them answers [D-70]', async () => {
  const [a, b, c] = [new Spot('a'), new Spot('b'), new Spot('c')];
  const guest = new Guest('alice', clock);
  const client = clientOf(guest, [[a, b], [c]]);
  await uses(client, a, b);
  expect([a.has(guest), b.has(guest)]).toEqual([true, true]);
  a.stop();
  await uses(client, b);
  await client.announceNow();
  expect(c.ends).toHaveLength(0);
  b.stop();
  await uses(client, c);
  expect(c.has(guest)).toBe(true);
});

test('where the first tier never answers the next is used, and what it knows is found', async () => {
  const [a, b] = [new Spot('a'), new Spot('b')];
  a.stop();
  const bob = new Guest('bob', clock);
  await clientOf(bob, [[b]]).ready();
  const client = clientOf(new Guest('alice', clock), [[a], [b]]);
  expect(await client.find('bob')).toMatchObject({ account: bob.account.id });
  await uses(client, b);
});

test('the first tier is back: it is used again, and the other is told goodbye only after a while [D-73]', async () => {
  const [a, b] = [new Spot('a'), new Spot('b')];
  a.stop();
  const guest = new Guest('alice', clock);
  const client = clientOf(guest, [[a], [b]], { tierTimes: { lingerMs: 400 } });
  await uses(client, b);
  a.down.clear();
  client.nudge();
  await uses(client, a);
  expect(b.has(guest)).toBe(true); // those who are still there find everybody
  await vi.waitFor(() => expect(b.has(guest)).toBe(false));
  await vi.waitFor(() => expect(b.open).toEqual([]));
  expect(client.states()[1]).toMatchObject({ state: 'rest', used: false });
  expect(a.has(guest)).toBe(true);
});

test('a tracker that takes no records now is left for the next tier, and its Retry-After is kept to [D-72]', async () => {
  const [a, b] = [new Spot('a'), new Spot('b')];
  a.full = new Fault('too_many', 'come back later', { data: { retryAfterMs: 60_000 } });
  const client = clientOf(new Guest('alice', clock), [[a], [b]]);
  await uses(client, b);
  expect(client.states()[0]).toMatchObject({ state: 'up', announced: false, used: false });
  expect(client.states()[0]?.why).toContain('does not take the record now');
});

test('a tracker that refuses the record for good is no reason to leave its tier', async () => {
  const [a, b] = [new Spot('a'), new Spot('b')];
  await clientOf(new Guest('alice', clock), [[a]]).ready();
  const second = clientOf(new Guest('alice', clock), [[a], [b]]);
  await expect(second.ready()).rejects.toMatchObject({ code: 'name_taken' });
  expect(b.ends).toHaveLength(0);
});

test('the fastest is asked; the other beside it when it is late, and at once when it does not know [D-71]', async () => {
  const [a, b] = [new Spot('a'), new Spot('b')];
  const [bob, carol] = [new Guest('bob', clock), new Guest('carol', clock)];
  await Promise.all([clientOf(bob, [[a, b]]), clientOf(carol, [[b]])].map((client) => client.ready()));
  const client = clientOf(new Guest('alice', clock), [[a, b]]);
  await uses(client, a, b);
  const question = (account: string): Promise<void> => client.renewed(account);
  const finds = (spot: Spot): number => spot.asked.filter((name) => name === messages.find.name).length;
  a.before = () => new Promise((resolve) => setTimeout(resolve, 20));
  for (let n = 0; n < 30; n++) await question(bob.account.id);
  expect(finds(b)).toBeGreaterThan(finds(a));
  const before = finds(a);
  // The fast one hangs: the other answers meanwhile.
  const hanging = Promise.withResolvers<void>();
  b.before = () => hanging.promise;
  a.before = async () => {};
  expect(await client.find(bob.account.id)).toBeDefined();
  await question(bob.account.id);
  expect(finds(a)).toBeGreaterThan(before);
  hanging.resolve();
  expect((await client.find('carol')).account).toBe(carol.account.id);
});

test('a tracker that is about to stop is left for its other address, which is there before the old one is let go of [A-30]', async () => {
  const a = new Spot('a', 2);
  const guest = new Guest('alice', clock);
  const client = clientOf(guest, [[a]]);
  await uses(client, a);
  const [first] = a.ends;
  const order: string[] = [];
  void first?.link.closed.then(() => order.push(`closed with ${a.open.length} open`));
  first?.link.notify(messages.moving, { afterMs: 0, until: clock.now() + 30_000, to: [] });
  await vi.waitFor(() => expect(a.open).toEqual([a.addresses[1]]));
  await vi.waitFor(() => expect(order).toEqual(['closed with 1 open']));
  await uses(client, a);
  expect(a.has(guest)).toBe(true);
});

test('it is left for an address that it names, for another tracker, or not before there is one [A-30]', async () => {
  const named = new Spot('a', 2);
  const only = { ...named.chosen(1), addresses: named.addresses.slice(0, 1) };
  const one = clientOf(new Guest('alice', clock), [[named]], { trackers: [only] });
  await uses(one, named);
  named.ends[0]?.link.notify(messages.moving, { afterMs: 0, until: 1, to: named.addresses.slice(1) });
  await vi.waitFor(() => expect(named.open).toEqual([named.addresses[1]]));

  const [a, b] = [new Spot('c'), new Spot('d')];
  const bob = new Guest('bob', clock);
  const two = clientOf(bob, [[a], [b]]);
  await uses(two, a);
  a.down.add(a.addresses[0] ?? ''); // it takes no new links
  const ended: boolean[] = [];
  void a.ends[0]?.link.closed.then(() => ended.push(b.has(bob)));
  a.ends[0]?.link.notify(messages.moving, { afterMs: 0, until: 1, to: [] });
  await uses(two, b);
  await vi.waitFor(() => expect(ended).toEqual([true]));

  const alone = new Spot('e');
  const carol = new Guest('carol', clock);
  const three = clientOf(carol, [[alone]]);
  await uses(three, alone);
  const told = vi.waitFor(() => expect(three.states()[0]?.why).toContain('about to stop'));
  alone.ends[0]?.link.notify(messages.moving, { afterMs: 0, until: 1, to: [] });
  await told;
  expect(alone.open).toHaveLength(1);
  expect(await three.find('carol')).toBeDefined();
});

test('a tracker of a worse tier is looked at now and then, and stays linked while something rests on it [D-74]', async () => {
  const [a, b] = [new Spot('a'), new Spot('b')];
  const guest = new Guest('alice', clock);
  const rests = { needed: false, asked: 0 };
  const client = clientOf(guest, [[a], [b]], {
    tierTimes: { firstVisitMs: 20, visitMs: 20, stayMs: 40 },
    needed: (peer) => {
      rests.asked += 1;
      return rests.needed && peer === b.key.id;
    },
  });
  await uses(client, a);
  const visits = (): number => b.ends.length;
  await vi.waitFor(() => expect(visits()).toBeGreaterThanOrEqual(2));
  expect(b.has(guest)).toBe(false); // it is not told
  rests.needed = true;
  await vi.waitFor(() => expect(b.open).toHaveLength(1));
  const [before, asked] = [visits(), rests.asked];
  await vi.waitFor(() => expect(rests.asked).toBeGreaterThan(asked + 3)); // at the end of each stay
  expect([visits(), b.open.length]).toEqual([before, 1]);
  expect(client.links().map(({ peer }) => peer)).toContain(b.key.id);
  a.stop();
  await uses(client, b); // by the link that stands
  expect(b.has(guest)).toBe(true);
});

test.each([
  { told: 0, waits: [100, 200] },
  { told: 40_000, waits: [20_000, 40_000] },
  { told: 3_600_000, waits: [60_000, 120_000] }, // nobody is kept away for longer
])(
  'whoever is told to come back within $told ms does so at a random time in it, and in twice that once it was in vain [D-75]',
  async ({ told, waits }) => {
    vi.spyOn(Math, 'random').mockReturnValue(0.5);
    const log = silentLog();
    const again: unknown[] = [];
    log.child = (() => log) as unknown as typeof log.child; // whose type also has levels that nobody adds
    log.info = (fields: object) => void ('againInMs' in fields && again.push(fields.againInMs));
    const a = new Spot('a');
    a.returnWithinMs = told;
    const client = clientOf(new Guest('alice', clock), [[a]], { log });
    await uses(client, a);
    a.stop();
    await vi.waitFor(() => expect(again.slice(0, 1)).toEqual(waits.slice(0, 1)));
    if (told > 0) client.nudge(); // its user wants it to
    await vi.waitFor(() => expect(again.slice(0, 2)).toEqual(told > 0 ? [waits[0], waits[0]] : waits), 10_000);
    a.down.clear();
    client.nudge();
    await uses(client, a);
  },
);
