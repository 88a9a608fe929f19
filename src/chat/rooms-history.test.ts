/** What entries of rooms do to each other: who may take back whose, and what is counted, found and exported. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Link } from '../link/link.ts';
import { pair } from '../link/pair.ts';
import { type Entry, signEntry } from './entry.ts';
import { verifyExport } from './export.ts';
import { type Home, type Person, World } from './fixture.ts';
import type { History } from './membership.ts';
import { giveOrder, roomLog } from './room-wire.ts';
import { type Deliver, deliver } from './wire.ts';

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

const code = (expected: string) => expect.objectContaining({ code: expected });
const later = (): void => {
  world.now += 1000;
};

/** A room of alice's, in which all of `members` are. */
async function roomOf(members: readonly Person[], history: History = 'all'): Promise<string> {
  const { id } = await alice.chat.rooms.create('team', { history });
  for (const member of members) await joins(id, member);
  for (const each of [alice, ...members]) await each.room(id, (room) => room.members.length === members.length + 1);
  return id;
}

async function joins(id: string, member: Person): Promise<void> {
  await alice.chat.rooms.invite(id, member.id);
  await member.room(id, ({ standing }) => standing === 'invited');
  await member.chat.rooms.join(id);
}

/** Says it, and waits until the others have it. */
async function says(id: string, who: Person, text: string, others: readonly Person[]): Promise<string> {
  later();
  const said = who.chat.say(id, { text });
  for (const each of others) await each.until(() => each.said(id).includes(text));
  return said.id;
}

const isDeleted = (who: Person, id: string): boolean => who.chat.show(id).deleted;

/** What somebody wrote in a conversation, as it stands in its chain with them. */
async function ownOf(who: Person, conversation: string): Promise<Entry[]> {
  const lines = await Array.fromAsync(who.chat.export({ conversation, format: 'ndjson', handleOf: (id) => id }));
  const entries: Entry[] = lines.flatMap((line) => JSON.parse(line).entry ?? []);
  return entries.filter(({ author }) => author === who.id);
}

/** A link of which neither side makes anything by itself. */
async function lineOf(from: Person, to: Person): Promise<Link> {
  const [near] = await pair(
    { router: from.router, self: from.hello, id: from.node.id },
    { router: to.router, self: to.hello, id: to.node.id },
  );
  return near;
}

async function give(from: Person, to: Person, entries: readonly Entry[]): Promise<Deliver> {
  const link = await lineOf(from, to);
  return await link.request(deliver, { entries: [...entries] }).finally(() => link.close());
}

async function* given(lines: readonly string[]): AsyncGenerator<string> {
  yield* lines;
}

test('an owner and a moderator take back what others wrote, a member only what they wrote themselves [H-3]', async () => {
  const id = await roomOf([bob, carol]);
  await alice.chat.rooms.role(id, bob.id, 'moderator');
  for (const each of [bob, carol]) await each.room(id, ({ number }) => number === 5);
  const first = await says(id, carol, 'the first', [alice, bob]);
  const second = await says(id, bob, 'the second', [alice, carol]);
  later();
  expect(() => carol.chat.history.remove(second)).toThrow(code('forbidden'));
  expect(bob.chat.history.remove(first)).toMatchObject({ deleted: true, body: {} });
  for (const each of [alice, carol]) await each.until(() => isDeleted(each, first));
  expect(carol.events.some(({ type, message }) => type === 'message.deleted' && message.id === first)).toBe(true);
  alice.chat.history.remove(second);
  for (const each of [bob, carol]) await each.until(() => isDeleted(each, second));
  expect(carol.chat.history.search({ words: 'first', limit: 9 })).toEqual([]);
  expect(() => bob.chat.history.edit(first, 'other words')).toThrow(code('forbidden'));
  await carol.restart();
  expect([first, second].map((each) => isDeleted(carol, each))).toEqual([true, true]);
});

test('what one deletes who is a moderator no more does not count, whichever of both comes first [R-14] [H-5]', async () => {
  const id = await roomOf([bob, carol]);
  await alice.chat.rooms.role(id, bob.id, 'moderator');
  for (const each of [bob, carol]) await each.room(id, ({ number }) => number === 5);
  const early = await says(id, carol, 'early', [alice, bob]);
  later();
  bob.chat.history.remove(early);
  for (const each of [alice, carol]) await each.until(() => isDeleted(each, early));
  const said = await says(id, carol, 'still here', [alice, bob]);
  // From here on Alice and her tracker are by themselves, and so are Bob and Carol.
  alice.online = false;
  for (const each of [alice, bob, carol]) each.cut();
  await alice.meet(home);
  later();
  await alice.chat.rooms.role(id, bob.id, 'member');
  later();
  bob.chat.history.remove(said);
  await bob.link(carol);
  await carol.until(() => isDeleted(carol, said));
  alice.online = true;
  for (const each of [bob, carol]) await each.meet(home);
  for (const each of [bob, carol]) await each.room(id, ({ number }) => number === 6);
  expect(() => bob.chat.history.remove(said)).toThrow(code('forbidden'));
  const last = await says(id, bob, 'I am a member', [alice, carol]);
  for (const each of [alice, bob, carol]) expect(isDeleted(each, said)).toBe(false);
  expect(carol.chat.history.search({ words: 'still', limit: 9 })).toHaveLength(1);
  // Once more, by a program that does not ask whether it may: what counted goes on to count.
  const head = (await ownOf(bob, id)).at(-1) ?? expect.fail('no entry');
  const at = (world.now + 1) * 1000;
  const again = { ...head, seq: head.seq + 1, prev: last, at, kind: 'delete', body: { target: early } };
  const { sig: _, ...unsigned } = again;
  expect(await give(bob, carol, [signEntry(bob.key, unsigned)])).toMatchObject({ refused: [] });
  for (const each of [alice, bob, carol]) expect(isDeleted(each, early)).toBe(true);
  const told = carol.events.filter(({ type, message }) => type === 'message.deleted' && message.id === said);
  expect(told.map(({ message }) => message.deleted)).toEqual([true, false]);
});

test('a deletion that comes before the change that allows it counts once that is known [R-14] [H-5]', async () => {
  const id = await roomOf([bob, carol]);
  const said = await says(id, carol, 'to be taken back', [alice, bob]);
  carol.online = false;
  for (const each of [alice, bob, carol]) each.cut();
  for (const each of [alice, bob]) await each.meet(home);
  later();
  await alice.chat.rooms.role(id, bob.id, 'moderator');
  await bob.room(id, ({ number }) => number === 5);
  later();
  bob.chat.history.remove(said);
  const link = await lineOf(bob, carol);
  expect(await link.request(deliver, { entries: await ownOf(bob, id) })).toMatchObject({
    refused: [],
    receipts: [{ account: carol.id }],
  });
  expect(isDeleted(carol, said)).toBe(false);
  const tracker = [...bob.links].find(({ peer }) => peer === home.key.id) ?? expect.fail('no link to the tracker');
  const { creation, ordered } = await tracker.request(roomLog, { conversation: id, after: 4 });
  await link.request(giveOrder, { creation, ordered });
  expect(isDeleted(carol, said)).toBe(true);
  expect(carol.events.at(-1)).toMatchObject({ type: 'message.deleted', message: { id: said, deleted: true } });
  link.close();
});

test('an author who was removed and is back is handed their own withdrawn entry: refused with a code, and all goes on [R-13]', async () => {
  const id = await roomOf([bob]);
  await says(id, bob, 'stands', [alice]);
  for (const each of [alice, bob]) each.cut();
  alice.online = false;
  bob.online = false;
  await alice.meet(home);
  later();
  const lost = bob.chat.say(id, { text: 'falls' });
  const own = (await ownOf(bob, id)).at(-1) ?? expect.fail('no entry');
  later();
  await alice.chat.rooms.remove(id, bob.id);
  await bob.meet(home);
  await bob.until(() => bob.chat.show(lost.id).state === 'failed');
  later();
  await joins(id, bob);
  await alice.room(id, ({ members }) => members.length === 2);
  const refusal = { refused: [{ index: 0, code: 'forbidden', retry: false }], receipts: [] };
  expect(await give(alice, bob, [own])).toMatchObject(refusal);
  alice.online = true;
  bob.online = true;
  await alice.link(bob);
  await says(id, bob, 'I am back', [alice]);
  expect(await give(alice, bob, [own])).toMatchObject(refusal); // its place is taken by now
  await says(id, bob, 'and stay', [alice]);
  expect(alice.said(id)).toEqual(['stands', 'I am back', 'and stay']);
  expect(bob.chat.forks(id)).toEqual([]);
});

test('nobody can give others what was dropped of one who is back: all go on with what is new [R-10]', async () => {
  const id = await roomOf([bob, carol]);
  for (const each of [alice, bob, carol]) {
    each.cut();
    each.online = false;
  }
  await alice.meet(home);
  later();
  bob.chat.say(id, { text: 'falls' });
  const dropped = await ownOf(bob, id);
  expect(dropped).toHaveLength(1);
  later();
  await alice.chat.rooms.remove(id, bob.id);
  for (const each of [bob, carol]) await each.meet(home);
  await bob.room(id, ({ standing }) => standing === 'removed');
  await joins(id, bob);
  const { number } = await alice.room(id, ({ members }) => members.length === 3);
  await carol.room(id, (room) => room.number === number);
  const given = await give(alice, carol, dropped);
  expect(given).toMatchObject({ receipts: [], refused: [{ index: 0, code: 'forbidden', retry: false }] });
  for (const each of [alice, bob, carol]) each.online = true;
  await says(id, bob, 'back', [alice, carol]);
  expect(carol.said(id)).toEqual(['back']);
  expect(carol.chat.forks(id)).toEqual([]);
});

const exported = (who: Person, conversation: string, format: 'ndjson' | 'markdown' = 'ndjson'): Promise<string[]> =>
  Array.fromAsync(who.chat.export({ conversation, format, handleOf: (id) => (id === alice.id ? 'alice@lab' : id) }));

test('an export of a room proves who was in it and what they wrote, and every change to it is noticed [H-10] [H-11]', async () => {
  const id = await roomOf([bob, carol]);
  await says(id, bob, 'one', [alice, carol]);
  await says(id, carol, 'two', [alice, bob]);
  later();
  await alice.chat.rooms.remove(id, carol.id);
  await bob.room(id, ({ members }) => members.length === 2);
  await says(id, alice, 'three', [bob]);
  const lines = await exported(bob, id);
  expect(await verifyExport(given(lines))).toMatchObject({
    entries: 3,
    gaps: 0,
    members: [alice.id, bob.id].sort(),
  });
  const [head = '', ...rest] = lines;
  const changes = rest.filter((line) => 'ordered' in JSON.parse(line));
  expect(changes).toHaveLength(5);
  const entries = rest.slice(changes.length);
  const { creation, ...bare } = JSON.parse(head);
  const broken: [string[], string][] = [
    [[JSON.stringify(bare), ...rest], 'corrupt'],
    [[head.replace('"team"', '"meat"'), ...rest], 'corrupt'],
    [[JSON.stringify({ ...bare, creation: { ...creation, sig: 'A'.repeat(86) } }), ...rest], 'bad_signature'],
    [[head, ...changes.slice(0, -1), ...entries], 'corrupt'], // Carol is a member still
    [[head, ...changes.slice(1), ...entries], 'corrupt'],
    [[head, ...entries], 'corrupt'],
    [[head, ...changes.with(1, (changes[1] ?? '').replace('"join"', '"decline"')), ...entries], 'bad_signature'],
    [[head, ...changes, ...entries.slice(1)], 'corrupt'],
    [[head, ...changes, (entries[0] ?? '').replace('one', 'two'), ...entries.slice(1)], 'bad_signature'],
  ];
  for (const [changed, expected] of broken) await expect(verifyExport(given(changed))).rejects.toThrow(code(expected));
  expect(await exported(bob, id, 'markdown')).toContain(
    `# \\#team: ${[alice.id, bob.id].sort().join(', ').replace(alice.id, 'alice@lab')}`,
  );
  expect(await verifyExport(given(await exported(carol, id)))).toMatchObject({ entries: 2, gaps: 0 });
});

test('an export of a room whose history starts in the middle verifies, and says how often something is missing [H-11] [R-31]', async () => {
  const id = await roomOf([bob], { last: 2 });
  for (const text of ['a1', 'a2']) await says(id, alice, text, [bob]);
  for (const text of ['b1', 'b2']) await says(id, bob, text, [alice]);
  await says(id, alice, 'a3', [bob]);
  later();
  await joins(id, carol);
  await carol.until(() => carol.said(id).length === 2);
  await alice.room(id, ({ members }) => members.length === 3);
  await says(id, carol, 'c1', [alice, bob]);
  const lines = await exported(carol, id);
  expect(await verifyExport(given(lines))).toMatchObject({ entries: 3, gaps: 2 });
  expect(await verifyExport(given(await exported(alice, id)))).toMatchObject({ entries: 6, gaps: 0 });
  // Where all is shown to newcomers, a chain that starts late was cut.
  const whole = await roomOf([bob]);
  for (const text of ['a1', 'a2']) await says(whole, alice, text, [bob]);
  const cut = (await exported(bob, whole)).filter((line) => JSON.parse(line).entry?.body.text !== 'a1');
  await expect(verifyExport(given(cut))).rejects.toThrow(code('forked'));
});

test('unread, mentions and search count a room like a direct conversation, also of an author who has gone [H-6] [H-8]', async () => {
  const id = await roomOf([bob, carol]);
  await says(id, carol, 'one from her', [alice, bob]);
  const hers = await says(id, alice, 'one from Alice', [bob]);
  expect(bob.chat.history.conversation(id)).toMatchObject({ kind: 'room', name: 'team', unread: 2 });
  await alice.chat.rooms.remove(id, carol.id);
  await bob.room(id, ({ members }) => members.length === 2);
  expect(bob.chat.history.conversation(id)).toMatchObject({ unread: 2 });
  expect(bob.chat.history.search({ words: 'one', conversation: id, limit: 9 })).toHaveLength(2);
  bob.chat.history.markAllRead(id);
  expect(bob.chat.history.conversation(id)).toMatchObject({ unread: 0 });
  await alice.until(() =>
    alice.chat.show(hers).recipients.some(({ account, state }) => account === bob.id && state === 'read'),
  );
  await bob.restart();
  expect(bob.chat.history.conversation(id)).toMatchObject({ unread: 0 });
});

/** Bob has said three things that nobody has yet; alice is given two of them, carol all, with signatures of hers on the second. */
async function cutShort(spoilt: boolean): Promise<string> {
  const id = await roomOf([bob, carol]);
  for (const each of [alice, bob, carol]) {
    each.cut();
    each.online = false;
  }
  for (const text of ['one', 'two', 'three']) {
    later();
    bob.chat.say(id, { text });
  }
  const own = await ownOf(bob, id);
  expect(own).toHaveLength(3);
  await give(bob, alice, own.slice(0, 2));
  const { sig } = own[0] ?? expect.fail('nothing was said');
  const taken = await give(
    bob,
    carol,
    own.map((entry) => (spoilt && entry.seq === 2 ? { ...entry, sig } : entry)),
  );
  expect(taken).toMatchObject({ receipts: [{ seq: 3 }], refused: [] });
  for (const each of [alice, carol]) await each.meet(home);
  await alice.chat.rooms.remove(id, bob.id);
  await carol.room(id, ({ members }) => members.length === 2);
  return id;
}

test('a removal that cuts a vouched run leaves an end that proves itself [C-4] [R-10]', async () => {
  const id = await cutShort(false);
  expect(carol.said(id)).toEqual(['one', 'two']);
  expect(await verifyExport(given(await exported(carol, id)))).toMatchObject({ entries: 2 });
});

test('what a cut leaves without a good signature goes, and comes back from whoever has it with one [C-4] [R-10]', async () => {
  const id = await cutShort(true);
  expect(carol.said(id)).toEqual(['one']);
  expect(await verifyExport(given(await exported(carol, id)))).toMatchObject({ entries: 1 });
  for (const each of [alice, carol]) each.online = true;
  await alice.link(carol);
  await carol.until(() => carol.said(id).length === 2);
  expect(carol.said(id)).toEqual(['one', 'two']);
  expect(await verifyExport(given(await exported(carol, id)))).toMatchObject({ entries: 2 });
  expect(carol.chat.history.search({ words: 'two', limit: 9 })).toHaveLength(1);
});

test('who comes back where the home’s clock is ahead is heard as soon as the clocks allow it [R-10] [R-33]', async () => {
  const BEHIND_MS = 10 * 60_000;
  const clock = { now: () => world.now - BEHIND_MS };
  const [dave, erin] = [await world.person('dave', { clock }), await world.person('erin', { clock })];
  const { id } = await dave.chat.rooms.create('team', { members: [erin.id] });
  await erin.room(id, ({ standing }) => standing === 'invited');
  await erin.chat.rooms.join(id);
  await dave.room(id, ({ members }) => members.length === 2);
  later();
  await erin.chat.rooms.leave(id);
  await dave.room(id, ({ members }) => members.length === 1);
  await dave.chat.rooms.invite(id, erin.id);
  await erin.room(id, ({ standing }) => standing === 'invited');
  await erin.chat.rooms.join(id);
  for (const each of [dave, erin]) await each.room(id, ({ members }) => members.length === 2);

  const first = erin.chat.say(id, { text: 'back' });
  const second = erin.chat.say(id, { text: 'and on' }); // takes nothing of it back
  await erin.until(() => erin.chat.show(first.id).recipients[0]?.reason?.code === 'clock_ahead');
  expect([first, second].map((each) => erin.chat.show(each.id).state)).toEqual(['queued', 'queued']);
  dave.chat.say(id, { text: 'whoever stayed waits for nothing' });
  await erin.until(() => erin.said(id).includes('whoever stayed waits for nothing'));
  world.now += 6 * 60_000;
  erin.chat.peerOnline(dave.id);
  await dave.until(() => dave.said(id).includes('and on'));
  await erin.until(() => erin.chat.show(second.id).state === 'delivered');
  expect(dave.said(id)).toEqual(erin.said(id));
});

test('a home whose clock is days ahead is said to be so, rather than what is written being queued for days [R-33]', async () => {
  const clock = { now: () => world.now - 3 * 24 * 3600_000 };
  const [dave, erin] = [await world.person('dave', { clock }), await world.person('erin', { clock })];
  const { id } = await dave.chat.rooms.create('team', { members: [erin.id] });
  await erin.room(id, ({ standing }) => standing === 'invited');
  await erin.chat.rooms.join(id);
  for (const each of [dave, erin]) await each.room(id, ({ members }) => members.length === 2);
  await erin.chat.rooms.leave(id);
  await dave.room(id, ({ members }) => members.length === 1);
  await dave.chat.rooms.invite(id, erin.id);
  await erin.room(id, ({ standing }) => standing === 'invited');
  await erin.chat.rooms.join(id);
  await erin.room(id, ({ standing }) => standing === 'member');
  expect(() => erin.chat.say(id, { text: 'back' })).toThrow(code('wrong_state'));
});

const count = (who: Person, type: string, id: string): number =>
  who.events.filter((event) => event.type === type && event.message.id === id).length;

test('somebody who has left and reads then is counted, and the message is told to be read once by all [C-16] [H-8]', async () => {
  const id = await roomOf([bob, carol]);
  later();
  const { id: said } = alice.chat.say(id, { text: 'hello' });
  await alice.seen('message.delivered');
  await bob.chat.rooms.leave(id);
  await alice.room(id, ({ members }) => members.length === 2);
  carol.chat.markRead(said);
  await alice.until(() => alice.chat.show(said).recipients.some(({ state }) => state === 'read'));
  expect([alice.chat.show(said).state, count(alice, 'message.read', said)]).toEqual(['delivered', 0]);
  bob.chat.markRead(said);
  await alice.until(() => alice.chat.show(said).state === 'read');
  expect(count(alice, 'message.read', said)).toBe(1);
});

test('one who goes before a message reached them is not waited for: what holds for the others is told then [C-16]', async () => {
  const id = await roomOf([bob, carol]);
  bob.online = false;
  bob.cut();
  later();
  const { id: said } = alice.chat.say(id, { text: 'hello' });
  await carol.until(() => carol.said(id).length === 1);
  carol.chat.markRead(said);
  await alice.until(() => alice.chat.show(said).recipients.some(({ state }) => state === 'read'));
  expect(alice.chat.show(said).state).toBe('queued');
  later();
  await alice.chat.rooms.remove(id, bob.id);
  await alice.seen('message.read');
  expect(alice.chat.show(said).state).toBe('read');
  expect(['message.failed', 'message.delivered', 'message.read'].map((type) => count(alice, type, said))).toEqual([
    1, 1, 1,
  ]);
  const { id: second } = alice.chat.say(id, { text: 'and on' });
  await carol.until(() => carol.said(id).length === 2);
  carol.chat.markRead(second);
  await alice.until(() => count(alice, 'message.read', second) === 1);
});
