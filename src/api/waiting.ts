/** Waiting for a job's end, by those who ask and by those who follow. */
import { deadline } from '../base/async.ts';
import { Fault } from '../base/fault.ts';
import type { JobDesk } from './backend.ts';
import { isOver, type Job } from './job.ts';

type Wait = { signal?: AbortSignal | undefined };

/** The job once it is over, or as it is after `ms` milliseconds. Throws `unknown_id`. */
export async function ended(jobs: JobDesk, id: string, { ms, signal }: Wait & { ms: number }): Promise<Job> {
  let last = jobs.show(id);
  if (ms <= 0 || isOver(last.state)) return last;
  using limit = deadline(ms, 'waiting for a job', signal);
  for await (const next of jobs.follow(last.id, { signal: limit })) last = next;
  signal?.throwIfAborted();
  return jobs.show(last.id);
}

/** Each change until the job is over. Throws `unknown_id`, or `timeout` after `seconds`; the job goes on then. */
export async function* followed(
  jobs: JobDesk,
  id: string,
  { seconds, signal }: Wait & { seconds?: number | undefined },
): AsyncGenerator<Job, void, void> {
  let last = jobs.show(id);
  const what = `waiting for the job "${last.id}"`;
  using limit = seconds === undefined ? undefined : deadline(seconds * 1000, what, signal);
  for await (const next of jobs.follow(last.id, { signal: limit ?? signal })) {
    last = next;
    yield next;
  }
  if (isOver(last.state) || signal?.aborted) return;
  throw new Fault('timeout', `${what}: it is ${last.state} after ${seconds} s; it goes on`, {
    data: { job: last.id, state: last.state },
  });
}
