/** Shows how far a transfer or a job is. */
import { job } from '../api/job.ts';
import { type FileInfo, file } from '../api/shapes.ts';
import { cleanLine } from './clean.ts';
import { jobLine } from './job-progress.ts';
import type { Term } from './term.ts';
import { showBytes, showDuration } from './units.ts';

const BAR = 20;

export function progressLine(f: FileInfo): string {
  const name = cleanLine(f.name);
  if (f.paused) return `${name}  paused at ${showBytes(f.progress)} of ${showBytes(f.size)}`;
  if (f.state === 'accepted') return `${name}  waits for ${cleanLine(f.direction === 'in' ? f.from : f.to)}`;
  if (f.state !== 'fetching' && f.state !== 'serving') return `${name}  ${f.state}`;
  const part = f.size === 0 ? 1 : Math.min(1, f.progress / f.size);
  const full = Math.round(part * BAR);
  const bar = `[${'#'.repeat(full)}${'.'.repeat(BAR - full)}]`;
  const amount = `${Math.floor(part * 100)}%  ${showBytes(f.progress)} of ${showBytes(f.size)}`;
  const rate = f.rate > 0 ? `  ${showBytes(f.rate)}/s  ETA ${showDuration((f.size - f.progress) / f.rate)}` : '';
  const files = f.folder ? `  ${f.folder.filesDone} of ${f.folder.files} files` : '';
  return `${name}  ${bar} ${amount}${files}${rate}${overLinks(f)}`;
}

/** Over which links it moves: `from bob (lan)`, `to 3 (lan 2, direct 1)`. */
function overLinks({ links, direction }: FileInfo): string {
  const [first] = links;
  if (!first) return '';
  const way = direction === 'in' ? 'from' : 'to';
  if (links.length === 1) return `  ${way} ${cleanLine(first.handle ?? 'a link')} (${first.rung})`;
  const rungs = Object.entries(Object.groupBy(links, ({ rung }) => rung)).map(([rung, all]) => `${rung} ${all.length}`);
  return `  ${way} ${links.length} (${rungs.join(', ')})`;
}

/** What a snapshot of a file or of a job is in one line; a job that moves a file shows the file. */
function snapshotLine(snapshot: unknown): string {
  const moved = file.safeParse(snapshot);
  if (moved.success) return progressLine(moved.data);
  const known = job.parse(snapshot);
  const within = file.safeParse(known.answer);
  return within.success && known.state === 'running' ? progressLine(within.data) : jobLine(known);
}

/** Shows snapshots on a terminal as they come; answers with the last one. `each` sees every one. */
export async function watch(
  snapshots: AsyncIterable<unknown>,
  notes: Term,
  each: (snapshot: unknown) => Promise<void>,
): Promise<unknown> {
  let last: unknown;
  try {
    for await (const snapshot of snapshots) {
      last = snapshot;
      notes.transient(snapshotLine(snapshot));
      await each(snapshot);
    }
  } finally {
    notes.clear();
  }
  return last;
}
