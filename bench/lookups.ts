/**
 * Row "lookups": `directory.find` and `directory.renew` over many links at once against a tracker in a process of its own, beside
 * opentracker's UDP announces in the same run. On a busy machine the figures per second of processor time say more.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Child } from './child.ts';
import { Columns } from './columns.ts';
import { isHere } from './contenders.ts';
import { announceToOpentracker } from './opentracker.ts';
import type { Target } from './raw-link.ts';
import type { Measured, Row } from './run.ts';

const LINKS = 16;
const SECONDS = 4;
/** Lookups in one frame, frames under way on one link; and the same for who says one thing in a frame. */
const TOGETHER = { each: 64, window: 2 };
const ALONE = { each: 1, window: 32 };
/** Announces under way at opentracker. */
const WINDOW = 256;
const program = (name: string): string => join(import.meta.dirname, name);

type Asked = { lookups: number; seconds: number; p50: number; p99: number };

async function once(folder: string, accounts: number, columns: Columns): Promise<void> {
  await using tracker = new Child(program('directory-tracker.ts'));
  await using load = new Child(program('directory-load.ts'));
  const home = join(folder, 'tracker');
  await mkdir(home);
  await tracker.ask('fill', home, accounts);
  const target = await tracker.ask<Target>('start', home);
  await load.ask('dial', target, LINKS);
  for (const [name, how] of [
    ['lookups', TOGETHER],
    ['lookups, one in a frame', ALONE],
  ] as const) {
    const asking = { ...how, accounts };
    await load.ask('lookups', asking, SECONDS / 2); // warms it up
    const before = await tracker.cpuSeconds();
    const { lookups, seconds, p50, p99 } = await load.ask<Asked>('lookups', asking, SECONDS);
    const cpu = (await tracker.cpuSeconds()) - before;
    columns.note(`${name}/s`, lookups / seconds);
    columns.note(`${name}/s of processor time`, lookups / cpu);
    columns.note(`${name}, p50, ms`, p50);
    columns.note(`${name}, p99, ms`, p99);
  }
  const before = await tracker.cpuSeconds();
  const { done, seconds } = await load.ask<{ done: number; seconds: number }>('announces', target, LINKS, SECONDS);
  columns.note('announces/s', done / seconds);
  columns.note('announces/s of processor time', done / ((await tracker.cpuSeconds()) - before));
}

async function run({ runs, size }: { runs: number; size: number | undefined }): Promise<Measured> {
  const columns = new Columns();
  const accounts = (size ?? 20) * 1000;
  const beside = isHere('opentracker') && isHere('gcc');
  for (let n = 0; n < runs; n++) {
    const folder = await mkdtemp(join(tmpdir(), 'netapp-bench-'));
    try {
      await once(folder, accounts, columns);
      if (!beside) continue;
      const { done, seconds, p50, p99, cpuSeconds } = await announceToOpentracker(folder, WINDOW, SECONDS);
      columns.note('opentracker UDP announces/s', done / seconds);
      columns.note('opentracker, /s of processor time', done / cpuSeconds);
      columns.note('opentracker, p50, ms', p50 / 1000);
      columns.note('opentracker, p99, ms', p99 / 1000);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  return {
    what: `${accounts} accounts, ${LINKS} links with ${TOGETHER.window} frames of ${TOGETHER.each} lookups under way on each, ${WINDOW} UDP announces under way, ${runs} runs, medians`,
    columns: columns.all,
    ratios: beside
      ? {
          'lookups, netapp / opentracker announces': ['lookups/s', 'opentracker UDP announces/s'],
          'the same of processor time': ['lookups/s of processor time', 'opentracker, /s of processor time'],
        }
      : {},
  };
}

export const lookupsRow: Row = { name: 'lookups', run };
