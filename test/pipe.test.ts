/** Programs at both ends of a pipe: actions in, answers and events out, and the examples against real agents. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { FAULTS } from '../src/base/fault.ts';
import { run } from './program.ts';
import { has } from './terminal.ts';
import { type Member, TestNet, until } from './testnet.ts';

const root = resolve(import.meta.dirname, '..');
const main = join(root, 'src/bin/netapp.ts');

let net: TestNet;
let alice: Member;
let bob: Member;
let env: Record<string, string>;
const started: ChildProcess[] = [];

beforeAll(async () => {
  net = await TestNet.create();
  const tracker = await net.tracker();
  [alice, bob] = [await net.member('alice', tracker), await net.member('bob', tracker)];
  env = { NETAPP_HOME: alice.home, NETAPP_AGENT_PATH: '' };
});
afterAll(() => net[Symbol.asyncDispose]());
afterEach(async () => {
  for (const child of started.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
  }
});

function spawned(command: string, args: readonly string[]): ChildProcess {
  const child = spawn(command, args, { cwd: root, env: { ...process.env, ...env } });
  started.push(child);
  return child;
}

const pipe = (...args: string[]): ChildProcess => spawned(process.execPath, [main, 'pipe', ...args]);

type Line = Record<string, unknown>;

function linesOf(child: ChildProcess): Line[] {
  if (!child.stdout) throw new Error('no pipe');
  const lines: Line[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(JSON.parse(line)));
  return lines;
}

const act = (child: ChildProcess, ...actions: unknown[]): void =>
  actions.forEach((action) => {
    child.stdin?.write(`${typeof action === 'string' ? action : JSON.stringify(action)}\n`);
  });

test('actions are done in their order, and each is answered', async () => {
  const texts = Array.from({ length: 20 }, (_, n) => `number ${n}`);
  const input = texts.map((text, id) => JSON.stringify({ op: 'messages.say', input: { handle: 'bob', text }, id }));
  const { code, stdout, stderr } = await run(['pipe'], { input: input.join('\n'), env });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const answers = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(answers.map(({ type, id, op, answer }) => [type, id, op, answer.text])).toEqual(
    texts.map((text, id) => ['answer', id, 'messages.say', text]),
  );
  await bob.event('message.received', ({ text }) => text === 'number 19');
  const there = (await bob.client.messages.list({ handle: 'alice' })).map(({ text }) => text);
  expect(there).toEqual(texts);
});

test('what cannot be done is answered with its fault, and the next one is done', async () => {
  const lines = [
    'no json',
    '',
    JSON.stringify({ input: {}, id: 'a' }),
    JSON.stringify({ op: 'messages.shout', id: 'b' }),
    JSON.stringify({ op: 'messages.say', input: { handle: 'bob' }, id: 'c' }),
    JSON.stringify({ op: 'people.find', input: { handle: 'nobody' }, id: 'd' }),
    `{"op":"messages.say","input":{"text":"${'x'.repeat(2_000_000)}"}}`,
    JSON.stringify({ op: 'status.show', id: 7 }),
  ];
  const { code, stdout } = await run(['pipe'], { input: `${lines.join('\n')}\n`, env });
  const answers: Line[] = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(answers.map(({ type, id, error }) => [type, id, Object(error).code])).toEqual([
    ['error', null, 'malformed'],
    ['error', 'a', 'invalid_argument'],
    ['error', 'b', 'unknown_operation'],
    ['error', 'c', 'invalid_argument'],
    ['error', 'd', 'unknown_handle'],
    ['error', null, 'too_large'],
    ['answer', 7, undefined],
  ]);
  expect(code).toBe(FAULTS.too_large.exit);
});

test('an answer that is a stream goes on beside the next action', async () => {
  const child = pipe();
  const lines = linesOf(child);
  act(child, { op: 'events.follow', input: { from: 0, match: 'message.sent' }, id: 's' });
  await until(
    () => lines,
    (seen) => seen.some(({ type }) => type === 'next'),
  );
  act(child, { op: 'messages.say', input: { handle: 'bob', text: 'beside it' }, id: 'm' });
  await until(
    () => lines,
    (seen) =>
      seen.some(({ id, type }) => id === 'm' && type === 'answer') &&
      seen.some(({ id, type, answer }) => id === 's' && type === 'next' && Object(answer).data?.text === 'beside it'),
  );
});

test('events come where they are asked for, from a cursor, and in between the answers', async () => {
  const before = alice.node.events.last;
  const { id } = await bob.client.messages.say({ handle: 'alice', text: 'while nobody listened' });
  await alice.event('message.received', (data) => data.id === id);
  const child = pipe('--match', 'message.received', '--from', String(before));
  const lines = linesOf(child);
  await until(
    () => lines,
    (seen) => seen.some(({ data }) => Object(data).id === id),
  );
  expect(lines.every(({ type, cursor }) => type === 'message.received' && Number(cursor) > before)).toBe(true);
  act(child, { op: 'messages.reply', input: { id, text: 'here I am' }, id });
  await until(
    () => lines,
    (seen) => seen.some(({ type }) => type === 'answer'),
  );
  child.stdin?.end();
  expect((await once(child, 'exit'))[0]).toBe(0);
});

describe('--run', () => {
  test('gives the program its events and answers, and ends with its exit code', async () => {
    // It asks who it is, hears the answer, and goes.
    const program = `echo '{"op":"status.show","id":1}'; read -r line; echo "$line" >&2; exit 7`;
    const { code, stdout, stderr } = await run(['pipe', '--run', program], { env });
    expect({ code, stdout }).toEqual({ code: 7, stdout: '' });
    expect(JSON.parse(stderr)).toMatchObject({ type: 'answer', id: 1, answer: { handle: 'alice@lab' } });
  });

  test('ends the program with itself, and what the program has started', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'netapp-pipe-'));
    const child = pipe('--run', `sleep 1000 & echo $! >&2; cat >/dev/null; kill $!; echo ended >&2`);
    let said = '';
    child.stderr?.on('data', (data) => (said += data));
    await until(
      () => said,
      (text) => /\d+\n/.test(text),
    );
    child.kill('SIGINT');
    expect((await once(child, 'exit'))[0]).toBe(130);
    expect(said).toMatch(/^\d+\nended\n$/);
    await rm(folder, { recursive: true });
  });

  test('starts nothing where no agent runs', async () => {
    const { code, stderr } = await run(['pipe', '--run', 'echo started >&2'], { env: { NETAPP_HOME: '/nowhere' } });
    expect(code).toBe(FAULTS.agent_down.exit);
    expect(stderr).not.toContain('started');
  });
});

test('the agent’s end is told, with the cursor to go on from', async () => {
  const tracker = await net.tracker({ name: 'second' });
  const carol = await net.member('carol', tracker);
  env = { ...env, NETAPP_HOME: carol.home };
  try {
    const child = pipe('--run', 'cat >&2', '--match', 'test.seen');
    let said = '';
    child.stderr?.on('data', (data) => (said += data));
    await until(
      () => {
        carol.node.events.emit('test.seen', {});
        return said;
      },
      (text) => text.includes('test.seen'),
    );
    const exited = once(child, 'exit');
    await net.stop(carol);
    expect((await exited)[0]).toBe(FAULTS.link_closed.exit);
    expect(said).toMatch(/go on with --from \d+/);
  } finally {
    env = { ...env, NETAPP_HOME: alice.home };
  }
});

describe('the bot of examples/', () => {
  const netapp = `"${process.execPath}" "${main}"`;
  test.each([
    ['bot.ts', [], `exec "${process.execPath}" examples/bot.ts`],
    ['bot.py', ['python3'], `exec ${netapp} pipe --run 'python3 examples/bot.py'`],
    ['bot.sh', ['jq'], `${netapp} events --match message.received | examples/bot.sh | ${netapp} pipe`],
  ])('%s answers people and rooms, and nothing else', async (name, programs, command) => {
    if (!has(...programs)) return;
    const room = `dice-${name.replace('.', '-')}`;
    await bob.client.rooms.create({ name: room, members: ['alice'] });
    await alice.event('room.invited', ({ name }) => name === room);
    await alice.client.rooms.join({ room });
    const child = spawned('sh', ['-c', command]);
    // Until it listens, nobody answers: it is asked again and again, with a moment between.
    const asked = new Set<string>();
    const answers = await until(
      async () => {
        for (const handle of ['alice', `#${room}`]) {
          asked.add((await bob.client.messages.say({ handle, text: '!roll 3d6' })).id);
          await bob.client.messages.say({ handle, text: '!roll over' });
        }
        await new Promise((done) => setTimeout(done, 300));
        const all = [
          ...(await bob.client.messages.list({ handle: 'alice', limit: 200 })),
          ...(await bob.client.messages.list({ handle: `#${room}`, limit: 200 })),
        ];
        return all.filter(({ from, replyTo }) => from === 'alice@lab' && replyTo !== null && asked.has(replyTo));
      },
      (found) => found.some(({ room }) => room === null) && found.some((message) => message.room === room),
    );
    child.kill('SIGTERM');
    for (const { text } of answers) {
      const [, a, b, c, sum] = /^([1-6]) \+ ([1-6]) \+ ([1-6]) = (\d+)$/.exec(text) ?? [];
      expect(Number(a) + Number(b) + Number(c)).toBe(Number(sum));
    }
    const replies = (await bob.client.messages.list({ handle: 'alice', limit: 200 })).filter(({ replyTo }) => replyTo);
    expect(replies.every(({ text }) => text.includes('=') || text === 'here I am')).toBe(true);
  });
});
