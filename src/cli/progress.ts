/** Shows how far a transfer is, and says how it ended. */
import { type FileInfo, file } from '../api/shapes.ts';
import { Fault, isFaultCode } from '../base/fault.ts';
import { cleanLine } from './clean.ts';
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
  return `${name}  ${bar} ${amount}${rate}${overLinks(f)}`;
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

/** The fault of a transfer that ended without its file; undefined for `done`. */
export function outcome(f: FileInfo): Fault | undefined {
  const what = `moving "${f.name}"`;
  if (f.state === 'done') return undefined;
  if (f.state === 'failed') {
    const code = f.error?.code;
    return new Fault(isFaultCode(code) ? code : 'internal', f.error?.message ?? `${what}: it failed`);
  }
  if (f.state === 'cancelled') return new Fault('cancelled', `${what}: it was cancelled`);
  if (f.state === 'declined' && isFaultCode(f.error?.code)) return new Fault(f.error.code, f.error.message);
  if (f.state === 'declined') return new Fault('cancelled', `${what}: it was declined`);
  return new Fault('link_closed', `${what}: the agent's answer ended in state "${f.state}"`);
}

/** Shows snapshots on a terminal as they come; answers with the last one. `each` sees every one. */
export async function watch(
  snapshots: AsyncIterable<unknown>,
  notes: Term,
  each: (snapshot: FileInfo) => Promise<boolean>,
): Promise<FileInfo | undefined> {
  let last: FileInfo | undefined;
  try {
    for await (const snapshot of snapshots) {
      last = file.parse(snapshot);
      notes.transient(progressLine(last));
      if (!(await each(last))) break;
    }
  } finally {
    notes.clear();
  }
  return last;
}
