/** Delivery to those who are away, with real programs that are killed: by letter, once, and never claimed without proof. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../src/base/clock.ts';
import { Store } from '../src/base/sqlite.ts';
import { holdVerified } from '../src/chat/letter.ts';
import { MailStore } from '../src/chat/mailbox-store.ts';
import { Key } from '../src/link/identity.ts';
import { type Running, run, start } from './program.ts';
import { eventOf, until } from './testnet.ts';

let folder: string;
let running: Running[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'netapp-mailbox-'));
  running = [];
});

afterEach(async () => {
  await Promise.all(running.map((program) => program[Symbol.asyncDispose]()));
  await rm(folder, { recursive: true, force: true });
});

async function tracker(port = '0', more: string[] = []): Promise<Running> {
  const program = await start(join(folder, 'tracker'), ['tracker', '--port', port, ...more]);
  running.push(program);
  return program;
}

async function up(name: string, invite: string, more: string[] = []): Promise<Running> {
  const program = await start(join(folder, name), ['up', '--name', name, '--port', '0', '--join', invite, ...more]);
  running.push(program);
  return program;
}

/** Alice and bob have met, and bob is gone. */
async function bobAway(invite: string): Promise<Running> {
  const bob = await up('bob', invite);
  const alice = await up('alice', invite);
  await until(
    () => alice.client.people.find({ handle: 'bob' }),
    ({ status }) => status === 'online',
  );
  await bob.kill();
  return alice;
}

/** What the tracker's own store has for an account. */
function mailFor(account: string): { letters: number; bytes: number } {
  using store = new Store(join(folder, 'tracker', 'tracker', 'tracker.db'));
  return new MailStore({ store, key: Key.generate(), clock: systemClock }).totals(`to ${account}`);
}

const heldBy = (home: Running, id: string) =>
  until(
    () => home.client.messages.show({ id }),
    ({ state }) => state === 'held',
  );

test('a sender who leaves for ever after held is heard, and the receipt waits for them in their mailbox [M-11] [M-13]', async () => {
  const first = await tracker();
  const invite = first.text('invite');
  const alice = await bobAway(invite);
  const said = await alice.client.messages.say({ handle: 'bob', text: 'good bye' });
  const { held } = await heldBy(alice, said.id);
  expect(held).toMatchObject([{ to: 'bob@lab', by: first.text('peer') }]);
  const [hold] = held ?? [];
  const { by, letter, at, until: end, sig } = hold ?? expect.fail('no hold');
  const [from, to] = [alice.text('id'), (await alice.client.people.find({ handle: 'bob' })).id];
  const claim = { holder: by, letter, from, to, at: Date.parse(at), until: Date.parse(end) };
  expect(holdVerified({ ...claim, sig })).toBe(true);
  const shown = await run(['messages', 'show', said.id, '--home', alice.home]);
  expect(shown.stdout).toContain(first.text('peer'));
  await alice.kill();

  const bob = await up('bob', invite);
  const got = await eventOf(bob.client, 'message.received', ({ id }) => id === said.id);
  expect(got.data).toMatchObject({ from: 'alice@lab', text: 'good bye' });
  await until(
    () => mailFor(from),
    ({ letters }) => letters === 1,
  );
  expect(mailFor(to)).toEqual({ letters: 0, bytes: 0 }); // deleted on receipt
  await bob.kill();
  const again = await up('alice', invite);
  await eventOf(again.client, 'message.delivered', ({ id }) => id === said.id);
  expect(await again.client.messages.show({ id: said.id })).toMatchObject({ state: 'delivered', held: null });
});

test('a tracker killed between deposit and fetch has the letter when it is back', async () => {
  const first = await tracker();
  const invite = first.text('invite');
  const alice = await bobAway(invite);
  const texts = Array.from({ length: 20 }, (_, n) => `while away ${n}`);
  for (const text of texts) await alice.client.messages.say({ handle: 'bob', text });
  await until(
    () => alice.client.messages.list({ handle: 'bob', limit: 100 }),
    (messages) => messages.every(({ state }) => state === 'held'),
  );
  await alice.kill();
  await first.kill();
  await tracker(first.text('port'));
  const bob = await up('bob', invite);
  await eventOf(bob.client, 'message.received', ({ text }) => text === texts.at(-1));
  const listed = await bob.client.messages.list({ handle: 'alice', limit: 100 });
  expect(listed.map(({ text }) => text)).toEqual(texts);
});

test('a recipient killed while taking letters gets each message once', async () => {
  const invite = (await tracker()).text('invite');
  const alice = await bobAway(invite);
  const texts = Array.from({ length: 60 }, (_, n) => `number ${n}`);
  for (const text of texts) await alice.client.messages.say({ handle: 'bob', text });
  await until(
    () => alice.client.messages.list({ handle: 'bob', limit: 100 }),
    (messages) => messages.every(({ state }) => state === 'held'),
  );
  await alice.kill();
  for (let round = 0; round < 3; round++) {
    const bob = await up('bob', invite);
    await eventOf(bob.client, 'message.received', () => true);
    await bob.kill(); // in the midst of fetching, taking or deleting
  }
  const bob = await up('bob', invite);
  await until(
    () => bob.client.messages.list({ handle: 'alice', limit: 1000 }),
    (messages) => messages.length >= texts.length,
  );
  expect((await bob.client.messages.list({ handle: 'alice', limit: 1000 })).map(({ text }) => text)).toEqual(texts);
  const stop = AbortSignal.timeout(1000);
  const seen: unknown[] = [];
  const events = await bob.client.events.follow({ from: 0, match: 'message.received' }, { signal: stop });
  for await (const { data } of events) {
    seen.push(data.text);
    if (data.text === texts.at(-1)) break;
  }
  expect(seen).toEqual(texts);
});

test('a sender killed while leaving letters goes on with them', async () => {
  const invite = (await tracker()).text('invite');
  const alice = await bobAway(invite);
  const texts = Array.from({ length: 30 }, (_, n) => `number ${n}`);
  for (const text of texts) await alice.client.messages.say({ handle: 'bob', text });
  await alice.kill();
  const again = await up('alice', invite);
  await until(
    () => again.client.messages.list({ handle: 'bob', limit: 100 }),
    (messages) => messages.length === texts.length && messages.every(({ state }) => state === 'held'),
  );
  await again.kill();
  const bob = await up('bob', invite);
  await eventOf(bob.client, 'message.received', ({ text }) => text === texts.at(-1));
  expect((await bob.client.messages.list({ handle: 'alice', limit: 100 })).map(({ text }) => text)).toEqual(texts);
});

test('a tracker inside has mailboxes or not, and up remembers which [M-16]', async () => {
  const home = join(folder, 'solo');
  const hasMailbox = async (flags: string[]): Promise<boolean> => {
    await using _program = await start(home, ['up', '--name', 'solo', '--port', '0', '--tracker-port', '0', ...flags]);
    using store = new Store(join(home, 'tracker', 'tracker.db'));
    return store.prepare("SELECT 1 FROM sqlite_master WHERE name = 'mail_letters'").get() !== undefined;
  };
  expect(await hasMailbox(['--no-mailbox'])).toBe(false);
  expect(await hasMailbox([])).toBe(false);
  expect(await hasMailbox(['--mailbox'])).toBe(true);
});

test('without mailboxes a message stays queued, and goes out when both are there [M-16]', async () => {
  const invite = (await tracker('0', ['--no-mailbox'])).text('invite');
  const alice = await bobAway(invite);
  const said = await alice.client.messages.say({ handle: 'bob', text: 'kept here' });
  await until(
    () => alice.client.people.find({ handle: 'bob' }),
    ({ status }) => status === 'offline',
  );
  expect(await alice.client.messages.show({ id: said.id })).toMatchObject({ state: 'queued', held: null });
  const bob = await up('bob', invite);
  await eventOf(bob.client, 'message.received', ({ id }) => id === said.id);
});
