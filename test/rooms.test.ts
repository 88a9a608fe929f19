/** Rooms on real trackers and nodes, over TLS on loopback. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { verifyExport } from '../src/chat/export.ts';
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

/** Alice's room, in which Bob and Carol are. */
async function team(): Promise<Record<'alice' | 'bob' | 'carol', Member>> {
  const alice = await net.member('alice', tracker);
  const bob = await net.member('bob', tracker);
  const carol = await net.member('carol', tracker);
  await alice.client.rooms.create({ name: 'team', members: ['bob', 'carol'] });
  for (const each of [bob, carol]) await joins(each);
  await until(
    () => alice.client.rooms.show({ room: 'team' }),
    ({ members }) => members.length === 3,
  );
  return { alice, bob, carol };
}

test('create, invite, join, talk, remove: at every step each sees the same [R-6] [R-10]', async () => {
  const alice = await net.member('alice', tracker);
  const bob = await net.member('bob', tracker);
  const carol = await net.member('carol', tracker);
  const room = await alice.client.rooms.create({ name: 'team', members: ['bob', 'carol'] });
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
  await alice.client.rooms.create({ name: 'team', members: ['bob'] });
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
  const { alice, bob, carol } = await team();
  await net.stop(bob);
  await alice.client.messages.say({ handle: '#team', text: 'for all of you' });
  await hears(carol, 'for all of you');
  await net.stop(alice);
  const back = await net.member('bob', tracker);
  await hears(back, 'for all of you');
});

test('a file sent to a room is fetched by each member from who sent it', async () => {
  const { alice, bob, carol } = await team();
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

test('what entries do to each other works in a room as between two, at every member [H-1] [H-3] [H-6] [H-8]', async () => {
  const { alice, bob, carol } = await team();
  const said = await alice.client.messages.say({ handle: '#team', text: 'ask @carol, or @bob@lab' });
  for (const each of [bob, carol]) await each.event('message.received', ({ id }) => id === said.id);
  const [seen] = await carol.client.messages.list({ handle: '#team' });
  expect(seen).toMatchObject({ to: '#team', mentions: expect.arrayContaining(['bob@lab', 'carol@lab']) });
  const listed = (await carol.client.conversations.list()).find(({ id }) => id === said.conversation);
  expect(listed).toMatchObject({ kind: 'room', name: 'team', unread: 1, mentions: 1, last: { id: said.id } });

  await carol.client.messages.typing({ target: '#team' });
  await alice.event('message.typing', ({ from, on }) => from === 'carol@lab' && on === true);
  const answer = await carol.client.messages.reply({ id: said.id, text: 'here I am' });
  expect(answer).toMatchObject({ room: 'team', replyTo: said.id });
  await bob.client.messages.react({ id: said.id, emoji: '👍' });
  await carol.event('message.reaction', ({ id }) => id === said.id);
  await alice.client.messages.edit({ id: said.id, text: 'ask nobody' });
  for (const each of [bob, carol]) {
    const shown = await until(
      () => each.client.messages.show({ id: said.id, history: true }),
      ({ edited, reactions }) => edited !== null && reactions['👍'] !== undefined,
    );
    expect(shown).toMatchObject({ text: 'ask nobody', reactions: { '👍': ['bob@lab'] }, mentions: [] });
    expect(shown.history?.map(({ text }) => text)).toEqual(['ask @carol, or @bob@lab', 'ask nobody']);
  }
  await hears(bob, 'here I am');
  expect(await bob.client.messages.read({ target: '#team' })).toMatchObject({ name: 'team', unread: 0, mentions: 0 });
  await carol.client.messages.read({ target: said.id });
  await alice.event('message.read', ({ id }) => id === said.id);

  await bob.client.messages.say({ handle: 'alice', text: 'here, between us' });
  const found = await bob.client.messages.search({ query: 'here', in: '#team' });
  expect(found.map(({ id }) => id)).toEqual([answer.id]);
  expect(await bob.client.messages.search({ query: 'here', in: said.conversation, from: 'alice' })).toEqual([]);

  await expect(bob.client.messages.delete({ id: answer.id })).rejects.toMatchObject({ code: 'forbidden' });
  await alice.client.rooms.role({ room: 'team', handle: 'bob', role: 'moderator' });
  await until(
    () => bob.client.rooms.show({ room: 'team' }),
    ({ standing }) => standing === 'moderator',
  );
  expect(await bob.client.messages.delete({ id: answer.id })).toMatchObject({ deleted: true, text: '' });
  await carol.event('message.deleted', ({ id }) => id === answer.id);

  async function* lines(): AsyncGenerator<string> {
    for await (const { line } of await carol.client.conversations.export({ target: '#team' })) yield line;
  }
  expect(await verifyExport(lines())).toMatchObject({ conversation: said.conversation, gaps: 0 });
});

test('a message is named by the beginning of its id, and a file too, at every door alike', async () => {
  const alice = await net.member('alice', tracker);
  const bob = await net.member('bob', tracker);
  const ids: string[] = [];
  for (let n = 0; n < 3; n++) ids.push((await alice.client.messages.say({ handle: 'bob', text: `number ${n}` })).id);
  const [first = '', second = ''] = ids;
  const start = first.slice(0, 8);
  expect(await alice.client.messages.show({ id: start })).toMatchObject({ id: first, text: 'number 0' });
  expect((await alice.client.messages.list({ after: start })).map(({ id }) => id)).toEqual(ids.slice(1));
  expect((await alice.client.messages.list({ before: second.slice(0, 6) })).map(({ id }) => id)).toEqual([first]);
  expect(await alice.client.messages.reply({ id: start, text: 'more' })).toMatchObject({ replyTo: first });
  expect(await alice.client.messages.edit({ id: start, text: 'other' })).toMatchObject({ id: first, text: 'other' });
  expect(await alice.client.messages.react({ id: start, emoji: '👍' })).toMatchObject({ id: first });
  expect(await alice.client.messages.delete({ id: start })).toMatchObject({ id: first, deleted: true });
  expect(await alice.client.messages.search({ query: 'number', before: second.slice(0, 6) })).toEqual([]);
  await hearsFrom(bob, second);
  expect(await bob.client.messages.read({ target: second.slice(0, 8) })).toMatchObject({ unread: 2 });
  for (const id of [first.slice(0, 5), 'zzzzzz', `${start}0`]) {
    await expect(alice.client.messages.show({ id })).rejects.toMatchObject({ code: 'unknown_id' });
  }
  const path = join(net.folder, 'notes.txt');
  await writeFile(path, 'notes');
  const sent = await alice.client.files.send({ handle: 'bob', path });
  expect(await alice.client.files.show({ id: sent.id.slice(0, 6) })).toMatchObject({ id: sent.id });
  await expect(alice.client.files.cancel({ id: 'zzzzzz' })).rejects.toMatchObject({ code: 'unknown_id' });
});

const hearsFrom = (member: Member, id: string): Promise<unknown> =>
  member.event('message.received', (data) => data.id === id);

test('a member who was away gets an entry from the mailbox after its author, the only other one, has gone for ever [M-11] [M-12]', async () => {
  const alice = await net.member('alice', tracker);
  const bob = await net.member('bob', tracker);
  const room = await alice.client.rooms.create({ name: 'team', members: ['bob'] });
  await joins(bob);
  await until(
    () => alice.client.rooms.show({ room: 'team' }),
    ({ members }) => members.length === 2,
  );
  await net.stop(bob);
  const { id } = await alice.client.messages.say({ handle: '#team', text: 'for Bob' });
  const held = await until(
    () => alice.client.messages.show({ id }),
    ({ state }) => state === 'held',
  );
  expect(held).toMatchObject({
    recipients: [{ handle: 'bob@lab', state: 'held' }],
    held: [{ to: 'bob@lab', by: tracker.peer }],
    room: 'team',
  });
  await net.stop(alice);
  const back = await net.member('bob', tracker);
  await hears(back, 'for Bob');
  expect((await back.client.messages.list({ handle: room.id })).map((message) => message.id)).toEqual([id]);
});
