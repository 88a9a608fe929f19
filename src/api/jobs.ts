/** Jobs: operations that are carried out in the background, now, later or again and again. */
import { eventIterator } from '@orpc/contract';
import { z } from 'zod';
import { job, jobOptions, jobState } from './job.ts';
import { idInput, operation } from './operation.ts';

const tag = 'jobs';

/** A poll ends well before anybody on its way gives up on a silent connection. */
const POLL_MAX_S = 45;
const LIST_MAX = 1000;
const LIST_DEFAULT = 50;
const one = z.object({ id: idInput });

export const create = operation(
  {
    method: 'POST',
    path: '/v1/jobs',
    summary: 'Ask for an operation as a job, now or at its time',
    description:
      'Answers at once with the job. The same comes of "Prefer: respond-async" on the operation itself; its command takes --detach, --at, --in, --every and --when.',
    tag,
  },
  {
    faults: ['queue_full', 'key_reused', 'disk_full'],
    example: 'netapp jobs create messages.say \'{"handle":"bob","text":"hello"}\' --in 10m',
    command: {
      words: ['jobs', 'create'],
      positionals: ['operation', 'input'],
      forms: { input: 'json', when: 'needs', at: 'time' },
    },
  },
)
  .input(
    jobOptions.extend({
      operation: z
        .string()
        .max(100, 'expected at most 100 characters')
        .describe('name of the operation, e.g. messages.say'),
      input: z.record(z.string(), z.unknown(), 'expected an object').default({}).describe('its input, as JSON'),
    }),
  )
  .output(job);

export const list = operation(
  { method: 'GET', path: '/v1/jobs', summary: 'List jobs, the newest last', tag },
  {
    faults: ['unknown_id'],
    example: 'netapp jobs list --state waiting',
    command: { words: ['jobs', 'list'], isDefault: true },
  },
)
  .input(
    z.object({
      state: jobState.optional().describe('only those in this state'),
      limit: z.coerce
        .number<number>(`expected a whole number from 1 to ${LIST_MAX}`)
        .int(`expected a whole number from 1 to ${LIST_MAX}`)
        .min(1, `expected a whole number from 1 to ${LIST_MAX}`)
        .max(LIST_MAX, `expected a whole number from 1 to ${LIST_MAX}`)
        .default(LIST_DEFAULT)
        .describe('at most so many'),
      before: idInput.optional().describe('id of a job: only what was asked for before it'),
    }),
  )
  .output(z.array(job));

export const show = operation(
  {
    method: 'GET',
    path: '/v1/jobs/{id}',
    summary: 'Show one job: how it stands, and what it came to',
    description: 'With `wait` it answers as soon as the job is over, or after so many seconds as the job is then.',
    tag,
  },
  {
    faults: ['unknown_id'],
    example: 'netapp jobs show 7f3k2a',
    command: { words: ['jobs', 'show'], positionals: ['id'] },
  },
)
  .input(
    one.extend({
      wait: z.coerce
        .number<number>(`expected seconds from 0 to ${POLL_MAX_S}`)
        .min(0, `expected seconds from 0 to ${POLL_MAX_S}`)
        .max(POLL_MAX_S, `expected seconds from 0 to ${POLL_MAX_S}`)
        .default(0)
        .describe('seconds to wait for its end'),
    }),
  )
  .output(job);

export const wait = operation(
  {
    method: 'GET',
    path: '/v1/jobs/{id}/wait',
    summary: 'Follow a job until it is over',
    description:
      'The job as it is at once, then with each change, until `done`, `failed` or `cancelled`. On the command line a job that failed ends with the exit code of its fault.',
    tag,
  },
  {
    faults: ['unknown_id', 'too_many'],
    example: 'netapp jobs wait 7f3k2a --timeout 30',
    command: { words: ['jobs', 'wait'], positionals: ['id'], shows: 'progress' },
  },
)
  .input(
    one.extend({
      timeout: z.coerce
        .number<number>('expected seconds')
        .positive('expected some seconds')
        .max(1_000_000, 'expected at most 1000000 seconds')
        .optional()
        .describe('seconds after which it gives up with "timeout"; the job goes on'),
    }),
  )
  .output(eventIterator(job));

export const cancel = operation(
  {
    method: 'POST',
    path: '/v1/jobs/{id}/cancel',
    summary: 'Cancel a job or a schedule that is not over',
    description: 'What it has done already stays done; a file that it was moving is cancelled with it.',
    tag,
  },
  {
    faults: ['unknown_id', 'wrong_state', 'disk_full'],
    example: 'netapp jobs cancel 7f3k2a',
    command: { words: ['jobs', 'cancel'], positionals: ['id'] },
  },
)
  .input(one)
  .output(job);

export const retry = operation(
  { method: 'POST', path: '/v1/jobs/{id}/retry', summary: 'Try a job again that failed, was cancelled, or waits', tag },
  {
    faults: ['unknown_id', 'wrong_state', 'queue_full', 'disk_full'],
    example: 'netapp jobs retry 7f3k2a',
    command: { words: ['jobs', 'retry'], positionals: ['id'] },
  },
)
  .input(one)
  .output(job);
