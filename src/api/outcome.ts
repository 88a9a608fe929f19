/** How transfers and jobs ended, as a fault. */
import { Fault, isFaultCode } from '../base/fault.ts';
import type { Job } from './job.ts';
import type { FileInfo } from './shapes.ts';

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

/** The fault of a job that ended without its answer; undefined for `done`. */
export function outcomeOfJob({ id, state, error }: Job): Fault | undefined {
  if (state === 'done') return undefined;
  if (error && isFaultCode(error.code)) {
    return new Fault(error.code, error.message, error.data && { data: error.data });
  }
  return new Fault('link_closed', `waiting for the job "${id}": the agent's answer ended while it was ${state}`);
}
