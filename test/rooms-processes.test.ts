/** A room of real programs: a tracker and three nodes, some of them killed, driven by the command line. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FAULTS } from '../src/base/fault.ts';
import { type Running, run, start } from './program.ts';
import { eventOf, until } from './testnet.ts';

let folder: string;
let running: Running[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'netapp-rooms-'));
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

const textsOf = async ({ client }: Running): Promise<string[]> =>
  (await client.messages.list({ handle: '#team', limit: 1000 })).map(({ text }) => text);

test('a room by the command line; the tracker and members are killed with SIGKILL, and all agree in the end [R-5] [R-20] [R-40]', async () => {
  const tracker = await program('tracker', ['tracker', '--port', '0']);
  const invite = tracker.text('invite');
  const alice = await up('alice', invite);
  let bob = await up('bob', invite);
  const carol = await up('carol', invite);
  const cli = (who: Running, ...args: string[]) => run([...args, '--home', who.home, '--json']);

  const made = await cli(alice, 'rooms', 'create', 'team', '--members', 'bob,carol');
  expect(made).toMatchObject({ code: 0, stderr: '' });
  const { id } = JSON.parse(made.stdout);
  for (const each of [bob, carol]) {
    await eventOf(each.client, 'room.invited', (data) => data.id === id);
    expect(await cli(each, 'rooms', 'join', 'team')).toMatchObject({ code: 0 });
  }
  const everybodyIn = (who: Running, count: number) =>
    until(
      () => who.client.rooms.show({ room: id }),
      ({ members, waiting }) => members.length === count && waiting.length === 0,
    );
  for (const each of [alice, bob, carol]) await everybodyIn(each, 3);
  expect(await cli(alice, 'say', '#team', 'hello all')).toMatchObject({ code: 0 });
  for (const each of [bob, carol]) await eventOf(each.client, 'message.received', ({ text }) => text === 'hello all');

  // A list for people shows the beginning of each id, and that is enough to name a message.
  const [said] = await bob.client.messages.list({ handle: '#team' });
  const start = said?.id.slice(0, 8) ?? expect.fail('no message');
  const shown = await run(['messages', 'list', '#team', '--home', bob.home]);
  expect(shown.stdout).toMatch(new RegExp(`^\\S.* ${start} .*hello all`, 'm'));
  expect(shown.stdout).not.toContain(said?.id);
  expect(await cli(bob, 'messages', 'react', start, '👍')).toMatchObject({ code: 0 });
  const vague = await cli(bob, 'messages', 'show', start.slice(0, 5));
  expect(vague).toMatchObject({
    code: FAULTS.unknown_id.exit,
    stderr: expect.stringContaining('at least 6 characters'),
  });
  const exported = await run(['conversations', 'export', '#team', '--home', bob.home]);
  const file = join(folder, 'team.ndjson');
  await writeFile(file, exported.stdout);
  expect(await run(['conversations', 'verify-export', file])).toMatchObject({
    code: 0,
    stdout: '2 entries of a conversation of 3, each signed, none missing\n',
  });

  // The tracker dies in the middle of changes; Bob dies as well; Alice and Carol go on.
  await tracker.kill();
  await bob.kill();
  await until(
    () => alice.client.status.show(),
    ({ trackers }) => trackers[0]?.state !== 'up',
  );
  const waits = await cli(alice, 'rooms', 'role', 'team', 'carol@lab', 'moderator');
  expect(JSON.parse(waits.stdout).waiting).toMatchObject([{ type: 'role', target: 'carol@lab', role: 'moderator' }]);
  await carol.client.messages.say({ handle: '#team', text: 'without tracker and Bob' });
  await eventOf(alice.client, 'message.received', ({ text }) => text === 'without tracker and Bob');
  await carol.kill(); // and does not come back: Bob gets it from Alice
  await program('tracker', ['tracker', '--port', tracker.text('port')]);
  bob = await up('bob', invite);
  await until(
    () => bob.client.rooms.show({ room: 'team' }),
    ({ members }) => members.some(({ handle, role }) => handle === 'carol@lab' && role === 'moderator'),
  );
  const got = await until(
    () => textsOf(bob),
    (texts) => texts.length === 2,
  );
  expect(got).toEqual(await textsOf(alice));
  expect((await alice.client.rooms.show({ room: 'team' })).waiting).toEqual([]);

  expect(await cli(bob, 'rooms', 'remove', 'team', 'carol@lab')).toMatchObject({ code: FAULTS.forbidden.exit });
  expect(await cli(alice, 'rooms', 'remove', 'team', 'carol@lab')).toMatchObject({ code: 0 });
  await everybodyIn(bob, 2);
  expect(await cli(alice, 'rooms', 'leave', 'team')).toMatchObject({ code: FAULTS.wrong_state.exit });
  expect(await cli(alice, 'rooms', 'show', 'nothing')).toMatchObject({ code: FAULTS.unknown_id.exit });
});
