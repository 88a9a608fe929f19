/** The flags that every command has whose operation can be a job: now or later, watched or left alone. */
import { z } from 'zod';
import { invalidArgument } from '../api/failure.ts';
import { type JobOptions, jobOptions } from '../api/job.ts';
import type { JobShape } from '../api/operation.ts';
import { Fault } from '../base/fault.ts';
import { parseBytes } from './units.ts';

export type JobLine = {
  options: JobOptions;
  /** Something was said that only a job can do. */
  isAsked: boolean;
  /** Nobody waits for its end. */
  detach: boolean;
  /** It may be left in the spool. */
  spool: boolean;
};

export const NO_JOB: JobLine = { options: {}, isAsked: false, detach: false, spool: false };

/** `a, b,c`: three values; nothing between two commas is none. */
export const listOf = (text: string): string[] =>
  text
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '');

/** `space:10GB` in bytes. */
export const needsOf = (text: string): string[] =>
  listOf(text).map((need) => need.replace(/^space:(.+)$/, (_, size: string) => `space:${parseBytes(size) ?? 0}`));

const DAY_MS = 86_400_000;

/** A time of this machine's clock as ISO 8601 in UTC: `18:30` is the next one, `2026-03-01 18:30`, or ISO itself. */
export function timeOf(written: string, now = new Date()): string {
  const [, hours, minutes] = /^(\d{1,2}):(\d{2})$/.exec(written.trim()) ?? [];
  const time = hours === undefined ? new Date(written.trim()) : new Date(now);
  if (hours !== undefined) {
    if (Number(hours) > 23 || Number(minutes) > 59) time.setTime(Number.NaN);
    else time.setHours(Number(hours), Number(minutes), 0, 0);
    if (time <= now) time.setTime(time.getTime() + DAY_MS);
  }
  if (!/\d{1,2}:\d{2}/.test(written) || Number.isNaN(time.getTime())) {
    throw new Fault(
      'invalid_argument',
      `reading the time "${written}": expected one such as 18:30, "2026-03-01 18:30" or 2026-03-01T18:30:00Z`,
    );
  }
  return time.toISOString();
}

const FIELDS = ['at', 'in', 'every', 'when', 'key', 'priority', 'within'] as const;

export function jobFlags({ spool }: JobShape): Record<string, z.ZodType> {
  const about = (field: (typeof FIELDS)[number]): string => jobOptions.shape[field].description ?? '';
  return {
    detach: z.boolean().optional().describe('answer at once with a job; the work goes on'),
    ...Object.fromEntries(FIELDS.map((field) => [field, z.string().optional().describe(about(field))])),
    ...(spool && {
      spool: z.boolean().optional().meta({
        negatable: true,
        description: 'leave it for the agent where none runs; default: it does',
      }),
    }),
  };
}

/** Takes what is said of the job from what is said of the operation. Throws `invalid_argument`. */
export function jobOf(written: Record<string, unknown>): { job: JobLine; rest: Record<string, unknown> } {
  const { detach, spool, at, in: span, every, when, key, priority, within, ...rest } = written;
  const said = {
    ...(at !== undefined && { at: timeOf(String(at)) }),
    ...(span !== undefined && { in: span }),
    ...(every !== undefined && { every }),
    ...(when !== undefined && { when: needsOf(String(when)) }),
    ...(key !== undefined && { key }),
    ...(priority !== undefined && { priority }),
    ...(within !== undefined && { within }),
  };
  const checked = jobOptions.safeParse(said);
  if (!checked.success) throw invalidArgument(checked.error.issues, (field) => `--${field.split('.')[0]}`);
  const isLater = 'at' in said || 'in' in said || 'every' in said;
  const isAsked = detach === true || Object.keys(said).length > 0;
  const options: JobOptions = Object.fromEntries(Object.entries(checked.data).filter(([name]) => name in said));
  return { job: { options, isAsked, detach: detach === true || isLater, spool: spool !== false }, rest };
}
