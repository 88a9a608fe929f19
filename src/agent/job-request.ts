/** What somebody asks for as a job, checked, and made into a row. */
import { createHash, randomBytes } from 'node:crypto';
import { invalidArgument } from '../api/failure.ts';
import { type JobRequest, jobOptions, spanMs } from '../api/job.ts';
import { checkCron, nextRun } from '../api/schedule.ts';
import { canonical, toBase32 } from '../base/encoding.ts';
import { Fault } from '../base/fault.ts';
import { KEY_KEPT_MS, type NewRow } from './job-store.ts';
import { jobOperations } from './job-view.ts';

export type Asked = {
  row: NewRow;
  /** What the key stands for. */
  digest: string;
  keyUntil: number;
};

/** 80 random bits in base32: 16 characters, as files have. */
const newJobId = (): string => toBase32(randomBytes(10));

/** Throws `unknown_operation`, `invalid_argument`. */
export function draftOf(
  { operation: name, input, ...asked }: JobRequest,
  { id, source, now }: { id: string | undefined; source: NewRow['source']; now: number },
): Asked {
  const operation = jobOperations.get(name);
  if (!operation) {
    throw new Fault(
      'unknown_operation',
      `asking for the job "${name}": expected one of ${[...jobOperations.keys()].join(', ')}`,
    );
  }
  const options = jobOptions.safeParse(asked);
  if (!options.success) throw invalidArgument(options.error.issues);
  const checked = operation.input?.safeParse(input ?? {});
  if (checked && !checked.success) throw invalidArgument(checked.error.issues);
  const { key, every, when, priority, within, retry } = options.data;
  const due = dueOf(options.data, now);
  const text = JSON.stringify(checked?.data ?? {});
  const withinMs = within === undefined ? null : (spanMs(within) ?? null);
  const deadline = withinMs === null || every !== undefined ? null : (due ?? now) + withinMs;
  const row: NewRow = {
    id: id ?? newJobId(),
    operation: name,
    input: text,
    state: due === null ? 'queued' : 'scheduled',
    priority,
    at: now,
    started: null,
    ended: null,
    due,
    deadline,
    within: withinMs,
    every: every ?? null,
    schedule: null,
    missed: 0,
    attempts: 0,
    begun: 0,
    round: 0,
    retry: retry ? 1 : 0,
    needs: JSON.stringify(when),
    waiting: null,
    answer: null,
    error: null,
    key: key ?? null,
    source,
  };
  // How patient it is, is not what it asks for.
  const { key: _, retry: __, ...rest } = options.data;
  const stands = canonical(JSON.parse(JSON.stringify({ operation: name, input: checked?.data ?? {}, ...rest })));
  return { row, digest: createHash('sha256').update(stands).digest('hex'), keyUntil: now + KEY_KEPT_MS };
}

/** When it runs first; null: now. */
function dueOf(
  options: { at?: string | undefined; in?: string | undefined; every?: string | undefined },
  now: number,
): number | null {
  const { at, in: span, every } = options;
  if ([at, span, every].filter((each) => each !== undefined).length > 1) {
    throw new Fault(
      'invalid_argument',
      'asking for a job: "at", "in" and "every" exclude each other; name one of them',
    );
  }
  if (every !== undefined) {
    checkCron(every);
    return nextRun(every, now) ?? null;
  }
  if (span !== undefined) return now + (spanMs(span) ?? 0);
  return at === undefined ? null : Date.parse(at);
}
