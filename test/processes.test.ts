/** Real programs, killed in the middle: what was answered as done is there afterwards, once, and work goes on by itself. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FAULTS, type FaultCode } from '../src/base/fault.ts';
import { type Running, run, start } from './program.ts';
import { eventOf, until } from './testnet.ts';

let folder: string;
let running: Running[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'netapp-programs-'));
  running = [];
});

afterEach(async () => {
  await Promise.all(running.map((program) => program[Symbol.asyncDispose]()));
  await rm(folder, { recursive: true, force: true });
});

const home = (name: string): string => join(folder, name);

async function tracker(port = '0'): Promise<Running> {
  const program = await start(home('tracker'), ['tracker', '--port', port]);
  running.push(program);
  return program;
}

async function up(name: string, invite: string, more: string[] = []): Promise<Running> {
  const program = await start(home(name), ['up', '--name', name, '--port', '0', '--join', invite, ...more]);
  running.push(program);
  return program;
}

const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

test('messages written while the other side is dead arrive once and in order when it is back', async () => {
  const { says } = await tracker();
  const invite = String(says.invite);
  const alice = await up('alice', invite);
  const first = await up('bob', invite);
  await alice.client.messages.say({ handle: 'bob', text: 'before' });
  await eventOf(first.client, 'message.received', ({ text }) => text === 'before');
  await first.kill();
  const texts = Array.from({ length: 50 }, (_, n) => `while away ${n}`);
  for (const text of texts) await alice.client.messages.say({ handle: 'bob', text });
  const bob = await up('bob', invite);
  await eventOf(bob.client, 'message.received', ({ text }) => text === texts.at(-1));
  const listed = await bob.client.messages.list({ handle: 'alice', limit: 1000 });
  expect(listed.map(({ text }) => text)).toEqual(['before', ...texts]);
  const states = await until(
    () => alice.client.messages.list({ handle: 'bob', limit: 1000 }),
    (messages) => messages.every(({ state }) => state === 'delivered'),
  );
  expect(states).toHaveLength(51);
});

test('what was answered as said survives a kill of the sender before it could be delivered', async () => {
  const { says } = await tracker();
  const invite = String(says.invite);
  const bob = await up('bob', invite);
  const first = await up('alice', invite);
  await until(
    () => first.client.people.find({ handle: 'bob' }),
    ({ status }) => status === 'online',
  );
  await bob.kill();
  const said = await first.client.messages.say({ handle: 'bob', text: 'kept' });
  await first.kill();
  const again = await up('bob', invite);
  const alice = await up('alice', invite);
  await eventOf(again.client, 'message.received', ({ id }) => id === said.id);
  await eventOf(alice.client, 'message.delivered', ({ id }) => id === said.id);
});

test('killing both sides while messages flow loses none and shows none twice', async () => {
  const { says } = await tracker();
  const invite = String(says.invite);
  let [alice, bob] = [await up('alice', invite), await up('bob', invite)];
  const texts: string[] = [];
  for (let round = 0; round < 4; round++) {
    for (let n = 0; n < 25; n++) {
      const text = `round ${round} message ${n}`;
      await alice.client.messages.say({ handle: 'bob', text });
      texts.push(text);
    }
    if (round % 2 === 0) {
      await bob.kill();
      bob = await up('bob', invite);
    } else {
      await alice.kill();
      alice = await up('alice', invite);
    }
  }
  const got = await until(
    () => bob.client.messages.list({ handle: 'alice', limit: 1000 }),
    (messages) => messages.length >= texts.length,
  );
  expect(got.map(({ text }) => text)).toEqual(texts);
  await until(
    () => alice.client.messages.list({ handle: 'bob', limit: 1000 }),
    (messages) => messages.every(({ state }) => state === 'delivered'),
  );
});

describe.each(['receiver', 'sender'])('a transfer whose %s is killed', (victim) => {
  test('goes on from what is on disk, and ends verified', async () => {
    const { says } = await tracker();
    const invite = String(says.invite);
    let [alice, bob] = [await up('alice', invite), await up('bob', invite)];
    const bytes = randomBytes(192 * 1024 * 1024);
    const path = join(folder, 'large.bin');
    await writeFile(path, bytes);
    await alice.client.files.send({ handle: 'bob', path });
    const offer = await eventOf(bob.client, 'file.offered', () => true);
    const id = String(offer.data.id);
    await bob.client.files.accept({ id, to: folder });
    await eventOf(bob.client, 'file.progress', ({ progress }) => Number(progress) > 0);
    if (victim === 'receiver') {
      await bob.kill();
      bob = await up('bob', invite);
    } else {
      await alice.kill();
      alice = await up('alice', invite);
    }
    const done = await until(
      () => bob.client.files.show({ id }),
      ({ state }) => state === 'done',
    );
    expect(done.path).not.toBe(path); // the name was taken: nothing is overwritten
    expect(sha(await readFile(done.path))).toBe(sha(bytes));
    const [sent] = await until(
      () => alice.client.files.list(),
      ([file]) => file?.state === 'done',
    );
    expect(sent?.name).toBe('large.bin');
  });
});

test('a tracker that is killed and started again knows its handles, and its nodes come back to it', async () => {
  const first = await tracker();
  const invite = first.text('invite');
  const alice = await up('alice', invite);
  await first.kill();
  await until(
    () => alice.client.status.show(),
    ({ trackers }) => trackers[0]?.state !== 'up',
  );
  await tracker(first.text('port'));
  await until(
    () => alice.client.status.show(),
    ({ trackers }) => trackers[0]?.state === 'up',
  );
  const bob = await up('bob', invite);
  expect(await bob.client.people.find({ handle: 'alice' })).toMatchObject({ status: 'online', id: alice.text('id') });
  const thief = await run([
    'up',
    '--name',
    'alice',
    '--port',
    '0',
    '--join',
    invite,
    '--home',
    home('thief'),
    '--host',
    '127.0.0.1',
  ]);
  expect(thief).toMatchObject({ code: FAULTS.name_taken.exit, stderr: expect.stringContaining('alice@lab') });
});

test('with the tracker dead, people who know each other still talk', async () => {
  const introducer = await tracker();
  const invite = introducer.text('invite');
  const [alice, bob] = [await up('alice', invite), await up('bob', invite)];
  await until(
    () => alice.client.people.find({ handle: 'bob' }),
    ({ status }) => status === 'online',
  );
  await introducer.kill();
  const said = await alice.client.messages.say({ handle: 'bob', text: 'without it' });
  await eventOf(bob.client, 'message.received', ({ id }) => id === said.id);
  const unknown = await run(['people', 'find', 'carol', '--home', alice.home]);
  expect(unknown).toMatchObject({ code: FAULTS.tracker_down.exit, stderr: expect.stringContaining('carol') });
});

test('ctrl-C ends cleanly, and others see it at once', async () => {
  const invite = (await tracker()).text('invite');
  const [alice, bob] = [await up('alice', invite), await up('bob', invite)];
  await until(
    () => alice.client.people.find({ handle: 'bob' }),
    ({ status }) => status === 'online',
  );
  expect(await bob.stop()).toBe(0);
  await until(
    () => alice.client.people.find({ handle: 'bob' }),
    ({ status }) => status === 'offline',
  );
});

test('a node without a tracker runs one inside, and its invite lets others in; a second start needs no flags', async () => {
  const alone = await start(home('alice'), ['up', '--name', 'alice', '--port', '0', '--tracker-port', '0']);
  running.push(alone);
  const bob = await up('bob', alone.text('invite'));
  expect((await bob.client.people.find({ handle: 'alice' })).id).toBe(alone.text('id'));
  await bob.stop();
  const again = await start(bob.home, ['up']);
  running.push(again);
  expect(again.text('handle')).toBe('bob@lab');
});

test('a tracker named by its address alone is met on first sight, shown, and remembered by its key', async () => {
  const introducer = await tracker();
  const address = introducer.text('address');
  const alice = await start(home('alice'), ['up', '--name', 'alice', '--port', '0', '--tracker', address]);
  running.push(alice);
  expect(alice.said()).toContain(introducer.text('peer'));
  expect((await alice.client.status.show()).trackers).toMatchObject([{ peer: introducer.text('peer'), state: 'up' }]);
  await alice.stop();
  await introducer.stop();
  await rm(join(introducer.home, 'tracker', 'tracker.key'));
  await tracker(introducer.text('port')); // somebody else at the same address
  const fooled = await run(['up', '--home', alice.home, '--host', '127.0.0.1']);
  expect(fooled).toMatchObject({ code: FAULTS.wrong_key.exit, stderr: expect.stringContaining('expected the key') });
});

describe('bad input ends with its own exit code and a sentence that says what to do', () => {
  const ends = async (code: FaultCode, args: string[], says: RegExp): Promise<void> => {
    const { code: exit, stderr, stdout } = await run(args);
    expect({ exit, stderr, stdout }).toMatchObject({
      exit: FAULTS[code].exit,
      stderr: expect.stringMatching(says),
      stdout: '',
    });
  };

  test('an invite that is none', async () => {
    await ends(
      'bad_invite',
      ['up', '--join', 'netapp://nonsense', '--home', home('x'), '--port', '0', '--host', '127.0.0.1'],
      /ask for it again/,
    );
  });

  test('an invite with the key of another tracker', async () => {
    const [one, other] = [await tracker(), await start(home('other'), ['tracker', '--port', '0'])];
    running.push(other);
    const mixed = one.text('invite').replace(one.text('peer'), other.text('peer'));
    await ends(
      'wrong_key',
      ['up', '--join', mixed, '--home', home('x'), '--port', '0', '--host', '127.0.0.1'],
      /expected the key/,
    );
  });

  test('a port that is taken', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const address = server.address();
    const port = String(typeof address === 'object' && address ? address.port : 0);
    const args = ['up', '--home', home('x'), '--host', '127.0.0.1', '--port', port, '--tracker-port', '0'];
    await ends('port_taken', args, /--port/);
    await ends('port_taken', ['tracker', '--home', home('x'), '--host', '127.0.0.1', '--port', port], /--port/);
    server.close();
  });

  test('a second agent on one home, while the first goes on', async () => {
    const alice = await up('alice', (await tracker()).text('invite'));
    await ends('agent_running', ['up', '--home', alice.home, '--port', '0', '--host', '127.0.0.1'], /another agent/);
    expect(await alice.client.status.show()).toMatchObject({ handle: 'alice@lab' });
  });

  test('a truncated identity, which is not replaced', async () => {
    const alice = await up('alice', (await tracker()).text('invite'));
    await alice.stop();
    const key = join(alice.home, 'account.key');
    await truncate(key, 40);
    await ends(
      'corrupt',
      ['up', '--home', alice.home, '--port', '0', '--host', '127.0.0.1'],
      /Restore it from a backup/,
    );
    expect((await readFile(key)).length).toBe(40);
  });

  test('unknown people, unreadable files, unknown ids', async () => {
    const alice = await up('alice', (await tracker()).text('invite'));
    await up('bob', alice.text('invite'));
    await ends('unknown_handle', ['say', 'nobody', 'hi', '--home', alice.home], /nobody@lab/);
    await ends('unreadable', ['files', 'send', 'bob', '/nowhere/at/all', '--home', alice.home], /\/nowhere\/at\/all/);
    await ends('unknown_id', ['files', 'get', 'nothing', '--home', alice.home], /nothing/);
    await ends('invalid_argument', ['say', 'bob', '', '--home', alice.home], /expected some text/);
  });

  test('no agent', async () => {
    await ends('agent_down', ['status', '--home', home('empty')], /netapp up/);
  });

  test('an older Node', async () => {
    const older = 'data:text/javascript,Object.defineProperty(process.versions,"node",{value:"20.9.0"})';
    const { code, stderr } = await run(['status'], { node: ['--import', older] });
    expect([code, stderr]).toEqual([FAULTS.old_node.exit, expect.stringMatching(/20\.9\.0.*24 or newer/)]);
  });
});
