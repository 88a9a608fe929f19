/** Real processes that are killed in the middle of a file: what goes on, goes on by itself. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Child } from '../bench/child.ts';

const MiB = 1024 * 1024;
const SIZE = 300 * MiB;
const program = join(import.meta.dirname, '../bench/peer.ts');

type Shown = { state: string; progress: number; path: string };

let home = '';
let alice: Child;
let bob: Child;
let data: Buffer;

const start = (name: string): Child => new Child(program, [join(home, name)]);
const introduce = async (): Promise<void> => {
  await alice.ask('meet', await bob.ask('who'));
  await bob.ask('meet', await alice.ask('who'));
};

/** Sends a file and waits until a part of it is there. */
async function halfway(): Promise<{ sent: string; got: string }> {
  const source = join(home, 'source.bin');
  await writeFile(source, data);
  const { entryId, ticket } = await alice.ask<{ entryId: string; ticket: unknown }>('send', source);
  const got = await bob.ask<string>('take', entryId, ticket);
  await bob.ask('begin', got);
  let shown: Shown;
  do shown = await bob.ask<Shown>('show', got);
  while (shown.progress < 30 * MiB);
  expect(shown.state).toBe('fetching');
  return { sent: entryId, got };
}

async function arrives(sent: string, got: string): Promise<void> {
  await bob.ask('until', got, 'done');
  const { path } = await bob.ask<Shown>('show', got);
  expect((await readFile(path)).equals(data)).toBe(true);
  expect(await readdir(join(home, 'bob', 'downloads'))).toEqual(['source.bin']);
  await alice.ask('until', sent, 'done');
}

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'netapp-killed-'));
  data = randomBytes(SIZE);
  alice = start('alice');
  bob = start('bob');
  await introduce();
});
afterEach(async () => {
  await alice[Symbol.asyncDispose]();
  await bob[Symbol.asyncDispose]();
  await rm(home, { recursive: true });
});

test('a receiver that is killed goes on with what it has [F-24]', async () => {
  const { sent, got } = await halfway();
  const verified = (await bob.ask<Shown>('show', got)).progress;
  await bob.kill();
  const before = (await alice.ask<number[]>('asked')).length;
  bob = start('bob');
  await introduce();
  await arrives(sent, got);
  // The first range after the restart begins behind all that was verified before.
  expect((await alice.ask<number[]>('asked'))[before]).toBeGreaterThanOrEqual(verified - (verified % MiB));
});

test('a sender that is killed is found again, and goes on serving', async () => {
  const { sent, got } = await halfway();
  await alice.kill();
  alice = start('alice');
  await introduce();
  await arrives(sent, got);
});
