/**
 * Measures rows of the table in the design, each beside its reference in the same run: ratios count, times do not.
 *
 *   node bench/run.ts [row...] [--runs 5] [--size N] [--files N] [--members N] [--messages N] [--window N] [--minutes N]
 *
 * `--size` is MiB for a file (2048; 256 where many move at once), thousands of entries for a catch-up (100), of reads
 * for requests (20), of accounts for lookups (20) and records (1000), of links for idle (15), of entries for scroll (100), hundreds of lookups for zones (2), idle
 * clients for im (10000); `--files` small files (100000), or idle pairs for relay (1000). `--members` (100) and `--messages` (200) are of a room; for im `--members` (1000)
 * is of the larger room, and `--window` (64) the messages that are under way at once. `--minutes` (0.5) are of messages that arrive at the page.
 *
 * Prints a table and appends a line for each row to bench/history/<row>.jsonl.
 */
import { execFileSync } from 'node:child_process';
import { appendFile, mkdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { busyRow } from './busy.ts';
import { catchupRow } from './catchup.ts';
import { fileRow } from './file.ts';
import { hostingRow } from './hosting.ts';
import { idleRow } from './idle.ts';
import { imRow } from './im.ts';
import { lookupsRow } from './lookups.ts';
import { messageRow } from './message.ts';
import { othersRow } from './others.ts';
import { pageRow } from './page.ts';
import { recordsRow } from './records.ts';
import { relayRow } from './relay.ts';
import { requestsRow } from './requests.ts';
import { resumeRow } from './resume.ts';
import { roomRow } from './room.ts';
import { scrollRow } from './scroll.ts';
import { smallRow } from './small.ts';
import { startRow } from './start.ts';
import { swarmRow } from './swarm.ts';
import { zonesRow } from './zones.ts';

/** One measured thing: figures of all runs, under the names that the table shows. */
export type Measured = {
  /** What was run, e.g. `2048 MiB, 5 runs`. */
  what: string;
  columns: Record<string, number[]>;
  /** Columns to compare: name of the ratio -> [ours, reference]; the ratio is ours/reference of the medians. */
  ratios: Record<string, [string, string]>;
};

/** Each undefined unless it was said. */
type Sizes = Record<'size' | 'files' | 'members' | 'messages' | 'window' | 'minutes', number | undefined>;

export type Row = { name: string; run(options: { runs: number } & Sizes): Promise<Measured> };

const rows: Row[] = [
  busyRow,
  catchupRow,
  fileRow,
  hostingRow,
  idleRow,
  imRow,
  lookupsRow,
  messageRow,
  othersRow,
  pageRow,
  recordsRow,
  relayRow,
  requestsRow,
  resumeRow,
  roomRow,
  scrollRow,
  smallRow,
  startRow,
  swarmRow,
  zonesRow,
];

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low = 0, high = 0] =
    sorted.length % 2 ? [sorted[middle], sorted[middle]] : sorted.slice(middle - 1, middle + 1);
  return (low + high) / 2;
}

const round = (value: number): number => Number(value.toPrecision(3));

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      runs: { type: 'string', default: '5' },
      size: { type: 'string' },
      files: { type: 'string' },
      members: { type: 'string' },
      messages: { type: 'string' },
      window: { type: 'string' },
      minutes: { type: 'string' },
    },
  });
  const unknown = positionals.find((name) => !rows.some((row) => row.name === name));
  if (unknown !== undefined) {
    process.stderr.write(`no row "${unknown}": there are ${rows.map(({ name }) => name).join(', ')}\n`);
    process.exitCode = 2;
    return;
  }
  for (const row of rows.filter(({ name }) => positionals.length === 0 || positionals.includes(name))) {
    const number = (text: string | undefined): number | undefined => (text === undefined ? undefined : Number(text));
    const { size, files, members, messages, window, minutes } = values;
    const sizes = {
      size: number(size),
      files: number(files),
      members: number(members),
      messages: number(messages),
      window: number(window),
      minutes: number(minutes),
    };
    const measured = await row.run({ runs: Number(values.runs), ...sizes });
    const medians = Object.fromEntries(Object.entries(measured.columns).map(([key, all]) => [key, round(median(all))]));
    const ratios = Object.fromEntries(
      Object.entries(measured.ratios).map(([key, [ours, reference]]) => [
        key,
        round(median(measured.columns[ours] ?? []) / median(measured.columns[reference] ?? [])),
      ]),
    );
    process.stdout.write(`\n${row.name}: ${measured.what}\n`);
    for (const [key, all] of Object.entries(measured.columns)) {
      process.stdout.write(`  ${key.padEnd(44)} ${String(medians[key]).padStart(8)}   ${all.map(round).join(' ')}\n`);
    }
    for (const [key, ratio] of Object.entries(ratios)) {
      process.stdout.write(`  ${key.padEnd(44)} ${String(ratio).padStart(8)}   (ratio)\n`);
    }
    const folder = join(import.meta.dirname, 'history');
    await mkdir(folder, { recursive: true });
    const line = {
      date: new Date().toISOString(),
      commit: execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: import.meta.dirname })
        .toString()
        .trim(),
      cpus: availableParallelism(),
      what: measured.what,
      medians,
      ratios,
    };
    await appendFile(join(folder, `${row.name}.jsonl`), `${JSON.stringify(line)}\n`);
  }
}

await main();
