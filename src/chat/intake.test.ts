import { afterEach, beforeEach, expect, test } from 'vitest';
import { bind } from '../link/binding.ts';
import { Key } from '../link/identity.ts';
import type { Link } from '../link/link.ts';
import { pair } from '../link/pair.ts';
import { Router } from '../link/router.ts';
import { direct } from './conversation.ts';
import { type Entry, entryId, signEntry, type Unsigned } from './entry.ts';
import { type Person, World } from './fixture.ts';
import { EntryLog } from './log.ts';
import { signReceipt } from './receipt.ts';
import { Statements } from './tables.ts';
import { type Deliver, deliver, receiptNotice, sync } from './wire.ts';

let world: World;
let bob: Person;
const mallory = Key.generate();
const victim = Key.generate();

beforeEach(async () => {
  world = new World();
  bob = await world.person('bob');
});
afterEach(() => world[Symbol.asyncDispose]());

/** A link on which a test may say anything, as `account`. */
async function raw(account = mallory): Promise<Link> {
  const node = Key.generate();
  const hello = { ...bob.hello, account: bind(account, 'mallory@test', node.id, Date.now()) };
  const [link] = await pair(
    { router: new Router(), self: hello, id: node.id },
    { router: bob.router, self: bob.hello, id: bob.node.id },
  );
  return link;
}

/** An entry of mallory's to bob, signed as it stands. */
function entry(over: Partial<Unsigned> = {}, key = mallory): Entry {
  return signEntry(key, {
    conversation: direct(mallory.id, bob.id).id,
    author: mallory.id,
    seq: 1,
    prev: null,
    at: world.now * 1000,
    kind: 'text',
    body: { text: 'hello' },
    ...over,
  });
}

const after = (before: Entry, over: Partial<Unsigned> = {}): Entry =>
  entry({ seq: before.seq + 1, prev: entryId(before), at: before.at + 1, ...over });

const give = async (...entries: unknown[]): Promise<Deliver> => (await raw()).request(deliver, { entries });

const codes = ({ refused }: Deliver): string[] => refused.map(({ code }) => code);

test('entries of a well-behaved stranger are kept, also of kinds that are not known, with a receipt for the newest [C-7] [C-14]', async () => {
  const one = entry();
  const two = after(one, { kind: 'invented-later', body: { anything: [1, { deep: true }] } });
  const answer = await give(one, two);
  expect(answer).toMatchObject({ have: [], refused: [] });
  expect(answer.receipts).toMatchObject([{ seq: 2, entry: entryId(two), account: bob.id, state: 'delivered' }]);
  expect(bob.chat.show(entryId(two)).body).toEqual({ anything: [1, { deep: true }] });
});

test('a duplicate is dropped and answered with the same receipt [C-11]', async () => {
  const [first, second] = [await give(entry()), await give(entry(), entry())];
  expect(second).toEqual(first);
  expect(bob.events).toHaveLength(1);
});

test('a forged signature is refused, and what follows it is not looked at [C-3]', async () => {
  const forged = { ...entry(), body: { text: 'changed on the way' } };
  const answer = await give(forged, after(entry()));
  expect(codes(answer)).toEqual(['bad_signature']);
  expect(answer).toMatchObject({ receipts: [], have: [{ seq: 0 }], refused: [{ index: 0, retry: false }] });
  expect(bob.events).toHaveLength(0);
});

test('nobody writes in the name of another [C-3] [C-5]', async () => {
  const conversation = direct(victim.id, bob.id).id;
  const inMyConversation = entry({ author: victim.id });
  const inTheirs = entry({ author: victim.id, conversation });
  expect(codes(await give(inMyConversation))).toEqual(['forbidden']);
  expect(codes(await give(inTheirs))).toEqual(['forbidden']);
  expect(codes(await give(entry({ author: bob.id })))).toEqual(['bad_signature']);
});

test('who is no member gives and gets nothing [C-5] [C-20]', async () => {
  const conversation = direct(victim.id, bob.id).id;
  const theirs = signEntry(victim, { ...entry(), author: victim.id, conversation });
  expect(codes(await give(theirs))).toEqual(['forbidden']);
  expect(codes(await give(entry({ conversation })))).toEqual(['forbidden']);
  await (await raw(victim)).request(deliver, { entries: [theirs] });
  const asked = await (await raw()).request(sync, { conversations: [{ id: conversation, have: [], receipts: [] }] });
  expect(asked.conversations).toEqual([]);
});

test('a fork is refused and recorded, and the first entry stays [C-12]', async () => {
  const one = entry();
  const other = entry({ body: { text: 'something else' } });
  await give(one);
  expect(codes(await give(other))).toEqual(['forked']);
  expect(codes(await give(after(other)))).toEqual(['forked']);
  expect(bob.chat.list({ limit: 10 }).map(({ id }) => id)).toEqual([entryId(one)]);
  expect(bob.chat.forks(one.conversation)).toMatchObject([{ author: mallory.id, seq: 1, entry: other }]);
  expect(codes(await give(after(one)))).toEqual([]);
});

test('a gap is answered with what is here, and heals [C-13]', async () => {
  const one = entry();
  const two = after(one);
  const three = after(two);
  await give(one);
  const { conversation, author } = one;
  expect(await give(three)).toMatchObject({ receipts: [], have: [{ conversation, author, seq: 1 }], refused: [] });
  expect(await give(two, three)).toMatchObject({ receipts: [{ seq: 3 }], have: [], refused: [] });
});

test('an old entry said again in another place is refused [C-2] [C-4]', async () => {
  const one = entry();
  await give(one);
  expect(codes(await give({ ...one, seq: 2, prev: entryId(one), at: one.at + 1 }))).toEqual(['bad_signature']);
  expect(bob.events).toHaveLength(1);
});

/** Three entries of a chain, of which some have the signature of something else. */
function runOf(...spoilt: number[]): Entry[] {
  const one = entry();
  const two = after(one);
  const { sig } = entry({ body: { text: 'something else' } });
  return [one, two, after(two)].map((it) => (spoilt.includes(it.seq) ? { ...it, sig } : it));
}

const unproven = (): number[] =>
  bob.store
    .prepare<{ seq: number }>('SELECT seq FROM entries WHERE proven = 0 ORDER BY seq')
    .all()
    .map(({ seq }) => seq);

test('the newest signature of a run vouches for what it is chained to, and is the one that is looked at [C-3] [C-4]', async () => {
  const answer = await give(...runOf(2));
  expect(answer).toMatchObject({ have: [], refused: [], receipts: [{ seq: 3 }] });
  expect(bob.events).toHaveLength(3);
  expect(unproven()).toEqual([1, 2]);
});

test('a run whose newest signature is bad is taken up to the first that is bad [C-3] [C-4]', async () => {
  const newest = await give(...runOf(3));
  expect(newest).toMatchObject({ receipts: [{ seq: 2 }], have: [], refused: [{ index: 2, code: 'bad_signature' }] });
  expect(unproven()).toEqual([]);
});

test('of a run with two bad signatures, the newest one of them, the first is refused and what follows is a gap [C-4]', async () => {
  const answer = await give(...runOf(2, 3));
  expect(answer).toMatchObject({
    receipts: [{ seq: 1 }],
    have: [{ seq: 1 }],
    refused: [{ index: 1, code: 'bad_signature' }],
  });
});

test('nothing vouches for an entry that was changed: what follows names another [C-2] [C-4]', async () => {
  const [one, two, three] = runOf();
  const answer = await give(one, { ...two, body: { text: 'changed on the way' } }, three);
  expect(answer).toMatchObject({
    receipts: [{ seq: 1 }],
    have: [{ seq: 1 }],
    refused: [{ index: 1, code: 'bad_signature' }],
  });
  expect(bob.events).toHaveLength(1);
});

test('an entry that is not kept vouches for none [C-4] [C-9]', async () => {
  const [one, two] = runOf(2);
  if (!one || !two) throw new Error('a run has three');
  const ahead = after(two, { at: (world.now + 365 * 24 * 3600_000) * 1000 });
  expect(codes(await give(one, two, ahead))).toEqual(['bad_signature']);
  const stale = after(two, { at: two.at });
  expect(codes(await give(two, stale))).toEqual(['bad_signature']);
  expect(bob.events).toHaveLength(1);
});

test('a fork is believed only on its own signature [C-4] [C-12]', async () => {
  const [one, two, three] = runOf();
  await give(one, two, three);
  const other = entry({ body: { text: 'another' } });
  const { sig } = entry({ body: { text: 'something else' } });
  expect(codes(await give({ ...other, sig }, after(other)))).toEqual(['bad_signature']);
  expect(bob.chat.forks(other.conversation)).toEqual([]);
});

test('what is given on ends with a signature that was looked at [C-4]', async () => {
  const [one, two, three] = runOf(2);
  await give(one, two, three);
  const entries = new EntryLog(new Statements(bob.store), bob.store);
  const { conversation, author } = entry();
  const given = (seq: number, most: number): number[] =>
    entries.run(conversation, author, seq, { most, bytes: 100_000 }).map((stored) => stored.entry.seq);
  expect(given(1, 3)).toEqual([1, 2, 3]);
  expect(given(1, 2)).toEqual([1]);
  expect(given(2, 1)).toEqual([]);
  expect(given(2, 3)).toEqual([2, 3]);
});

test('a time a year ahead is refused for now, one before its predecessor for good [C-8] [C-9]', async () => {
  const ahead = await give(entry({ at: (world.now + 365 * 24 * 3600_000) * 1000 }));
  expect(ahead.refused).toMatchObject([{ code: 'clock_ahead', retry: true }]);
  const one = entry();
  await give(one);
  const before = await give(after(one, { at: one.at }));
  expect(before.refused).toMatchObject([{ code: 'invalid_argument', retry: false }]);
});

test('what is too large or not of its form is refused by itself [C-1] [C-6]', async () => {
  const bad = [
    entry({ body: { text: 'x'.repeat(65_537) } }),
    entry({ body: { text: '' } }),
    entry({ kind: 'file', body: { name: 'no hash' } }),
    { ...entry(), more: 1 },
    { ...entry(), seq: 0 },
    'not an entry',
    entry({ kind: 'deep', body: JSON.parse(`{"a":${'['.repeat(16)}${']'.repeat(16)}}`) }),
  ];
  const answer = await give(...bad, entry());
  expect(codes(answer)).toEqual(bad.map(() => 'invalid_argument'));
  expect(answer.receipts).toMatchObject([{ seq: 1 }]);
  const large = await give(entry({ seq: 2, kind: 'invented-later', body: { a: 'x'.repeat(140_000) } }));
  expect(codes(large)).toEqual(['too_large']);
});

test('a call has bounds in entries and bytes [C-17]', async () => {
  const link = await raw();
  await expect(link.request(deliver, { entries: [] })).rejects.toMatchObject({ code: 'invalid_argument' });
  const many = Array.from({ length: 251 }, () => entry());
  await expect(link.request(deliver, { entries: many })).rejects.toMatchObject({ code: 'invalid_argument' });
  const large = Array.from({ length: 9 }, () => entry({ body: { text: 'x'.repeat(60_000) } }));
  await expect(link.request(deliver, { entries: large })).rejects.toMatchObject({ code: 'too_large' });
});

test('too many calls are refused until time has passed [C-19]', async () => {
  const link = await raw();
  const call = () => link.request(sync, { conversations: [] });
  await Promise.all(Array.from({ length: 1000 }, call));
  await expect(call()).rejects.toMatchObject({ code: 'too_many' });
  world.now += 1000;
  await Promise.all(Array.from({ length: 250 }, call));
  await expect(call()).rejects.toMatchObject({ code: 'too_many' });
});

test('a receipt counts only if its account signed it for the very entry; a forged one closes the link [C-15]', async () => {
  bob.online = false;
  const said = bob.chat.say(mallory.id, { text: 'did you get it?' });
  const { conversation, id } = said;
  const link = await raw();
  const claim = { conversation, author: bob.id, seq: 1, entry: id, state: 'delivered', at: world.now } as const;
  const otherEntry = signReceipt(mallory, { ...claim, entry: entryId(entry()) });
  const outsider = signReceipt(victim, claim);
  link.notify(receiptNotice, { receipts: [otherEntry, outsider] });
  await link.request(sync, { conversations: [] });
  expect(bob.chat.show(id).state).toBe('queued');

  const forged = { ...signReceipt(victim, claim), account: mallory.id };
  link.notify(receiptNotice, { receipts: [forged] });
  expect(await link.closed).toMatchObject({ code: 'bad_signature' });
  expect(bob.chat.show(id).state).toBe('queued');

  const again = await raw();
  again.notify(receiptNotice, { receipts: [signReceipt(mallory, claim)] });
  await bob.seen('message.delivered');
  expect(bob.chat.show(id).state).toBe('delivered');
});

test('an entry that is refused for good is marked failed with the reason, and what is said next is taken [C-18]', async () => {
  const alice = await world.person('alice');
  let strict = true;
  const router = new Router();
  const node = Key.generate();
  router.handle(sync, () => ({ conversations: [] }));
  router.handle(deliver, ({ entries }) => ({
    receipts: strict
      ? []
      : [signReceipt(mallory, { conversation, author: alice.id, seq: 1, entry: idOf(entries), state: 'read', at: 5 })],
    have: [],
    refused: strict ? [{ index: 0, code: 'forbidden', message: 'not from you', retry: false }] : [],
  }));
  const { id: conversation } = direct(alice.id, mallory.id);
  const idOf = (entries: unknown[]): string => entryId(entries[0] as Entry); // what alice's service sent
  const first = alice.chat.say(mallory.id, { text: 'one' });
  const second = alice.chat.say(mallory.id, { text: 'two' });
  const hello = { ...bob.hello, account: bind(mallory, 'mallory@test', node.id, Date.now()) };
  const [, near] = await pair(
    { router, self: hello, id: node.id },
    { router: alice.router, self: alice.hello, id: alice.node.id },
  );
  alice.chat.linkUp(near);
  await alice.seen('message.failed', 2);
  for (const { id } of [first, second]) {
    expect(alice.chat.show(id).recipients).toMatchObject([{ state: 'failed', reason: { code: 'forbidden' } }]);
  }
  strict = false;
  const third = alice.chat.say(mallory.id, { text: 'three' });
  await alice.seen('message.read');
  expect(third.seq).toBe(1);
  expect(alice.events.map(({ type }) => type).slice(-2)).toEqual(['message.delivered', 'message.read']);
  expect(alice.chat.show(third.id)).toMatchObject({ state: 'read', deliveredAt: 5 });
  expect(alice.chat.show(first.id).state).toBe('failed');
});

test('what was sent on before a refusal was heard of is not taken for given [C-17] [C-18]', async () => {
  const alice = await world.person('alice');
  const router = new Router();
  const node = Key.generate();
  const { id: conversation } = direct(alice.id, mallory.id);
  const calls: number[] = [];
  let strict = true;
  router.handle(sync, () => ({ conversations: [] }));
  router.handle(deliver, ({ entries }) => {
    const [first] = entries as Entry[]; // what alice's service sent
    if (!first) throw new Error('a call has entries');
    calls.push(first.seq);
    const gap = { receipts: [], have: [{ conversation, author: alice.id, seq: 0 }], refused: [] };
    if (first.seq > 1) return gap;
    if (strict) {
      return { ...gap, have: [], refused: [{ index: 0, code: 'forbidden', message: 'not from you', retry: false }] };
    }
    const claim = { conversation, author: alice.id, seq: 1, entry: entryId(first), state: 'delivered', at: 5 } as const;
    return { receipts: [signReceipt(mallory, claim)], have: [], refused: [] };
  });
  for (let n = 0; n < 300; n++) alice.chat.say(mallory.id, { text: `number ${n}` });
  const hello = { ...bob.hello, account: bind(mallory, 'mallory@test', node.id, Date.now()) };
  const [, near] = await pair(
    { router, self: hello, id: node.id },
    { router: alice.router, self: alice.hello, id: alice.node.id },
  );
  alice.chat.linkUp(near);
  await alice.seen('message.failed', 300);
  strict = false;
  const { id, seq } = alice.chat.say(mallory.id, { text: 'once more' });
  await alice.seen('message.delivered');
  expect(seq).toBe(1);
  expect(alice.chat.show(id).state).toBe('delivered');
  expect(calls).toEqual([1, 251, 1]);
});

test('an own entry that somebody has a receipt for makes way for nothing, whoever holds the key [C-16] [C-18]', async () => {
  bob.online = false;
  const { id, conversation } = bob.chat.say(mallory.id, { text: 'said here' });
  const link = await raw();
  const claim = { conversation, author: bob.id, seq: 1, entry: id, state: 'delivered', at: world.now } as const;
  link.notify(receiptNotice, { receipts: [signReceipt(mallory, claim)] });
  await bob.seen('message.delivered');
  const elsewhere = entry({ author: bob.id, conversation, body: { text: 'said on a stolen key' } }, bob.key);
  expect(codes(await link.request(deliver, { entries: [elsewhere] }))).toEqual(['forked']);
  expect(bob.chat.show(id).state).toBe('delivered');
  expect(bob.chat.forks(conversation)).toMatchObject([{ author: bob.id, seq: 1 }]);
});
