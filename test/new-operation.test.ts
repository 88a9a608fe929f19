/**
 * What it takes to add an operation: its own file, a line in the contract, and a line that carries it out. Done here to a copy of
 * the program, which then has it at every door, in its help, its completion, its description, its scopes and its pages.
 */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { json } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { AreaClient } from './area-client.ts';
import { type Running, start } from './program.ts';

const root = resolve(import.meta.dirname, '..');

const OPERATION = `
import { z } from 'zod';
import { operation } from './operation.ts';

export const say = operation(
  { method: 'POST', path: '/v1/shout', summary: 'Say the same words again, louder', tag: 'shout' },
  {
    faults: ['too_many'],
    example: 'netapp shout say hello',
    command: { words: ['shout', 'say'], positionals: ['text'], forms: { text: 'text' } },
  },
)
  .input(z.object({ text: z.string().max(10, 'expected at most 10 characters').describe('the words') }))
  .output(z.object({ text: z.string() }));
`;

let folder: string;
let program: Running;
let main: string;
let area: string;

async function insert(file: string, before: string, text: string): Promise<void> {
  const path = join(folder, 'src/api', file);
  const source = await readFile(path, 'utf8');
  expect(source.split(before)).toHaveLength(2);
  await writeFile(path, source.replace(before, `${text}${before}`));
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'netapp-new-'));
  await cp(join(root, 'src'), join(folder, 'src'), { recursive: true });
  await cp(join(root, 'package.json'), join(folder, 'package.json'));
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
  await writeFile(join(folder, 'src/api/shout.ts'), OPERATION);
  await insert('contract.ts', "import * as events from './events.ts';", "import * as shout from './shout.ts';\n");
  await insert('contract.ts', '  events: { follow:', '  shout: { say: shout.say },\n');
  await insert(
    'operations.ts',
    '  events: {\n    follow:',
    '  shout: { say: os.shout.say.handler(({ input }) => ({ text: input.text.toUpperCase() })) },\n',
  );
  main = join(folder, 'src/bin/netapp.ts');
  area = join(folder, 'area');
  const args = [
    'up',
    '--shared-memory',
    area,
    '--port',
    '0',
    '--tracker-port',
    '0',
    '--http-port',
    '0',
    '--name',
    'alice',
  ];
  program = await start(join(folder, 'home'), args, { main });
});
afterAll(async () => {
  await program?.stop();
  await rm(folder, { recursive: true, force: true });
});

async function command(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const asked = [main, '--home', program.home, ...args];
  return await promisify(execFile)(process.execPath, asked).then(
    (done) => ({ code: 0, ...done }),
    (error: { code: number; stdout: string; stderr: string }) => error,
  );
}

type Answer = { status: number; body: Record<string, unknown> };

async function post(where: object, body: object, headers: Record<string, string> = {}): Promise<Answer> {
  const outgoing = request({
    ...where,
    method: 'POST',
    path: '/v1/shout',
    headers: { 'content-type': 'application/json', ...headers },
  });
  outgoing.end(JSON.stringify(body));
  const [response] = await once(outgoing, 'response');
  return { status: response.statusCode, body: Object(await json(response)) };
}

test('at the command line, with help', async () => {
  expect((await command('shout', 'say', 'hello', 'you', '--json')).stdout).toBe('{"text":"HELLO YOU"}\n');
  const wrong = await command('shout', 'say', 'much too long');
  expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('expected at most 10 characters')]);
  expect((await command('--help')).stdout).toMatch(/^Shout:\n +shout say +Say the same words again, louder$/m);
  const help = (await command('shout', 'say', '--help')).stdout;
  expect(help).toContain('netapp shout say hello');
  expect(help).toMatch(/70 +more requests at once/);
  expect((await command('shuot', 'say')).stderr).toContain('shout');
});

test('at the socket and over HTTP, with the same answers and faults', async () => {
  const { port } = new URL(program.text('http'));
  const made = await command('tokens', 'create', '--scope', 'shout:say', '--json');
  const { token } = JSON.parse(made.stdout);
  const doors: [object, Record<string, string>][] = [
    [{ socketPath: join(program.home, 'agent.sock') }, {}],
    [{ host: '127.0.0.1', port }, { authorization: `Bearer ${token}` }],
  ];
  for (const [where, headers] of doors) {
    expect(await post(where, { text: 'hi' }, headers)).toEqual({ status: 200, body: { text: 'HI' } });
    const wrong = await post(where, { text: 'much too long' }, headers);
    expect(wrong).toMatchObject({ status: 400, body: { code: 'invalid_argument', data: { field: 'text' } } });
  }
  expect(await post({ host: '127.0.0.1', port }, { text: 'hi' })).toMatchObject({ status: 401 });
  const other = JSON.parse((await command('tokens', 'create', '--scope', 'people:list', '--json')).stdout);
  const refused = await post({ host: '127.0.0.1', port }, { text: 'hi' }, { authorization: `Bearer ${other.token}` });
  expect(refused).toMatchObject({ status: 403, body: { data: { needs: 'shout:say' } } });
});

test('in shared memory', async () => {
  const shared = new AreaClient(area, 4096);
  expect(JSON.parse((await shared.ask('shout say hello you')).toString())).toEqual({ text: 'HELLO YOU' });
  await expect(shared.ask('shout say much too long')).rejects.toMatchObject({ code: 'invalid_argument' });
});

test('in the completion of each shell', async () => {
  expect((await command('completion', 'bash', '--', 'netapp shou')).stdout).toMatch(/^shout\b/m);
  expect((await command('completion', 'zsh', '--', 'shout', '')).stdout).toMatch(
    /^say\tSay the same words again, louder$/m,
  );
  expect((await command('completion', 'fish', '--', 'shout', 's')).stdout).toMatch(/^say\t/m);
});

test('in the description and on the page', async () => {
  const token = (await readFile(join(program.home, 'token'), 'utf8')).trim();
  const headers = { authorization: `Bearer ${token}` };
  const answer = await fetch(`${program.text('http')}/openapi.json`, { headers });
  const described = JSON.parse(await answer.text());
  expect(described.paths['/v1/shout'].post).toMatchObject({
    operationId: 'shout.say',
    summary: 'Say the same words again, louder',
    responses: { 429: { content: { 'application/problem+json': expect.anything() } } },
  });
  const page = await (await fetch(`${program.text('http')}/`, { headers })).text();
  expect(page).toContain('<td>POST /v1/shout</td><td>netapp shout say</td>');
});
