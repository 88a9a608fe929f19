/** Rooms of many members: what one of them costs the others is counted in requests, not in seconds. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Link } from '../link/link.ts';
import type { Method } from '../link/message.ts';
import { type Person, World } from './fixture.ts';
import type { Standing } from './wire.ts';

const MEMBERS = 24;
/** Long enough that it does not come by itself. */
const NEVER_MS = 2 ** 30;

type Asked = { link: Link; params: { conversations?: Standing[] }; turn: number };

let world: World;
/** Every request of anybody, by method. */
let asked: Map<string, Asked[]>;
let turn: number;

beforeEach(() => {
  world = new World();
  asked = new Map();
  turn = 0;
  const request = Link.prototype.request;
  vi.spyOn(Link.prototype, 'request').mockImplementation(function <P, R>(
    this: Link,
    spec: Method<P, R>,
    params: P,
    options = {},
  ): Promise<R> {
    const list = asked.get(spec.name) ?? [];
    asked.set(spec.name, list);
    list.push({ link: this, params: Object(params), turn });
    setImmediate(() => {
      turn += 1;
    });
    return request.call(this, spec, params, options) as Promise<R>; // what the method gives
  });
});
afterEach(async () => {
  vi.useRealTimers();
  await world[Symbol.asyncDispose]();
  vi.restoreAllMocks();
});

const count = (method: string): number => asked.get(method)?.length ?? 0;

/** Lets what goes on in memory go on. */
async function turns(many: number): Promise<void> {
  for (let n = 0; n < many; n++) await new Promise((done) => setImmediate(done));
}

const people = (relayMs?: number): Promise<Person[]> =>
  Promise.all(
    Array.from({ length: MEMBERS }, (_, n) => world.person(`p${n}`, relayMs === undefined ? {} : { relayMs })),
  );

/** A room in which all of them are, who joined at once. */
async function roomOf([founder, ...others]: readonly Person[]): Promise<string> {
  if (!founder) throw new Error('a room needs a founder');
  const { id } = await founder.chat.rooms.create('crowd', { members: others.map((each) => each.id) });
  await Promise.all(
    others.map(async (each) => {
      await each.room(id, ({ standing }) => standing === 'invited');
      await each.chat.rooms.join(id);
    }),
  );
  for (const each of [founder, ...others]) await each.room(id, ({ members }) => members.length === MEMBERS);
  return id;
}

test('many who are asked in and join at once fetch the order once each, and dial a few members, not all', async () => {
  await world.tracker();
  const all = await people(NEVER_MS);
  await roomOf(all);
  expect(count('rooms.change')).toBe(2 * (MEMBERS - 1));
  // Once when they hear of the room; once more at the most, where a push crossed the answer.
  expect(count('rooms.log')).toBeLessThanOrEqual(2 * MEMBERS);
  await Promise.all(all.map((each) => each.until(() => each.links.size > 3)));
  const links = all.flatMap((each) => [...each.links]).filter(({ dialled, account }) => dialled && account);
  expect(links.length).toBeLessThanOrEqual(4 * MEMBERS);
});

/** Everybody has one link to each of the others, and all that was greeted is answered. */
async function mesh(all: readonly Person[], id: string): Promise<void> {
  for (const each of all) each.cut();
  await Promise.all(all.map((each) => each.until(() => [...each.links].every((link) => link.account === null))));
  for (const [at, each] of all.entries()) for (const other of all.slice(at + 1)) await each.link(other);
  for (const each of all) each.chat.say(id, { text: `of ${each.id}` });
  await Promise.all(all.map((each) => each.seen('message.delivered')));
}

test('what one says is offered on a few links at a time, and no receipt twice on one link [R-20]', async () => {
  await world.tracker();
  const [first, ...others] = await people(NEVER_MS);
  if (!first) throw new Error('nobody is there');
  const eager = await world.person('eager', { relayMs: 20 });
  const all = [first, ...others.slice(1), eager];
  const id = await roomOf(all);
  await mesh(all, id);
  const before = count('chat.sync');
  world.now += 1000;
  first.chat.say(id, { text: 'news' });
  await first.seen('message.delivered', 2);
  const mine = (): Asked[] => (asked.get('chat.sync') ?? []).slice(before).filter(({ link }) => eager.links.has(link));
  // In the end on all links, whoever wrote it.
  await eager.until(() => new Set(mine().map(({ link }) => link)).size >= MEMBERS - 1);
  const together = Map.groupBy(mine(), (each) => each.turn);
  expect(Math.max(...[...together.values()].map(({ length }) => length))).toBeLessThan(MEMBERS / 2);
  const given = new Map<Link, string[]>();
  for (const { link, params } of asked.get('chat.sync') ?? []) {
    const sigs = params.conversations?.flatMap(({ receipts }) => receipts.map(({ sig }) => sig)) ?? [];
    given.set(link, [...(given.get(link) ?? []), ...sigs]);
  }
  for (const sigs of given.values()) expect(new Set(sigs).size).toBe(sigs.length);
});

test('two who meet greet once: who was dialled leaves the first word to the other [C-20]', async () => {
  const [alice, bob] = [await world.person('alice'), await world.person('bob')];
  alice.online = false; // so that the link is made by hand
  bob.online = false;
  bob.chat.say(alice.id, { text: 'hello' });
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  await alice.link(bob);
  await bob.seen('message.delivered');
  expect(count('chat.sync')).toBe(1);
});

test('one who was dialled by a side that says nothing greets it after a while [C-20]', async () => {
  const [alice, bob] = [await world.person('alice'), await world.person('bob')];
  bob.chat.say(alice.id, { text: 'hello' });
  await bob.seen('message.delivered');
  for (const each of [alice, bob]) each.cut();
  await bob.until(() => bob.links.size === 0);
  const before = count('chat.sync');
  const use = alice.chat.linkUp;
  alice.chat.linkUp = () => {}; // it takes part, and begins nothing
  const [, far] = await alice.link(bob);
  alice.chat.linkUp = use;
  await bob.until(() => count('chat.sync') > before);
  expect(asked.get('chat.sync')?.at(-1)?.link).toBe(far);
});

test('what is read in a room one after the other is told to its author once [H-8]', async () => {
  await world.tracker();
  const quiet = { relayMs: NEVER_MS };
  const [alice, bob] = [await world.person('alice', quiet), await world.person('bob', quiet)];
  const { id } = await alice.chat.rooms.create('two', { members: [bob.id] });
  await bob.room(id, ({ standing }) => standing === 'invited');
  await bob.chat.rooms.join(id);
  await alice.room(id, ({ members }) => members.length === 2);
  world.now += 1000;
  const said = Array.from({ length: 5 }, (_, n) => alice.chat.say(id, { text: `${n}` }));
  await alice.seen('message.delivered', 5);
  for (const each of [alice, bob]) {
    each.online = false; // from now on a link is made by hand
    each.cut();
  }
  await bob.until(() => [...bob.links].every((link) => link.account === null));
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const unmet = count('chat.sync');
  await bob.link(alice);
  await turns(50);
  const before = count('chat.sync');
  expect(before).toBe(unmet + 1);
  for (const { id: read } of said) {
    bob.chat.markRead(read);
    await turns(10);
  }
  expect(count('chat.sync')).toBe(before);
  vi.advanceTimersByTime(1000);
  await alice.seen('message.read', 5);
  expect(count('chat.sync')).toBe(before + 1);
});
