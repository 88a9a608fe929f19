import { afterEach, beforeEach, expect, test } from 'vitest';
import { Fault } from '../base/fault.ts';
import { type Person, World } from './fixture.ts';

let world: World;
let alice: Person;
let bob: Person;

beforeEach(async () => {
  world = new World();
  [alice, bob] = [await world.person('alice'), await world.person('bob')];
});
afterEach(() => world[Symbol.asyncDispose]());

test('nothing of a blocked account is taken or signed for; what was there stays, and the rest comes when it is let in [D-61]', async () => {
  bob.chat.say(alice.id, { text: 'before' });
  await bob.seen('message.delivered');
  alice.blocked.add(bob.id);
  bob.chat.say(alice.id, { text: 'meanwhile' });
  await bob.until(() => bob.links.size === 0); // alice ended the link with a goodbye
  expect(alice.texts(bob)).toEqual(['before']);
  expect(bob.states(alice)).toEqual(['delivered', 'queued']);
  alice.blocked.delete(bob.id);
  bob.chat.peerOnline(alice.id);
  await bob.seen('message.delivered', 2);
  expect(alice.texts(bob)).toEqual(['before', 'meanwhile']);
});

test('to a blocked account nothing is written, and the user is told how to change that', async () => {
  alice.blocked.add(bob.id);
  const fault = { code: 'wrong_state', message: expect.stringContaining('netapp people unblock') };
  expect(() => alice.chat.say(bob.id, { text: 'x' })).toThrow(expect.objectContaining(fault));
});

test('what waits for an account that is given up fails with its reason, and is never sent [D-57]', async () => {
  bob.online = false;
  alice.chat.say(bob.id, { text: 'one' });
  alice.chat.say(bob.id, { text: 'two' });
  alice.chat.abandon(bob.id, new Fault('key_changed', 'bob has another key'));
  expect(alice.chat.waiting()).toBe(0);
  const [one] = alice.chat.list({ account: bob.id, limit: 10 });
  expect(one).toMatchObject({ state: 'failed', recipients: [{ reason: { code: 'key_changed' } }] });
  expect(alice.states(bob)).toEqual(['failed', 'failed']);
  bob.online = true;
  await alice.link(bob);
  const said = alice.chat.say(bob.id, { text: 'three' });
  await alice.until(() => alice.chat.show(said.id).state === 'delivered');
  expect(bob.texts(alice)).toEqual(['three']);
});

test('those to whom one has written are contacts; those who only wrote to one are not', async () => {
  bob.chat.say(alice.id, { text: 'hello?' });
  await alice.seen('message.received');
  expect(alice.chat.contacts()).toEqual([]);
  alice.chat.say(bob.id, { text: 'hello' });
  expect(alice.chat.contacts()).toEqual([bob.id]);
});
