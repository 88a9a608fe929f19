/** Trackers that die, hang, come back, and are reached by several ways: what a person sees of it is nothing. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ChosenTracker, parseInvite } from '../src/directory/invite.ts';
import type { Tracker } from '../src/tracker/tracker.ts';
import { Relay } from './relay.ts';
import { type Member, TestNet, until } from './testnet.ts';

let net: TestNet;
let relays: Relay[];

beforeEach(async () => {
  net = await TestNet.create();
  relays = [];
});

afterEach(async () => {
  for (const relay of relays) await relay[Symbol.asyncDispose]();
  await net[Symbol.asyncDispose]();
});

/** A way to a tracker that the test can cut. */
async function wayTo(tracker: Tracker, port?: number): Promise<Relay> {
  const relay = await Relay.to(tracker.port, port === undefined ? {} : { port });
  relays.push(relay);
  return relay;
}

const chosen = (tracker: Tracker, tier: number, ways: readonly Relay[]): ChosenTracker => ({
  ...parseInvite(tracker.invite),
  addresses: ways.map(({ address }) => address),
  tier,
});

const used = (member: Member): string[] =>
  member.node.directory.states().flatMap(({ used, announced, peer }) => (used && announced ? peer : []));
const uses = (member: Member, tracker: Tracker) =>
  until(
    () => used(member),
    (peers) => peers.join() === tracker.peer,
  );

async function twoTiers(): Promise<{ first: Tracker; second: Tracker; way: Relay; trackers: ChosenTracker[] }> {
  const [first, second] = [await net.tracker({ name: 'first' }), await net.tracker({ name: 'second' })];
  const way = await wayTo(first);
  const trackers = [chosen(first, 1, [way]), chosen(second, 2, [await wayTo(second)])];
  return { first, second, way, trackers };
}

test('a tracker dies: everybody moves to the next tier, and nobody is seen to leave [D-70]', async () => {
  const { first, second, way, trackers } = await twoTiers();
  const [alice, bob] = await Promise.all(['alice', 'bob'].map((name) => net.member(name, undefined, { trackers })));
  if (!alice || !bob) return expect.fail('nobody');
  await Promise.all([uses(alice, first), uses(bob, first)]);
  expect(alice.node.directory.states()[1]).toMatchObject({ state: 'rest', why: 'kept in reserve: tier 1 answers' });
  await until(
    () => alice.client.people.find({ handle: 'bob' }),
    ({ status }) => status === 'online',
  );
  const seen: string[] = [];
  alice.node.directory.onChange(({ type }) => seen.push(type));

  await way[Symbol.asyncDispose]();
  await Promise.all([uses(alice, second), uses(bob, second)]);
  const sent = await alice.client.messages.say({ handle: 'bob', text: 'still here' });
  await until(
    () => alice.client.messages.show({ id: sent.id }),
    ({ state }) => state === 'delivered',
  );
  const status = await alice.client.status.show();
  expect(status.trackers.map(({ tier, used: isUsed }) => [tier, isUsed])).toEqual([
    [1, false],
    [2, true],
  ]);
  expect(status.trackers[0]?.why).toContain('does not answer');

  // It is back: so is everybody, and those who are there a while later are still told at the other one.
  relays.push(await Relay.to(first.port, { port: way.port }));
  for (const { node } of [alice, bob]) node.directory.nudge(); // by itself it comes back within a minute
  await Promise.all([uses(alice, first), uses(bob, first)]);
  expect((await alice.client.status.show()).trackers[1]?.why).toContain('until all are back in tier 1');
  expect(seen).not.toContain('offline');
});

test('a tracker hangs: it is left within a second or so, and nothing is dialled anew when it speaks again [D-71] [L-29]', async () => {
  const { first, second, way, trackers } = await twoTiers();
  const alice = await net.member('alice', undefined, { trackers });
  const bob = await net.member('bob', undefined, { trackers });
  await Promise.all([uses(alice, first), uses(bob, first)]);
  const before = way.taken;
  way.silence();
  await Promise.all([uses(alice, second), uses(bob, second)]);
  expect((await alice.client.status.show()).trackers[0]).toMatchObject({ state: 'up', used: false });
  expect((await alice.client.status.show()).trackers[0]?.why).toContain('no sign of life');
  expect((await alice.client.people.find({ handle: 'bob' })).status).toBe('online');
  way.speak();
  await Promise.all([uses(alice, first), uses(bob, first)]);
  expect(way.taken).toBe(before);
});

test('one tracker at two addresses: one is cut, and its rooms, letters and presence go on by the other', async () => {
  const tracker = await net.tracker();
  const [one, other] = [await wayTo(tracker), await wayTo(tracker)];
  const trackers = [chosen(tracker, 1, [one, other])];
  const alice = await net.member('alice', undefined, { trackers });
  const bob = await net.member('bob', undefined, { trackers });
  const carol = await net.member('carol', undefined, { trackers });
  const room = await alice.client.rooms.create({ name: 'ops', members: ['bob'] });
  await until(
    () => bob.client.rooms.list(),
    (rooms) => rooms.length === 1,
  );
  expect(other.open).toBe(0);
  await net.stop(carol);

  await one[Symbol.asyncDispose]();
  await until(
    () => other.open,
    (open) => open === 2,
  );
  await Promise.all([uses(alice, tracker), uses(bob, tracker)]);
  await bob.client.rooms.join({ room: 'ops' });
  await until(
    () => alice.client.rooms.show({ room: room.id }),
    ({ members }) => members.length === 2,
  );
  expect((await bob.client.status.show()).trackers).toMatchObject([{ address: other.address, used: true }]);
  const sent = await alice.client.messages.say({ handle: 'carol', text: 'for later' });
  await until(
    () => alice.client.messages.show({ id: sent.id }),
    ({ state }) => state === 'held',
  );
  const back = await net.member('carol', undefined, { trackers });
  await until(
    () => back.client.messages.list({}),
    (messages) => messages.some(({ text }) => text === 'for later'),
  );
});

test('one of two addresses hangs: the link moves to the other while the old one stands', async () => {
  const tracker = await net.tracker();
  const [one, other] = [await wayTo(tracker), await wayTo(tracker)];
  const alice = await net.member('alice', undefined, { trackers: [chosen(tracker, 1, [one, other])] });
  one.silence();
  await until(
    () => other.open,
    (open) => open === 1,
  );
  await uses(alice, tracker);
  expect((await alice.client.status.show()).trackers).toMatchObject([{ address: other.address, state: 'up' }]);
});

test('letters that were left at the tracker of a worse tier are fetched when all are back [D-74]', async () => {
  const { first, second, way, trackers } = await twoTiers();
  const alice = await net.member('alice', undefined, { trackers });
  const bob = await net.member('bob', undefined, { trackers });
  await way[Symbol.asyncDispose]();
  await Promise.all([uses(alice, second), uses(bob, second)]);
  await net.stop(bob);
  const sent = await alice.client.messages.say({ handle: 'bob', text: 'while you were away' });
  const { held } = await until(
    () => alice.client.messages.show({ id: sent.id }),
    ({ state }) => state === 'held',
  );
  expect(held?.[0]?.by).toBe(second.peer);
  relays.push(await Relay.to(first.port, { port: way.port }));
  alice.node.directory.nudge();
  await uses(alice, first);
  await net.stop(alice); // so that it is by the letter alone
  const back = await net.member('bob', undefined, { trackers, tierTimes: { firstVisitMs: 10 } });
  await uses(back, first);
  await until(
    () => back.client.messages.list({}),
    (messages) => messages.some(({ text }) => text === 'while you were away'),
  );
  expect(used(back)).toEqual([first.peer]);
});
