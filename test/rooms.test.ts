/** Rooms on real trackers and nodes, over TLS on loopback. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Tracker } from '../src/tracker/tracker.ts';
import { type Member, TestNet, until } from './testnet.ts';

let net: TestNet;
let tracker: Tracker;

beforeEach(async () => {
  net = await TestNet.create();
  tracker = await net.tracker();
});
afterEach(() => net[Symbol.asyncDispose]());

const texts = async (member: Member): Promise<string[]> =>
  (await member.client.messages.list({ handle: '#team', limit: 1000 })).map(({ text }) => text);

const joins = async (member: Member): Promise<void> => {
  await member.event('room.invited');
  await member.client.rooms.join({ room: 'team' });
};

const hears = (member: Member, text: string): Promise<unknown> =>
  until(
    () => texts(member),
    (list) => list.includes(text),
  );

test('create, invite, join, talk, remove: at every step each sees the same [R-6] [R-10]', async () => {
  const alice = await net.member('alice', tracker);
  const bob = await net.member('bob', tracker);
  const carol = await net.member('carol', tracker);
  const room = await alice.client.rooms.create({ name: 'team', members: 'bob, carol' });
  expect(room).toMatchObject({ name: 'team', standing: 'owner', waiting: [], history: 'all' });
  expect(room.invited.map(({ handle }) => handle).sort()).toEqual(['bob@lab', 'carol@lab']);
  for (const each of [bob, carol]) await joins(each);
  for (const each of [alice, bob, carol]) {
    await until(
      () => each.client.rooms.show({ room: '#team' }),
      ({ members }) => members.length === 3,
    );
  }
  for (const each of [alice, bob, carol])
    await each.client.messages.say({ handle: '#team', text: `I am ${each.name}` });
  for (const each of [alice, bob, carol]) {
    const all = await until(
      () => texts(each),
      (list) => list.length === 3,
    );
    expect(all).toEqual(await texts(alice));
  }
  const [mine] = await until(
    () => alice.client.messages.list({ handle: room.id, limit: 1 + 2 }),
    (list) => list.some(({ from, state }) => from === 'alice@lab' && state === 'delivered'),
  );
  expect(mine).toMatchObject({ to: '#team', room: 'team', conversation: room.id });

  await alice.client.rooms.remove({ room: 'team', handle: 'carol' });
  await until(
    () => carol.client.rooms.show({ room: room.id }),
    ({ standing }) => standing === 'removed',
  );
  await expect(carol.client.messages.say({ handle: '#team', text: 'x' })).rejects.toMatchObject({ code: 'forbidden' });
  await until(
    () => bob.client.rooms.show({ room: 'team' }),
    ({ members }) => members.length === 2,
  );
  await bob.client.messages.say({ handle: '#team', text: 'without her' });
  await hears(alice, 'without her');
  expect(await texts(carol)).not.toContain('without her');
  await expect(bob.client.rooms.remove({ room: 'team', handle: 'alice' })).rejects.toMatchObject({ code: 'forbidden' });
  await expect(bob.client.rooms.show({ room: 'nothing' })).rejects.toMatchObject({ code: 'unknown_id' });
  await alice.client.rooms.role({ room: 'team', handle: 'bob', role: 'owner' });
  expect(await alice.client.rooms.leave({ room: 'team' })).toMatchObject({ standing: 'left' });
});

test('the home tracker dies: members talk, a change waits; it comes back: the change is ordered by itself [R-40]', async () => {
  const alice = await net.member('alice', tracker);
  const bob = await net.member('bob', tracker);
  const carol = await net.member('carol', tracker);
  await alice.client.rooms.create({ name: 'team', members: 'bob' });
  await joins(bob);
  await until(
    () => alice.client.rooms.show({ room: 'team' }),
    ({ members }) => members.length === 2,
  );
  const { port } = tracker;
  await alice.client.people.find({ handle: 'carol' });
  await net.stop(tracker);
  await until(
    () => alice.client.status.show(),
    ({ trackers }) => trackers[0]?.state === 'down',
  );
  await bob.client.messages.say({ handle: '#team', text: 'without it' });
  await hears(alice, 'without it');
  const waiting = await alice.client.rooms.invite({ room: 'team', handle: carol.node.account });
  expect(waiting.waiting).toMatchObject([{ type: 'invite', target: 'carol@lab' }]);
  tracker = await net.tracker({ port });
  await joins(carol);
  await until(
    () => bob.client.rooms.show({ room: 'team' }),
    ({ members, number }) => members.length === 3 && number === 4,
  );
  expect((await alice.client.rooms.show({ room: 'team' })).waiting).toEqual([]);
});

test('Alice writes, Carol gets it, Alice leaves for ever, Bob gets it from Carol [R-20]', async () => {
  const alice = await net.member('alice', tracker);
  const bob = await net.member('bob', tracker);
  const carol = await net.member('carol', tracker);
  await alice.client.rooms.create({ name: 'team', members: 'bob,carol' });
  for (const each of [bob, carol]) await joins(each);
  await until(
    () => alice.client.rooms.show({ room: 'team' }),
    ({ members }) => members.length === 3,
  );
  await net.stop(bob);
  await alice.client.messages.say({ handle: '#team', text: 'for all of you' });
  await hears(carol, 'for all of you');
  await net.stop(alice);
  const back = await net.member('bob', tracker);
  await hears(back, 'for all of you');
});

test('a file sent to a room is fetched by each member from who sent it', async () => {
  const alice = await net.member('alice', tracker);
  const bob = await net.member('bob', tracker);
  const carol = await net.member('carol', tracker);
  await alice.client.rooms.create({ name: 'team', members: 'bob,carol' });
  for (const each of [bob, carol]) await joins(each);
  await until(
    () => alice.client.rooms.show({ room: 'team' }),
    ({ members }) => members.length === 3,
  );
  const path = join(net.folder, 'notes.txt');
  await writeFile(path, 'for all of you');
  const sent = await alice.client.files.send({ handle: '#team', path });
  expect(sent.to).toBe('#team');
  for (const each of [bob, carol]) {
    const { data } = await each.event('file.offered');
    await each.client.files.accept({ id: String(data.id) });
    const done = await until(
      () => each.client.files.show({ id: String(data.id) }),
      ({ state }) => state === 'done',
    );
    expect(await readFile(done.path, 'utf8')).toBe('for all of you');
  }
  const [message] = await alice.client.messages.list({ handle: '#team' });
  expect(message).toMatchObject({ file: sent.id, text: 'notes.txt', room: 'team' });
});

test('a node without a tracker can make no room, and says why', async () => {
  const alone = await net.member('alone', undefined);
  await expect(alone.client.rooms.create({ name: 'team' })).rejects.toMatchObject({ code: 'tracker_down' });
  expect(await alone.client.rooms.list()).toEqual([]);
});
