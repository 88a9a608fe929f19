/** Row "catchup": a member of a room that was away for many entries gets them from their author, over TLS on loopback. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { entryVerified, signEntry } from '../src/chat/entry.ts';
import { Key } from '../src/link/identity.ts';
import { Child } from './child.ts';
import { Columns } from './columns.ts';
import type { Measured, Row } from './run.ts';

/** Entries, in thousands, unless `--size` says otherwise. */
const THOUSANDS = 100;
/** Signatures that are checked for the reference. */
const SIGNATURES = 5000;
const MB = 1e6;

const peer = (folder: string): Child => new Child(join(import.meta.dirname, 'room-peer.ts'), [folder]);

/** Entries whose signature one core can check in a second, as the service checks one. */
function verifications(): number {
  const key = Key.generate();
  const entries = Array.from({ length: 500 }, (_, n) =>
    signEntry(key, {
      conversation: key.id,
      author: key.id,
      seq: n + 1,
      prev: null,
      at: n,
      kind: 'text',
      body: { text: `message ${n}: the build is green again, who takes the next one?` },
    }),
  );
  for (const entry of entries) entryVerified(entry);
  const at = performance.now();
  for (let n = 0; n < SIGNATURES; n++) {
    const entry = entries[n % entries.length];
    if (!entry || !entryVerified(entry)) throw new Error('a good signature did not verify');
  }
  return SIGNATURES / ((performance.now() - at) / 1000);
}

async function ours(folder: string, count: number) {
  await using tracker = peer(folder);
  await using alice = peer(folder);
  await using bob = peer(folder);
  const invite = await tracker.ask<string>('tracker');
  await alice.ask('up', 'alice', invite);
  const account = await bob.ask<string>('up', 'bob', invite);
  const room = await alice.ask<string>('create', 'alice', 'team', [account]);
  await bob.ask('join', 'bob', room);
  await alice.ask('members', 'alice', room, 2);
  for (const [child, name] of [[bob, 'bob'] as const, [alice, 'alice'] as const]) await child.ask('down', name);
  await alice.ask('fill', 'alice', room, count);

  await bob.ask('up', 'bob', invite);
  const [storeBefore, rssBefore] = [await bob.ask<number>('storeBytes', 'bob'), await bob.ask<number>('rss')];
  for (const child of [alice, bob]) await child.ask('watch');
  const cpuBefore = [await alice.cpuSeconds(), await bob.cpuSeconds(), await bob.mainCpuSeconds()];
  const caughtUp = bob.ask<{ from: number; to: number }>('caughtUp', 'bob', room, count);
  await alice.ask('up', 'alice', invite);
  const { from, to } = await caughtUp;
  const cpuAfter = [await alice.cpuSeconds(), await bob.cpuSeconds(), await bob.mainCpuSeconds()];
  const blocked = [await alice.ask<number>('blocked'), await bob.ask<number>('blocked')];
  const rss = (await bob.ask<number>('rss')) - rssBefore;
  await bob.ask('down', 'bob'); // the log is in the main file then
  const store = (await bob.ask<number>('storeBytes', 'bob')) - storeBefore;
  return { rate: count / ((to - from) / 1000), cpuBefore, cpuAfter, blocked, rss, store };
}

async function run({ runs, size = THOUSANDS }: { runs: number; size: number | undefined }): Promise<Measured> {
  const count = size * 1000;
  const columns = new Columns();
  for (let n = 0; n < runs; n++) {
    const folder = await mkdtemp(join(tmpdir(), 'netapp-bench-'));
    try {
      columns.note('Ed25519 verifications of entries/s, one core', verifications());
      const { rate, cpuBefore, cpuAfter, blocked, rss, store } = await ours(folder, count);
      columns.note('catch-up, entries/s', rate);
      for (const [index, name] of ['giver', 'taker'].entries()) {
        const cpu = (cpuAfter[index] ?? 0) - (cpuBefore[index] ?? 0);
        columns.note(`${name}, CPU s per 100,000`, (cpu / count) * 100_000);
        columns.note(`${name}, longest block, ms`, blocked[index] ?? 0);
      }
      const main = (cpuAfter[2] ?? 0) - (cpuBefore[2] ?? 0);
      columns.note('taker, CPU s of the main thread per 100,000', (main / count) * 100_000);
      columns.note('taker, store MB per 100,000', (store / MB / count) * 100_000);
      columns.note('taker, RSS growth, MB', rss / MB);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  return {
    what: `${count} entries of one author, ${runs} runs, medians`,
    columns: columns.all,
    ratios: {
      'catch-up / verifications': ['catch-up, entries/s', 'Ed25519 verifications of entries/s, one core'],
    },
  };
}

export const catchupRow: Row = { name: 'catchup', run };
