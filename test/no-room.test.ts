/** What a full disk refuses beyond saying, what a kill on it leaves, and a home that cannot be written; where none can be mounted these fail under CI and are skipped elsewhere. */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { FAULTS } from '../src/base/fault.ts';
import { type Running, run, start } from './program.ts';
import { eventOf, until } from './testnet.ts';

const folder = mkdtempSync(join(tmpdir(), 'netapp-room-'));
const small = join(folder, 'small');
mkdirSync(small);
const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', small]).status === 0;
const running: Running[] = [];

afterAll(async () => {
  await Promise.all(running.map((program) => program[Symbol.asyncDispose]()));
  if (mounted) spawnSync('umount', [small]);
  rmSync(folder, { recursive: true, force: true });
});

async function begin(home: string, args: string[]): Promise<Running> {
  const program = await start(home, args);
  running.push(program);
  return program;
}

/** Takes all the room that is left, to the last byte. */
function fill(): void {
  const file = openSync(join(small, 'filler'), 'a');
  try {
    for (const size of [65_536, 4096, 1]) {
      try {
        for (;;) writeSync(file, Buffer.alloc(size));
      } catch {
        // full, for pieces of this size
      }
    }
  } finally {
    closeSync(file);
  }
}

const free = (): void => rmSync(join(small, 'filler'));

test('a small disk can be mounted here, or nobody relies on it', () => {
  expect(mounted || process.env.CI !== 'true', 'mount -t tmpfs failed: run as root, or without CI=true').toBe(true);
});

test.skipIf(!mounted)(
  'on a full disk each operation fails with its code; with room again, all goes on by itself',
  async () => {
    const tracker = await begin(join(folder, 'tracker'), ['tracker', '--port', '0']);
    const invite = tracker.text('invite');
    const up = (name: string, home: string) => begin(home, ['up', '--name', name, '--port', '0', '--join', invite]);
    const alice = await up('alice', join(folder, 'alice'));
    const home = join(small, 'bob');
    const bob = await up('bob', home);
    const { id } = await bob.client.messages.say({ handle: 'alice', text: 'before' });
    await eventOf(alice.client, 'message.received', ({ text }) => text === 'before');
    await eventOf(bob.client, 'message.delivered', () => true);

    fill();
    const long = 'x'.repeat(60_000); // more than what is left of a page or of the log
    const full = expect.objectContaining({ code: 'disk_full' });
    await expect(bob.client.messages.say({ handle: 'alice', text: long })).rejects.toEqual(full);
    await expect(bob.client.messages.reply({ id, text: long })).rejects.toEqual(full);
    await expect(bob.client.messages.edit({ id, text: long })).rejects.toEqual(full);
    const said = await run(['messages', 'reply', id, '-', '--home', home], { input: long });
    expect(said.code).toBe(FAULTS.disk_full.exit);
    const copy = await Array.fromAsync(await bob.client.backup.create({ file: join(small, 'copy') })).catch(
      (e: unknown) => e,
    );
    expect(copy).toEqual(full);
    const sent = await alice.client.messages.say({ handle: 'bob', text: long });
    await until(
      () => alice.client.messages.list({ handle: 'bob' }),
      (list) => list.at(-1)?.id === sent.id && list.at(-1)?.state === 'queued',
    );
    expect((await bob.client.messages.list({})).map(({ text }) => text)).toEqual(['before']);
    expect(await bob.client.messages.search({ query: 'before' })).toHaveLength(1);

    free();
    const got = await eventOf(bob.client, 'message.received', () => true); // nobody does anything
    expect(got.data).toMatchObject({ id: sent.id });
    await until(
      () => alice.client.messages.show({ id: sent.id }),
      ({ state }) => state === 'delivered',
    );
    await bob.client.messages.edit({ id, text: 'after' });
    await eventOf(alice.client, 'message.edited', ({ text }) => text === 'after');
    expect((await bob.client.messages.list({})).map(({ text }) => text)).toEqual(['after', long]);
  },
);

test.skipIf(!mounted)(
  'a full disk does not outlive a kill: what was answered is there, what was refused is not',
  async () => {
    const home = join(small, 'carol');
    const args = ['up', '--name', 'carol', '--port', '0', '--tracker-port', '0'];
    const carol = await begin(home, args);
    const dave = await begin(join(folder, 'dave'), [
      'up',
      '--name',
      'dave',
      '--port',
      '0',
      '--join',
      carol.text('invite'),
    ]);
    await dave.stop();
    const answered: string[] = [];
    const text = (n: number): string => `${n} ${'y'.repeat(2000)}`;
    let fault: unknown;
    for (let n = 0; n < 10_000 && !fault; n++) {
      if (n === 20) fill();
      await carol.client.messages.say({ handle: 'dave', text: text(n) }).then(
        () => answered.push(text(n)),
        (error: unknown) => (fault = error),
      );
    }
    expect(fault).toMatchObject({ code: 'disk_full' });
    expect(answered.length).toBeGreaterThanOrEqual(20);
    await carol.kill();
    free();
    const again = await begin(home, args);
    const kept = await again.client.messages.list({ handle: 'dave', limit: 1000 });
    expect(kept.map((message) => message.text)).toEqual(answered);
    await begin(join(folder, 'dave'), ['up', '--name', 'dave', '--port', '0', '--join', again.text('invite')]);
    await until(
      () => again.client.messages.list({ handle: 'dave', limit: 1000 }),
      (list) => list.every(({ state }) => state === 'delivered'),
    );
  },
);

test.skipIf(!mounted)('a home that cannot be written is refused with its code, and nothing of it changes', async () => {
  const home = join(small, 'eve');
  const first = await begin(home, ['up', '--name', 'eve', '--port', '0', '--tracker-port', '0']);
  await first.stop();
  expect(spawnSync('mount', ['--bind', home, home]).status).toBe(0);
  try {
    expect(spawnSync('mount', ['-o', 'remount,ro,bind', home]).status).toBe(0);
    const refused = await run(['up', '--port', '0', '--host', '127.0.0.1', '--home', home]);
    expect([FAULTS.unwritable.exit, FAULTS.unreadable.exit]).toContain(refused.code);
    expect(refused.stderr).toContain(home);
  } finally {
    spawnSync('umount', [home]);
  }
  const again = await begin(home, ['up', '--port', '0', '--tracker-port', '0']);
  expect(again.says).toMatchObject({ handle: 'eve@lab', id: first.says.id });
});
