/** Row "records": a tracker with a million accounts: what each takes in memory and on disk, and how long it takes to start. */
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Child } from './child.ts';
import { Columns } from './columns.ts';
import type { Target } from './raw-link.ts';
import type { Measured, Row } from './run.ts';

const LINKS = 16;
const SECONDS = 4;
const program = (name: string): string => join(import.meta.dirname, name);

async function once(home: string, accounts: number, columns: Columns): Promise<void> {
  await using tracker = new Child(program('directory-tracker.ts'));
  const [rss, cpu] = [await tracker.ask<number>('rss'), await tracker.cpuSeconds()];
  const target = await tracker.ask<Target & { ms: number }>('start', home);
  columns.note('start, s', target.ms / 1000);
  columns.note('start, CPU s', (await tracker.cpuSeconds()) - cpu);
  columns.note('bytes of memory each', ((await tracker.ask<number>('rss')) - rss) / accounts);
  columns.note('bytes of disk each', (await stat(join(home, 'tracker.db'))).size / accounts);
  await using load = new Child(program('directory-load.ts'));
  await load.ask('dial', target, LINKS);
  const asking = { each: 64, window: 2, accounts };
  await load.ask('lookups', asking, SECONDS / 2); // warms it up
  const before = await tracker.cpuSeconds();
  const { lookups, seconds } = await load.ask<{ lookups: number; seconds: number }>('lookups', asking, SECONDS);
  columns.note('lookups/s', lookups / seconds);
  columns.note('lookups/s of processor time', lookups / ((await tracker.cpuSeconds()) - before));
}

async function run({ runs, size }: { runs: number; size: number | undefined }): Promise<Measured> {
  const columns = new Columns();
  const accounts = (size ?? 1000) * 1000;
  const home = await mkdtemp(join(tmpdir(), 'netapp-bench-'));
  try {
    {
      await using tracker = new Child(program('directory-tracker.ts'));
      await tracker.ask('fill', home, accounts);
    }
    for (let n = 0; n < runs; n++) await once(home, accounts, columns);
  } finally {
    await rm(home, { recursive: true, force: true });
  }
  return { what: `${accounts} accounts, ${runs} starts, medians`, columns: columns.all, ratios: {} };
}

export const recordsRow: Row = { name: 'records', run };
