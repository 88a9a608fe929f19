/** A whole node whose disk is full: coded refusals, nothing half-written, and work that goes on when there is room. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FAULTS } from '../src/base/fault.ts';
import { needs } from './needs.ts';
import { type Running, run, start } from './program.ts';
import { eventOf, until } from './testnet.ts';

let folder: string;
let small: string;
let mounted: boolean;
let running: Running[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'netapp-full-'));
  small = mkdtempSync(join(tmpdir(), 'netapp-small-'));
  mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', small]).status === 0;
  running = [];
});

afterEach(async () => {
  await Promise.all(running.map((program) => program[Symbol.asyncDispose]()));
  if (mounted) spawnSync('umount', [small]);
  rmSync(small, { recursive: true, force: true });
  rmSync(folder, { recursive: true, force: true });
});

/** Takes all the room that is left. */
async function fill(path: string): Promise<void> {
  const file = await open(path, 'w');
  try {
    for (let size = 65_536; size >= 1; ) {
      await file.write(Buffer.alloc(size)).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOSPC') throw error;
        size = Math.floor(size / 2);
      });
    }
  } finally {
    await file.close();
  }
}

test('saying, receiving and starting on a full disk', async ({ skip }) => {
  needs(mounted, 'mount -t tmpfs failed: run as root', skip);
  const tracker = await start(join(folder, 'tracker'), ['tracker', '--port', '0']);
  running.push(tracker);
  const up = async (name: string, home: string): Promise<Running> => {
    const program = await start(home, ['up', '--name', name, '--port', '0', '--join', tracker.text('invite')]);
    running.push(program);
    return program;
  };
  const alice = await up('alice', join(folder, 'alice'));
  const bob = await up('bob', join(small, 'bob'));
  await alice.client.messages.say({ handle: 'bob', text: 'while there is room' });
  await eventOf(bob.client, 'message.received', () => true);

  const plug = join(small, 'plug');
  await fill(plug);
  // The store’s log has pages of its own to write again; past them, each write is refused whole.
  const refused = await until(
    () => run(['say', 'alice', 'x'.repeat(60_000), '--home', bob.home]),
    ({ code }) => code !== 0,
  );
  expect(refused).toMatchObject({ code: FAULTS.disk_full.exit, stdout: '' });
  const accepted = (await bob.client.messages.list({ handle: 'alice', limit: 1000 })).filter(
    ({ from }) => from === 'bob@lab',
  );
  const waiting = await alice.client.messages.say({ handle: 'bob', text: 'y'.repeat(60_000) });
  await until(
    () => alice.client.messages.show({ id: waiting.id }),
    ({ state, error }) => state === 'queued' && error?.code === 'disk_full',
  );
  const second = await run([
    'up',
    '--home',
    join(small, 'another'),
    '--port',
    '0',
    '--tracker-port',
    '0',
    '--host',
    '127.0.0.1',
  ]);
  expect(second).toMatchObject({ code: FAULTS.disk_full.exit, stdout: '' });

  await rm(plug);
  await eventOf(bob.client, 'message.received', ({ id }) => id === waiting.id);
  await eventOf(alice.client, 'message.delivered', ({ id }) => id === waiting.id);
  const after = await bob.client.messages.say({ handle: 'alice', text: 'room again' });
  await eventOf(alice.client, 'message.received', ({ id }) => id === after.id);
  const got = (await alice.client.messages.list({ handle: 'bob', limit: 1000 })).filter(
    ({ from }) => from === 'bob@lab',
  );
  expect(got.map(({ id }) => id)).toEqual([...accepted.map(({ id }) => id), after.id]);
});

test('a tracker on a full disk is alive but not ready, says why, and is ready again when there is room', async ({
  skip,
}) => {
  needs(mounted, 'mount -t tmpfs failed: run as root', skip);
  const tracker = await start(join(small, 'tracker'), ['tracker', '--port', '0', '--metrics', '0']);
  running.push(tracker);
  const ask = async (path: string): Promise<{ status: number; body: unknown }> => {
    const answer = await fetch(`http://${tracker.text('metrics')}${path}`);
    return { status: answer.status, body: await answer.json() };
  };
  expect(await ask('/readyz')).toMatchObject({ status: 200, body: { store: 'ok' } });
  await fill(join(small, 'filler'));
  const full = await until(
    () => ask('/readyz'),
    ({ status }) => status !== 200,
  );
  expect(full).toEqual({ status: 503, body: { status: 'not ready', store: 'disk_full', draining: false } });
  expect(await ask('/healthz')).toMatchObject({ status: 200 });
  await rm(join(small, 'filler'));
  await until(
    () => ask('/readyz'),
    ({ status }) => status === 200,
  );
});
