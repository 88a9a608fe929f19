/** Shows the whole path in separate processes and temporary homes. */
import type { Writable } from 'node:stream';
import { Fault } from '../base/fault.ts';

export type DemoShell = { json: boolean; cwd: string; stdout: Writable; stderr: Writable; signal: AbortSignal };

/** Answers with the exit code: 0 only if all was checked. `file` is relative to `cwd`. */
export async function demo(_options: { file?: string | undefined }, _shell: DemoShell): Promise<number> {
  throw new Fault('internal', 'running the demo: this version has none yet');
}
