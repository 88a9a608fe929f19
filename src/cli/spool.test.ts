import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, expect, test } from 'vitest';
import { Fault } from '../base/fault.ts';
import { spool } from './spool.ts';

const home = mkdtempSync(join(tmpdir(), 'netapp-spool-'));
const small = mkdtempSync(join(tmpdir(), 'netapp-small-'));
const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', small]).status === 0;
afterAll(() => {
  if (mounted) spawnSync('umount', [small]);
  for (const folder of [home, small]) rmSync(folder, { recursive: true, force: true });
});

test('what comes in is a file of the home’s, private to its user', async () => {
  const path = await spool(Readable.from([Buffer.from('one '), 'two']), home, new AbortController().signal);
  expect(await readFile(path, 'utf8')).toBe('one two');
  rmSync(path);
});

test('whoever stops it leaves nothing', async () => {
  const stop = new AbortController();
  async function* input(): AsyncGenerator<string> {
    yield 'one';
    stop.abort(new Fault('cancelled', 'stopped'));
    yield 'two';
  }
  await expect(spool(Readable.from(input()), home, stop.signal)).rejects.toMatchObject({ code: 'cancelled' });
  expect(await readdir(join(home, 'outgoing'))).toEqual([]);
});

test('a small disk can be mounted here, or nobody relies on it', () => {
  expect(mounted || process.env.CI !== 'true', 'mount -t tmpfs failed: run as root').toBe(true);
});

test.skipIf(!mounted)('it ends before the disk is full, and leaves nothing', async () => {
  const input = Readable.from([Buffer.alloc(10_000)]);
  await expect(spool(input, small, new AbortController().signal)).rejects.toMatchObject({ code: 'disk_full' });
  expect(await readdir(join(small, 'outgoing'))).toEqual([]);
});
