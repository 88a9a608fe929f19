/** Jobs of the real program: killed in the middle, left at ctrl-C, scheduled over a restart, left in the spool. */
import { spawn, spawnSync } from 'node:child_process';
import { appendFile, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FAULTS } from '../src/base/fault.ts';
import { type Running, run, start } from './program.ts';
import { eventOf, until } from './testnet.ts';

const MAIN = resolve(import.meta.dirname, '../src/bin/netapp.ts');

let folder: string;
let running: Running[];
let tracker: Running;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'netapp-jobs-'));
  running = [];
  tracker = await begin('tracker', ['tracker', '--port', '0']);
});
afterEach(async () => {
  await Promise.all(running.map((program) => program[Symbol.asyncDispose]()));
  await rm(folder, { recursive: true, force: true });
});

const home = (name: string): string => join(folder, name);

async function begin(name: string, args: string[]): Promise<Running> {
  const program = await start(home(name), args);
  running.push(program);
  return program;
}

/** Somebody's node; started again on the same name, it is the same one. */
const up = (name: string, ...more: string[]): Promise<Running> =>
  begin(name, ['up', '--name', name, '--port', '0', '--join', tracker.text('invite'), ...more]);

const as = (name: string, ...args: string[]) => run([...args, '--home', home(name)]);

async function textsAt(program: Running): Promise<string[]> {
  const list = await program.client.messages.list({ limit: 1000 });
  return list.map((message) => message.text);
}

test('200 jobs are each done once, however often the agent is killed among them', async () => {
  let alice = await up('alice');
  const bob = await up('bob');
  await eventOf(alice.client, 'person.online', ({ handle }) => handle === 'bob@lab');
  const words = Array.from({ length: 200 }, (_, n) => `job-${String(n).padStart(3, '0')}`);
  const ids = new Map<string, string>();
  /** Asks for all of them at once; whoever heard no answer asks again with the same key, and asks for the same. */
  const ask = (stop?: (answered: number) => void): Promise<unknown> =>
    Promise.allSettled(
      words.map(async (each) => {
        const request = { operation: 'messages.say', input: { handle: 'bob', text: each }, key: each };
        const { id } = await alice.client.jobs.create(request);
        expect(ids.get(each) ?? id).toBe(id);
        ids.set(each, id);
        stop?.(ids.size);
      }),
    );
  for (const most of [30, 110]) {
    const { promise: enough, resolve } = Promise.withResolvers<void>();
    const asked = ask((answered) => {
      if (answered >= most) resolve();
    });
    await enough;
    await alice.kill();
    await asked;
    alice = await up('alice');
  }
  const last = ask();
  await eventOf(alice.client, 'job.done', ({ id }) => id === ids.get('job-005'));
  await alice.kill();
  await last;
  alice = await up('alice');
  await ask();
  expect(new Set(ids.values()).size).toBe(200);
  await until(
    () => alice.client.jobs.list({ limit: 1000 }),
    (jobs) => jobs.length === 200 && jobs.every(({ state }) => state === 'done'),
  );
  await until(
    () => textsAt(bob),
    (texts) => texts.length >= 200,
  );
  expect((await textsAt(bob)).toSorted()).toEqual(words);
  expect((await textsAt(alice)).toSorted()).toEqual(words);
  const done = await doneEvents(alice);
  expect(done.toSorted()).toEqual([...ids.values()].toSorted());
}, 120_000);

/** Ids of the jobs that are told as done, as often as they are. */
async function doneEvents(program: Running): Promise<string[]> {
  const stop = new AbortController();
  const ids: string[] = [];
  for await (const { data } of await program.client.events.follow(
    { from: 0, match: 'job.done' },
    { signal: stop.signal },
  )) {
    if (ids.push(String(data.id)) === 200) break;
  }
  stop.abort();
  return ids;
}

test('a schedule whose times passed while the agent was off runs once, and says what it missed', async () => {
  let alice = await up('alice');
  await up('bob');
  const said = await as('alice', 'say', 'bob', 'late', '--in', '1h', '--json');
  expect(JSON.parse(said.stdout)).toMatchObject({ state: 'scheduled', operation: 'messages.say' });
  // The ten minutes before this one: the next such time is most of an hour away.
  const first = Math.floor(Date.now() / 60_000) * 60_000 - 600_000;
  const minutes = Array.from({ length: 10 }, (_, n) => new Date(first + n * 60_000).getMinutes());
  const every = await as('alice', 'say', 'bob', 'again', '--every', `${minutes.join(',')} * * * *`, '--json');
  const schedule: { id: string; due: string } = JSON.parse(every.stdout);
  await alice.kill();
  // As if it had been off since then: the store says that both times were ten minutes ago.
  const shift = spawnSync(process.execPath, [
    '-e',
    `const { DatabaseSync } = require('node:sqlite');
     new DatabaseSync(process.argv[1]).exec('UPDATE jobs SET due = ' + Number(process.argv[2]))`,
    join(home('alice'), 'netapp.db'),
    String(first),
  ]);
  expect(shift.status, String(shift.stderr)).toBe(0);
  alice = await up('alice');
  const { id } = JSON.parse(said.stdout);
  const late = await as('alice', 'jobs', 'wait', id, '--json');
  expect(late.code).toBe(0);
  expect(JSON.parse(late.stdout.trimEnd().split('\n').at(-1) ?? '')).toMatchObject({ state: 'done', missed: 1 });
  const [made] = await until(
    async () => (await alice.client.jobs.list({})).filter((job) => job.schedule === schedule.id),
    ([job]) => job?.state === 'done',
  );
  expect(made).toMatchObject({ source: 'schedule', answer: { text: 'again' }, missed: 9 });
  expect(await alice.client.jobs.show({ id: schedule.id })).toMatchObject({ state: 'scheduled', missed: 9 });
  const texts = await textsAt(alice);
  expect(texts.filter((each) => each === 'late')).toHaveLength(1);
  expect(texts.filter((each) => each === 'again')).toHaveLength(1);
  await as('alice', 'jobs', 'cancel', schedule.id);
  const list = await as('alice', 'jobs', 'list', '--state', 'scheduled');
  expect(list).toMatchObject({ code: 0, stdout: '', stderr: 'no jobs\n' });
});

describe('the spool', () => {
  test('takes what is asked for while no agent runs; the next one carries it out, once and in order', async () => {
    const alice = await up('alice');
    const bob = await up('bob');
    await eventOf(alice.client, 'person.online', ({ handle }) => handle === 'bob@lab');
    await alice.stop();
    const path = join(folder, 'note.txt');
    await writeFile(path, 'a note');
    const first = await as('alice', 'say', 'bob', 'from the spool');
    expect(first.code).toBe(0);
    expect(first.stderr).toContain('no agent runs');
    const id = first.stdout.trim();
    expect(id).toMatch(/^[a-z2-7]{16}$/);
    const second = await as('alice', 'files', 'send', 'bob', path, '--json');
    expect(JSON.parse(second.stdout)).toMatchObject({ state: 'spooled', operation: 'files.send' });
    await as('alice', 'say', 'bob', 'and another');
    expect(await as('alice', 'say', 'bob', 'not this', '--no-spool')).toMatchObject({ code: FAULTS.agent_down.exit });
    expect((await as('alice', 'say', 'bob', 'x', '--every', 'bad')).code).toBe(FAULTS.invalid_argument.exit);
    expect((await as('alice', 'people', 'list')).code).toBe(FAULTS.agent_down.exit);
    const names = await readdir(join(home('alice'), 'spool'));
    expect(names).toHaveLength(3);
    for (const name of names) {
      expect((await stat(join(home('alice'), 'spool', name))).mode & 0o777).toBe(0o600);
    }
    const again = await up('alice');
    expect(await again.client.jobs.show({ id, wait: 30 })).toMatchObject({ id, state: 'done', source: 'spool' });
    await eventOf(bob.client, 'file.offered', ({ name }) => name === 'note.txt');
    await until(
      () => textsAt(bob),
      (texts) => texts.includes('and another'),
    );
    const texts = await textsAt(bob);
    expect(texts.filter((each) => each !== 'note.txt')).toEqual(['from the spool', 'and another']);
    expect((await readdir(join(home('alice'), 'spool'))).filter((name) => name.endsWith('.json'))).toEqual([]);
  });

  test('sets aside what it cannot take, with the reason, and takes the rest', async () => {
    const alice = await up('alice');
    await alice.stop();
    const spool = join(home('alice'), 'spool');
    await mkdir(spool, { recursive: true });
    const good = { operation: 'messages.say', input: { handle: 'nobody', text: 'x' } };
    const put = (n: number, id: string, value: unknown) =>
      writeFile(join(spool, `000000000000${n}-${id}.json`), typeof value === 'string' ? value : JSON.stringify(value));
    await put(1, 'a'.repeat(16), '{"spool":1,"id":');
    await put(2, 'b'.repeat(16), { spool: 2, id: 'b'.repeat(16), at: 1, request: good });
    await put(3, 'c'.repeat(16), { spool: 1, id: 'd'.repeat(16), at: 1, request: good });
    await put(4, 'e'.repeat(16), { spool: 1, id: 'e'.repeat(16), at: 1, request: { operation: 'no.such', input: {} } });
    await put(5, 'f'.repeat(16), `"${'x'.repeat(2_000_000)}"`);
    await symlink('/etc/passwd', join(spool, `0000000000006-${'g'.repeat(16)}.json`));
    await mkdir(join(spool, `0000000000007-${'h'.repeat(16)}.json`));
    await put(8, 'i'.repeat(16), { spool: 1, id: 'i'.repeat(16), at: Date.now(), request: good });
    await writeFile(join(spool, 'notes.txt'), 'not ours');
    const again = await up('alice');
    const job = await until(
      () => again.client.jobs.show({ id: 'i'.repeat(16) }),
      ({ state }) => state === 'failed',
    );
    expect(job).toMatchObject({ error: { code: 'unknown_handle' } });
    await until(
      () => readdir(join(spool, 'damaged')),
      (aside) => aside.filter((name) => name.endsWith('.json')).length === 7,
    );
    const reason = await readFile(join(spool, 'damaged', `0000000000004-${'e'.repeat(16)}.json.reason`), 'utf8');
    expect(reason).toContain('unknown_operation: asking for the job "no.such"');
    expect(await readFile('/etc/passwd', 'utf8')).toContain('root');
    expect(await readFile(join(spool, 'notes.txt'), 'utf8')).toBe('not ours');
    await eventOf(again.client, 'spool.refused', ({ file }) => String(file).includes('e'.repeat(16)));
  });

  test('is watched while the agent runs, and refuses past its bound', async () => {
    const alice = await up('alice');
    await alice.stop();
    const spool = join(home('alice'), 'spool');
    for (let n = 0; n < 1000; n++) {
      const id = `${'a'.repeat(12)}${n
        .toString(26)
        .replaceAll(/./g, (c) => String.fromCharCode(97 + Number.parseInt(c, 26)))
        .padStart(4, 'a')}`;
      await writeFile(join(spool, `0000000000001-${id}.json`), '{}');
    }
    expect(await as('alice', 'say', 'bob', 'no room')).toMatchObject({ code: FAULTS.queue_full.exit });
    await rm(spool, { recursive: true });
    const again = await up('alice');
    const id = 'z'.repeat(16);
    const request = { operation: 'messages.say', input: { handle: 'nobody', text: 'x' } };
    const written = JSON.stringify({ spool: 1, id, at: 1, request });
    const path = join(spool, `0000000000001-${id}.json`);
    await writeFile(`${path}.new`, written);
    await rename(`${path}.new`, path);
    await eventOf(again.client, 'job.failed', (data) => data.id === id);
  });

  test('waits for the rest of a file that is written where it lies', async () => {
    const alice = await up('alice');
    const spool = join(home('alice'), 'spool');
    const [slow, quick] = ['s'.repeat(16), 'q'.repeat(16)];
    const request = { operation: 'messages.say', input: { handle: 'nobody', text: 'x' } };
    const written = (id: string) => JSON.stringify({ spool: 1, id, at: 1, request });
    const path = join(spool, `0000000000001-${slow}.json`);
    await writeFile(path, written(slow).slice(0, 40));
    await writeFile(join(spool, `0000000000002-${quick}.json`), written(quick));
    await eventOf(alice.client, 'job.failed', (data) => data.id === quick);
    await appendFile(path, written(slow).slice(40));
    await eventOf(alice.client, 'job.failed', (data) => data.id === slow);
  });

  test('is not for a home that never was one', async () => {
    expect(await as('nowhere', 'say', 'bob', 'hello')).toMatchObject({ code: FAULTS.agent_down.exit });
  });
});

/** A laptop may lack it; where everything is checked it is installed. */
const hasPython = spawnSync('python3', ['--version']).status === 0;
if (!hasPython) process.stderr.write('NOTE: no python3 here: ctrl-C on a terminal is not tested\n');

describe('ctrl-C', () => {
  /** A transfer that waits: its holder has gone. */
  async function waiting(): Promise<{ alice: Running; file: string }> {
    const alice = await up('alice');
    const bob = await up('bob');
    const path = join(folder, 'big.bin');
    await writeFile(path, Buffer.alloc(100_000, 7));
    await bob.client.files.send({ handle: 'alice', path });
    const offer = await eventOf(alice.client, 'file.offered', ({ name }) => name === 'big.bin');
    await bob.kill();
    return { alice, file: String(offer.data.id) };
  }

  test('without a terminal leaves the job, and says its id', async () => {
    const { alice, file } = await waiting();
    const child = spawn(process.execPath, [MAIN, 'files', 'get', file, '--home', home('alice')], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const [job] = await until(
      () => alice.client.jobs.list({ state: 'running' }),
      (jobs) => jobs.length === 1,
    );
    const ended = new Promise<number | null>((done) => child.once('exit', done));
    child.kill('SIGINT');
    const said = await text(child.stderr);
    expect(await ended).toBe(130);
    expect(said).toContain(`the job ${job?.id} goes on`);
    expect(await alice.client.jobs.show({ id: job?.id ?? '' })).toMatchObject({ state: 'running' });
  });

  test.skipIf(!hasPython && !process.env.CI).each([
    ['l', /goes on/, 'running'],
    ['c', /is cancelled/, 'cancelled'],
  ])('on a terminal asks what to do with the job: %s', async (answer, words, state) => {
    const { alice, file } = await waiting();
    // Python's own pseudo terminal: types ctrl-C once the job runs, and the answer once it is asked.
    const driver = `
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:-1])
seen, asked, interrupted = b'', False, False
while True:
    try:
        data = os.read(fd, 4096)
    except OSError:
        break
    if not data:
        break
    seen += data
    if not interrupted and b'waits for' in seen:
        os.write(fd, b'\\x03')
        interrupted = True
    if not asked and b'[c]ancel' in seen:
        os.write(fd, sys.argv[-1].encode() + b'\\n')
        asked = True
_, status = os.waitpid(pid, 0)
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(status))
`;
    const child = spawn(
      'python3',
      ['-c', driver, process.execPath, MAIN, 'files', 'get', file, '--home', home('alice'), answer],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const ended = new Promise<number | null>((done) => child.once('exit', done));
    const shown = await text(child.stdout);
    expect(await ended, shown).toBe(130);
    expect(shown).toMatch(words);
    const [job] = await alice.client.jobs.list({});
    expect(job).toMatchObject({ operation: 'files.get', state });
  });
});
