/** Accounts hosted by one node: among themselves, and with people on nodes of their own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import { openHosting } from '../src/agent/hosting.ts';
import type { Hosted, HostedBackend, HostedEvent, Hosting } from '../src/api/hosting.ts';
import { systemClock } from '../src/base/clock.ts';
import { silentLog } from '../src/base/log.ts';
import { Store } from '../src/base/sqlite.ts';
import { entryVerified } from '../src/chat/entry.ts';
import { receiptVerified } from '../src/chat/receipt.ts';
import { homePaths } from '../src/node/home.ts';
import { House } from '../src/node/hosting.ts';
import { restore } from '../src/node/restore.ts';
import type { Tracker } from '../src/tracker/tracker.ts';
import { type Member, TestNet, until } from './testnet.ts';

const quiet = { clock: systemClock, log: silentLog() };

/** A gateway's node, and what it hosts. */
class Gateway implements AsyncDisposable {
  readonly #net: TestNet;
  readonly member: Member;
  readonly hosting: Hosting;
  readonly events: HostedEvent[] = [];

  private constructor(net: TestNet, member: Member, hosting: Hosting) {
    this.#net = net;
    this.member = member;
    this.hosting = hosting;
    hosting.on((event) => this.events.push(event));
  }

  static async start(net: TestNet, tracker: Tracker, options: { ready?: boolean } = {}): Promise<Gateway> {
    const member = await net.member('gateway', tracker, options);
    return new Gateway(net, member, await openHosting(member.node, quiet));
  }

  /** Hosted accounts that are here. */
  online(...names: string[]): Promise<Hosted[]> {
    return Promise.all(
      names.map(async (name) => {
        const hosted = await this.hosting.open(name);
        await hosted.setOnline('online', '');
        return hosted;
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.hosting[Symbol.asyncDispose]();
    await this.#net.stop(this.member);
  }
}

type Talk = Pick<HostedBackend, 'rooms' | 'messages'>;

/** Joins once it is asked in, and waits until all are there for everybody. */
async function gather(room: string, members: readonly Talk[], joining: readonly Talk[]): Promise<void> {
  for (const each of joining) {
    await until(
      () => each.rooms.list(),
      (rooms) => rooms.some(({ id, standing }) => id === room && standing === 'invited'),
    );
    await each.rooms.join(room);
  }
  for (const each of members) {
    await until(
      () => each.rooms.show(room),
      (shown) => shown.members.length === members.length,
    );
  }
}

async function textsOf(who: Talk, conversation: string): Promise<string[]> {
  return (await who.messages.list(conversation, { limit: 100 })).map(({ text }) => text);
}

const has = (who: Talk, conversation: string, texts: readonly string[]): Promise<string[]> =>
  until(
    () => textsOf(who, conversation),
    (found) => JSON.stringify([...found].sort()) === JSON.stringify([...texts].sort()),
  );

test('hosted accounts and somebody on a node of their own talk in one room, and each state is proven [R-50] [R-51]', async () => {
  await using net = await TestNet.create();
  const tracker = await net.tracker();
  const carol = await net.member('carol', tracker);
  await using gateway = await Gateway.start(net, tracker);
  const [alice, bob] = await gateway.online('alice', 'bob');
  if (!alice || !bob) throw new Error('not both are here');
  expect(gateway.hosting.names()).toEqual(['alice', 'bob']);
  const room = await alice.backend.rooms.create('team', { members: ['bob', 'carol'], history: 'all' });
  await until(
    () => gateway.events,
    (all) => all.some((event) => event.type === 'invited' && event.account === bob.account),
  );
  await gather(room.id, [alice.backend, bob.backend, carol.backend], [bob.backend, carol.backend]);
  const said = await alice.say(room.id, 'from a hosted one');
  await carol.client.messages.say({ handle: room.id, text: 'from a node' });
  const both = ['from a hosted one', 'from a node'];
  for (const each of [alice.backend, bob.backend, carol.backend]) await has(each, room.id, both);

  // Bob has it with the row itself; Carol has signed for it.
  const sent = await until(
    () => alice.backend.messages.show(said.id),
    ({ state }) => state === 'delivered',
  );
  expect(sent.recipients?.map(({ handle, state }) => [handle, state]).sort()).toEqual([
    ['bob@lab', 'delivered'],
    ['carol@lab', 'delivered'],
  ]);

  // What Carol wrote is delivered once both have signed, whichever of them it was given to.
  const own = (await carol.backend.messages.list(room.id, { limit: 10 })).find(({ text }) => text === 'from a node');
  await until(
    () => carol.backend.messages.show(own?.id ?? ''),
    ({ state }) => state === 'delivered',
  );
  const { evidence } = carol.node.chat.show(own?.id ?? '');
  expect(evidence.map(({ account }) => account).sort()).toEqual([alice.account, bob.account].sort());
  expect(evidence.every(receiptVerified)).toBe(true);
  expect(gateway.hosting.get(alice.account)?.handle).toBe('alice@lab');
  // A door hears of each message once, with all whom it concerns.
  const heard = gateway.events.filter((event) => event.type === 'message');
  expect(heard.map(({ text, from, to }) => [text, from, [...to].sort()])).toEqual(
    expect.arrayContaining([
      ['from a hosted one', 'alice@lab', [alice.account, bob.account].sort()],
      ['from a node', 'carol@lab', [alice.account, bob.account].sort()],
    ]),
  );
  expect(heard).toHaveLength(2);
});

test('what waits for one who is not there goes out when they are, also after a restart of the gateway', async () => {
  await using net = await TestNet.create();
  const tracker = await net.tracker();
  let carol = await net.member('carol', tracker);
  {
    await using gateway = await Gateway.start(net, tracker);
    const [alice] = await gateway.online('alice');
    await alice?.backend.messages.say('carol', 'first', {});
    await has(carol.backend, 'alice', ['first']);
    await net.stop(carol);
    const held = await alice?.backend.messages.say('carol', 'second', {});
    const shown = await until(
      () => alice?.backend.messages.show(held?.id ?? ''),
      (message) => message?.state === 'held',
    );
    expect(shown?.held).toHaveLength(1);
    await alice?.backend.messages.say('carol', 'third', {});
  }
  await using gateway = await Gateway.start(net, tracker);
  carol = await net.member('carol', tracker);
  // Nobody has opened Alice again: what she said goes out all the same.
  await has(carol.backend, 'alice', ['first', 'second', 'third']);
  expect(gateway.hosting.names()).toEqual(['alice']);
  const [alice] = await gateway.online('alice');
  if (!alice) throw new Error('nobody is here');
  await until(
    () => alice.backend.messages.list('carol', { limit: 10 }),
    (all) => all.length === 3 && all.every(({ state }) => state === 'delivered'),
  );
  await carol.backend.messages.say('alice', 'an answer', {});
  await has(alice.backend, 'carol', ['first', 'second', 'third', 'an answer']);
});

test('a letter for a hosted account waits at the tracker while the gateway is gone', async () => {
  await using net = await TestNet.create();
  const tracker = await net.tracker();
  const carol = await net.member('carol', tracker);
  {
    await using gateway = await Gateway.start(net, tracker);
    const [alice] = await gateway.online('alice');
    await carol.backend.messages.say('alice', 'hello', {});
    if (alice) await has(alice.backend, 'carol', ['hello']);
  }
  const said = await carol.backend.messages.say('alice', 'while you were away', {});
  await until(
    () => carol.backend.messages.show(said.id),
    ({ state }) => state === 'held',
  );
  await net.stop(carol);
  await using gateway = await Gateway.start(net, tracker);
  const [alice] = await gateway.online('alice');
  if (alice) await has(alice.backend, 'carol', ['hello', 'while you were away']);
});

test('one who is offline at the gateway gets what is said all the same, and is shown as offline and hosted [D-90]', async () => {
  await using net = await TestNet.create();
  const tracker = await net.tracker();
  const carol = await net.member('carol', tracker);
  await using gateway = await Gateway.start(net, tracker);
  const [alice] = await gateway.online('alice');
  if (!alice) throw new Error('nobody is here');
  const shown = await until(
    () => carol.backend.people.list({}),
    (all) => all.some(({ handle, status }) => handle === 'alice@lab' && status === 'online'),
  );
  expect(shown.find(({ handle }) => handle === 'alice@lab')?.hosted).toBe(true);
  expect(shown.find(({ handle }) => handle === 'carol@lab')?.hosted).toBe(false);
  await alice.setOffline();
  await until(
    () => carol.backend.people.list({}),
    (all) => all.some(({ handle, status }) => handle === 'alice@lab' && status === 'offline'),
  );
  const said = await carol.backend.messages.say('alice', 'are you there?', {});
  await until(
    () => carol.backend.messages.show(said.id),
    ({ state }) => state === 'delivered',
  );
  expect(await textsOf(alice.backend, 'carol')).toEqual(['are you there?']);
  expect(alice.online).toBe(false);
  await alice.setOnline('away', 'tea');
  await until(
    () => carol.backend.people.list({}),
    (all) => all.some(({ handle, status, text }) => handle === 'alice@lab' && status === 'away' && text === 'tea'),
  );
});

test('the account of the gateway itself and those that it hosts talk as any others', async () => {
  await using net = await TestNet.create();
  const tracker = await net.tracker();
  await using gateway = await Gateway.start(net, tracker);
  const own = gateway.member.backend;
  const [alice, bob] = await gateway.online('alice', 'bob');
  if (!alice || !bob) throw new Error('not both are here');
  const said = await own.messages.say('alice', 'welcome', {});
  await has(alice.backend, 'gateway', ['welcome']);
  await until(
    () => own.messages.show(said.id),
    ({ state }) => state === 'delivered',
  );
  await bob.backend.messages.say('gateway', 'hello', {});
  await has(own, 'bob', ['hello']);
  // Of one connection of the node with itself, and of no link to somebody.
  const links = gateway.member.node.links().filter(({ peer }) => peer === gateway.member.node.id);
  expect(links.map(({ carrier, account }) => [carrier !== undefined, account?.handle]).sort()).toEqual([
    [true, 'alice@lab'],
    [true, 'bob@lab'],
  ]);
  const room = await own.rooms.create('all', { members: ['alice', 'bob'], history: 'all' });
  await gather(room.id, [own, alice.backend, bob.backend], [alice.backend, bob.backend]);
  const inRoom = await own.messages.say(room.id, 'to both', {});
  await alice.say(room.id, 'to all');
  for (const each of [own, alice.backend, bob.backend]) await has(each, room.id, ['to both', 'to all']);
  await until(
    () => own.messages.show(inRoom.id),
    ({ state }) => state === 'delivered',
  );
});

test('a name that a node’s user owns is refused, and its user is not disturbed', async () => {
  await using net = await TestNet.create();
  const tracker = await net.tracker();
  const carol = await net.member('carol', tracker);
  await using gateway = await Gateway.start(net, tracker);
  await expect(gateway.hosting.open('carol')).rejects.toMatchObject({ code: 'name_taken' });
  await expect(gateway.hosting.open('alice@elsewhere')).rejects.toMatchObject({ code: 'invalid_argument' });
  await expect(gateway.hosting.open('not a name')).rejects.toMatchObject({ code: 'invalid_argument' });
  expect(gateway.hosting.names()).toEqual([]);
  const [alice] = await gateway.online('alice');
  await alice?.backend.messages.say('carol', 'to the one on a node', {});
  await has(carol.backend, 'alice', ['to the one on a node']);
  expect((await gateway.hosting.open('Alice')).account).toBe(alice?.account);
  // And the other way round.
  await expect(net.member('alice', tracker)).rejects.toMatchObject({ code: 'name_taken' });
});

test('each hosted account sees its own conversations and nobody else’s [R-53]', async () => {
  await using net = await TestNet.create();
  const tracker = await net.tracker();
  await using gateway = await Gateway.start(net, tracker);
  const [alice, bob, eve] = await gateway.online('alice', 'bob', 'eve');
  if (!alice || !bob || !eve) throw new Error('not all are here');
  const direct = await alice.backend.messages.say('bob', 'between us: rosebud', {});
  const room = await alice.backend.rooms.create('secret', { members: ['bob'], history: 'none' });
  await gather(room.id, [alice.backend, bob.backend], [bob.backend]);
  const { id } = await alice.say(room.id, 'in the room: rosebud');

  const unknown = { code: 'unknown_id' };
  for (const message of [direct.id, id]) {
    await expect(eve.backend.messages.show(message)).rejects.toMatchObject(unknown);
    await expect(eve.backend.messages.show(message.slice(0, 10))).rejects.toMatchObject(unknown);
    await expect(eve.backend.messages.reply(message, 'x')).rejects.toMatchObject(unknown);
    await expect(eve.backend.messages.react(message, '👍', { off: false })).rejects.toMatchObject(unknown);
    await expect(eve.backend.messages.list(undefined, { limit: 10, after: message })).rejects.toMatchObject(unknown);
  }
  await expect(eve.backend.rooms.show(room.id)).rejects.toMatchObject(unknown);
  await expect(eve.backend.rooms.join('#secret')).rejects.toMatchObject(unknown);
  await expect(eve.say(room.id, 'x')).rejects.toMatchObject(unknown);
  await expect(eve.say(direct.conversation, 'x')).rejects.toMatchObject(unknown);
  expect(await eve.backend.messages.list(undefined, { limit: 100 })).toEqual([]);
  expect(await eve.backend.messages.search({ query: 'rosebud', limit: 10 }, {})).toEqual([]);
  expect(await eve.backend.conversations.list()).toEqual([]);
  expect(await eve.backend.rooms.list()).toEqual([]);
  expect(await bob.backend.messages.search({ query: 'rosebud', limit: 10 }, {})).toHaveLength(2);
  const lines = async (who: Hosted): Promise<number> => {
    let count = 0;
    for await (const _ of who.backend.conversations.export(room.id, { format: 'ndjson' })) count += 1;
    return count;
  };
  expect(await lines(bob)).toBeGreaterThan(2);
  await expect(lines(eve)).rejects.toMatchObject({ code: expect.stringMatching(/^unknown_/) });

  // Who joins a room without history sees what comes from then on; who left, what was said until then.
  await alice.backend.rooms.invite(room.id, 'eve', 'member', {});
  await gather(room.id, [alice.backend, bob.backend, eve.backend], [eve.backend]);
  await alice.say(room.id, 'for three');
  expect(await textsOf(eve.backend, room.id)).toEqual(['for three']);
  await expect(eve.backend.messages.show(id)).rejects.toMatchObject(unknown);
  expect(await textsOf(bob.backend, room.id)).toEqual(['in the room: rosebud', 'for three']);
  const open = await alice.backend.rooms.create('open', { members: ['eve'], history: 'all' });
  await gather(open.id, [alice.backend, eve.backend], [eve.backend]);
  await alice.say(open.id, 'you are here');
  await eve.backend.rooms.leave(open.id);
  await until(
    () => alice.backend.rooms.show(open.id),
    ({ members }) => members.length === 1,
  );
  await alice.say(open.id, 'and now you are not');
  expect(await textsOf(eve.backend, open.id)).toEqual(['you are here']);
  await expect(eve.say(open.id, 'x')).rejects.toMatchObject({ code: 'forbidden' });
});

test('a hosted account that joins a room of others has its history, and one that is removed gets no more', async () => {
  await using net = await TestNet.create();
  const tracker = await net.tracker();
  const carol = await net.member('carol', tracker);
  await using gateway = await Gateway.start(net, tracker);
  const [alice, bob] = await gateway.online('alice', 'bob');
  if (!alice || !bob) throw new Error('not both are here');
  const room = await carol.backend.rooms.create('old', { members: [], history: 'all' });
  for (const text of ['one', 'two', 'three']) await carol.backend.messages.say(room.id, text, {});
  await carol.backend.rooms.invite(room.id, 'alice', 'member', {});
  await gather(room.id, [carol.backend, alice.backend], [alice.backend]);
  await has(alice.backend, room.id, ['one', 'two', 'three']);
  // The second one finds it on the log that the first one stands on.
  await carol.backend.rooms.invite(room.id, 'bob', 'member', {});
  await gather(room.id, [carol.backend, alice.backend, bob.backend], [bob.backend]);
  expect(await textsOf(bob.backend, room.id)).toEqual(['one', 'two', 'three']);
  await bob.say(room.id, 'four');
  await has(carol.backend, room.id, ['one', 'two', 'three', 'four']);
  await carol.backend.rooms.remove(room.id, 'bob', {});
  await until(
    () => bob.backend.rooms.show(room.id),
    ({ standing }) => standing === 'removed',
  );
  await expect(bob.say(room.id, 'still here?')).rejects.toMatchObject({ code: 'forbidden' });
  await carol.backend.messages.say(room.id, 'without bob', {});
  await has(alice.backend, room.id, ['one', 'two', 'three', 'four', 'without bob']);
  expect(await textsOf(bob.backend, room.id)).toEqual(['one', 'two', 'three', 'four']);
  await carol.backend.rooms.close(room.id);
  await until(
    () => alice.backend.rooms.show(room.id),
    ({ closed }) => closed,
  );
  await expect(alice.say(room.id, 'x')).rejects.toMatchObject({ code: 'wrong_state' });
});

test('all write at once, the tracker restarts meanwhile: in the end everybody has all of it, in one order', {
  timeout: 120_000,
}, async () => {
  await using net = await TestNet.create();
  let tracker = await net.tracker();
  const { port } = tracker;
  const [carol, dave] = [await net.member('carol', tracker), await net.member('dave', tracker)];
  await using gateway = await Gateway.start(net, tracker);
  const [alice, bob, eve] = await gateway.online('alice', 'bob', 'eve');
  if (!alice || !bob || !eve) throw new Error('not all are here');
  const room = await alice.backend.rooms.create('all', { members: ['bob', 'carol', 'dave'], history: 'all' });
  const first = [alice.backend, bob.backend, carol.backend, dave.backend];
  await gather(room.id, first, first.slice(1));
  const count = 15;
  const speak = async (name: string, say: (text: string) => Promise<unknown>): Promise<void> => {
    for (let n = 0; n < count; n++) await say(`${name} ${n}`);
  };
  const speaking = [
    speak('alice', (text) => alice.say(room.id, text)),
    speak('bob', (text) => bob.say(room.id, text)),
    speak('carol', (text) => carol.backend.messages.say(room.id, text, {})),
    speak('dave', (text) => dave.backend.messages.say(room.id, text, {})),
  ];
  await net.stop(tracker);
  await bob.setOffline();
  tracker = await net.tracker({ port });
  await Promise.all(speaking);
  // One who comes late, when those who asked them in may have lost sight of the tracker for a moment.
  await alice.backend.rooms.invite(room.id, 'eve', 'member', {});
  const all = [...first, eve.backend];
  await gather(room.id, all, [eve.backend]);
  await eve.say(room.id, 'eve 0');
  const orders = await Promise.all(
    all.map((who) =>
      until(
        () => textsOf(who, room.id),
        (texts) => texts.length === 4 * count + 1,
        60_000,
      ),
    ),
  );
  for (const order of orders) expect(order).toEqual(orders[0]);
  await until(
    () => carol.backend.people.list({}),
    (people) => people.some(({ handle, status }) => handle === 'alice@lab' && status === 'online'),
  );
  // Each state comes true: what hosted ones wrote, and what others wrote for all hosted ones.
  for (const who of all) {
    await until(
      () => who.messages.list(room.id, { limit: 100 }),
      (messages) => messages.every(({ state }) => state === 'received' || state === 'delivered'),
      60_000,
    );
  }
});

test('unread, read, edits, reactions and events are each account’s own', async () => {
  await using net = await TestNet.create();
  const tracker = await net.tracker();
  await using gateway = await Gateway.start(net, tracker);
  const [alice, bob] = await gateway.online('alice', 'bob');
  if (!alice || !bob) throw new Error('not both are here');
  const { id, conversation } = await alice.backend.messages.say('bob', 'helo', {});
  const unread = async (who: Hosted): Promise<number | undefined> =>
    (await who.backend.conversations.list()).find((each) => each.id === conversation)?.unread;
  expect([await unread(alice), await unread(bob)]).toEqual([0, 1]);
  await bob.backend.messages.read('alice', {});
  expect([await unread(alice), await unread(bob)]).toEqual([0, 0]);
  expect((await alice.backend.messages.show(id)).state).toBe('read');
  await alice.backend.messages.edit(id, 'hello');
  await bob.backend.messages.react(id, '👍', { off: false });
  expect(await bob.backend.messages.show(id)).toMatchObject({ text: 'hello', reactions: { '👍': ['bob@lab'] } });
  const types = async (who: Hosted, match?: string[]): Promise<string[]> => {
    const found: string[] = [];
    const last = who.backend.events.last();
    for await (const { type, cursor } of await who.backend.events.follow({
      from: 0,
      match,
      signal: AbortSignal.timeout(5000),
    })) {
      found.push(type);
      if (cursor === last) break;
    }
    return found;
  };
  expect(await types(alice)).toEqual(['message.sent', 'message.read', 'message.edited', 'message.reaction']);
  expect(await types(bob)).toEqual(['message.received', 'message.edited', 'message.reaction']);
  expect(await types(bob, ['message.sent', 'message.re*'])).toEqual(['message.received', 'message.reaction']);
  const room = await alice.backend.rooms.create('team', { members: [], history: 'all' });
  await alice.backend.messages.say('#team', 'anybody here?', {});
  const inRoom = await types(alice, [`conversation:${room.id}`]);
  expect([inRoom[0], inRoom.at(-1)]).toEqual(['room.created', 'message.sent']);
  // Done once for a key, and for whose key it is.
  const once = { key: 'k' };
  const first = await alice.backend.messages.say('bob', 'once', once);
  expect((await alice.backend.messages.say('bob', 'once', once)).id).toBe(first.id);
  expect((await bob.backend.messages.say('alice', 'mine', once)).text).toBe('mine');
});

test('a file that is offered to a hosted account is a message with its name, and talk goes on', async () => {
  await using net = await TestNet.create();
  const tracker = await net.tracker();
  const carol = await net.member('carol', tracker);
  await using gateway = await Gateway.start(net, tracker);
  const [alice] = await gateway.online('alice');
  if (!alice) throw new Error('nobody is here');
  const path = join(net.folder, 'notes.txt');
  await writeFile(path, 'a few words');
  await carol.backend.files.send('alice', path, {});
  await has(alice.backend, 'carol', ['notes.txt']);
  expect(gateway.events).toContainEqual(expect.objectContaining({ type: 'message', kind: 'file', text: 'notes.txt' }));
  await carol.backend.messages.say('alice', 'did it arrive?', {});
  await alice.backend.messages.say('carol', 'its name did', {});
  await has(carol.backend, 'alice', ['notes.txt', 'did it arrive?', 'its name did']);
});

test('a backup of the gateway has its hosted accounts, and what was said since comes back', async () => {
  await using net = await TestNet.create();
  const tracker = await net.tracker();
  const carol = await net.member('carol', tracker);
  const file = join(net.folder, 'backup.tar');
  {
    await using gateway = await Gateway.start(net, tracker);
    const [alice] = await gateway.online('alice');
    await alice?.backend.messages.say('carol', 'before', {});
    await has(carol.backend, 'alice', ['before']);
    await gateway.member.backend.backup({ file });
    const lost = await alice?.backend.messages.say('carol', 'after, by alice', {});
    await carol.backend.messages.say('alice', 'after, by carol', {});
    await has(carol.backend, 'alice', ['before', 'after, by alice', 'after, by carol']);
    if (alice) await has(alice.backend, 'carol', ['before', 'after, by alice', 'after, by carol']);
    expect(lost?.id).toBeDefined();
  }
  await rm(join(net.folder, 'gateway'), { recursive: true });
  await restore({ file, home: join(net.folder, 'gateway'), passphrase: async () => undefined });
  await using gateway = await Gateway.start(net, tracker);
  expect(gateway.hosting.names()).toEqual(['alice']);
  const [alice] = await gateway.online('alice');
  if (alice) await has(alice.backend, 'carol', ['before', 'after, by alice', 'after, by carol']);
});

test('200 accounts in one room: a node’s user hears each of them once, and each hears the user', {
  timeout: 120_000,
}, async () => {
  await using net = await TestNet.create();
  const tracker = await net.tracker();
  const carol = await net.member('carol', tracker);
  await using gateway = await Gateway.start(net, tracker);
  const names = Array.from({ length: 200 }, (_, index) => `u${index}`);
  const all: Hosted[] = [];
  for (let at = 0; at < names.length; at += 50) all.push(...(await gateway.online(...names.slice(at, at + 50))));
  expect(gateway.hosting.names()).toHaveLength(200);
  const [owner, ...others] = all;
  if (!owner) throw new Error('nobody is here');
  const room = await owner.backend.rooms.create('many', { members: ['carol', 'u1', 'u2'], history: 'all' });
  await carol.event('room.invited');
  await carol.backend.rooms.join(room.id);
  // A tracker takes 100 invitations of one account at once: owners share the work.
  for (const helper of others.slice(0, 2)) {
    await until(
      () => helper.backend.rooms.list(),
      (rooms) => rooms.some(({ id }) => id === room.id),
    );
    await helper.backend.rooms.join(room.id);
    await owner.backend.rooms.role(room.id, helper.handle, 'moderator', {});
  }
  for (const [index, each] of others.slice(2).entries()) {
    const by = others[index % 2 === 0 ? 0 : 1];
    await by?.backend.rooms.invite(room.id, each.handle, 'member', {});
    await each.backend.rooms.join(room.id);
  }
  await until(
    () => carol.backend.rooms.show(room.id),
    ({ members }) => members.length === 201,
  );
  for (const each of all.slice(0, 40)) await each.say(room.id, `I am ${each.handle}`);
  await until(
    () => textsOf(carol.backend, room.id),
    (texts) => texts.length === 40,
  );
  const said = await carol.backend.messages.say(room.id, 'hello, all of you', {});
  await until(
    () => carol.backend.messages.show(said.id),
    ({ state }) => state === 'delivered',
  );
  for (const each of [all[7], all[123], all[199]]) {
    const texts = each ? await textsOf(each.backend, room.id) : [];
    expect(texts).toHaveLength(41);
    expect(texts.at(-1)).toBe('hello, all of you');
  }
  expect(carol.node.chat.show(said.id).evidence.filter(receiptVerified)).toHaveLength(200);
});

test('kill -9: what was answered is there, keys and names too, and no key stands in the store as it is', async () => {
  await using net = await TestNet.create();
  const tracker = await net.tracker();
  const home = join(net.folder, 'gateway');
  const child = spawn(process.execPath, [join(import.meta.dirname, 'hosting-program.ts'), home, tracker.invite], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const answered: string[] = [];
  let conversation = '';
  for await (const line of createInterface({ input: child.stdout })) {
    const said: { conversation: string; text: string } = JSON.parse(line);
    conversation = said.conversation;
    answered.push(said.text);
    if (answered.length === 40) child.kill('SIGKILL');
  }
  if (child.signalCode === null) await once(child, 'exit');
  expect(child.signalCode).toBe('SIGKILL');
  await using gateway = await Gateway.start(net, tracker);
  expect(gateway.hosting.names()).toEqual(['alice', 'bob']);
  const [alice, bob] = await gateway.online('alice', 'bob');
  if (!alice || !bob) throw new Error('not both are here');
  const texts = await until(
    () => textsOf(bob.backend, 'alice'),
    (all) => all.length >= answered.length,
  );
  expect(texts.slice(0, answered.length)).toEqual(answered);
  await alice.say(conversation, 'after it');
  expect((await textsOf(bob.backend, 'alice')).at(-1)).toBe('after it');
  const stored = readFileSync(join(home, 'hosted.db'));
  expect(stored.includes('PRIVATE KEY')).toBe(false);
});

test('who went and came again makes rooms as before', async () => {
  await using net = await TestNet.create();
  const tracker = await net.tracker();
  await using gateway = await Gateway.start(net, tracker);
  const [alice] = await gateway.online('alice', 'bob');
  if (!alice) throw new Error('nobody is here');
  const { rooms } = alice.backend;
  expect((await rooms.create('before', { members: ['bob'], history: 'all' })).waiting).toEqual([]);
  await alice.setOffline();
  await alice.setOnline('online', '');
  const room = await alice.backend.rooms.create('after', { members: ['bob'], history: 'all' });
  expect(room.waiting).toEqual([]); // it was ordered before it was answered
});

/** Signatures of a gateway's entries as they stand on its disk, in the order of its conversation. */
function signaturesOf(gateway: Gateway): string[] {
  using store = new Store(homePaths(gateway.member.node.home).hosted);
  return store
    .prepare<{ sig: string }>('SELECT sig FROM entries ORDER BY at, id')
    .all()
    .map(({ sig }) => sig);
}

test('what stays on the node is signed once somebody is to have it, and then each entry by its author [C-21]', async () => {
  await using net = await TestNet.create();
  const tracker = await net.tracker();
  const carol = await net.member('carol', tracker);
  await using gateway = await Gateway.start(net, tracker);
  const [alice, bob] = await gateway.online('alice', 'bob');
  if (!alice || !bob) throw new Error('not both are here');
  const room = await alice.backend.rooms.create('team', { members: ['bob'], history: 'all' });
  await gather(room.id, [alice.backend, bob.backend], [bob.backend]);
  const first = await alice.say(room.id, 'one');
  await bob.say(room.id, 'two');
  await alice.say(room.id, 'three');
  expect(signaturesOf(gateway)).toEqual(['', '', '']);

  // The only one who was asked for.
  const shown = await alice.backend.messages.show(first.id);
  expect(shown.state).toBe('delivered');
  expect(signaturesOf(gateway).map((sig) => sig !== '')).toEqual([true, false, false]);

  // Somebody on a node of their own comes to the room: all of it leaves, each entry with its own author's signature.
  await alice.backend.rooms.invite(room.id, 'carol', 'member', {});
  await gather(room.id, [alice.backend, bob.backend, carol.backend], [carol.backend]);
  await has(carol.backend, room.id, ['one', 'two', 'three']);
  const lines = await Array.fromAsync(
    carol.node.chat.export({ conversation: room.id, format: 'ndjson', handleOf: String }),
  );
  const entries = lines.flatMap((line) => JSON.parse(line).entry ?? []);
  expect(entries).toHaveLength(3);
  expect(entries.every(entryVerified)).toBe(true);
  expect(signaturesOf(gateway)).toEqual(entries.map(({ sig }) => sig));
});

test('an account that says nothing for a while keeps little in memory, and goes on as before when it is needed', {
  timeout: 60_000,
}, async () => {
  await using net = await TestNet.create();
  const tracker = await net.tracker();
  const carol = await net.member('carol', tracker);
  const member = await net.member('gateway', tracker);
  {
    await using house = await House.start(member.node, quiet);
    const [anna, ben] = [await house.open('anna'), await house.open('ben')];
    for (const each of [anna, ben]) await each.setOnline('online', '');
    expect(house.talking.size).toBe(2);
    const resting = () =>
      until(
        () => house.talking.size,
        (count) => count === 0,
      );
    await resting();
    expect([anna.online, ben.online]).toEqual([true, true]);

    // What comes for one of them wakes that one, and what it answers reaches others.
    const heard: string[] = [];
    house.on((event) => {
      if (event.type === 'message') heard.push(String(event.stored.entry.body.text));
    });
    await carol.client.messages.say({ handle: 'anna', text: 'are you there?' });
    await until(
      () => heard,
      (all) => all.includes('are you there?'),
    );
    expect(house.talking).toEqual(new Set([anna]));
    const sent = await until(
      () => carol.backend.messages.list('anna', { limit: 1 }),
      ([message]) => message?.state === 'delivered',
    );
    await anna.say(sent[0]?.conversation ?? '', 'I am');
    await has(carol.backend, 'anna', ['are you there?', 'I am']);
    const answered = ben.chat.say(anna.account, { text: 'so am I' });
    expect(answered.state).toBe('delivered');
  }
  await net.stop(member);
});
