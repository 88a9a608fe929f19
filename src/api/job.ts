/** A job: one operation that somebody asked for, kept until it is done, failed or cancelled; and what may be asked beside. */
import { z } from 'zod';

const time = z.iso.datetime();

/**
 * scheduled: its time has not come. queued: waits for a worker. running. waiting: for what `waitingFor` says.
 * done, failed, cancelled: over for good, unless it is retried.
 */
export const jobState = z.enum(
  ['scheduled', 'queued', 'running', 'waiting', 'done', 'failed', 'cancelled'],
  'expected scheduled, queued, running, waiting, done, failed or cancelled',
);

/** Rungs of the ladder, from the nearest on: what is asked for is met by a nearer one, too. */
export const RUNGS: readonly string[] = ['local', 'lan', 'direct', 'punched', 'relay'];

/** What a job needs before it runs. */
const needForm = 'expected "peer", "tracker", "rung:lan" (or direct, punched, relay), or "space:BYTES"';

const needInput = z
  .string()
  .max(64, needForm)
  .regex(/^(peer|tracker|rung:(local|lan|direct|punched|relay)|space:\d{1,15})$/, needForm);

const KEY_MAX = 200;
export const keyInput = z
  .string()
  .min(1, 'expected some characters')
  .max(KEY_MAX, `expected at most ${KEY_MAX} characters`)
  .regex(/^[\x21-\x7e]+$/, 'expected visible ASCII characters without spaces');

const SPAN = /^(\d{1,6})([smhd])$/;
const SPAN_MS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
/** A year: what is further away is more likely a slip. */
const SPAN_MOST = 366 * 86_400_000;

/** Milliseconds of a span such as `90s`, `10m`, `2h`, `3d`; undefined if it is none. */
export function spanMs(written: string): number | undefined {
  const [, number, unit = ''] = SPAN.exec(written) ?? [];
  const ms = Number(number) * (SPAN_MS[unit] ?? Number.NaN);
  return ms >= 1000 && ms <= SPAN_MOST ? ms : undefined;
}

const spanInput = z
  .string()
  .refine((written) => spanMs(written) !== undefined, 'expected a span from 1s to 366d such as 90s, 10m, 2h or 3d');

/** How a job is to be run. All of it is part of what an idempotency key stands for. */
export const jobOptions = z.object({
  key: keyInput
    .optional()
    .describe('idempotency key: the same request with it is one job for a day; another one is refused'),
  at: time.optional().describe('not before this time'),
  in: spanInput.optional().describe('not before so long from now, such as 10m'),
  every: z
    .string()
    .max(100, 'expected at most 100 characters')
    .optional()
    .describe('again and again at the times of these cron words, in the agent’s time zone, such as "0 9 * * 1-5"'),
  when: z
    .array(needInput)
    .max(4, 'expected at most 4')
    .default([])
    .describe('only once these hold: peer (is online), tracker (answers), rung:lan (link of that rung), space:BYTES'),
  priority: z.coerce
    .number<number>('expected a whole number from -9 to 9')
    .int('expected a whole number from -9 to 9')
    .min(-9, 'expected -9 or more')
    .max(9, 'expected 9 or less')
    .default(0)
    .describe('from -9 to 9; higher goes first; default: 0'),
  within: spanInput.optional().describe('it fails if it is not done so long after its time'),
  retry: z
    .boolean()
    .default(true)
    .describe('whether it waits and is tried again where that can help; else it fails at once'),
});

export const job = z.object({
  id: z.string(),
  operation: z.string().describe('name of the operation, e.g. messages.say'),
  input: z.record(z.string(), z.unknown()).describe('what it was asked'),
  state: jobState,
  priority: z.number().int(),
  at: time.describe('when it was asked for'),
  startedAt: time.nullable().describe('when it was tried last'),
  endedAt: time.nullable(),
  due: time
    .nullable()
    .describe('when it is to run, or is tried again at the latest; null where nothing waits for a time'),
  deadline: time.nullable(),
  every: z.string().nullable().describe('cron words of a schedule'),
  schedule: z.string().nullable().describe('id of the schedule that made it'),
  missed: z
    .number()
    .int()
    .nonnegative()
    .describe('runs that were left out, because the agent was off or the one before still ran'),
  attempts: z.number().int().nonnegative().describe('how often it was tried'),
  waitingFor: z
    .object({
      what: z.enum(['peer', 'tracker', 'rung', 'space', 'retry']),
      who: z.string().nullable(),
      message: z.string(),
    })
    .nullable(),
  answer: z.unknown().describe('what the operation answered; while it runs, how far it is'),
  error: z
    .object({ code: z.string(), message: z.string(), data: z.record(z.string(), z.unknown()).optional() })
    .nullable(),
  key: z.string().nullable(),
  source: z.enum(['asked', 'spool', 'schedule']).describe('how it came about'),
});

export type Job = z.infer<typeof job>;
export type JobState = z.infer<typeof jobState>;
export type JobOptions = z.input<typeof jobOptions>;

/** What is asked for as a job: which operation, with which input, and how. */
export type JobRequest = { operation: string; input?: Record<string, unknown> } & JobOptions;

export const isOver = (state: JobState): boolean => state === 'done' || state === 'failed' || state === 'cancelled';
