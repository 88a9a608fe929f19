/**
 * What a peer with a good link says to a whole node or tracker in order to forge, repeat, flood or fill: each refused with its
 * code, at a bounded cost, while honest people notice nothing.
 */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { systemClock } from '../src/base/clock.ts';
import { silentLog } from '../src/base/log.ts';
import { direct } from '../src/chat/conversation.ts';
import { type Entry, entryId, signEntry, type Unsigned } from '../src/chat/entry.ts';
import { type Change, roomId, signChange, signCreation } from '../src/chat/membership.ts';
import { changeRoom, createRoom, giveOrder } from '../src/chat/room-wire.ts';
import { type Deliver, deliver } from '../src/chat/wire.ts';
import { bind } from '../src/link/binding.ts';
import { createIdentity, type Identity } from '../src/link/certificate.ts';
import { dialLink } from '../src/link/dial.ts';
import type { HelloInfo } from '../src/link/hello.ts';
import { Key } from '../src/link/identity.ts';
import type { Link } from '../src/link/link.ts';
import { Router } from '../src/link/router.ts';
import type { Tracker } from '../src/tracker/tracker.ts';
import { type Member, TestNet, until } from './testnet.ts';

/** Invitations that are thrown at a tracker. */
const INVITATIONS = 10_000;
/** Of them that are under way at once: as many as a link takes that is not to be cut for what waits on it. */
const AT_ONCE = 500;
/** Megabytes that a node's memory may grow by for an entry of ten. */
const GROWTH_MB = 200;

let net: TestNet;
let tracker: Tracker;
let alice: Member;
let bob: Member;
let mallory: Key;
let identity: Identity;
let said: number;

beforeEach(async () => {
  net = await TestNet.create();
  tracker = await net.tracker();
  [alice, bob] = [await net.member('alice', tracker), await net.member('bob', tracker)];
  [mallory, identity] = [Key.generate(), await createIdentity()];
  said = 0;
});
afterEach(() => net[Symbol.asyncDispose]());

const helloOf = (): HelloInfo => ({
  protocol: { min: 1, max: 1 },
  software: 'test',
  role: 'node',
  account: bind(mallory, 'mallory@lab', identity.id, Date.now()),
});

/** A link of mallory's, with a good binding. */
const line = (address: string, expected: string): Promise<Link> =>
  dialLink({
    address,
    expect: expected,
    identity,
    router: new Router(),
    self: helloOf,
    clock: systemClock,
    log: silentLog(),
  });

const toAlice = (): Promise<Link> => line(`127.0.0.1:${alice.node.port}`, alice.node.id);
const toTracker = (): Promise<Link> => line(`127.0.0.1:${tracker.port}`, tracker.peer);

function entry(over: Partial<Unsigned> = {}): Entry {
  return signEntry(mallory, {
    conversation: direct(mallory.id, alice.node.account).id,
    author: mallory.id,
    seq: 1,
    prev: null,
    at: Date.now() * 1000,
    kind: 'text',
    body: { text: 'hello' },
    ...over,
  });
}

const codes = ({ refused }: Deliver): string[] => refused.map(({ code }) => code);

/** What honest people say to each other arrives, both ways. */
async function unharmed(): Promise<void> {
  const text = `still here ${said++}`;
  const sent = [
    await bob.client.messages.say({ handle: 'alice', text }),
    await alice.client.messages.say({ handle: 'bob', text }),
  ];
  for (const [index, from] of [bob, alice].entries()) {
    await until(
      () => from.client.messages.show({ id: sent[index]?.id ?? '' }),
      ({ state }) => state === 'delivered',
    );
  }
}

/** Texts that alice has from mallory. */
const got = (): unknown[] =>
  alice.node.chat.list({ account: mallory.id, limit: 100 }).map((message) => message.body.text);

test('a forged signature, a replay, a fork and a time a year ahead are refused with their codes, each by itself', async () => {
  const link = await toAlice();
  const give = (...entries: Entry[]): Promise<Deliver> => link.request(deliver, { entries });
  const first = entry();
  expect(codes(await give({ ...first, body: { text: 'forged' } }))).toEqual(['bad_signature']);
  expect(await give(first)).toMatchObject({ receipts: [{ seq: 1 }], refused: [] });
  const inNameOfBob = { ...entry({ conversation: direct(bob.node.account, alice.node.account).id }) };
  expect(codes(await give({ ...inNameOfBob, author: bob.node.account }))).toEqual(['forbidden']);
  expect(await give(first, first)).toMatchObject({ receipts: [{ seq: 1 }], refused: [] }); // dropped, and shown once
  const elsewhere = { ...first, seq: 2, prev: entryId(first) }; // an old text in a new place
  expect(codes(await give(elsewhere))).toEqual(['bad_signature']);
  const forked = entry({ body: { text: 'another first' } });
  expect(codes(await give(forked))).toEqual(['forked']);
  expect(alice.node.chat.forks(first.conversation)).toMatchObject([{ author: mallory.id, seq: 1, entry: forked }]);
  const year = (Date.now() + 365 * 24 * 3600_000) * 1000;
  const late = await give(entry({ seq: 2, prev: entryId(first), at: year }));
  expect(late.refused).toMatchObject([{ code: 'clock_ahead', retry: true }]);
  expect(got()).toEqual(['hello']);
  await unharmed();
  expect(link.open).toBe(true);
});

test('forged membership gets nobody into a room, by the tracker or by a member', async () => {
  const { id } = await alice.client.rooms.create({ name: 'ours', members: [] });
  const { number } = alice.node.chat.rooms.show(id);
  const invite: Omit<Change, 'sig' | 'author'> = {
    conversation: id,
    type: 'invite',
    target: mallory.id,
    role: 'member',
    base: number,
    upTo: null,
    at: Date.now(),
  };
  const link = await toTracker();
  for (const change of [
    signChange(mallory, invite),
    { ...signChange(mallory, invite), author: alice.node.account },
    signChange(mallory, { ...invite, type: 'join', target: null, role: null }),
  ]) {
    await expect(link.request(changeRoom, { change })).rejects.toMatchObject({ code: 'forbidden' });
  }
  const own = signCreation(mallory, { name: 'trap', home: Key.generate().id, history: 'all', at: 1, nonce: 'n' });
  const member = await toAlice();
  await expect(member.request(giveOrder, { creation: own, ordered: [] })).rejects.toMatchObject({ code: 'forbidden' });
  const inRoom = entry({ conversation: id });
  expect(codes(await member.request(deliver, { entries: [inRoom] }))).toEqual(['forbidden']);
  const { members } = alice.node.chat.rooms.show(id);
  expect(members.map(({ account }) => account)).toEqual([alice.node.account]);
  await unharmed();
});

test('an entry of 10 MB ends the link that brings it, with its reason, before it is read; nothing of it is kept', async () => {
  const before = process.memoryUsage.rss();
  const ws = new WebSocket(`wss://127.0.0.1:${alice.node.port}/link`, 'netapp.1', {
    key: identity.key.pem,
    cert: identity.cert,
    rejectUnauthorized: false,
  });
  try {
    ws.on('error', () => {}); // the close says why
    const closed = new Promise<number>((resolve) => ws.once('close', resolve));
    await new Promise((resolve, reject) => ws.once('open', resolve).once('error', reject));
    const greeted = new Promise((resolve) => ws.once('message', resolve));
    ws.send(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'hello', params: helloOf() }));
    await greeted;
    const big = { ...entry(), body: { text: 'x'.repeat(10 * 1024 * 1024) } };
    ws.send(JSON.stringify({ jsonrpc: '2.0', id: 2, method: 'chat.deliver', params: { entries: [big] } }));
    expect(await closed).toBe(1009);
  } finally {
    ws.terminate();
  }
  // What fits a frame and is too large for an entry, or for a call, has its own codes.
  const link = await toAlice();
  const text = 'x'.repeat(200_000);
  expect(codes(await link.request(deliver, { entries: [entry({ body: { text } })] }))).toEqual(['too_large']);
  await expect(
    link.request(deliver, { entries: [1, 2, 3].map((seq) => entry({ seq, body: { text } })) }),
  ).rejects.toMatchObject({ code: 'too_large' });
  expect((process.memoryUsage.rss() - before) / 1e6).toBeLessThan(GROWTH_MB);
  expect(got()).toEqual([]);
  await unharmed();
});

test('ten thousand invitations as fast as one link takes them are refused with a code, and others are served meanwhile', async () => {
  const link = await toTracker();
  const creation = signCreation(mallory, {
    name: 'spam',
    home: tracker.peer,
    history: 'all',
    at: Date.now(),
    nonce: 'n',
  });
  await link.request(createRoom, { creation });
  const conversation = roomId(creation);
  const seen = new Map<string, number>();
  const throwAll = async (): Promise<void> => {
    for (let n = 0; n < INVITATIONS; n += AT_ONCE) {
      await Promise.all(
        Array.from({ length: AT_ONCE }, (_, index) =>
          link.request(changeRoom, { change: invitation(conversation, n + index) }).catch((error: { code: string }) => {
            seen.set(error.code, (seen.get(error.code) ?? 0) + 1);
          }),
        ),
      );
    }
  };
  const flood = throwAll();
  await unharmed();
  await alice.client.rooms.create({ name: 'meanwhile', members: ['bob'] });
  await until(
    () => bob.client.rooms.list(),
    (rooms) => rooms.some(({ name, standing }) => name === 'meanwhile' && standing === 'invited'),
  );
  await flood;
  expect([...seen.values()].reduce((sum, count) => sum + count, 0)).toBe(INVITATIONS);
  expect([...seen.keys()].sort(), JSON.stringify([...seen])).toEqual(['bad_signature', 'too_many']);
  expect(seen.get('too_many')).toBeGreaterThan(INVITATIONS * 0.95);
  expect(await alice.client.rooms.list()).toMatchObject([{ name: 'meanwhile' }]);
  expect((await bob.client.rooms.list()).map(({ name }) => name)).toEqual(['meanwhile']);
});

/** An invitation of alice's that costs nothing to make. */
const invitation = (conversation: string, at: number): Change => ({
  conversation,
  author: mallory.id,
  type: 'invite',
  target: alice.node.account,
  role: 'member',
  base: 0,
  upTo: null,
  at,
  sig: 'x'.repeat(86),
});
