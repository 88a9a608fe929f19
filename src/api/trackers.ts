/** The trackers of my node: which introduce me to others. */
import { z } from 'zod';
import { flagInput, operation } from './operation.ts';
import { status } from './shapes.ts';

const tag = 'trackers';

export const join = operation(
  {
    method: 'POST',
    path: '/v1/trackers',
    summary: 'Join a tracker by its invite link, while the node runs',
    description:
      'Beside the trackers of now, where it serves my zone; else, with --instead, in their place: my handle is then one of its zone, and a tracker inside my node ends. Remembered for the next start. Where the tracker does not take me, nothing changes.',
    tag,
  },
  {
    faults: [
      'bad_invite',
      'exists',
      'wrong_state',
      'name_taken',
      'not_invited',
      'revoked',
      'unknown_zone',
      'tracker_down',
      'wrong_key',
      'too_many',
      'unwritable',
      'disk_full',
    ],
    example: 'netapp trackers join INVITE --name alice --instead',
    command: { words: ['trackers', 'join'], positionals: ['invite'] },
  },
)
  .input(
    z.object({
      invite: z
        .string()
        .max(4000, 'expected an invite link')
        .describe('invite link of the tracker; 2:INVITE for one that is used while those of tier 1 do not answer'),
      name: z
        .string()
        .max(64, 'expected at most 64 characters')
        .regex(/^[^@\s]+$/u, 'expected a name such as alice, without @')
        .optional()
        .describe('what I am called there, such as alice; default: as now'),
      instead: flagInput.optional().describe('in place of the trackers of now'),
    }),
  )
  .output(status);

export const leave = operation(
  {
    method: 'POST',
    path: '/v1/trackers/{peer}/leave',
    summary: 'Announce me to a tracker no more',
    description: 'Not to the only one: join another with --instead. Remembered for the next start.',
    tag,
  },
  {
    faults: ['unknown_id', 'wrong_state', 'too_many', 'unwritable', 'disk_full'],
    example: 'netapp trackers leave rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oa',
    command: { words: ['trackers', 'leave'], positionals: ['peer'] },
  },
)
  .input(
    z.object({
      peer: z
        .string()
        .regex(/^[a-z2-7]{52}$/, 'expected a peer id, 52 characters')
        .describe('peer id of the tracker'),
    }),
  )
  .output(status);
