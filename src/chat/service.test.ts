import { copyFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Fault } from '../base/fault.ts';
import { type Person, World } from './fixture.ts';

let world: World;
let alice: Person;
let bob: Person;

beforeEach(async () => {
  world = new World();
  alice = await world.person('alice');
  bob = await world.person('bob');
});
afterEach(() => world[Symbol.asyncDispose]());

const say = (from: Person, to: Person, text: string) => from.chat.say(to.id, { text });

test('messages go both ways, and become delivered and read by signed receipts [C-14] [C-15]', async () => {
  const sent = say(alice, bob, 'hello');
  expect(sent).toMatchObject({ state: 'queued', deliveredAt: null, to: [bob.id], author: alice.id });
  await bob.seen('message.received');
  await alice.seen('message.delivered');
  world.now += 1000;
  const reply = say(bob, alice, 'hello yourself');
  await alice.seen('message.received');
  await bob.seen('message.delivered');
  expect(alice.texts(bob)).toEqual(['hello', 'hello yourself']);
  expect(bob.texts(alice)).toEqual(['hello', 'hello yourself']);
  expect(alice.states(bob)).toEqual(['delivered', 'received']);

  bob.chat.markRead(sent.id);
  await alice.seen('message.read');
  const shown = alice.chat.show(sent.id);
  expect(shown).toMatchObject({ state: 'read', deliveredAt: world.now - 1000 });
  expect(shown.recipients[0]).toMatchObject({ account: bob.id, readAt: world.now });
  expect(shown.evidence.map((receipt) => [receipt.account, receipt.state, receipt.entry])).toEqual([
    [bob.id, 'delivered', sent.id],
    [bob.id, 'read', sent.id],
  ]);
  expect(bob.chat.show(reply.id).state).toBe('delivered');
  expect(alice.chat.waiting()).toBe(0);
});

test('a file ticket reaches the entry listener with its message', async () => {
  const got: unknown[] = [];
  bob.onEntry = (message) => got.push(message.body);
  const ticket = { hash: 'a'.repeat(52), name: 'notes.txt', size: 12, chunks: 1 };
  expect(() => alice.chat.offerFile(bob.id, { ...ticket, hash: 'short' })).toThrow(Fault);
  expect(alice.chat.offerFile(bob.id, ticket)).toMatchObject({ kind: 'file', body: ticket });
  await bob.seen('message.received');
  expect(got).toEqual([ticket]);
});

test('what cannot be said is refused before it is queued [C-6]', () => {
  const code = (run: () => unknown): string => {
    try {
      run();
    } catch (error) {
      if (error instanceof Fault) return error.code;
    }
    return 'taken';
  };
  expect(code(() => say(alice, alice, 'me'))).toBe('invalid_argument');
  expect(code(() => say(alice, bob, ''))).toBe('invalid_argument');
  expect(code(() => say(alice, bob, 'half \ud800'))).toBe('invalid_argument');
  expect(code(() => alice.chat.say('bob', { text: 'x' }))).toBe('invalid_argument');
  expect(code(() => say(alice, bob, 'x'.repeat(65_537)))).toBe('too_large');
  expect(code(() => say(alice, bob, '\u0001'.repeat(65_536)))).toBe('too_large');
  expect(code(() => alice.chat.show('none'))).toBe('unknown_id');
  expect(code(() => alice.chat.list({ limit: 10, before: 'none' }))).toBe('unknown_id');
  expect(code(() => alice.chat.list({ limit: 0 }))).toBe('invalid_argument');
  expect(alice.chat.waiting()).toBe(0);
  expect(code(() => say(alice, bob, '"'.repeat(65_536)))).toBe('taken');
});

test('a link cut between delivery and receipt: shown once, delivered in the end [C-11]', async () => {
  bob.onEvent = ({ type }) => {
    if (type === 'message.received') bob.cut(); // the answer finds no link
  };
  bob.online = false;
  await alice.link(bob);
  const { id } = say(alice, bob, 'once');
  await bob.seen('message.received');
  await alice.until(() => alice.links.size === 0);
  expect(alice.chat.show(id).state).toBe('queued');
  bob.online = true;
  await bob.link(alice);
  await alice.seen('message.delivered');
  expect(bob.events.filter(({ type }) => type === 'message.received')).toHaveLength(1);
  expect(bob.texts(alice)).toEqual(['once']);
});

test('a restart of either side in the middle loses nothing and shows nothing twice', async () => {
  bob.online = false;
  for (const text of ['one', 'two']) say(alice, bob, text);
  await alice.restart();
  expect(alice.chat.waiting()).toBe(2);
  say(alice, bob, 'three');
  bob.onEvent = ({ type }) => {
    if (type === 'message.received') bob.cut();
  };
  await alice.link(bob);
  await bob.seen('message.received', 3);
  bob.onEvent = () => {};
  await bob.restart();
  await alice.restart();
  bob.online = true;
  alice.chat.peerOnline(bob.id);
  await alice.seen('message.delivered', 3);
  expect(bob.texts(alice)).toEqual(['one', 'two', 'three']);
  expect(alice.texts(bob)).toEqual(['one', 'two', 'three']);
  expect(bob.events.filter(({ type }) => type === 'message.received')).toHaveLength(3);
});

test('a thousand messages said while the other is away arrive once, in order', async () => {
  bob.online = false;
  const texts = Array.from({ length: 1000 }, (_, n) => `message ${n}`);
  for (const text of texts) say(alice, bob, text);
  expect(alice.chat.waiting()).toBe(1000);
  await alice.until(() => alice.chat.list({ limit: 1 })[0]?.recipients[0]?.reason?.code === 'peer_unreachable');
  bob.online = true;
  alice.chat.peerOnline(bob.id);
  await alice.seen('message.delivered', 1000);
  expect(bob.texts(alice)).toEqual(texts);
  expect(bob.events.filter(({ type }) => type === 'message.received')).toHaveLength(1000);
  expect(alice.chat.waiting()).toBe(0);
});

test('a process that dies between keeping an entry and its listener keeps neither, and gets both again [C-14]', async () => {
  const got: string[] = [];
  bob.store.migrate('files', ['CREATE TABLE offers (id TEXT PRIMARY KEY) STRICT']);
  let dies = true;
  bob.onEntry = ({ id }) => {
    bob.store.prepare('INSERT INTO offers (id) VALUES (?)').run(id);
    if (dies) throw new Error('killed here');
    got.push(id);
  };
  const { id } = say(alice, bob, 'with a ticket');
  await alice.until(() => alice.chat.show(id).recipients[0]?.reason !== null);
  expect(bob.texts(alice)).toEqual([]);
  expect(bob.store.prepare('SELECT * FROM offers').all()).toEqual([]);
  expect(alice.chat.show(id).state).toBe('queued');
  await bob.restart();
  dies = false;
  await bob.link(alice);
  await alice.seen('message.delivered');
  expect(got).toEqual([id]);
  expect(bob.store.prepare('SELECT * FROM offers').all()).toEqual([{ id }]);
});

test('a full disk at the receiver keeps the message queued, says why, and it arrives later', async () => {
  let full = true;
  bob.onEntry = () => {
    if (full) throw new Fault('disk_full', 'writing to the store: no room is left');
  };
  const { id } = say(alice, bob, 'patience');
  await alice.until(() => alice.chat.show(id).recipients[0]?.reason?.code === 'disk_full');
  expect(alice.chat.show(id).state).toBe('queued');
  full = false;
  alice.chat.peerOnline(bob.id);
  await alice.seen('message.delivered');
  expect(bob.texts(alice)).toEqual(['patience']);
});

test('a store that cannot be written refuses what is said and what comes, keeps nothing of it, and goes on by itself', async () => {
  say(alice, bob, 'before');
  await alice.seen('message.delivered');
  const kept = (who: Person): unknown =>
    ['entries', 'outbox', 'receipts', 'remarks'].map((table) =>
      who.store.prepare<{ n: number }>(`SELECT count(*) AS n FROM ${table}`).get(),
    );
  const before = kept(bob);
  bob.store.prepare('PRAGMA query_only = 1').all();
  expect(() => say(bob, alice, 'cannot be kept')).toThrow(expect.objectContaining({ code: 'unwritable' }));
  const { id } = say(alice, bob, 'patience');
  await alice.until(() => alice.chat.show(id).recipients[0]?.reason?.code === 'unwritable');
  expect([alice.chat.show(id).state, kept(bob), bob.texts(alice)]).toEqual(['queued', before, ['before']]);
  bob.store.prepare('PRAGMA query_only = 0').all();
  await alice.seen('message.delivered', 2);
  say(bob, alice, 'again');
  await bob.seen('message.delivered');
  expect(alice.texts(bob)).toEqual(['before', 'patience', 'again']);
});

test('read before the author is back: the author learns it with the next greeting [C-20]', async () => {
  const { id } = say(alice, bob, 'read me');
  await alice.seen('message.delivered');
  await alice.stop();
  bob.chat.markRead(id);
  alice.boot();
  await alice.link(bob);
  await alice.seen('message.read');
  expect(alice.chat.show(id).state).toBe('read');
});

test('a receiver who lost everything gets the whole conversation back [C-13] [C-20]', async () => {
  for (const text of ['one', 'two']) say(alice, bob, text);
  say(bob, alice, 'mine');
  await alice.seen('message.delivered', 2);
  await bob.seen('message.delivered');
  const key = bob.key;
  await bob.stop();
  const again = await world.person('bob-again', { key });
  const mine = again.seen('message.received', 2);
  await again.link(alice);
  await mine;
  await again.seen('message.delivered');
  expect(again.texts(alice)).toEqual(alice.texts(again));
  expect(again.states(alice).toSorted()).toEqual(['delivered', 'received', 'received']);
  say(again, alice, 'on we go');
  await again.seen('message.delivered', 2);
  expect(alice.texts(again)).toContain('on we go');
});

test('an author restored from an old backup gets its own messages back; what it said meanwhile fails and says so [C-18]', async () => {
  say(alice, bob, 'one');
  await alice.seen('message.delivered');
  await alice.stop();
  const backup = `${alice.file}.backup`;
  copyFileSync(alice.file, backup);
  alice.boot();
  for (const text of ['two', 'three']) say(alice, bob, text);
  await alice.seen('message.delivered', 3);
  await alice.stop();
  copyFileSync(backup, alice.file);
  bob.online = false;
  alice.boot();
  const lost = ['two, again', 'x', 'y', 'z'].map((text) => say(alice, bob, text));
  bob.online = true;
  alice.chat.peerOnline(bob.id);
  await alice.seen('message.failed', 4);
  await alice.seen('message.delivered', 5);
  for (const { id } of lost) {
    expect(alice.chat.show(id)).toMatchObject({ state: 'failed', recipients: [{ reason: { code: 'forked' } }] });
  }
  say(alice, bob, 'four');
  await alice.seen('message.delivered', 6);
  expect(bob.texts(alice)).toEqual(['one', 'two', 'three', 'four']);
  expect(alice.chat.waiting()).toBe(0);
});

test('a clock that is minutes ahead delays; one that was a year ahead fails what was said, and heals [C-9]', async () => {
  let skew = 6 * 60_000;
  const carol = await world.person('carol', { clock: { now: () => world.now + skew } });
  const early = say(carol, bob, 'from the future');
  await carol.until(() => carol.chat.show(early.id).recipients[0]?.reason?.code === 'clock_ahead');
  expect(carol.chat.show(early.id).state).toBe('queued');
  world.now += 2 * 60_000;
  carol.chat.peerOnline(bob.id);
  await carol.seen('message.delivered');

  skew = 365 * 24 * 3600_000;
  const year = say(carol, bob, 'next year');
  await carol.until(() => carol.chat.show(year.id).recipients[0]?.reason?.code === 'clock_ahead');
  skew = 0;
  say(carol, bob, 'now');
  await carol.seen('message.delivered', 2);
  expect(carol.chat.show(year.id)).toMatchObject({
    state: 'failed',
    recipients: [{ reason: { code: 'clock_ahead' } }],
  });
  expect(bob.texts(carol)).toEqual(['from the future', 'now']);
});

test('the queue for one recipient has a bound, and says so', () => {
  bob.online = false;
  alice.store.transaction(() => {
    for (let n = 0; n < 10_000; n++) say(alice, bob, 'x');
  });
  expect(() => say(alice, bob, 'one too many')).toThrow(expect.objectContaining({ code: 'queue_full' }));
  expect(alice.chat.waiting()).toBe(10_000);
});

test('pages end where they are asked to, in the same order on both sides [C-10]', async () => {
  for (let n = 0; n < 10; n++) {
    say(n % 3 ? alice : bob, n % 3 ? bob : alice, `${n}`);
  }
  await alice.seen('message.received', 4);
  await bob.seen('message.received', 6);
  const whole = alice.chat.list({ account: bob.id, limit: 100 }).map((message) => message.id);
  expect(bob.chat.list({ account: alice.id, limit: 100 }).map((message) => message.id)).toEqual(whole);
  const page = alice.chat.list({ limit: 4, before: whole[7] });
  expect(page.map((message) => message.id)).toEqual(whole.slice(3, 7));
});
