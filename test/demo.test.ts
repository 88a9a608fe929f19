/** The demonstration, as a user starts it: all steps, checked; and gone with all its programs when it is told to end. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { run } from './program.ts';

const main = resolve(import.meta.dirname, '../src/bin/netapp.ts');
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'netapp-demo-test-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('it walks through the five steps with a file of the user’s, and leaves nothing behind', async () => {
  const file = join(folder, 'holiday.bin');
  writeFileSync(file, Buffer.alloc(3_000_000, 'x'));
  const { code, stdout, stderr } = await run(['demo', file, '--json'], { env: { TMPDIR: folder } });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const steps: { name: string; what: string }[] = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(steps.map(({ name }) => name)).toEqual([
    'send_info',
    'add_list',
    'get_list',
    'peer_connect',
    'peer_transfer',
    'peer_transfer',
    'peer_transfer',
  ]);
  expect(steps.at(-1)?.what).toContain('holiday.bin, 3.0 MB');
  expect(readdirSync(folder).filter((name) => name.startsWith('netapp-'))).toEqual([]);
});

test('a file that is not there ends it with a code, before anything is started', async () => {
  const { code, stderr } = await run(['demo', join(folder, 'nothing')]);
  expect([code, stderr]).toEqual([51, expect.stringContaining('nothing')]);
});

test('told to end in the middle, it takes its programs along', async () => {
  const child = spawn(process.execPath, [main, 'demo', '--json'], {
    env: { ...process.env, TMPDIR: folder },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await once(createInterface({ input: child.stdout }), 'line'); // the first step: the tracker and one node run
  child.kill('SIGTERM');
  const [code] = await once(child, 'exit');
  expect(code).not.toBe(0);
  const left = execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line.includes(folder));
  expect(left).toEqual([]);
  expect(readdirSync(folder).filter((name) => name.startsWith('netapp-'))).toEqual([]);
});
