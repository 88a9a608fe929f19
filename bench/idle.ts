/**
 * Row "idle": nodes that have announced themselves and say nothing: memory of each at the tracker, once it has come to rest; then the
 * tracker is gone for a moment and all come back as nodes do, each with its own backoff. Needs `ulimit -n` above the number of links.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Child } from './child.ts';
import { Columns } from './columns.ts';
import { percentile } from './message.ts';
import type { Target } from './raw-link.ts';
import type { Measured, Row } from './run.ts';

/** Programs that the nodes are in, each with a share of the open files. */
const PROGRAMS = 4;
/** Nodes that come first and are not counted: what the first few need is there for all. */
const FIRST = 200;
/** Milliseconds after which the tracker has given back what it needed for the handshakes. */
const REST_MS = 30_000;
type Back = { seconds: number[]; early: number; refused: number; givenUp: number };

const program = (name: string): string => join(import.meta.dirname, name);

async function once(home: string, links: number, columns: Columns): Promise<void> {
  await using tracker = new Child(program('directory-tracker.ts'));
  await using undo = new AsyncDisposableStack();
  const crowd = (): Child => undo.use(new Child(program('directory-idle.ts')));
  const target = await tracker.ask<Target>('start', home);
  const first = crowd();
  await first.ask('make', FIRST);
  await first.ask('join', target, 'first');
  const crowds = Array.from({ length: PROGRAMS }, crowd);
  const each = Math.ceil(links / PROGRAMS);
  await Promise.all(crowds.map((some) => some.ask('make', each)));
  await sleep(REST_MS);
  const [rss, cpu] = [await tracker.ask<number>('rss'), await tracker.cpuSeconds()];
  const again = await Promise.all(crowds.map((some, n) => some.ask<number>('join', target, `n${n}`)));
  columns.note(
    'refused when they came first',
    again.reduce((all, some) => all + some, 0),
  );
  columns.note('a join at the tracker, CPU ms', (((await tracker.cpuSeconds()) - cpu) / (each * PROGRAMS)) * 1000);
  await sleep(REST_MS);
  columns.note('memory of a link, KiB', ((await tracker.ask<number>('rss')) - rss) / 1024 / (each * PROGRAMS));
  const before = await tracker.cpuSeconds();
  await sleep(REST_MS);
  columns.note('all of them renewing, CPU share', ((await tracker.cpuSeconds()) - before) / (REST_MS / 1000));

  const coming = crowds.map((some, n) => some.ask<Back>('comeBack', target, `n${n}`));
  const cpuBefore = await tracker.cpuSeconds();
  await tracker.ask('restart', home);
  const back = await Promise.all(coming);
  const seconds = back.flatMap((some) => some.seconds).sort((a, b) => a - b);
  columns.note('all back after, s', percentile(seconds, 1));
  columns.note('half of them back after, s', percentile(seconds, 0.5));
  const sum = (what: 'early' | 'refused' | 'givenUp'): number => back.reduce((all, some) => all + some[what], 0);
  columns.note('a return at the tracker, CPU ms', (((await tracker.cpuSeconds()) - cpuBefore) / seconds.length) * 1000);
  columns.note('came before it listened', sum('early'));
  columns.note('refused meanwhile', sum('refused'));
  columns.note('handshakes given up meanwhile', sum('givenUp'));
}

async function run({ runs, size }: { runs: number; size: number | undefined }): Promise<Measured> {
  const columns = new Columns();
  const links = (size ?? 15) * 1000;
  for (let n = 0; n < runs; n++) {
    const home = await mkdtemp(join(tmpdir(), 'netapp-bench-'));
    try {
      await once(home, links, columns);
    } finally {
      await rm(home, { recursive: true, force: true });
    }
  }
  return { what: `${links} links, each announced, ${runs} runs, medians`, columns: columns.all, ratios: {} };
}

export const idleRow: Row = { name: 'idle', run };
