/**
 * Row "relay": bytes that a tracker passes on between two nodes, beside the least that Node can do it with (two TLS connections piped into one
 * another), and the memory of idle pairs.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Child } from './child.ts';
import { Columns } from './columns.ts';
import type { Target } from './raw-link.ts';
import type { Measured, Row } from './run.ts';

const MiB = 1024 * 1024;
/** Pairs that come first and are not counted: what the first few need is there for all. */
const FIRST = 20;
/** Nodes on either side of the idle pairs: one alone may not ask for so many so quickly. */
const NODES = 5;
/** Milliseconds after which the handshakes' memory is given back. */
const REST_MS = 3000;

const program = (name: string): string => join(import.meta.dirname, name);

type Someone = { account: string; node: string };

async function move(middle: Child, ends: readonly [Child, Child], bytes: number): Promise<[number, number]> {
  const [one, two] = ends;
  const cpu = await middle.cpuSeconds();
  const receiving = two.ask<number>('receive', bytes);
  await one.ask('send', bytes);
  const seconds = await receiving;
  const used = (await middle.cpuSeconds()) - cpu;
  for (const end of ends) await end.ask('end');
  return [bytes / MiB / seconds, bytes / MiB / used];
}

async function once(home: string, bytes: number, pairs: number, columns: Columns): Promise<void> {
  await using undo = new AsyncDisposableStack();
  const child = (name: string): Child => undo.use(new Child(program(name)));
  const [tracker, plain] = [child('relay-tracker.ts'), child('relay-tracker.ts')];
  const [one, two] = [child('relay-end.ts'), child('relay-end.ts')];
  const [target, other] = [await tracker.ask<Target>('tracker', join(home, 'a')), await plain.ask<Target>('plain')];
  await one.ask('start', target, 'one', 1);
  const to = await two.ask<Someone[]>('start', target, 'two', 1);

  for (const end of [one, two]) await end.ask('plain', other);
  const [reference, referenceCpu] = await move(plain, [one, two], bytes);
  await one.ask('call', to, 1);
  const [relayed, relayedCpu] = await move(tracker, [one, two], bytes);
  columns.note('relayed, MiB/s', relayed);
  columns.note('plain splice, MiB/s', reference);
  columns.note('relayed, MiB a second of the middle’s CPU', relayedCpu);
  columns.note('plain splice, MiB a second of the middle’s CPU', referenceCpu);

  // One that has passed nothing on yet: what it was given for that would do for many idle pairs.
  const idle = child('relay-tracker.ts');
  const third = await idle.ask<Target>('tracker', join(home, 'b'));
  const [caller, callee] = [child('relay-end.ts'), child('relay-end.ts')];
  await caller.ask('start', third, 'one', NODES);
  const there = await callee.ask<Someone[]>('start', third, 'two', NODES);
  await caller.ask('call', there, FIRST);
  await sleep(REST_MS);
  const before = await idle.ask<number>('rss');
  await caller.ask('call', there, pairs);
  await sleep(REST_MS);
  const after = await idle.ask<number>('rss');
  columns.note('memory of an idle pair, KiB', (after - before) / 1024 / pairs);
  columns.note('memory of 1,000 idle pairs, MiB', ((after - before) / MiB / pairs) * 1000);
}

async function run({
  runs,
  size,
  files,
}: {
  runs: number;
  size: number | undefined;
  files: number | undefined;
}): Promise<Measured> {
  const columns = new Columns();
  const [mebibytes, pairs] = [size ?? 1024, files ?? 1000];
  for (let n = 0; n < runs; n++) {
    const home = await mkdtemp(join(tmpdir(), 'netapp-bench-'));
    try {
      await once(home, mebibytes * MiB, pairs, columns);
    } finally {
      await rm(home, { recursive: true, force: true });
    }
  }
  return {
    what: `${mebibytes} MiB by a tracker, and ${pairs} idle pairs, ${runs} runs, medians`,
    columns: columns.all,
    ratios: {
      'relayed / plain splice': ['relayed, MiB/s', 'plain splice, MiB/s'],
      'relayed / plain splice, by CPU': [
        'relayed, MiB a second of the middle’s CPU',
        'plain splice, MiB a second of the middle’s CPU',
      ],
    },
  };
}

export const relayRow: Row = { name: 'relay', run };
