/** The package as it is published: packed, put into another project, imported there, and checked by its types. */
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestNet } from './testnet.ts';

const root = resolve(import.meta.dirname, '..');
const bin = (name: string): string => join(root, 'node_modules/.bin', name);
const exec = promisify(execFile);

let folder: string;
let project: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'netapp-published-'));
  const build = join(folder, 'package');
  await mkdir(build);
  for (const name of ['package.json', 'README.md', 'LICENSE', 'docs']) {
    await cp(join(root, name), join(build, name), { recursive: true });
  }
  await exec(bin('tsc'), ['-p', join(root, 'tsconfig.build.json'), '--outDir', join(build, 'dist')]);
  // What was built here is packed; `npm pack` by hand builds first.
  const { stdout } = await exec('npm', ['pack', '--ignore-scripts', '--json'], { cwd: build });
  const [{ filename }]: [{ filename: string }] = JSON.parse(stdout);
  project = join(folder, 'project');
  const installed = join(project, 'node_modules/netapp');
  await mkdir(installed, { recursive: true });
  await exec('tar', ['-xzf', join(build, filename), '-C', installed, '--strip-components=1']);
  // The dependencies that an install would bring, without asking a registry for them.
  await symlink(join(root, 'node_modules'), join(installed, 'node_modules'));
  await writeFile(join(project, 'package.json'), '{"type": "module"}');
}, 120_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

test('a program in another folder talks to an agent, and gets faults as faults', async () => {
  await using net = await TestNet.create();
  const { client, home } = await net.member('alice', undefined);
  const { token } = await client.tokens.create({ scope: ['status:show'] });
  await writeFile(
    join(project, 'program.js'),
    `import { createClient, Fault, followEvents, verifyWebhook } from 'netapp/client';
     const client = createClient({ socketPath: process.argv[2] });
     const { handle } = await client.status.show();
     const fault = await client.people.find({ handle: 'nobody' }).catch((error) => error);
     console.log(JSON.stringify({ handle, fault: fault instanceof Fault && fault.code, more: [typeof followEvents, typeof verifyWebhook] }));`,
  );
  const { stdout } = await exec(process.execPath, [join(project, 'program.js'), join(home, 'agent.sock')]);
  expect(JSON.parse(stdout)).toEqual({ handle: 'alice@lab', fault: 'unknown_handle', more: ['function', 'function'] });
  expect(token).toMatch(/^nat_/);
});

test('its types are those of the operations', async () => {
  await writeFile(
    join(project, 'program.ts'),
    `import { type AgentEvent, createClient, followEvents } from 'netapp/client';
     const client = createClient({ url: 'http://127.0.0.1:1', token: 'x' });
     export const text: string = (await client.messages.say({ handle: 'bob', text: 'hi' })).text;
     export async function first(): Promise<AgentEvent | undefined> {
       for await (const event of followEvents(client, { from: 0, match: ['message.*'] })) return event;
       return undefined;
     }
     // @ts-expect-error: no such field
     await client.messages.say({ handle: 'bob', words: 'hi' });
     // @ts-expect-error: a number is no handle
     await client.people.find({ handle: 5 });`,
  );
  const options = { strict: true, module: 'nodenext', target: 'esnext', noEmit: true, skipLibCheck: true, types: [] };
  await writeFile(
    join(project, 'tsconfig.json'),
    JSON.stringify({ compilerOptions: { ...options, lib: ['esnext', 'dom', 'dom.iterable'] }, files: ['program.ts'] }),
  );
  const checked = await exec(bin('tsc'), ['-p', project]).catch((error: { stdout: string }) => error);
  expect(checked.stdout).toBe('');
});

test('what is not published stays inside', async () => {
  await writeFile(join(project, 'inside.js'), `await import('netapp/dist/node/node.js');`);
  await expect(exec(process.execPath, [join(project, 'inside.js')])).rejects.toThrow('ERR_PACKAGE_PATH_NOT_EXPORTED');
});
