/** Folders, several paths and standard input between real programs, by the command line. */
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FAULTS } from '../src/base/fault.ts';
import { type Running, run, start } from './program.ts';
import { eventOf, until } from './testnet.ts';

let folder: string;
let running: Running[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'netapp-folders-'));
  running = [];
});
afterEach(async () => {
  await Promise.all(running.map((program) => program[Symbol.asyncDispose]()));
  await rm(folder, { recursive: true, force: true });
});

async function program(name: string, args: string[]): Promise<Running> {
  const started = await start(join(folder, name), args);
  running.push(started);
  return started;
}

const up = (name: string, invite: string): Promise<Running> =>
  program(name, ['up', '--name', name, '--port', '0', '--join', invite]);

test('a folder and a file go to a person, and a pipe to a room; what cannot be sent is said, and the rest goes', async () => {
  const tracker = await program('tracker', ['tracker', '--port', '0']);
  const [alice, bob] = [await up('alice', tracker.text('invite')), await up('bob', tracker.text('invite'))];
  const photos = join(folder, 'photos');
  await mkdir(join(photos, 'sub/bare'), { recursive: true });
  const data = randomBytes(100_000);
  await writeFile(join(photos, 'sub/one.bin'), data);
  await writeFile(join(folder, 'notes.txt'), 'notes');
  const cli = (who: Running, args: string[], input?: string) =>
    run([...args, '--home', who.home, '--json'], input === undefined ? {} : { input });

  const sent = await cli(alice, ['files', 'send', 'bob', photos, join(folder, 'nothing'), join(folder, 'notes.txt')]);
  expect(sent.code).toBe(FAULTS.unreadable.exit);
  const names = sent.stdout.trimEnd().split('\n');
  expect(names.map((line) => JSON.parse(line).name)).toEqual(['photos', 'notes.txt']);
  expect((await cli(alice, ['files', 'send', 'bob', photos, photos, '--name', 'x'])).code).toBe(
    FAULTS.invalid_argument.exit,
  );
  const offer = await eventOf(bob.client, 'file.offered', ({ name }) => name === 'photos');
  expect(offer.data).toMatchObject({ size: data.length, folder: { files: 3, filesDone: 0 } });
  const got = await cli(bob, ['files', 'get', String(offer.data.id)]);
  expect(got.code).toBe(0);
  const last = JSON.parse(got.stdout.trimEnd().split('\n').at(-1) ?? '');
  expect(last).toMatchObject({ state: 'done', folder: { files: 1, filesDone: 1, leftOut: 0 } });
  expect((await readFile(join(last.path, 'sub/one.bin'))).equals(data)).toBe(true);
  expect(await readdir(join(last.path, 'sub/bare'))).toEqual([]);

  await cli(alice, ['rooms', 'create', 'team', '--members', 'bob']);
  await until(
    () => bob.client.rooms.list(),
    (rooms) => rooms.length > 0,
  );
  await cli(bob, ['rooms', 'join', 'team']);
  await until(
    () => alice.client.rooms.show({ room: 'team' }),
    ({ members }) => members.length === 2,
  );
  const piped = await cli(alice, ['files', 'send', '#team', '-', '--name', 'piped.txt'], 'from a pipe');
  expect(JSON.parse(piped.stdout)).toMatchObject({ name: 'piped.txt', size: 11 });
  const shared = await eventOf(bob.client, 'file.offered', ({ name }) => name === 'piped.txt');
  const there = JSON.parse(
    (await cli(bob, ['files', 'get', String(shared.data.id)])).stdout.trimEnd().split('\n').at(-1) ?? '',
  );
  expect(await readFile(there.path, 'utf8')).toBe('from a pipe');

  // What was piped to one person is removed when it is there; what nobody takes, when it is withdrawn.
  const outgoing = join(alice.home, 'outgoing');
  const direct = JSON.parse((await cli(alice, ['files', 'send', 'bob', '-'], 'again')).stdout);
  expect(direct).toMatchObject({ name: 'stdin' });
  expect(await readdir(outgoing)).toHaveLength(2);
  const again = await eventOf(bob.client, 'file.offered', ({ name }) => name === 'stdin');
  await cli(bob, ['files', 'get', String(again.data.id)]);
  await until(
    () => readdir(outgoing),
    (left) => left.length === 1,
  );
  await cli(alice, ['files', 'cancel', JSON.parse(piped.stdout).id]);
  await until(
    () => readdir(outgoing),
    (left) => left.length === 0,
  );
  expect((await cli(alice, ['files', 'send', 'nobody', '-'], 'for nobody')).code).toBe(FAULTS.unknown_handle.exit);
  expect(await readdir(outgoing)).toEqual([]);
});
