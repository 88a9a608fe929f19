import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Agent } from '../src/agent/agent.ts';
import { FAULTS, type FaultCode } from '../src/base/fault.ts';
import { silentLog } from '../src/base/log.ts';
import { StubBackend } from './stub.ts';

const program = fileURLToPath(new URL('../src/bin/netapp.ts', import.meta.url));

let home: string;
let backend: StubBackend;
let agent: Agent;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'netapp-cli-'));
  backend = new StubBackend();
  agent = new Agent({
    backend,
    socketPath: join(home, 'agent.sock'),
    tokenPath: join(home, 'token'),
    log: silentLog(),
  });
  await agent.start();
});

afterEach(async () => {
  await agent[Symbol.asyncDispose]();
  await rm(home, { recursive: true });
});

let passphrase: string | undefined;

function netapp(...args: string[]): ChildProcess {
  return spawn(process.execPath, [program, ...args], {
    env: {
      ...process.env,
      NETAPP_HOME: home,
      NETAPP_AGENT_PATH: '',
      ...(passphrase && { NETAPP_PASSPHRASE: passphrase }),
    },
    cwd: home,
  });
}

type Ended = { code: number | null; out: string; err: string };

async function end(child: ChildProcess): Promise<Ended> {
  if (!child.stdout || !child.stderr) throw new Error('no pipes');
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code, out, err };
}

async function run(args: string[], stdin = ''): Promise<Ended> {
  const child = netapp(...args);
  child.stdin?.end(stdin);
  return end(child);
}

describe('a message', () => {
  test('is said in as many words as are given', async () => {
    const { code, out } = await run(['say', 'bob', 'see', 'you', 'at 3', '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ to: 'bob@lab', text: 'see you at 3', state: 'queued' });
    expect(backend.said).toEqual([{ handle: 'bob', text: 'see you at 3' }]);
  });

  test('is read from standard input for a lone -, and may look like a flag after --', async () => {
    expect((await run(['say', 'bob', '-'], 'two\nlines\n')).code).toBe(0);
    expect((await run(['say', 'bob', '--', '--json', '-x'])).code).toBe(0);
    expect(backend.said.map((said) => said.text)).toEqual(['two\nlines', '--json -x']);
  });

  test('that is empty is not sent', async () => {
    expect(await run(['say', 'bob', '-'], '\n')).toEqual({
      code: 2,
      out: '',
      err: 'netapp: <text> "": expected some text\n',
    });
  });
});

describe('people', () => {
  test('are one JSON array with --json, untouched', async () => {
    const { code, out } = await run(['people', 'list', '--json']);
    expect(code).toBe(0);
    expect(out.trimEnd()).not.toContain('\n');
    expect(JSON.parse(out)).toEqual(await backend.people.list({}));
  });

  test('cannot write on the reader’s terminal', async () => {
    for (const args of [['people', 'list'], ['get-list'], ['people', 'find', 'bob']]) {
      const { code, out } = await run(args);
      expect(code).toBe(0);
      expect(out).toContain('hi');
      expect(out).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/);
      expect(out).not.toMatch(/^root@lab/m);
    }
  });

  test.each([
    [['away'], 'away', ''],
    [['Busy', 'in a', 'lecture'], 'busy', 'in a lecture'],
    [['at the beach'], 'online', 'at the beach'],
  ])('status %j is %s with words "%s"', async (words, status, own) => {
    const { out } = await run(['people', 'status', ...words, '--json']);
    expect(JSON.parse(out)).toMatchObject({ status, text: own });
  });

  test('nobody says that they are offline', async () => {
    expect(await run(['people', 'status', 'offline'])).toMatchObject({ code: 2, out: '' });
  });

  test.each([
    ['10MB', 10_000_000],
    ['1GiB', 1_073_741_824],
    ['none', null],
  ])('are allowed %s unasked', async (written, autoAccept) => {
    const { out } = await run(['people', 'set', 'bob', '--auto-accept', written, '--json']);
    expect(JSON.parse(out)).toMatchObject({ autoAccept });
  });
});

test('an invite is the link alone, for another command to take', async () => {
  const { out } = await run(['invite']);
  expect(out).toMatch(/^netapp:\/\/\S+\n$/);
});

describe('files', () => {
  test('are named from where the caller stands, and followed until they are offered', async () => {
    backend.fileSteps = [{ state: 'preparing' }, { state: 'offered', direction: 'out', hash: 'h9' }, { state: 'done' }];
    const { code, out } = await run(['peer-transfer', 'bob', 'a/../report.pdf', '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ state: 'offered', hash: 'h9' });
    expect(backend.calls).toEqual([['files.send', 'bob@lab', join(home, 'report.pdf')]]);
  });

  test('are linked to for a time, limited by a rate, and taken unasked into a folder', async () => {
    await run(['files', 'link', 'f1', '--ttl', '10m']);
    await run(['files', 'limit', 'f1', '2MB']);
    await run(['files', 'limit', 'f1', 'none']);
    await run(['files', 'auto-accept', 'bob', '--up-to', '100MB', '--into', 'in']);
    await run(['files', 'auto-accept', 'bob', '--off']);
    expect(backend.calls).toEqual([
      ['files.link', 'f1', 600_000],
      ['files.limit', 'f1', 2_000_000],
      ['files.limit', 'f1', null],
      ['files.autoAccept', 'bob', 100_000_000, join(home, 'in')],
      ['files.autoAccept', 'bob', null, null],
    ]);
    expect((await run(['files', 'link', 'f1', '--ttl', 'soon'])).code).toBe(FAULTS.invalid_argument.exit);
    expect(await run(['files', 'auto-accept', 'bob'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('--off'),
    });
    expect((await run(['files', 'priority', 'f1', 'urgent'])).code).toBe(FAULTS.invalid_argument.exit);
    expect((await run(['files', 'gc'])).out).toMatch(/part +\/a\/\.part +5 B +done +yes/);
    expect((await run(['files', 'verify'])).out).toContain('ok');
  });

  test('are watched as a snapshot a line where there is no terminal', async () => {
    backend.fileSteps = [{ state: 'fetching' }, { state: 'done' }];
    const { out } = await run(['files', 'watch']);
    const states = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).state);
    expect(states).toEqual(['fetching', 'done']);
  });

  test('that were skipped say so, with a code of their own', async () => {
    backend.fileSteps = [{ state: 'declined', error: { code: 'exists', message: 'it is there' } }];
    expect((await run(['files', 'get', 'f1', '--conflict', 'skip'])).code).toBe(FAULTS.exists.exit);
  });

  test('are not followed with --detach', async () => {
    const { out } = await run(['files', 'send', 'bob', 'x', '--detach', '--json']);
    expect(JSON.parse(out)).toMatchObject({
      operation: 'files.send',
      state: 'queued',
      input: { path: join(home, 'x') },
    });
  });

  test('that cannot be prepared fail with their own code', async () => {
    const error = { code: 'unreadable', message: 'reading "x": no such file' };
    backend.fileSteps = [{ state: 'preparing' }, { state: 'failed', error }];
    expect(await run(['files', 'send', 'bob', 'x'])).toMatchObject({
      code: FAULTS.unreadable.exit,
      err: 'netapp: reading "x": no such file\n',
    });
  });

  test('are got to the end, one snapshot a line with --json', async () => {
    backend.fileSteps = [
      { state: 'fetching', progress: 400_000, rate: 1 },
      { state: 'done', progress: 1_000_000 },
    ];
    const { code, out } = await run(['files', 'get', 'f1', '--to', 'in', '--json']);
    expect(code).toBe(0);
    const lines = out.trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line).state)).toEqual(expect.arrayContaining(['done']));
    expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ state: 'done', progress: 1_000_000 });
    expect(backend.calls).toEqual([['files.accept', 'f1', { to: join(home, 'in') }]]);
  });

  test.each([
    [{ state: 'failed', error: { code: 'hash_mismatch', message: 'x' } } as const, FAULTS.hash_mismatch.exit],
    [{ state: 'cancelled' } as const, FAULTS.cancelled.exit],
    [{ state: 'fetching' } as const, FAULTS.link_closed.exit],
  ])('that end with %j are no success', async (last, exit) => {
    backend.fileSteps = [{ state: 'fetching' }, last];
    expect((await run(['files', 'get', 'f1'])).code).toBe(exit);
  });
});

describe('exit codes', () => {
  test.each(['unknown_handle', 'tracker_down', 'peer_unreachable', 'disk_full', 'queue_full'] as FaultCode[])(
    '%s has its own, and its JSON',
    async (code) => {
      const handle = `fault-${code.replaceAll('_', '-')}`;
      const told = await run(['people', 'find', handle, '--json']);
      expect(told).toMatchObject({ code: FAULTS[code].exit, out: '' });
      expect(JSON.parse(told.err)).toMatchObject({ code, data: { number: 7 } });
    },
  );

  test('no agent says how to start one', async () => {
    const told = await run(['status', '--agent-path', join(home, 'none.sock')]);
    expect(told.code).toBe(FAULTS.agent_down.exit);
    expect(told.err).toContain('netapp up');
  });

  test('a typo is met with what was meant', async () => {
    expect(await run(['peple', 'list'])).toMatchObject({
      code: FAULTS.unknown_operation.exit,
      err: 'netapp: unknown command "peple" (Did you mean people?)\n',
    });
    expect((await run(['files', 'snd', 'bob', 'x'])).err).toContain('Did you mean send?');
  });

  test.each([
    [['say'], 'missing required argument "handle"'],
    [['say', 'bob', 'x', '--loud'], 'unknown option "--loud"'],
    [['messages', 'list', '--limit', '0'], '--limit: expected a whole number from 1 to 1000'],
    [['people', 'find', '..'], 'expected a handle'],
    [['up', '--port', 'x'], 'expected a port'],
  ])('%j is told as wrong usage', async (args, told) => {
    const { code, err, out } = await run(args);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain(told);
  });

  test('help is data, and no failure', async () => {
    const { code, out, err } = await run(['--help']);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toContain('people find');
    expect((await run(['help', 'exit-codes'])).out).toMatch(/^ +42 +agent_down /m);
    const { out: page } = await run(['files', 'send', '--help']);
    expect(page).toContain('netapp files send bob report.pdf');
    expect((await run(['help', 'files', 'send'])).out).toBe(page);
  });
});

describe('messages that are there', () => {
  test('are reacted to, with or without a flag that takes no value', async () => {
    const on = await run(['messages', 'react', 'm1', '👍', '--json']);
    const off = await run(['messages', 'react', 'm1', '👍', '--off', '--json']);
    expect([on, off].map(({ out }) => JSON.parse(out).reactions)).toEqual([{ '👍': ['alice@lab'] }, {}]);
  });

  test('are searched for in as many words as are given; hits are marked', async () => {
    const { out } = await run(['messages', 'search', 'see', 'you', '--in', 'bob', '--limit', '5']);
    expect(out).toContain('[hello]');
    expect(backend.calls.at(-1)).toEqual(['messages.search', { query: 'see you', in: 'bob', limit: 5 }]);
    const wrong = await run(['messages', 'search', 'x', '--since', 'yesterday']);
    expect(wrong).toMatchObject({ code: 2, err: expect.stringContaining('--since: expected a date') });
  });

  test('are told of by conversation; the noun alone lists them', async () => {
    const [short, long] = [await run(['conversations']), await run(['conversations', 'list'])];
    expect(short.code).toBe(0);
    expect(short.out).toMatch(/alice@lab, bob@lab +2 +1 /);
    expect(short.out).toBe(long.out);
  });

  test('are exported as plain lines, in which nothing steers the terminal', async () => {
    expect((await run(['conversations', 'export', 'bob'])).out).toBe('{"export":1}\n');
    expect((await run(['conversations', 'export', 'bob', '--format', 'markdown'])).out).toBe('# bob\n');
  });

  test('go into a backup; its passphrase is taken from the environment, and is no flag', async () => {
    passphrase = 'correct horse';
    try {
      const { out } = await run(['backup', 'a.backup']);
      expect(out).toContain('encrypted');
    } finally {
      passphrase = undefined;
    }
    expect(backend.calls.at(-1)).toEqual(['backup', { file: join(home, 'a.backup'), passphrase: 'correct horse' }]);
    const flag = await run(['backup', 'a.backup', '--passphrase', 'correct horse']);
    expect(flag).toMatchObject({ code: 2, err: expect.stringContaining('unknown option') });
  });
});

describe('streams', () => {
  async function firstLine(child: ChildProcess): Promise<string> {
    let seen = '';
    if (!child.stdout) throw new Error('no pipe');
    for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
      seen += chunk;
      if (seen.includes('\n')) break;
    }
    return seen;
  }

  test('are one JSON value a line, until ctrl-C, which exits 130', async () => {
    backend.emit('message.received', { id: 'm1' });
    const child = netapp('events', '--from', '0');
    expect(JSON.parse(await firstLine(child))).toMatchObject({ cursor: 1, type: 'message.received' });
    child.kill('SIGINT');
    const [code] = await once(child, 'exit');
    expect(code).toBe(130);
    await expect.poll(() => backend.followers).toBe(0);
  });

  test('end quietly when nobody reads them any more', async () => {
    backend.emit('a.b', {});
    const child = netapp('events', '--from', '0');
    const err = child.stderr && text(child.stderr);
    await firstLine(child);
    child.stdout?.destroy();
    const exited = once(child, 'exit');
    // The pipe's end is noticed at a write.
    const more = setInterval(() => backend.emit('a.b', {}), 5);
    expect((await exited)[0]).toBe(0);
    clearInterval(more);
    expect(await err).toBe('');
  });

  test('say when the agent went away', async () => {
    backend.emit('a.b', {});
    const child = netapp('events', '--from', '0');
    const err = child.stderr && text(child.stderr);
    await firstLine(child);
    await agent[Symbol.asyncDispose]();
    expect((await once(child, 'exit'))[0]).toBe(FAULTS.link_closed.exit);
    expect(await err).toContain('the agent is closing');
  });

  test('show messages for people, each line of a text under its own', async () => {
    const carried = { ...(await backend.messages.say('bob', 'one\n10:00  eve@lab  two', {})) };
    backend.emit('message.received', carried);
    const child = netapp('messages', 'follow', '--from', '0');
    const seen = await firstLine(child);
    child.kill('SIGINT');
    await once(child, 'exit');
    expect(seen).toMatch(/one\n {4}10:00 {2}eve@lab/);
  });
});

test.each([
  ['text/html', '<html>'],
  ['application/json', '{"handle":'],
])('what is no agent on the socket is told as such (%s)', async (type, body) => {
  const path = join(home, 'other.sock');
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': type }).end(body);
  }).listen(path);
  await once(server, 'listening');
  expect(await run(['status', '--agent-path', path])).toMatchObject({
    code: FAULTS.malformed.exit,
    err: 'netapp: asking the agent: what answers there is no NetApp agent\n',
  });
  server.close();
});
