/** Runs a tracker until it is told to end. */
import type { Writable } from 'node:stream';
import { Fault } from '../base/fault.ts';

export type TrackerOptions = { host?: string | undefined; port?: number | undefined; zone?: string | undefined };
export type TrackerShell = { home: string; json: boolean; stdout: Writable; stderr: Writable; signal: AbortSignal };

/** Answers with the exit code once it has ended cleanly; throws a `Fault` where it cannot run. */
export async function runTracker(_options: TrackerOptions, _shell: TrackerShell): Promise<number> {
  throw new Fault('internal', 'running a tracker: this version has none yet');
}
