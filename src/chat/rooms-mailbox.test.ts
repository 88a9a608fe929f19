/** Rooms and letters: who is away gets what was said, also from an author who has gone, and before knowing the room. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Home, type Person, World } from './fixture.ts';
import { PostOffice } from './fixture-mail.ts';

let undo: AsyncDisposableStack;
let world: World;
let office: PostOffice;
let home: Home;
let alice: Person;
let bob: Person;

beforeEach(async () => {
  undo = new AsyncDisposableStack();
  world = undo.use(new World());
  office = undo.use(new PostOffice(world));
  home = await world.tracker();
  alice = await world.person('alice', { post: office.post });
  bob = await world.person('bob', { post: office.post });
});
afterEach(() => undo.disposeAsync());

const held = (who: Person): number => office.letters.totals(`to ${who.id}`).letters;

async function away(who: Person): Promise<void> {
  who.online = false;
  await who.stop();
}

/** A room of alice's in which bob is, and bob is away. */
async function roomWithoutBob(): Promise<string> {
  const { id } = await alice.chat.rooms.create('team', { members: [bob.id] });
  await bob.room(id, ({ standing }) => standing === 'invited');
  await bob.chat.rooms.join(id);
  await alice.room(id, ({ members }) => members.length === 2);
  await away(bob);
  world.now += 1000;
  return id;
}

test('of each recipient it is said whether it is held, and the last member who has it may leave for ever [M-11] [M-12]', async () => {
  const carol = await world.person('carol', { post: office.post });
  const id = await roomWithoutBob();
  await alice.chat.rooms.invite(id, carol.id);
  await carol.room(id, ({ standing }) => standing === 'invited');
  await carol.chat.rooms.join(id);
  await alice.room(id, ({ members }) => members.length === 3);
  world.now += 1000;
  const { id: said } = alice.chat.say(id, { text: 'hello' });
  const states = (): unknown =>
    Object.fromEntries(alice.chat.show(said).recipients.map(({ account, state }) => [account, state]));
  await expect.poll(states).toEqual({ [bob.id]: 'held', [carol.id]: 'delivered' });
  expect(alice.chat.show(said).state).toBe('held');
  for (const each of [alice, carol]) await away(each);
  bob.boot();
  await bob.meet(home);
  await office.open(bob);
  await bob.until(() => bob.said(id).includes('hello'));
  await expect.poll(() => held(bob)).toBe(0);
});

test('a letter of a room that is not known yet waits where it is, and is taken once the room is known [M-12]', async () => {
  const id = await roomWithoutBob();
  alice.chat.say(id, { text: 'hello' });
  await alice.seen('message.held');
  await away(alice);
  home.stop();
  // Bob's home is an old copy: it knows nothing of the room.
  for (const table of ['room_order', 'room_terms', 'rooms', 'members', 'conversations']) bob.erase(table);
  bob.boot();
  await office.open(bob);
  await bob.until(() => bob.logged.includes('a letter’s entry is refused'));
  expect(held(bob)).toBe(1);
  await home.boot();
  await bob.until(() => bob.chat.rooms.has(id) && bob.said(id).includes('hello'));
  await expect.poll(() => held(bob)).toBe(0);
});

test('a letter that comes before the word that this account has joined waits, too [M-12]', async () => {
  const id = await roomWithoutBob();
  alice.chat.say(id, { text: 'hello' });
  await alice.seen('message.held');
  await away(alice);
  home.stop();
  // Bob's machine died after the tracker had ordered that he joined, and before he heard of it.
  bob.erase('room_order', 'number > 1');
  bob.erase('members', `account = '${bob.id}'`);
  bob.boot();
  expect(bob.chat.rooms.show(id).standing).toBe('invited');
  await office.open(bob);
  await bob.until(() => bob.logged.includes('a letter’s entry is refused'));
  expect(held(bob)).toBe(1);
  await home.boot();
  await bob.until(() => bob.said(id).includes('hello'));
  await expect.poll(() => held(bob)).toBe(0);
});

test('an invitation by somebody who is blocked is told to nobody and listed nowhere, until they are let in again', async () => {
  bob.blocked.add(alice.id);
  const { id } = await alice.chat.rooms.create('team', { members: [bob.id] });
  await bob.room(id, ({ standing }) => standing === 'invited');
  expect(bob.roomEvents).toEqual([]);
  expect(bob.chat.rooms.list()).toEqual([]);
  expect(() => bob.chat.rooms.find('#team')).toThrow(expect.objectContaining({ code: 'unknown_id' }));
  bob.blocked.delete(alice.id);
  expect(bob.chat.rooms.list()).toMatchObject([{ id, standing: 'invited', invitedBy: alice.id }]);
  expect((await bob.chat.rooms.join(id)).standing).toBe('member');
});

test('what somebody who is blocked writes in a shared room comes by way of another member, and is shown', async () => {
  const carol = await world.person('carol', { post: office.post });
  const { id } = await alice.chat.rooms.create('team', { members: [bob.id, carol.id] });
  for (const each of [bob, carol]) {
    await each.room(id, ({ standing }) => standing === 'invited');
    await each.chat.rooms.join(id);
  }
  for (const each of [alice, bob, carol]) await each.room(id, ({ members }) => members.length === 3);
  bob.blocked.add(alice.id);
  for (const each of [alice, bob, carol]) each.cut();
  world.now += 1000;
  alice.chat.say(id, { text: 'for all' });
  await carol.until(() => carol.said(id).includes('for all'));
  await bob.link(carol);
  await bob.until(() => bob.said(id).includes('for all'));
});
