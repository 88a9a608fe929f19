/** Contacts through real programs and the command line: what people type, and what they are told. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FAULTS } from '../src/base/fault.ts';
import { type Running, run, start } from './program.ts';
import { eventOf, until } from './testnet.ts';

let folder: string;
let running: Running[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'netapp-contacts-'));
  running = [];
});

afterEach(async () => {
  await Promise.all(running.map((program) => program[Symbol.asyncDispose]()));
  await rm(folder, { recursive: true, force: true });
});

async function begin(home: string, args: readonly string[]): Promise<Running> {
  const program = await start(join(folder, home), args);
  running.push(program);
  return program;
}

const tracker = (port = '0') => begin('tracker', ['tracker', '--port', port]);
const up = (name: string, invite: string, more: string[] = [], home = name) =>
  begin(home, ['up', '--name', name, '--port', '0', '--join', invite, ...more]);

async function json(at: Running, ...args: string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await run([...args, '--home', at.home, '--json']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout);
}

test('two people type verify, read the same to each other, and confirm it; the list shows it', async () => {
  const invite = (await tracker()).text('invite');
  const [alice, bob] = [await up('alice', invite), await up('bob', invite)];
  const [hers, his] = [await json(alice, 'people', 'verify', 'bob'), await json(bob, 'people', 'verify', 'alice')];
  for (const form of ['number', 'words', 'uri']) expect(hers[form]).toBe(his[form]);
  const shown = await run(['people', 'verify', 'bob', '--home', alice.home]);
  expect(shown.stdout).toContain(String(his.number));
  expect(shown.stdout).toContain(String(his.words));
  expect(shown.stdout.split('\n').filter((line) => /^[█▀▄ ]{30,}$/.test(line)).length).toBeGreaterThan(15); // the QR code
  const wrong = await run(['people', 'verify', 'bob', '--confirm', '1'.repeat(60), '--home', alice.home]);
  expect(wrong).toMatchObject({ code: FAULTS.wrong_key.exit, stderr: expect.stringContaining('stand between you') });
  expect(await json(alice, 'people', 'verify', 'bob', '--confirm', String(his.number))).toMatchObject({
    verifiedBy: 'number',
  });
  await alice.kill();
  const again = await up('alice', invite);
  const list = await run(['people', 'list', '--home', again.home]);
  expect(list.stdout).toMatch(/^HANDLE +STATUS +MARKS +SEEN$/m);
  expect(list.stdout).toMatch(/^bob@lab +online +verified *$/m);
});

test('the invite is shown, and as a QR code where it is asked for', async () => {
  const alice = await begin('alice', ['up', '--name', 'alice', '--port', '0', '--tracker-port', '0']);
  expect(await json(alice, 'invite')).toMatchObject({ invite: alice.text('invite'), zone: 'lab' });
  const plain = await run(['invite', '--home', alice.home]);
  expect(plain.stdout).toContain(alice.text('invite'));
  expect(plain.stdout).not.toMatch(/█/);
  const coded = await run(['invite', '--qr', '--home', alice.home]);
  expect(coded.stdout).toContain(alice.text('invite'));
  expect(coded.stdout).toMatch(/█{20}/);
});

test('a blocked person sees somebody who left: offline, unreachable, messages queued; the block survives a kill', async () => {
  const invite = (await tracker()).text('invite');
  const [first, bob] = [await up('alice', invite), await up('bob', invite)];
  const { id } = await bob.client.messages.say({ handle: 'alice', text: 'before' });
  await eventOf(bob.client, 'message.delivered', (data) => data.id === id);
  expect(await json(first, 'people', 'block', 'bob')).toMatchObject({ handle: 'bob@lab', blocked: true });
  await first.kill();
  const alice = await up('alice', invite);
  const said = await bob.client.messages.say({ handle: 'alice', text: 'meanwhile' });
  const { code, stderr } = await run(['links', 'connect', 'alice', '--home', bob.home]);
  expect(code).toBe(FAULTS.peer_unreachable.exit);
  expect(stderr).not.toMatch(/block/i);
  expect(await json(bob, 'people', 'find', 'alice')).toMatchObject({ status: 'offline' });
  expect(await json(bob, 'messages', 'show', said.id)).toMatchObject({ state: 'queued' });
  expect((await run(['people', 'list', '--home', alice.home])).stdout).toMatch(/^bob@lab .*blocked/m);
  await json(alice, 'people', 'unblock', 'bob');
  await eventOf(bob.client, 'message.delivered', (data) => data.id === said.id);
});

test('a new home takes a handle at a tracker that lost its data: nothing is sent to it until the key is accepted', async () => {
  const first = await tracker();
  const invite = first.text('invite');
  const [alice, bob] = [await up('alice', invite), await up('bob', invite)];
  const { id } = await alice.client.messages.say({ handle: 'bob', text: 'to the first bob' });
  await eventOf(alice.client, 'message.delivered', (data) => data.id === id);
  await bob.stop();
  await first.stop();
  for (const end of ['', '-wal', '-shm'])
    await rm(join(folder, 'tracker', 'tracker', `tracker.db${end}`), { force: true });
  await tracker(first.text('port'));
  const other = await up('bob', invite, [], 'other-bob');
  await eventOf(alice.client, 'person.key_changed', ({ handle }) => handle === 'bob@lab');
  const key = other.text('id');
  const refused = await run(['say', 'bob', 'secret', '--home', alice.home]);
  expect(refused.code).toBe(FAULTS.key_changed.exit);
  expect(refused.stderr).toContain(`netapp people accept-key bob@lab --key ${key}`);
  expect((await run(['people', 'list', '--home', alice.home])).stdout).toMatch(/^bob@lab .*KEY CHANGED/m);
  const wrong = await run(['people', 'accept-key', 'bob', '--key', bob.text('id'), '--home', alice.home]);
  expect(wrong.code).toBe(FAULTS.wrong_key.exit);
  expect(await json(alice, 'people', 'accept-key', 'bob', '--key', key)).toMatchObject({ id: key, keyChanged: null });
  const said = await alice.client.messages.say({ handle: 'bob', text: 'to the second bob' });
  await eventOf(other.client, 'message.received', (data) => data.id === said.id);
  expect(await other.client.messages.list({})).toHaveLength(1);
});

test('up takes who may see me and when I am away, remembers both, and says what is wrong with them', async () => {
  const invite = (await tracker()).text('invite');
  const bob = await up('bob', invite);
  const first = await up('alice', invite, ['--away-after', '1s']);
  const seen = (status: string) =>
    until(
      () => bob.client.people.find({ handle: 'alice' }),
      (p) => p.status === status,
    );
  await seen('away');
  await first.client.people.status({ status: 'busy', text: 'by hand' });
  await seen('busy');
  await first.kill();
  const alice = await begin('alice', ['up', '--presence', 'contacts']);
  await seen('offline');
  expect(await alice.client.status.show()).toMatchObject({ status: 'busy', text: 'by hand' });
  await alice.client.messages.say({ handle: 'bob', text: 'now you may see me' });
  await seen('busy');
  await alice.client.people.status({ status: 'online', text: '' });
  await seen('online');
  await seen('away'); // after the second that the home remembers
  const bad = await run(['up', '--away-after', 'soon', '--home', join(folder, 'x')]);
  expect(bad).toMatchObject({ code: FAULTS.invalid_argument.exit, stderr: expect.stringContaining('10m') });
});
