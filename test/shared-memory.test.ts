/** The door for programs that map a file: a real agent, and a Python program that knows mmap alone. */
import { execFile } from 'node:child_process';
import { truncateSync } from 'node:fs';
import { chmod, mkdtemp, rm, stat, symlink, truncate, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { AreaClient } from './area-client.ts';
import { type Running, run, start } from './program.ts';
import { until } from './testnet.ts';

const PYTHON_CLIENT = resolve(import.meta.dirname, '../examples/shared_memory.py');

let folder: string;
let path: string;
const running: Running[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'netapp-area-'));
  path = join(folder, 'area');
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((program) => program.kill()));
  await rm(folder, { recursive: true, force: true });
});

async function up(name = 'alice', more: string[] = ['--shared-memory', path]): Promise<Running> {
  const args = ['up', '--name', name, '--port', '0', '--tracker-port', '0', ...more];
  const program = await start(join(folder, name), args);
  running.push(program);
  return program;
}

async function python(args: string[], size: number): Promise<string> {
  const { stdout } = await promisify(execFile)('python3', [PYTHON_CLIENT, path, ...args], {
    env: { ...process.env, SIZE: String(size) },
  });
  return stdout;
}

test('a program that knows mmap alone announces, lists, says, and reads what does not fit, with 100 bytes', async () => {
  const alice = await up();
  await up('bob', ['--join', alice.text('invite')]);
  expect(((await stat(path)).mode & 0o777).toString(8)).toBe('600');
  expect((await stat(path)).size).toBe(4096);
  for (const size of [100, 4096]) {
    expect(JSON.parse(await python(['submit_info'], size))).toMatchObject({ handle: 'alice@lab' });
    expect((await stat(path)).size).toBe(size);
    await until(
      async () => JSON.parse(await python(['get_list'], size)),
      (list) => list.length === 2,
    );
    const text = `from a mapping of ${size} bytes, ünï🙂`;
    const said = JSON.parse(await python(['say', 'bob', text], size));
    expect(said).toMatchObject({ to: 'bob@lab', text });
    await until(
      async () => JSON.parse(await python(['messages', 'show', said.id], size)),
      ({ state }) => state === 'delivered',
    );
    await expect(python(['people', 'find', 'nobody'], size)).rejects.toThrow('error unknown_handle');
    await expect(python(['make_coffee'], size)).rejects.toThrow('error unknown_operation');
  }
}, 60_000);

test('the textbook’s way: truncate, write a word without an end, and wait for "done"', async () => {
  await writeFile(path, '');
  await truncate(path, 100);
  await up();
  const area = new AreaClient(path, 100);
  for (const word of ['submit_info', 'get_list', 'submit_info']) {
    area.write(word);
    const [head, body] = await area.settled();
    expect([head, body.toString()]).toEqual(['done', expect.stringMatching(/^job [a-z2-7]{13}$/)]);
  }
});

test('a command that was there before the agent is carried out; one that was running is not done again', async () => {
  await writeFile(path, 'say bob hello\n'.padEnd(4096, '\0'));
  await up();
  const area = new AreaClient(path, 4096);
  expect((await area.settled())[0]).toBe('error unknown_handle');
  await running.pop()?.kill();
  await writeFile(path, 'running'.padEnd(4096, '\0'));
  await up();
  expect((await area.settled())[0]).toBe('error agent_down');
});

test('a stream is read in pieces while it goes on, and a wait is cancelled', async () => {
  const alice = await up();
  const area = new AreaClient(path, 4096);
  const client = area.client();
  const { id } = await alice.client.rooms.create({ name: 'team' });
  const seen: string[] = [];
  for await (const { type } of await client.events.follow({ from: 0 })) {
    seen.push(type);
    if (type.startsWith('room.')) break;
  }
  expect(seen.length).toBeGreaterThan(1);
  for (let n = 0; n < 100; n++) await alice.client.messages.say({ handle: id, text: `${n} ${'x'.repeat(1000)}` });
  const list = await client.messages.list({ handle: id, limit: 100 });
  expect(list.map(({ text }) => Number.parseInt(text, 10))).toEqual(Array.from({ length: 100 }, (_, n) => n));
  const gone = (await area.ask('events.follow {"from":0}')).toString().split(' ')[1];
  for (let n = 0; n < 64; n++) await area.ask('events.follow {"from":0}');
  await expect(area.ask(`answer ${gone}`)).rejects.toMatchObject({ code: 'unknown_id' });
  const { id: job } = JSON.parse(
    (await area.ask(`jobs create messages.say {"handle":"${id}","text":"later"}`)).toString(),
  );
  const came = await until(
    () => area.ask(`answer ${job}`).catch((fault: { code: string }) => fault),
    (answer) => Buffer.isBuffer(answer) || answer.code !== 'wrong_state',
  );
  expect(came.toString()).toContain('"text":"later"');
  await expect(area.ask('messages.list {"limit":-1}')).rejects.toMatchObject({ code: 'invalid_argument' });

  // Nobody listens there: it would wait for its deadline.
  area.write(`links connect 127.0.0.1:9\n`);
  await until(
    async () => area.read()[0],
    (head) => head !== 'links connect 127.0.0.1:9',
  );
  area.write('cancel\n');
  expect((await area.settled())[0]).toMatch(/^error/);
});

test('garbage, a shrinking file and a file taken away harm nobody', async () => {
  const alice = await up();
  const area = new AreaClient(path, 4096);
  for (const garbage of [
    '\xff\xfe\x01',
    '{"a":',
    '../../etc',
    'x'.repeat(4096),
    'say',
    'answer',
    `answer a ${'9'.repeat(15)}`,
  ]) {
    area.write(`${garbage}\n`.slice(0, 4096));
    expect((await area.settled())[0]).toMatch(/^error (unknown_operation|invalid_argument|unknown_id)$/);
  }
  await truncate(path, 10);
  area.write('get_list\n');
  await truncate(path, 0);
  await truncate(path, 4096);
  area.write('get_list\n');
  expect((await area.settled())[0]).toBe('done');

  await unlink(path);
  await until(
    () => stat(path).catch(() => undefined),
    (there) => there?.size === 4096,
  );
  expect(JSON.parse((await new AreaClient(path, 4096).ask('status')).toString())).toMatchObject({
    handle: 'alice@lab',
  });
  expect(await alice.stop()).toBe(0);
});

test('a file that is cut to nothing while the agent reads it holds no command', async () => {
  await up();
  const area = new AreaClient(path, 4096);
  const heads = new Set<string>();
  for (let n = 0; n < 50_000; n++) {
    truncateSync(path, 0);
    truncateSync(path, 4096);
    area.write('get_list\n');
    for (let look = 0; look < 5; look++) heads.add(area.read()[0].trim());
  }
  expect([...heads].filter((head) => head.startsWith('error'))).toEqual([]);
  expect(heads).toContain('running');
  expect((await area.settled())[0]).toBe('done');
});

test('a file that is not an area, a symlink, and a wrong size are refused before anything is written', async () => {
  const starts = async (args: string[]) => {
    const { code, stderr } = await run([
      'up',
      '--home',
      join(folder, 'alice'),
      '--port',
      '0',
      '--tracker-port',
      '0',
      '--host',
      '127.0.0.1',
      ...args,
    ]);
    return { code, stderr };
  };
  await writeFile(path, 'my notes\n');
  expect(await starts(['--shared-memory', path])).toEqual({
    code: 24,
    stderr: expect.stringContaining('other content'),
  });
  expect(await stat(path)).toMatchObject({ size: 9 });
  await symlink(path, join(folder, 'link'));
  expect((await starts(['--shared-memory', join(folder, 'link')])).code).not.toBe(0);
  expect((await starts(['--shared-memory', folder])).code).not.toBe(0);
  expect((await starts(['--shared-memory', join(folder, 'new'), '--size', '99'])).code).toBe(2);
  await writeFile(join(folder, 'open'), '');
  await chmod(join(folder, 'open'), 0o666);
  path = join(folder, 'open');
  await up();
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});
