/** People of several zones, each with trackers and nodes of its own, on real sockets. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../src/base/clock.ts';
import { silentLog } from '../src/base/log.ts';
import { Store } from '../src/base/sqlite.ts';
import { MailStore } from '../src/chat/mailbox-store.ts';
import { deposit } from '../src/chat/mailbox-wire.ts';
import { Elsewhere } from '../src/directory/elsewhere.ts';
import { parseInvite } from '../src/directory/invite.ts';
import { changed, find as directoryFind, watch } from '../src/directory/messages.ts';
import { People } from '../src/directory/people.ts';
import { resolve, ask as zoneAsk } from '../src/directory/zone-messages.ts';
import { bind } from '../src/link/binding.ts';
import { loadIdentity } from '../src/link/certificate.ts';
import { dialLink } from '../src/link/dial.ts';
import { PROTOCOL } from '../src/link/hello.ts';
import { Key, loadOrCreateKey } from '../src/link/identity.ts';
import type { Link } from '../src/link/link.ts';
import { pair } from '../src/link/pair.ts';
import { Router } from '../src/link/router.ts';
import { homePaths } from '../src/node/home.ts';
import type { Tracker } from '../src/tracker/tracker.ts';
import { type Member, TestNet, until } from './testnet.ts';

let net: TestNet;
beforeEach(async () => {
  net = await TestNet.create();
});
afterEach(() => net[Symbol.asyncDispose]());

/** A tracker of `zone` below the one of `parent`, which has delegated it by its admin. */
async function below(parent: Tracker, zone: string, name = zone): Promise<Tracker> {
  const child = await net.tracker({ name, zone, parents: [parseInvite(parent.invite)] });
  parent.zoning.zones.delegate(zone, { peer: child.peer, addresses: [...child.addresses] });
  await until(
    () => child.zoning.zones.apex(zone).parent,
    (above) => above !== null,
  );
  return child;
}

test('somebody of a zone below is found by one referral', async () => {
  const top = await net.tracker({ name: 'top', zone: 'cse' });
  const lab = await below(top, 'lab1.cse');
  const alice = await net.member('alice', top);
  const bob = await net.member('bob', lab);
  const { person, steps, stale } = await alice.node.directory.trace('bob@lab1.cse', { mode: 'iterative' });
  expect(person).toMatchObject({ account: bob.node.account, status: 'online' });
  expect(stale).toBe(false);
  expect(steps).toMatchObject([
    { zone: 'cse', server: top.peer, answer: 'referral', detail: 'lab1.cse', how: 'link' },
    { zone: 'lab1.cse', server: lab.peer, answer: 'record', how: 'link' },
  ]);
  const up = await bob.node.directory.trace('alice@cse', { mode: 'recursive' });
  expect(up.person.account).toBe(alice.node.account);
  expect(up.steps.map(({ zone, how, answer }) => [zone, how, answer])).toEqual([
    ['lab1.cse', 'recursive', 'record'],
    ['lab1.cse', 'self', 'parent'],
    ['cse', 'link', 'record'],
  ]);
});

test('people of three zones talk and send files, and see each other come and go', async () => {
  const top = await net.tracker({ name: 'top', zone: 'cse' });
  const [one, two] = [await below(top, 'lab1.cse'), await below(top, 'lab2.cse')];
  const alice = await net.member('alice', one);
  const bob = await net.member('bob', two);
  const carol = await net.member('carol', top);
  const said = await alice.client.messages.say({ handle: 'bob@lab2.cse', text: 'hello over there' });
  const got = await bob.event('message.received', ({ id }) => id === said.id);
  expect(got.data).toMatchObject({ from: 'alice@lab1.cse', text: 'hello over there' });
  await alice.event('message.delivered', ({ id }) => id === said.id);
  const back = await bob.client.messages.reply({ id: said.id, text: 'and back' });
  await alice.event('message.received', ({ id }) => id === back.id);
  const up = await carol.client.messages.say({ handle: 'alice@lab1.cse', text: 'from above' });
  expect((await alice.event('message.received', ({ id }) => id === up.id)).data).toMatchObject({ from: 'carol@cse' });

  const path = join(net.folder, 'notes.txt');
  await writeFile(path, 'what was said in the lecture');
  const sent = await alice.client.files.send({ handle: 'bob@lab2.cse', path });
  const offered = await bob.event('file.offered', ({ name }) => name === 'notes.txt');
  expect(offered.data).toMatchObject({ from: 'alice@lab1.cse' });
  await bob.client.files.accept({ id: String(offered.data.id) });
  await alice.event('file.done', ({ id }) => id === sent.id);

  await bob.client.people.status({ status: 'busy', text: 'in a lecture' });
  await alice.event('person.changed', ({ handle, text }) => handle === 'bob@lab2.cse' && text === 'in a lecture');
});

test('what is said to somebody of another zone who is away is held there, and the receipt comes back by letter', async () => {
  const top = await net.tracker({ name: 'top', zone: 'cse' });
  const [one, two] = [await below(top, 'lab1.cse'), await below(top, 'lab2.cse')];
  let bob = await net.member('bob', two);
  let alice = await net.member('alice', one);
  // Known to each other by nothing but a look.
  expect(await alice.client.people.find({ handle: 'bob@lab2.cse' })).toMatchObject({ status: 'online' });
  await net.stop(bob);
  await alice.event('person.offline', ({ handle }) => handle === 'bob@lab2.cse');
  const said = await alice.client.messages.say({ handle: 'bob@lab2.cse', text: 'for later' });
  await alice.event('message.held', ({ id }) => id === said.id);
  expect(await alice.client.messages.show({ id: said.id })).toMatchObject({ state: 'held' });
  await net.stop(alice);
  bob = await net.member('bob', two);
  const got = await bob.event('message.received', ({ id }) => id === said.id);
  expect(got.data).toMatchObject({ from: 'alice@lab1.cse', text: 'for later' });
  await until(
    () => bob.node.chat.waiting(),
    (waiting) => waiting === 0,
  );
  // Bob's receipt waits at the tracker of alice's zone, also if he leaves before she comes.
  await until(
    () => lettersFor(alice, 'lab1.cse'),
    (letters) => letters > 0,
  );
  await net.stop(bob);
  alice = await net.member('alice', one);
  await alice.event('message.delivered', ({ id }) => id === said.id);
});

test('a stranger whose zone does not know them leaves nothing in a mailbox [Z-31]', async () => {
  const top = await net.tracker({ name: 'top', zone: 'cse' });
  const lab = await below(top, 'lab1.cse');
  const bob = await net.member('bob', lab);
  await net.stop(bob);
  const lone = await net.tracker({ name: 'lone', zone: 'nowhere' });
  const mallory = await net.member('mallory', lone);
  const link = await dialLab(mallory, lab);
  await expect(
    link.request(deposit, { to: bob.node.account, letters: [{ enc: ENC, data: DATA }] }),
  ).rejects.toMatchObject({
    code: 'forbidden',
  });
  await expect(
    link.request(resolve, { handle: 'bob@lab1.cse', hops: 5, deadlineMs: 1000 }), // [Z-13]
  ).rejects.toMatchObject({ code: 'forbidden' });
});

/** What the store of the tracker in the folder `name` holds for somebody. */
function lettersFor(member: Member, name: string): number {
  using store = new Store(join(net.folder, name, 'tracker.db'));
  return new MailStore({ store, key: Key.generate(), clock: systemClock }).totals(`to ${member.node.account}`).letters;
}

const HELLO = { protocol: PROTOCOL, software: 'test', account: null };
const ENC = Buffer.alloc(32, 1).toString('base64url');
const DATA = Buffer.alloc(600, 1).toString('base64url');

/** A link from a member's node key to a tracker that is not its own. */
async function dialLab(member: Member, tracker: Tracker, router = new Router()): Promise<Link> {
  const identity = await loadIdentity(homePaths(member.home).nodeKey);
  const account = await loadOrCreateKey(homePaths(member.home).accountKey);
  return await dialLink({
    address: tracker.addresses[0] ?? '',
    expect: tracker.peer,
    identity,
    router,
    self: () => ({
      protocol: PROTOCOL,
      software: 'test',
      role: 'node',
      account: bind(account, member.node.handle, identity.id, Date.now()),
    }),
    clock: systemClock,
    log: silentLog(),
  });
}

test('a room of people of three zones: asked into it, talking, and found by each other [Z-32]', async () => {
  const top = await net.tracker({ name: 'top', zone: 'cse' });
  const [one, two] = [await below(top, 'lab1.cse'), await below(top, 'lab2.cse')];
  const alice = await net.member('alice', top);
  const bob = await net.member('bob', one);
  const carol = await net.member('carol', two);
  const room = await alice.client.rooms.create({ name: 'thesis', members: ['bob@lab1.cse', 'carol@lab2.cse'] });
  for (const member of [bob, carol]) {
    await member.event('room.invited', ({ name }) => name === 'thesis');
    await member.client.rooms.join({ room: 'thesis' });
  }
  await until(
    () => alice.client.rooms.show({ room: 'thesis' }),
    ({ members }) => members.length === 3,
  );
  const said = await bob.client.messages.say({ handle: '#thesis', text: 'good morning' });
  for (const member of [alice, carol]) await member.event('message.received', ({ id }) => id === said.id);
  // Bob and carol have never heard of each other but in the room of a third zone.
  expect(await bob.client.people.find({ handle: carol.node.account })).toMatchObject({ handle: 'carol@lab2.cse' });
  await net.stop(alice);
  const later = await carol.client.messages.say({ handle: '#thesis', text: 'without its founder' });
  expect((await bob.event('message.received', ({ id }) => id === later.id)).data).toMatchObject({
    from: 'carol@lab2.cse',
  });
  expect(room.name).toBe('thesis');
});

test('a lookup by the own tracker takes nothing away from what that tracker pushes', async () => {
  const top = await net.tracker({ name: 'top', zone: 'cse' });
  const alice = await net.member('alice', top);
  const bob = await net.member('bob', top);
  const before = await until(
    () => alice.client.people.find({ handle: 'bob' }),
    ({ addresses }) => addresses.length > 0,
  );
  for (const mode of ['recursive', 'iterative'] as const) await alice.client.people.find({ handle: 'bob', mode });
  expect((await alice.client.people.find({ handle: 'bob' })).addresses).toEqual(before.addresses);
  await net.stop(bob);
  await alice.event('person.offline', ({ handle }) => handle === 'bob@cse');
  // What is known of it for some seconds more says that he is here.
  for (const mode of ['recursive', 'iterative'] as const) {
    expect((await alice.client.people.find({ handle: 'bob', mode })).status).toBe('offline');
  }
});

test('who watches some is told of them alone, at once and when they change [Z-30]', async () => {
  const top = await net.tracker({ name: 'top', zone: 'cse' });
  const alice = await net.member('alice', top);
  const bob = await net.member('bob', top);
  const lone = await net.tracker({ name: 'lone', zone: 'nowhere' });
  const heard: string[] = [];
  const router = new Router().on(changed, ({ entries }) => {
    heard.push(...entries.map(({ record }) => `${record.handle} ${record.text}`));
  });
  const link = await dialLab(await net.member('eve', lone), top, router);
  await link.request(watch, { accounts: [alice.node.account] });
  await bob.client.people.status({ status: 'busy', text: 'by bob' });
  await alice.client.people.status({ status: 'busy', text: 'by alice' });
  await until(
    () => heard.at(-1),
    (last) => last === 'alice@cse by alice',
  );
  expect(heard.filter((text) => text.startsWith('bob'))).toEqual([]);
  expect(heard[0]).toBe('alice@cse ');
});

test('what an own tracker says it found is checked as any answer [Z-12] [Z-28]', async () => {
  const top = await net.tracker({ name: 'top', zone: 'cse' });
  const alice = await net.member('alice', top);
  const bob = await net.member('bob', top);
  const router = new Router();
  const key = Key.generate();
  const link = (
    await pair(
      { router: new Router(), self: { ...HELLO, role: 'node' }, id: Key.generate().id },
      { router, self: { ...HELLO, role: 'tracker' }, id: key.id },
    )
  )[0];
  const found = await (await dialLab(alice, top)).request(directoryFind, { handle: 'bob@cse' });
  let entry = found.entry;
  const deadlines: number[] = [];
  router.handle(resolve, ({ deadlineMs, hops }) => {
    deadlines.push(deadlineMs, hops);
    return { entry, by: null, fault: null, stale: false, ttlMs: 0, steps: [] };
  });
  using store = new Store(':memory:');
  const people = new People({ self: alice.node.account, store, clock: systemClock, log: silentLog() });
  await using elsewhere = new Elsewhere({
    people,
    dial: async () => expect.fail('nobody is dialled'),
    own: () => [{ zone: 'lab', link }],
    hasTrackers: () => true,
    store,
    clock: systemClock,
    log: silentLog(),
    onLinks: () => {},
  });
  expect((await elsewhere.find('bob@cse', { mode: 'recursive' })).entry?.record.account).toBe(bob.node.account);
  expect(deadlines[0]).toBeLessThan(8000);
  expect(deadlines[1]).toBe(15);
  expect((await elsewhere.find('eve@cse', { mode: 'recursive' })).fault?.code).toBe('malformed');
  entry = { ...entry, record: { ...entry.record, text: 'forged' } };
  const forged = await elsewhere.find('bob@cse', { mode: 'recursive' });
  expect(forged).toMatchObject({ entry: null, fault: { code: 'bad_signature' } });
  expect(forged.steps).toMatchObject([{ how: 'recursive', answer: 'refused', code: 'bad_signature' }]);
});

test('an answer that has not changed is said so in a few bytes [Z-11]', async () => {
  const top = await net.tracker({ name: 'top', zone: 'cse' });
  const alice = await net.member('alice', top);
  const link = await dialLab(alice, top);
  const first = await link.request(zoneAsk, { handle: 'alice@cse', as: 'cse' });
  if (first.kind !== 'record') expect.fail(first.kind);
  const again = await link.request(zoneAsk, { handle: 'alice@cse', as: 'cse', etag: first.etag });
  expect(again).toMatchObject({ kind: 'unchanged', renewal: { seq: first.entry.record.seq } });
  await alice.client.people.status({ status: 'away', text: '' });
  const changed = await link.request(zoneAsk, { handle: 'alice@cse', as: 'cse', etag: first.etag });
  expect(changed.kind).toBe('record');
});
