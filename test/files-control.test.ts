/** Real programs, killed: what the user said of transfers holds, and what was under way goes on by itself. */
import { execFile, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Running, run, start } from './program.ts';
import { eventOf, until } from './testnet.ts';

const MiB = 1024 * 1024;

let folder = '';
const running: Running[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'netapp-control-'));
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((program) => program[Symbol.asyncDispose]()));
  await rm(folder, { recursive: true, force: true });
});

async function up(name: string, args: string[] = []): Promise<Running> {
  const program = await start(join(folder, name), ['up', '--name', name, '--port', '0', ...args]);
  running.push(program);
  return program;
}

async function pair(): Promise<{ alice: Running; bob: Running; join: string[] }> {
  const alice = await up('alice', ['--tracker-port', '0']);
  const join = ['--join', alice.text('invite')];
  return { alice, bob: await up('bob', join), join };
}

async function offer(alice: Running, bob: Running, name: string, data: Buffer): Promise<{ sent: string; got: string }> {
  const path = join(folder, name);
  await writeFile(path, data);
  const { id } = await alice.client.files.send({ handle: 'bob', path });
  const { data: offered } = await eventOf(bob.client, 'file.offered', (file) => file.name === name);
  return { sent: id, got: String(offered.id) };
}

test('a pause, a limit, an order and a folder outlive a kill; what was moving moves on', async () => {
  const { alice, bob, join: args } = await pair();
  const data = randomBytes(6 * MiB);
  const rests = await offer(alice, bob, 'rests.bin', data);
  const moves = await offer(alice, bob, 'moves.bin', randomBytes(3 * MiB));
  const into = join(folder, 'into');
  await bob.client.files.autoAccept({ handle: 'alice', upTo: 1000, into });
  await bob.client.files.limits({ down: 1_000_000, atOnce: 2 });
  await bob.client.files.priority({ id: moves.got, priority: 'high' });
  for (const { got } of [rests, moves]) await bob.client.files.accept({ id: got, conflict: 'overwrite' });
  await until(
    () => bob.client.files.show({ id: rests.got }),
    ({ progress }) => progress > 0,
  );
  await bob.client.files.pause({ id: rests.got });
  const { progress } = await bob.client.files.show({ id: rests.got });
  await bob.kill();

  const again = await up('bob', args);
  expect(await again.client.files.show({ id: rests.got })).toMatchObject({
    state: 'accepted',
    paused: true,
    conflict: 'overwrite',
    progress,
  });
  expect(await again.client.files.show({ id: moves.got })).toMatchObject({ priority: 'high' });
  expect(await again.client.files.limits({})).toEqual({ up: null, down: 1_000_000, atOnce: 2 });
  await until(
    () => again.client.files.show({ id: moves.got }),
    ({ state }) => state === 'done', // nobody does anything
  );
  expect(await again.client.files.show({ id: rests.got })).toMatchObject({ state: 'accepted', paused: true });
  await again.client.files.limits({ down: null });
  await again.client.files.resume({ id: rests.got });
  const { path } = await until(
    () => again.client.files.show({ id: rests.got }),
    ({ state }) => state === 'done',
  );
  expect((await readFile(path)).equals(data)).toBe(true);
  expect((await readdir(join(folder, 'bob', 'downloads'))).sort()).toEqual(['moves.bin', 'rests.bin']);
  const small = await offer(alice, again, 'small.txt', Buffer.from('hi'));
  await eventOf(again.client, 'file.done', ({ id }) => id === small.got);
  expect(await readdir(into)).toEqual(['small.txt']);
});

test('what was cancelled stays so after a kill', async () => {
  const { alice, bob, join: args } = await pair();
  const { got } = await offer(alice, bob, 'a.bin', randomBytes(4 * MiB));
  await bob.client.files.limits({ down: 1_000_000 });
  await bob.client.files.accept({ id: got });
  await until(
    () => bob.client.files.show({ id: got }),
    ({ progress }) => progress > 0,
  );
  await bob.client.files.cancel({ id: got });
  await bob.kill();
  const again = await up('bob', args);
  expect(await again.client.files.show({ id: got })).toMatchObject({ state: 'cancelled' });
  expect(await readdir(join(folder, 'bob', 'downloads'))).toEqual([]);
});

const hasCurl = spawnSync('curl', ['--version']).status === 0;

test('curl is here, or nobody relies on it', () => {
  expect(hasCurl || process.env.CI !== 'true', 'install curl').toBe(true);
});

test.skipIf(!hasCurl)('the command that a link comes with works in a shell as it is', async () => {
  const { alice, bob } = await pair();
  const data = randomBytes(MiB);
  const name = "it's $HOME.bin";
  const { sent } = await offer(alice, bob, name, data);
  const made = await run(['files', 'link', sent, '--ttl', '5m', '--json', '--home', alice.home]);
  const { command } = JSON.parse(made.stdout);
  await promisify(execFile)('sh', ['-c', `${command} -s`], { cwd: join(folder, 'bob') });
  expect((await readFile(join(folder, 'bob', name))).equals(data)).toBe(true);
});
