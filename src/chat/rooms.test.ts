/** Rooms between accounts joined in memory, with a home tracker that can die, links that are cut, and processes that restart. */
import { rmSync } from 'node:fs';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Key } from '../link/identity.ts';
import { type Home, type Person, World } from './fixture.ts';
import { type History, signChange, signCreation, signOrdered } from './membership.ts';
import { changeRoom, createRoom, giveOrder, roomLog } from './room-wire.ts';

let world: World;
let home: Home;
let alice: Person;
let bob: Person;
let carol: Person;

beforeEach(async () => {
  world = new World();
  home = await world.tracker();
  alice = await world.person('alice');
  bob = await world.person('bob');
  carol = await world.person('carol');
});
afterEach(() => world[Symbol.asyncDispose]());

/** A room of alice's, in which all of `members` are. */
async function roomOf(members: readonly Person[], history: History = 'all'): Promise<string> {
  const { id } = await alice.chat.rooms.create('team', { history, members: members.map((each) => each.id) });
  for (const member of members) {
    await member.room(id, ({ standing }) => standing === 'invited');
    await member.chat.rooms.join(id);
  }
  for (const each of [alice, ...members]) await each.room(id, (room) => room.members.length === members.length + 1);
  return id;
}

const later = (): void => {
  world.now += 1000;
};

test('a room: asked in, joined, declined; what is said reaches all, with receipts of each [R-1] [R-6] [R-20]', async () => {
  const { id } = await alice.chat.rooms.create('team', { members: [bob.id, carol.id] });
  const asked = await bob.room(id, ({ standing }) => standing === 'invited');
  expect(asked).toMatchObject({ name: 'team', invitedBy: alice.id, waiting: [] });
  expect(bob.roomEvents.map(({ type }) => type)).toContain('room.invited');
  expect(() => bob.chat.say(id, { text: 'too early' })).toThrow(expect.objectContaining({ code: 'forbidden' }));
  await bob.chat.rooms.join(id);
  await carol.room(id, ({ standing }) => standing === 'invited');
  expect(await carol.chat.rooms.decline(id)).toMatchObject({ standing: 'declined' });
  await alice.room(id, (room) => room.members.length === 2 && room.invited.length === 0);
  expect(alice.roomEvents.map(({ type }) => type)).toContain('room.joined');

  later();
  const { id: said, to } = alice.chat.say(id, { text: 'hello' });
  expect(to).toEqual([bob.id]);
  await alice.seen('message.delivered');
  expect(alice.chat.show(said)).toMatchObject({ state: 'delivered', room: 'team', recipients: [{ account: bob.id }] });
  expect(alice.chat.show(said).evidence).toMatchObject([{ account: bob.id, state: 'delivered', entry: said }]);
  bob.chat.say(id, { text: 'hello yourself' });
  await alice.seen('message.received');
  expect(alice.said(id)).toEqual(['hello', 'hello yourself']);
  expect(bob.said(id)).toEqual(alice.said(id));
  bob.chat.markRead(said);
  await alice.seen('message.read');
  expect(carol.chat.list({ limit: 10 })).toEqual([]);
});

test('the home tracker down: members talk, a change waits and says so, and goes out by itself [R-40]', async () => {
  const id = await roomOf([bob]);
  home.stop();
  await alice.until(() => ![...alice.links].some(({ peer }) => peer === home.key.id));
  later();
  alice.chat.say(id, { text: 'without it' });
  await alice.seen('message.delivered');
  const waiting = await alice.chat.rooms.invite(id, carol.id);
  expect(waiting).toMatchObject({ waiting: [{ type: 'invite', target: carol.id }], invited: [] });
  await expect(alice.chat.rooms.invite(id, carol.id)).rejects.toMatchObject({ code: 'exists' });
  await alice.restart();
  expect(alice.chat.rooms.show(id).waiting).toHaveLength(1);
  await home.boot();
  await carol.room(id, ({ standing }) => standing === 'invited');
  await alice.room(id, (room) => room.waiting.length === 0 && room.invited.length === 1);
});

test('a room made while the tracker is down is a room, and its invitations go out later', async () => {
  home.stop();
  const { id, waiting } = await alice.chat.rooms.create('early', { members: [bob.id] });
  expect(waiting.map(({ type }) => type)).toEqual(['create', 'invite']);
  alice.chat.say(id, { text: 'to myself' });
  await home.boot();
  await bob.room(id, ({ standing }) => standing === 'invited');
  await bob.chat.rooms.join(id);
  await bob.until(() => bob.said(id).length === 1);
});

test('an author who left for ever is heard through another member, and learns of it through one too [R-20] [R-21]', async () => {
  const id = await roomOf([bob, carol]);
  for (const each of [alice, bob, carol]) each.cut();
  bob.online = false;
  later();
  const { id: said } = alice.chat.say(id, { text: 'my last words' });
  await carol.seen('message.received');
  await alice.until(() =>
    alice.chat.show(said).recipients.some(({ account, state }) => account === carol.id && state === 'delivered'),
  );
  alice.online = false;
  alice.cut();
  bob.online = true;
  await bob.link(carol);
  await bob.until(() => bob.said(id).includes('my last words'));
  // Bob's receipt went to Carol; Alice, who comes back and meets only Carol, gets it from her.
  bob.online = false;
  bob.cut();
  alice.online = true;
  await alice.link(carol);
  await alice.until(() => alice.chat.show(said).state === 'delivered');
  expect(alice.chat.waiting()).toBe(0);
});

test('a member who is linked with one other only gets what others say, from that one', async () => {
  const id = await roomOf([bob, carol]);
  for (const each of [alice, bob, carol]) each.cut();
  bob.dial = async () => Promise.reject(new Error('no way'));
  alice.dial = async (account) => {
    if (account === bob.id) throw new Error('no way');
    return (await alice.link(carol))[0];
  };
  await carol.link(bob);
  later();
  alice.chat.say(id, { text: 'around the corner' });
  await bob.until(() => bob.said(id).includes('around the corner'));
  await alice.seen('message.delivered');
});

test('one who was removed reads nothing new, writes nothing, and all keep the same of what they wrote [R-10]', async () => {
  const id = await roomOf([bob, carol]);
  later();
  bob.chat.say(id, { text: 'stands' });
  await bob.seen('message.delivered');
  for (const each of [alice, carol]) await each.until(() => each.said(id).includes('stands'));
  // What Alice has not seen when she removes Bob does not stand, also where it arrived.
  alice.online = false;
  alice.cut();
  await alice.meet(home);
  const { id: late } = bob.chat.say(id, { text: 'falls' });
  await carol.until(() => carol.said(id).includes('falls'));
  await alice.chat.rooms.remove(id, bob.id);
  await carol.until(() => !carol.said(id).includes('falls'));
  await bob.room(id, ({ standing }) => standing === 'removed');
  expect(bob.chat.show(late).state).toBe('failed');
  expect(() => bob.chat.say(id, { text: 'again' })).toThrow(expect.objectContaining({ code: 'forbidden' }));
  alice.online = true;
  await alice.link(carol);
  await alice.link(bob);
  later();
  alice.chat.say(id, { text: 'among us' });
  await carol.until(() => carol.said(id).includes('among us'));
  expect(carol.said(id)).toEqual(['stands', 'among us']);
  expect(alice.said(id)).toEqual(['stands', 'among us']);
  expect(bob.said(id)).not.toContain('among us');
});

test('an invitation taken back cannot be accepted; asked again it can [R-9]', async () => {
  const { id } = await alice.chat.rooms.create('team', { members: [bob.id] });
  await bob.room(id, ({ standing }) => standing === 'invited');
  bob.cut();
  await alice.chat.rooms.remove(id, bob.id);
  await bob.chat.rooms.join(id); // Bob does not know yet: it waits
  await bob.meet(home);
  await bob.until(() => bob.roomEvents.some(({ type }) => type === 'room.refused'));
  expect(bob.chat.rooms.show(id)).toMatchObject({ standing: 'removed', waiting: [] });
  await alice.chat.rooms.invite(id, bob.id);
  await bob.room(id, ({ standing }) => standing === 'invited');
  expect((await bob.chat.rooms.join(id)).standing).toBe('member');
});

test.each<[History, string[]]>([
  ['all', ['a1', 'b1', 'a2', 'b2', 'after']],
  [{ last: 2 }, ['a2', 'b2', 'after']],
  ['none', ['after']],
])(
  'a new member gets of the history: %j, also from one who did not write it [R-30] [R-31]',
  async (history, expected) => {
    const id = await roomOf([bob], history);
    for (const text of ['a1', 'b1', 'a2', 'b2']) {
      later();
      const [me, other] = text.startsWith('a') ? [alice, bob] : [bob, alice];
      me.chat.say(id, { text });
      await other.until(() => other.said(id).includes(text));
    }
    later();
    await alice.chat.rooms.invite(id, carol.id);
    alice.online = false; // from here on Bob alone can give it
    alice.cut();
    await carol.room(id, ({ standing }) => standing === 'invited');
    await carol.chat.rooms.join(id);
    await bob.room(id, (room) => room.members.length === 3);
    later();
    bob.chat.say(id, { text: 'after' });
    await carol.until(() => carol.said(id).length === expected.length);
    expect(carol.said(id)).toEqual(expected);
  },
);

test('who knows of a join writes after it, also with a clock that is behind [R-32]', async () => {
  let behind = 0;
  bob = await world.person('slow', { clock: { now: () => world.now - behind } });
  const id = await roomOf([bob], 'none');
  behind = 240_000;
  later();
  await alice.chat.rooms.invite(id, carol.id);
  await carol.room(id, ({ standing }) => standing === 'invited');
  await carol.chat.rooms.join(id);
  await bob.room(id, (room) => room.members.length === 3);
  bob.chat.say(id, { text: 'for her too' });
  await carol.until(() => carol.said(id).includes('for her too'));
  const [entry] = carol.chat.list({ account: id, limit: 1 });
  expect(entry?.at).toBeGreaterThanOrEqual(world.now);
});

test('the last owner stays until there is another, or closes it; then nobody writes [R-8] [R-11]', async () => {
  const id = await roomOf([bob]);
  await expect(alice.chat.rooms.leave(id)).rejects.toMatchObject({ code: 'wrong_state' });
  await expect(bob.chat.rooms.close(id)).rejects.toMatchObject({ code: 'forbidden' });
  await expect(bob.chat.rooms.invite(id, carol.id)).rejects.toMatchObject({ code: 'forbidden' });
  await alice.chat.rooms.role(id, bob.id, 'owner');
  await bob.room(id, ({ standing }) => standing === 'owner');
  expect((await alice.chat.rooms.leave(id)).standing).toBe('left');
  await bob.room(id, ({ members }) => members.length === 1);
  expect(await bob.chat.rooms.close(id)).toMatchObject({ closed: true });
  expect(() => bob.chat.say(id, { text: 'x' })).toThrow(expect.objectContaining({ code: 'wrong_state' }));
});

test('two moderators who remove each other: the first in the order stays, on every member [R-9]', async () => {
  const id = await roomOf([bob, carol]);
  for (const each of [bob, carol]) {
    await alice.chat.rooms.role(id, each.id, 'moderator');
    await each.room(id, ({ standing }) => standing === 'moderator');
  }
  await bob.room(id, ({ number }) => number === 6);
  bob.cut();
  await bob.chat.rooms.remove(id, carol.id); // waits: Bob has no link
  await carol.chat.rooms.remove(id, bob.id);
  await bob.meet(home);
  await bob.room(id, ({ standing, waiting }) => standing === 'removed' && waiting.length === 0);
  await alice.room(id, ({ members }) => members.length === 2);
  expect(
    carol.chat.rooms
      .show(id)
      .members.map(({ account }) => account)
      .sort(),
  ).toEqual([alice.id, carol.id].sort());
});

test('forged, unauthorised and foreign changes are refused by the tracker with their codes [R-6] [R-7]', async () => {
  const id = await roomOf([bob]);
  const mallory = await world.person('mallory');
  const [link] = mallory.links;
  const { number: base } = alice.chat.rooms.show(id);
  const blank = { conversation: id, target: null, role: null, upTo: null, base, at: world.now };
  const refused = async (change: ReturnType<typeof signChange>): Promise<string> =>
    (await link?.request(changeRoom, { change }).then(
      () => 'ordered',
      (error) => error.code,
    )) ?? 'no link';
  const invite = { ...blank, type: 'invite' as const, target: mallory.id, role: 'member' as const };
  expect(await refused(signChange(mallory.key, invite))).toBe('forbidden');
  expect(await refused({ ...signChange(mallory.key, invite), author: alice.id })).toBe('forbidden');
  await expect(link?.request(roomLog, { conversation: id, after: 0 })).rejects.toMatchObject({ code: 'forbidden' });
  const [own] = bob.links;
  const forged = { ...signChange(bob.key, { ...blank, type: 'leave', upTo: 0 }), upTo: 7 };
  await expect(own?.request(changeRoom, { change: forged })).rejects.toMatchObject({ code: 'bad_signature' });
  const foreign = signCreation(mallory.key, { name: 'x', home: Key.generate().id, history: 'all', at: 1, nonce: 'n' });
  await expect(link?.request(createRoom, { creation: foreign })).rejects.toMatchObject({ code: 'forbidden' });
});

test('ten thousand invitations of a stranger are refused with a code, soon before anything is looked up [R-12]', async () => {
  const mallory = await world.person('mallory');
  const { id } = await mallory.chat.rooms.create('spam');
  const [link] = mallory.links;
  const codes = new Map<string, number>();
  for (let n = 0; n < 10_000; n += 50) {
    const calls = Array.from({ length: 50 }, () => {
      const target = alice.id;
      const change = { conversation: id, author: mallory.id, type: 'invite' as const, target, role: 'member' as const };
      return link
        ?.request(changeRoom, { change: { ...change, upTo: null, base: 0, at: n, sig: 'x'.repeat(86) } })
        .catch((error) => {
          codes.set(error.code, (codes.get(error.code) ?? 0) + 1);
        });
    });
    await Promise.all(calls);
  }
  expect([...codes.keys()].sort()).toEqual(['bad_signature', 'too_many']);
  expect(codes.get('too_many')).toBeGreaterThan(9_800);
  const { id: still } = await alice.chat.rooms.create('unharmed');
  expect(alice.chat.rooms.show(still).waiting).toEqual([]);
});

test('a tracker that signs two changes for one number is found out, and no more is believed of it [R-5]', async () => {
  const id = await roomOf([bob]);
  const tracker = [...alice.links].find((each) => each.peer === home.key.id) ?? expect.fail('no link to the tracker');
  const { creation, ordered } = await tracker.request(roomLog, { conversation: id, after: 0 });
  const [first] = ordered;
  const change = signChange(alice.key, {
    conversation: id,
    type: 'close',
    target: null,
    role: null,
    upTo: null,
    base: 0,
    at: 1,
  });
  const other = signOrdered(home.key, { conversation: id, number: 1, prev: id, change, at: first?.at ?? 0 });
  const [link] = await carol.link(bob);
  await expect(link.request(giveOrder, { creation, ordered: [other] })).rejects.toMatchObject({ code: 'forked' });
  expect(bob.roomEvents.at(-1)).toMatchObject({ type: 'room.forked', event: { error: { code: 'forked' } } });
  expect(bob.chat.rooms.show(id)).toMatchObject({ closed: false, error: { code: 'forked' } });
  await expect(bob.chat.rooms.leave(id)).rejects.toMatchObject({ code: 'forked' });
  later();
  bob.chat.say(id, { text: 'we go on' });
  await bob.seen('message.delivered');
});

test('a tracker that lost its disk learns its own order again from members, and goes on from there [R-5]', async () => {
  const id = await roomOf([bob]);
  const { number } = alice.chat.rooms.show(id);
  home.stop();
  for (const suffix of ['', '-wal', '-shm']) rmSync(`${home.file}${suffix}`, { force: true });
  await home.boot();
  await alice.chat.rooms.invite(id, carol.id);
  await carol.room(id, ({ standing }) => standing === 'invited');
  await bob.room(id, (room) => room.number === number + 1 && room.error === null);
});

test('a stranger’s order of a room is not taken where its home is no tracker of this node [R-22]', async () => {
  const elsewhere = Key.generate();
  const creation = signCreation(carol.key, { name: 'x', home: elsewhere.id, history: 'all', at: 1, nonce: 'n' });
  const [link] = await carol.link(bob);
  await expect(link.request(giveOrder, { creation, ordered: [] })).rejects.toMatchObject({ code: 'forbidden' });
  const here = signCreation(carol.key, { name: 'x', home: home.key.id, history: 'all', at: 1, nonce: 'n' });
  await expect(link.request(giveOrder, { creation: here, ordered: [] })).rejects.toMatchObject({ code: 'forbidden' });
  expect(bob.chat.rooms.list()).toEqual([]);
});

test('whatever happens to links, members and the tracker: in the end all have the same, once, and every state is true', async () => {
  const what = fc.constantFrom(
    'say',
    'say',
    'say',
    'cut',
    'link',
    'restart',
    'away',
    'back',
    'tracker',
    'role',
    'turn',
    'turn',
  );
  const steps = fc.array(fc.record({ what, who: fc.nat(2), whom: fc.nat(2) }), { minLength: 5, maxLength: 25 });
  const property = fc.asyncProperty(steps, async (plan) => {
    await using own = new World();
    const tracker = await own.tracker();
    const people = [await own.person('a'), await own.person('b'), await own.person('c')] as const;
    const [a, ...others] = people;
    const { id } = await a.chat.rooms.create('team', { members: others.map((each) => each.id) });
    for (const each of others) {
      await each.room(id, ({ standing }) => standing === 'invited');
      await each.chat.rooms.join(id);
    }
    for (const each of people) await each.room(id, ({ members }) => members.length === 3);
    let said = 0;
    for (const { what, who, whom } of plan) {
      const [me, other] = [people[who] ?? a, people[whom] ?? a];
      own.now += 7;
      if (what === 'say') me.chat.say(id, { text: `${said++}` });
      if (what === 'cut') me.cut();
      if (what === 'link' && me !== other && me.online && other.online) await me.link(other).catch(() => {});
      if (what === 'restart') await me.restart();
      if (what === 'away') me.online = false;
      if (what === 'back') me.online = true;
      if (what === 'tracker') await (tracker.up ? tracker.stop() : tracker.boot());
      if (what === 'role' && me !== a) {
        // Without the tracker it waits, and the same one twice is refused.
        await a.chat.rooms.role(id, me.id, whom === 0 ? 'member' : 'moderator').catch(() => {});
      }
      if (what === 'turn') await new Promise((resolve) => setImmediate(resolve));
    }
    if (tracker.up) tracker.stop();
    await tracker.boot();
    for (const each of people) each.online = true;
    for (const [me, other] of [
      [people[0], people[1]],
      [people[1], people[2]],
    ] as const)
      await me.link(other);
    for (const each of people) {
      await each.until(() => each.said(id).length === said && each.chat.waiting() === 0);
      await each.room(id, ({ waiting }) => waiting.length === 0);
    }
    const ids = (each: Person): string[] => each.chat.list({ account: id, limit: 1000 }).map((message) => message.id);
    for (const each of people) {
      expect(ids(each)).toEqual(ids(a));
      const received = each.events.filter(({ type }) => type === 'message.received').map(({ message }) => message.id);
      expect(new Set(received).size).toBe(received.length);
      const mine = each.chat.list({ account: id, limit: 1000 }).filter(({ author }) => author === each.id);
      expect(mine.every(({ state }) => state === 'delivered')).toBe(true);
      await each.until(() => each.chat.rooms.show(id).number === a.chat.rooms.show(id).number);
      expect(each.chat.rooms.show(id).members).toEqual(a.chat.rooms.show(id).members);
    }
  });
  await fc.assert(property, { numRuns: 12 });
});
