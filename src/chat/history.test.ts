import { expect, test } from 'vitest';
import { Store } from '../base/sqlite.ts';
import { verifyExport } from './export.ts';
import { type Person, World } from './fixture.ts';
import { EntryLog } from './log.ts';
import { migrateChat, STEPS, Statements } from './tables.ts';
import { typingNotice } from './wire.ts';

async function couple(): Promise<{ world: World; alice: Person; bob: Person }> {
  const world = new World();
  return { world, alice: await world.person('alice'), bob: await world.person('bob') };
}

const code = (expected: string) => expect.objectContaining({ code: expected });

/** Both sides show the same of a message, but for the state. */
function same(alice: Person, bob: Person, id: string): void {
  const [mine, theirs] = [alice, bob].map(({ chat }) => {
    const { body, edited, deleted, reactions, replyTo, mentions } = chat.show(id);
    return { body, edited, deleted, reactions, replyTo, mentions };
  });
  expect(theirs).toEqual(mine);
}

test('answers, edits, reactions and deletions reach the other side and look the same there', async () => {
  const { world, alice, bob } = await couple();
  await using _ = world;
  const { id } = alice.chat.say(bob.id, { text: 'first' });
  await bob.seen('message.received');
  const answer = bob.chat.history.reply(id, 'an answer');
  expect(answer).toMatchObject({ replyTo: id, body: { text: 'an answer' } });
  world.now += 1000;
  expect(alice.chat.history.edit(id, 'second')).toMatchObject({ body: { text: 'second' }, edited: world.now });
  await bob.seen('message.edited');
  bob.chat.history.react(id, '👍', true);
  await alice.seen('message.reaction');
  expect(alice.events.at(-1)?.message).toMatchObject({ id, reactions: [{ emoji: '👍', accounts: [bob.id] }] });
  same(alice, bob, id);
  expect(bob.chat.history.versions(id).map(({ text }) => text)).toEqual(['first', 'second']);
  expect(bob.texts(alice)).toEqual(['second', 'an answer']); // what changes messages is none
  alice.chat.history.remove(id);
  await bob.seen('message.deleted');
  same(alice, bob, id);
  expect(bob.chat.show(id)).toMatchObject({ deleted: true, body: {}, reactions: [] });
  expect(alice.chat.history.remove(id).deleted).toBe(true); // once more is no error
  expect(bob.events.filter(({ type }) => type === 'message.received')).toHaveLength(1);
});

test('what cannot be done says why, and writes nothing', async () => {
  const { world, alice, bob } = await couple();
  await using _ = world;
  const { id } = alice.chat.say(bob.id, { text: 'mine' });
  await bob.seen('message.received');
  const { history } = bob.chat;
  expect(() => history.edit(id, 'his')).toThrow(code('forbidden'));
  expect(() => history.remove(id)).toThrow(code('forbidden'));
  expect(() => history.react(id, 'ok', true)).toThrow(code('invalid_argument'));
  expect(() => history.reply('nothing', 'x')).toThrow(code('unknown_id'));
  expect(() => history.reply(id, '')).toThrow(code('invalid_argument'));
  expect(() => history.reply(id, 'x'.repeat(65_537))).toThrow(code('too_large'));
  for (let n = 0; n < 20; n++) history.react(id, String.fromCodePoint(0x1f600 + n), true);
  expect(() => history.react(id, '👍', true)).toThrow(code('wrong_state'));
  const before = bob.chat.waiting();
  history.react(id, String.fromCodePoint(0x1f600), true); // stands already
  history.react(id, '👎', false); // does not
  expect(bob.chat.waiting()).toBe(before);
  const file = alice.chat.offerFile(bob.id, { hash: 'a'.repeat(52), name: 'a.txt', size: 1 });
  expect(() => alice.chat.history.edit(file.id, 'x')).toThrow(code('wrong_state'));
  alice.chat.history.remove(id);
  expect(() => alice.chat.history.edit(id, 'x')).toThrow(code('wrong_state'));
});

test('an edit that is refused for good is undone where it was made, and says so', async () => {
  const { world, alice, bob } = await couple();
  await using _ = world;
  const { id } = alice.chat.say(bob.id, { text: 'first' });
  await alice.seen('message.delivered');
  bob.online = false;
  bob.cut();
  world.now += 3600_000; // her clock is an hour ahead while she edits
  alice.chat.history.edit(id, 'from the future');
  expect(alice.chat.history.search({ words: 'future', limit: 9 })).toHaveLength(1);
  world.now -= 3600_000;
  alice.chat.say(bob.id, { text: 'from now' });
  await alice.seen('message.failed');
  expect(alice.chat.show(id)).toMatchObject({ body: { text: 'first' }, edited: null });
  expect(alice.chat.history.search({ words: 'future', limit: 9 })).toHaveLength(0);
  bob.online = true;
  alice.chat.peerOnline(bob.id);
  await bob.seen('message.received', 2);
  same(alice, bob, id);
});

test('unread messages and mentions are counted until they are read, and the author is told, however late [H-8]', async () => {
  const { world, alice, bob } = await couple();
  await using _ = world;
  const { id } = alice.chat.say(bob.id, { text: 'one' });
  alice.chat.say(bob.id, { text: 'two' });
  const { id: gone } = alice.chat.say(bob.id, { text: 'taken back' });
  alice.chat.history.remove(gone);
  await bob.seen('message.deleted');
  await alice.seen('message.delivered', 3);
  expect(bob.chat.history.conversations()).toMatchObject([
    { unread: 2, mentions: 0, last: { id: gone, deleted: true } },
  ]);
  expect(alice.chat.history.conversations()).toMatchObject([{ unread: 0 }]);
  alice.online = false;
  alice.cut();
  await bob.until(() => bob.links.size === 0);
  bob.chat.markRead(id);
  expect(bob.chat.history.conversations()).toMatchObject([{ unread: 1 }]);
  await bob.restart();
  expect(alice.states(bob)).toEqual(['delivered', 'delivered', 'delivered']);
  alice.online = true;
  bob.chat.peerOnline(alice.id); // nothing waits for her but the mark
  await alice.seen('message.read');
  expect(alice.states(bob)).toEqual(['read', 'delivered', 'delivered']);
  bob.chat.history.markAllRead(bob.chat.conversationWith(alice.id));
  await alice.seen('message.read', 3);
  expect(bob.chat.history.conversations()).toMatchObject([{ unread: 0 }]);
});

test('pages lead through all messages, both ways, without a hole or a repetition', async () => {
  const { world, alice, bob } = await couple();
  await using _ = world;
  const ids = Array.from({ length: 25 }, (_, n) => {
    const { id } = alice.chat.say(bob.id, { text: String(n) });
    alice.chat.history.react(id, '👍', true);
    return id;
  });
  const conversation = alice.chat.conversationWith(bob.id);
  const forth: string[] = [];
  for (let after = ids[0]; after !== undefined; ) {
    const page = alice.chat.history.page({ conversation, limit: 7, after });
    forth.push(...page.map(({ id }) => id));
    after = page.at(-1)?.id;
  }
  expect(forth).toEqual(ids.slice(1));
  const back: string[] = [];
  for (let before = ids.at(-1); before !== undefined; ) {
    const page = alice.chat.history.page({ limit: 7, before });
    back.unshift(...page.map(({ id }) => id));
    before = page[0]?.id;
  }
  expect(back).toEqual(ids.slice(0, -1));
  const between = alice.chat.history.page({ conversation, limit: 1000, after: ids[3], before: ids[9] });
  expect(between.map(({ id }) => id)).toEqual(ids.slice(4, 9));
  expect(() => alice.chat.history.page({ limit: 1001 })).toThrow(code('invalid_argument'));
});

test('a search knows who, where and when, and follows edits [H-9]', async () => {
  const { world, alice, bob } = await couple();
  await using _ = world;
  const carol = await world.person('carol');
  const { id } = alice.chat.say(bob.id, { text: 'the train leaves' });
  await bob.seen('message.received');
  world.now += 86_400_000;
  bob.chat.say(alice.id, { text: 'which train?' });
  await alice.seen('message.received');
  world.now += 1000;
  alice.chat.say(carol.id, { text: 'a train to carol' });
  const search = (options: object) =>
    alice.chat.history.search({ words: 'TRAIN', limit: 100, ...options }).map(({ message }) => message.body.text);
  expect(search({})).toEqual(['the train leaves', 'which train?', 'a train to carol']);
  expect(search({ conversation: alice.chat.conversationWith(bob.id), author: alice.id })).toEqual(['the train leaves']);
  expect(search({ since: world.now - 1000 })).toEqual(['which train?', 'a train to carol']);
  expect(search({ until: world.now - 1000 })).toEqual(['the train leaves']);
  expect(search({ limit: 1 })).toEqual(['a train to carol']);
  alice.chat.history.edit(id, 'the bus leaves');
  expect(search({})).toEqual(['which train?', 'a train to carol']);
  expect(() => search({ words: '!!!' })).toThrow(code('invalid_argument'));
});

test('typing is seen by those who are linked, is kept nowhere, and a flood of it is skipped [H-7]', async () => {
  const { world, alice, bob } = await couple();
  await using _ = world;
  alice.chat.say(bob.id, { text: 'hello' });
  await bob.seen('message.received');
  const conversation = alice.chat.conversationWith(bob.id);
  alice.chat.typing(conversation, true);
  alice.chat.typing(conversation, true); // too soon to say it again
  alice.chat.typing(conversation, false);
  await bob.until(() => bob.signals.length === 2);
  expect(bob.signals).toMatchObject([
    { type: 'message.typing', account: alice.id, on: true, until: world.now + 10_000 },
    { type: 'message.typing', account: alice.id, on: false },
  ]);
  for (let n = 0; n < 100; n++) alice.chat.typing(conversation, n % 2 === 0);
  alice.chat.say(bob.id, { text: 'after the flood' });
  await bob.seen('message.received', 2);
  expect(bob.signals.length).toBeLessThanOrEqual(10);
  const mallory = await world.person('mallory');
  const [link] = await mallory.link(bob);
  link.notify(typingNotice, { conversation, on: true });
  mallory.chat.say(bob.id, { text: 'it came before this' });
  await bob.seen('message.received', 3);
  expect(bob.signals.some((signal) => 'account' in signal && signal.account === mallory.id)).toBe(false);
});

test('what was counted row by row in an earlier version is counted by what differs', () => {
  using store = new Store(':memory:');
  store.define('fold', (text) => text);
  store.define('head', () => 0);
  store.migrate('chat', STEPS.slice(0, 6));
  store.prepare("INSERT INTO conversations (id, kind) VALUES ('c', 'direct')").run();
  const entry = store.prepare(
    `INSERT INTO entries (place, id, conversation, author, seq, at, kind, body, sig, bytes, stored_at, withdrawn)
     VALUES (?1, 'e' || ?1, 'c', 'a', ?1, ?1, ?2, '{}', '', 1, 1, ?3)`,
  );
  const message = store.prepare(
    'INSERT INTO messages (place, conversation, author, seq, removed, mentioned) VALUES (?1, ?2, ?3, ?1, ?4, ?5)',
  );
  // A plain one, one taken back, one that names this account, one that did and was taken back, one that will reach nobody, an act.
  for (const [place, removed, mentioned, withdrawn] of [
    [1, 0, 0, 0],
    [2, 1, 0, 0],
    [3, 0, 1, 0],
    [4, 1, 1, 0],
    [6, 1, 0, 1],
  ] as const) {
    entry.run(place, 'text', withdrawn);
    message.run(place, 'c', 'a', removed, mentioned);
  }
  entry.run(5, 'reaction', 0);
  migrateChat(store);
  const { derived } = new EntryLog(new Statements(store), store);
  const counts = [0, 1, 2, 3, 4].map((seq) => derived.unread('c', 'a', seq));
  expect(counts).toEqual([
    { unread: 2, mentions: 1 },
    { unread: 1, mentions: 1 },
    { unread: 1, mentions: 1 },
    { unread: 0, mentions: 0 },
    { unread: 0, mentions: 0 },
  ]);
});

test('a home of an earlier version is indexed when it is first opened', async () => {
  const world = new World();
  await using _ = world;
  const alice = await world.person('alice', { boot: false });
  const bob = await world.person('bob');
  {
    using store = new Store(alice.file);
    store.migrate('chat', STEPS.slice(0, 1));
    const conversation = bob.chat.conversationWith(alice.id);
    store.prepare('INSERT INTO conversations (id, kind) VALUES (?, ?)').run(conversation, 'direct');
    for (const { id } of [alice, bob]) store.prepare('INSERT INTO members VALUES (?, ?)').run(conversation, id);
    const insert = store.prepare(
      `INSERT INTO entries (id, conversation, author, seq, at, kind, body, sig, bytes, stored_at) VALUES (?, ?, ?, ?, ?, ?, ?, '', 1, 1)`,
    );
    const target = 'a'.repeat(52);
    insert.run(target, conversation, bob.id, 1, 1, 'text', JSON.stringify({ text: 'Old Wörds' }));
    insert.run('b'.repeat(52), conversation, bob.id, 2, 2, 'text', JSON.stringify({ text: 'other words' }));
    // Written by a newer version than the one that kept them.
    insert.run('c'.repeat(52), conversation, bob.id, 3, 3, 'edit', JSON.stringify({ target, text: 'new words' }));
    insert.run('d'.repeat(52), conversation, bob.id, 4, 4, 'delete', JSON.stringify({ target: 'b'.repeat(52) }));
    insert.run('e'.repeat(52), conversation, bob.id, 5, 5, 'reaction', JSON.stringify({ target, emoji: 5 }));
    insert.run(
      'f'.repeat(52),
      conversation,
      bob.id,
      6,
      6,
      'reaction',
      JSON.stringify({ target, emoji: '👍', on: true }),
    );
    insert.run('g'.repeat(52), conversation, alice.id, 1, 7, 'text', JSON.stringify({ text: 'too much' }));
    store
      .prepare('INSERT INTO outbox VALUES (?, ?, ?, 1, 1, ?, ?, ?)')
      .run(bob.id, 'g'.repeat(52), conversation, 'failed', 'too_large', 'it was too large');
  }
  alice.boot();
  const found = (words: string) =>
    alice.chat.history.search({ words, limit: 9 }).map(({ message }) => message.body.text);
  expect(found('words')).toEqual(['new words']);
  expect(found('old')).toEqual([]);
  expect(alice.chat.history.conversations()).toMatchObject([{ unread: 1, last: { body: { text: 'too much' } } }]);
  expect(alice.chat.show('a'.repeat(52)).reactions).toEqual([{ emoji: '👍', accounts: [bob.id] }]);
  expect(alice.chat.show('g'.repeat(52))).toMatchObject({
    recipients: [{ state: 'failed', reason: { code: 'too_large' } }],
  });
  expect(alice.chat.history.idOf('bbbbbb')).toBe('b'.repeat(52));
  expect(() => alice.chat.history.idOf('cccccc1')).toThrow(code('unknown_id'));
});

test('a store that cannot be written refuses with its code, keeps nothing by halves, and goes on by itself', async () => {
  const { world, alice, bob } = await couple();
  await using _ = world;
  alice.chat.say(bob.id, { text: 'before' });
  await bob.seen('message.received');
  const count = () => bob.store.prepare<{ n: number }>('SELECT count(*) AS n FROM entries').get()?.n;
  bob.store.prepare('PRAGMA query_only = ON').get();
  expect(() => bob.chat.say(alice.id, { text: 'cannot' })).toThrow(code('unwritable'));
  const { id } = alice.chat.say(bob.id, { text: 'waits' });
  await alice.until(() => alice.chat.show(id).recipients[0]?.reason?.code === 'unwritable');
  expect(alice.chat.show(id).state).toBe('queued');
  expect(count()).toBe(1);
  bob.store.prepare('PRAGMA query_only = OFF').get();
  await bob.seen('message.received', 2); // by her next try
  expect(bob.texts(alice)).toEqual(['before', 'waits']);
  bob.chat.say(alice.id, { text: 'can again' });
  await alice.seen('message.received');
});

async function linesOf(person: Person, other: Person, format: 'ndjson' | 'markdown'): Promise<string[]> {
  const conversation = person.chat.conversationWith(other.id);
  return Array.fromAsync(
    person.chat.export({ conversation, format, handleOf: (id) => (id === person.id ? 'me@lab' : 'you@lab') }),
  );
}

async function* given(lines: readonly string[]): AsyncGenerator<string> {
  yield* lines;
}

/** The line with another signature. */
const respelt = (line: string): string => line.replace(/"sig":"(.)/, (_, char) => `"sig":"${char === 'A' ? 'B' : 'A'}`);

test('an export proves itself, and every change to it is noticed [H-10] [H-11]', async () => {
  const { world, alice, bob } = await couple();
  await using _ = world;
  const ids = Array.from({ length: 600 }, (_, n) => alice.chat.say(bob.id, { text: `number ${n}` }).id);
  await bob.seen('message.received', ids.length);
  bob.chat.history.react(ids[0] ?? '', '👍', true);
  alice.chat.history.edit(ids[1] ?? '', 'other');
  await alice.seen('message.reaction');
  const lines = await linesOf(alice, bob, 'ndjson');
  expect(await verifyExport(given(lines))).toMatchObject({ entries: 602, members: [alice.id, bob.id].sort() });
  const [first = '', one = '', two = ''] = lines;
  const broken: [string[], string][] = [
    [lines.slice(0, -1), 'corrupt'],
    [[...lines.slice(0, -2), ...lines.slice(-1)], 'corrupt'],
    [[first, one, ...lines.slice(3)], 'forked'],
    [[first, two, one, ...lines.slice(3)], 'forked'],
    [[first, one.replace('number 0', 'number 9'), ...lines.slice(2)], 'bad_signature'],
    [[...lines.slice(0, -2), respelt(lines.at(-2) ?? ''), ...lines.slice(-1)], 'bad_signature'],
    [[first.replace(bob.id, alice.id), ...lines.slice(1)], 'corrupt'],
    [[...lines, one], 'corrupt'],
    [['{}'], 'corrupt'],
    [[], 'corrupt'],
  ];
  // A later entry of its author vouches for one whose own signature was lost on the way to whoever exports. [C-4]
  const spoilt = [first, respelt(one), ...lines.slice(2)];
  expect(await verifyExport(given(spoilt))).toMatchObject({ entries: 602 });
  for (const [changed, expected] of broken) await expect(verifyExport(given(changed))).rejects.toThrow(code(expected));
});

test('an export for people shows messages as they stand, and what somebody wrote cannot pass for more', async () => {
  const { world, alice, bob } = await couple();
  await using _ = world;
  const { id } = alice.chat.say(bob.id, { text: '# not a heading\nsecond line' });
  await bob.seen('message.received');
  bob.chat.history.reply(id, 'right');
  await alice.seen('message.received');
  const { id: gone } = alice.chat.say(bob.id, { text: 'secret' });
  alice.chat.history.remove(gone);
  alice.chat.history.react(id, '👍', true);
  const text = (await linesOf(alice, bob, 'markdown')).join('\n');
  expect(text).toContain('**me@lab** 00:00\n\n> # not a heading\n> second line\n>\n> 👍 me@lab');
  expect(text).toContain('**you@lab** 00:00 (answers me@lab: \\# not a heading second line)\n\n> right');
  expect(text).toContain('> _deleted_');
  expect(text).not.toContain('secret');
});
