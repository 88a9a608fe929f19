/** Two accounts and a tracker in memory: what is left, what is taken, and what is claimed of it. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { toBase64url } from '../base/encoding.ts';
import { Fault } from '../base/fault.ts';
import { Key } from '../link/identity.ts';
import { sealingKey } from '../link/seal.ts';
import { direct } from './conversation.ts';
import { type Entry, entryId, signEntry } from './entry.ts';
import { type Person, World } from './fixture.ts';
import { PostOffice } from './fixture-mail.ts';
import { holdVerified, sealLetter } from './letter.ts';
import type { MailLimits } from './mailbox-store.ts';
import { deposit } from './mailbox-wire.ts';
import { signReceipt } from './receipt.ts';

const DAY_MS = 24 * 3600_000;

let undo: AsyncDisposableStack;
let world: World;
let office: PostOffice;
beforeEach(() => {
  undo = new AsyncDisposableStack();
  world = undo.use(new World());
  office = undo.use(new PostOffice(world));
});
afterEach(() => undo.disposeAsync());

function officeWith(options: { limits?: Partial<MailLimits>; mailbox?: boolean }): void {
  office = undo.use(new PostOffice(world, options));
}

const person = (name: string): Promise<Person> => world.person(name, { post: office.post });

/** Alice is here; bob exists, and his process does not run. */
async function bobAway(): Promise<[Person, Person]> {
  const [alice, bob] = [await person('alice'), await person('bob')];
  await away(bob);
  return [alice, bob];
}

async function away(who: Person): Promise<void> {
  who.online = false;
  await who.stop();
}

/** Starts the process again; nobody can be reached but the tracker. */
async function wakeAlone(who: Person): Promise<void> {
  who.boot();
  await office.open(who);
}

const held = (who: Person): number => office.letters.totals(`to ${who.id}`).letters;
const gone = (who: Person): Promise<void> => expect.poll(() => held(who)).toBe(0);
const received = (who: Person): unknown[] =>
  who.events.filter(({ type }) => type === 'message.received').map(({ message }) => message.body.text);

test('what is said to somebody who is away is held, read by them alone, and receipted by letter [M-11] [M-13]', async () => {
  const [alice, bob] = await bobAway();
  const { id } = alice.chat.say(bob.id, { text: 'hello' });
  await alice.seen('message.held');
  const [recipient] = alice.chat.show(id).recipients;
  expect(recipient).toMatchObject({ state: 'held', reason: null, hold: { holder: office.key.id, to: bob.id } });
  expect(recipient?.hold && holdVerified(recipient.hold)).toBe(true);
  await away(alice);

  await wakeAlone(bob);
  await bob.seen('message.received');
  await expect.poll(() => held(alice)).toBe(1);
  expect(held(bob)).toBe(0);
  await away(bob);

  await wakeAlone(alice);
  await alice.seen('message.delivered');
  expect(alice.chat.show(id)).toMatchObject({ state: 'delivered', evidence: [{ account: bob.id }] });
  expect(alice.chat.waiting()).toBe(0);
  await gone(alice);
});

test('many messages share letters, and arrive in order', async () => {
  const [alice, bob] = await bobAway();
  const texts = Array.from({ length: 250 }, (_, n) => `${n}`);
  for (const text of texts) alice.chat.say(bob.id, { text });
  await alice.seen('message.held', texts.length);
  expect(held(bob)).toBeLessThanOrEqual(4);
  await away(alice);
  await wakeAlone(bob);
  await bob.seen('message.received', texts.length);
  expect(received(bob)).toEqual(texts);
});

test('the largest message fits a letter, and large ones take several', async () => {
  const [alice, bob] = await bobAway();
  const texts = ['\u0001', '\u0002', '\u0003'].map((text) => text.repeat(11_000)); // JSON makes six bytes of each
  for (const text of [...texts, 'x'.repeat(65_536)]) alice.chat.say(bob.id, { text });
  await alice.seen('message.held', 4);
  await away(alice);
  await wakeAlone(bob);
  await bob.seen('message.received', 4);
});

test('somebody who is only hard to reach is told at once that a letter came, and answers by letter', async () => {
  const [alice, bob] = [await person('alice'), await person('bob')];
  for (const who of [alice, bob]) {
    who.dial = () => Promise.reject(new Fault('peer_unreachable', 'dialling: a wall'));
    await office.open(who);
  }
  const { id } = alice.chat.say(bob.id, { text: 'through the wall' });
  await alice.seen('message.delivered');
  bob.chat.markRead(id);
  await alice.seen('message.read');
  expect(held(alice) + held(bob)).toBeLessThanOrEqual(1); // the last may be about to be deleted
});

test('killed between taking and deleting, the recipient takes nothing twice [M-12]', async () => {
  const [alice, bob] = await bobAway();
  alice.chat.say(bob.id, { text: 'once' });
  await alice.seen('message.held');
  await away(alice);
  const asked = Promise.withResolvers<void>();
  office.letters.onDelete = () => {
    asked.resolve();
    throw new Fault('disk_full', 'a test');
  };
  await wakeAlone(bob);
  await asked.promise;
  await bob.stop();
  expect(held(bob)).toBe(1);
  office.letters.onDelete = () => {};
  await wakeAlone(bob);
  await gone(bob);
  await expect.poll(() => held(alice)).toBeGreaterThan(0);
  expect(received(bob)).toEqual(['once']);
});

test('killed between a deposit and its answer, the sender leaves the same letter again, and it is held once [M-8]', async () => {
  const [alice, bob] = await bobAway();
  const cut = Promise.withResolvers<void>();
  office.letters.onPut = () => {
    alice.cut();
    cut.resolve();
  };
  const { id } = alice.chat.say(bob.id, { text: 'once' });
  await cut.promise;
  expect(alice.chat.show(id).state).toBe('queued'); // nobody gave proof
  await alice.stop();
  expect(held(bob)).toBe(1);
  office.letters.onPut = () => {};
  alice.boot();
  await alice.seen('message.held');
  expect(held(bob)).toBe(1);
});

test('a full mailbox leaves the message queued with the reason, and it is held once there is room [M-9]', async () => {
  officeWith({ limits: { recipient: { letters: 1, bytes: 1_000_000 } } });
  const [alice, bob] = await bobAway();
  const carol = await person('carol');
  carol.chat.say(bob.id, { text: 'first' });
  await carol.seen('message.held');
  const { id } = alice.chat.say(bob.id, { text: 'second' });
  await alice.until(() => alice.chat.show(id).recipients[0]?.reason?.code === 'queue_full');
  expect(alice.chat.show(id)).toMatchObject({ state: 'queued', recipients: [{ hold: null }] });
  await wakeAlone(bob);
  await bob.seen('message.received');
  await alice.seen('message.held');
});

test('a tracker without mailboxes, or a recipient without a key: it stays queued with the reason [M-16]', async () => {
  officeWith({ mailbox: false });
  const [alice, bob] = await bobAway();
  const { id } = alice.chat.say(bob.id, { text: 'kept' });
  await alice.until(() => alice.chat.show(id).recipients[0]?.reason?.code === 'peer_unreachable');
  const unknown = Key.generate().id;
  const second = alice.chat.say(unknown, { text: 'kept too' });
  await alice.until(() => alice.chat.show(second.id).recipients[0]?.reason?.code === 'peer_unreachable');
  bob.online = true;
  bob.boot();
  alice.chat.peerOnline(bob.id);
  await alice.seen('message.delivered');
  expect(alice.chat.show(second.id).state).toBe('queued');
});

test('a hold is renewed before it is over, and the message stays held on the newest word [M-14]', async () => {
  const [alice, bob] = await bobAway();
  const { id } = alice.chat.say(bob.id, { text: 'again' });
  await alice.seen('message.held');
  const first = alice.chat.show(id).recipients[0]?.hold;
  world.now += 26 * DAY_MS;
  await alice.restart(); // looks at what ends, as a timer does
  world.now += 2 * DAY_MS;
  await alice.restart();
  await alice.seen('message.held', 2);
  const second = alice.chat.show(id).recipients[0]?.hold;
  expect(second?.at).toBe(world.now); // and not on the first look, when there was time left
  expect(second?.letter).not.toBe(first?.letter);
  world.now += 3 * DAY_MS; // the first one is over
  office.server.sweep();
  expect(alice.chat.show(id)).toMatchObject({ state: 'held', recipients: [{ reason: null }] });
  await away(alice);
  await wakeAlone(bob);
  await bob.seen('message.received');
  expect(received(bob)).toEqual(['again']);
});

test('a hold that is over is said to be over: the state does not go back, and it is left anew when that can be [M-14]', async () => {
  const [alice, bob] = await bobAway();
  const { id } = alice.chat.say(bob.id, { text: 'again' });
  await alice.seen('message.held');
  const first = alice.chat.show(id).recipients[0]?.hold;
  office.strangers.add(bob.id); // the tracker takes nothing for bob any more
  world.now += 31 * DAY_MS;
  office.server.sweep();
  const over = { state: 'held', recipients: [{ hold: first, reason: { code: 'hold_expired' } }] };
  expect(alice.chat.show(id)).toMatchObject(over);
  await alice.restart();
  await alice.until(() => alice.logged.includes('delivery waits'));
  expect(alice.chat.show(id)).toMatchObject(over);
  expect([held(bob), alice.chat.waiting()]).toEqual([0, 1]);
  office.strangers.delete(bob.id);
  await alice.restart();
  await alice.seen('message.held', 2);
  expect(alice.chat.show(id)).toMatchObject({ state: 'held', recipients: [{ reason: null }] });
  expect(alice.chat.show(id).recipients[0]?.hold?.until).toBeGreaterThan(world.now);
  expect(alice.events.map(({ message }) => message.state)).not.toContain('failed');
  await wakeAlone(bob);
  await bob.seen('message.received');
  await office.open(alice);
  await alice.seen('message.delivered');
  expect(received(bob)).toEqual(['again']);
});

test('a message that is both held and given by link is there once, and held no longer', async () => {
  const [alice, bob] = await bobAway();
  alice.chat.say(bob.id, { text: 'twice' });
  await alice.seen('message.held');
  bob.online = true;
  bob.boot();
  await alice.link(bob);
  await alice.seen('message.delivered');
  await office.open(bob);
  await gone(bob);
  await alice.until(() => alice.chat.waiting() === 0);
  expect(received(bob)).toEqual(['twice']);
});

test('a tracker that is wrong about who is there does not keep a message from them', async () => {
  const alice = await world.person('alice', { post: (me) => ({ ...office.post(me), isAway: () => true }) });
  const bob = await person('bob');
  alice.chat.say(bob.id, { text: 'I can reach you' });
  await alice.seen('message.delivered');
  expect(received(bob)).toEqual(['I can reach you']);
});

test('letters of a blocked account wait where they are, and nothing is told of it [D-61]', async () => {
  const [alice, bob] = await bobAway();
  alice.chat.say(bob.id, { text: 'hello?' });
  await alice.seen('message.held');
  bob.blocked.add(alice.id);
  await wakeAlone(bob);
  const link = await office.link(bob);
  await expect.poll(() => link.receivedBytes).toBeGreaterThan(500);
  expect([received(bob), held(bob), held(alice)]).toEqual([[], 1, 0]);
  await bob.stop();
  bob.blocked.delete(alice.id);
  await wakeAlone(bob);
  await bob.seen('message.received');
});

test('while somebody who is away is being dialled, what is said is held already', async () => {
  const [alice, bob] = await bobAway();
  alice.dial = (_account, { signal }) =>
    new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));
  alice.chat.say(bob.id, { text: 'one' });
  await alice.seen('message.held');
  alice.chat.say(bob.id, { text: 'two' });
  await alice.seen('message.held', 2);
});

/** Puts letters of `from` into the box of `to`, as another program would. */
async function leave(from: Person, to: Person, ...letters: { enc: string; data: string }[]): Promise<void> {
  const link = await office.link(from);
  await link.request(deposit, { to: to.id, letters: letters.map(({ enc, data }) => ({ enc, data })) });
}

const write = (author: Person, other: Person, seq: number, prev: Entry | null, at = world.now): Entry =>
  signEntry(author.key, {
    conversation: direct(author.id, other.id).id,
    author: author.id,
    seq,
    prev: prev && entryId(prev),
    at: at * 1000 + seq,
    kind: 'text',
    body: { text: `number ${seq}` },
  });

const toBob = (bob: Person) => ({ account: bob.id, key: sealingKey(bob.key) });

test('garbage, letters to another key, forged entries and forged receipts are deleted, and harm nothing [M-12]', async () => {
  const [alice, bob] = await bobAway();
  const one = write(alice, bob, 1, null);
  const garbage = { enc: toBase64url(new Uint8Array(32).fill(9)), data: toBase64url(new Uint8Array(64)) };
  const elsewhere = await sealLetter(
    alice.id,
    { account: bob.id, key: sealingKey(Key.generate()) },
    { entries: [one], receipts: [] },
  );
  const forged = await sealLetter(alice.id, toBob(bob), {
    entries: [{ ...one, body: { text: 'forged' } }],
    receipts: [],
  });
  const claim = {
    conversation: one.conversation,
    author: bob.id,
    seq: 1,
    entry: entryId(one),
    state: 'read' as const,
    at: 1,
  };
  const receipt = { ...signReceipt(Key.generate(), claim), account: alice.id };
  const lying = await sealLetter(alice.id, toBob(bob), { entries: [], receipts: [receipt] });
  const good = await sealLetter(alice.id, toBob(bob), { entries: [one], receipts: [receipt] });
  await leave(alice, bob, garbage, elsewhere, forged, lying, good);
  await away(alice);
  await wakeAlone(bob);
  await bob.seen('message.received');
  await gone(bob);
  expect(received(bob)).toEqual(['number 1']);
});

test('a letter that comes before the one it follows is kept until that one came [M-12]', async () => {
  const [alice, bob] = await bobAway();
  const one = write(alice, bob, 1, null);
  const two = write(alice, bob, 2, one);
  const [first, second] = await Promise.all(
    [one, two].map((entry) => sealLetter(alice.id, toBob(bob), { entries: [entry], receipts: [] })),
  );
  await leave(alice, bob, second ?? expect.fail('no letter'));
  await wakeAlone(bob);
  const fetched = await office.link(bob);
  await expect.poll(() => fetched.receivedBytes).toBeGreaterThan(500);
  expect([held(bob), received(bob)]).toEqual([1, []]);
  await leave(alice, bob, first ?? expect.fail('no letter'));
  await bob.seen('message.received', 2);
  await gone(bob);
  expect(received(bob)).toEqual(['number 1', 'number 2']);
});

test('what is refused for its time alone stays in the mailbox, and its author does not take it back [M-15]', async () => {
  const [alice, bob] = await bobAway();
  const ahead = world.now + 3_600_000;
  const here = world.now;
  world.now = ahead; // alice’s clock is an hour ahead when she writes
  const { id } = alice.chat.say(bob.id, { text: 'from the future' });
  await alice.seen('message.held');
  world.now = here;
  alice.chat.say(bob.id, { text: 'and on' });
  await alice.seen('message.held', 2);
  expect(alice.chat.show(id).state).toBe('held');
  await away(alice);
  await wakeAlone(bob);
  const link = await office.link(bob);
  await expect.poll(() => link.receivedBytes).toBeGreaterThan(500);
  expect([received(bob), held(bob)]).toEqual([[], 2]);
  world.now = ahead;
  await bob.stop();
  await wakeAlone(bob);
  await bob.seen('message.received', 2);
  expect(received(bob)).toEqual(['from the future', 'and on']);
});
