/** Files for those who share no disk with the agent, such as a page in a browser: handed over piece by piece, and looked at. */
import { z } from 'zod';
import { idInput, operation } from './operation.ts';
import { preview as previewShape, staged } from './shapes.ts';

/** Characters of base64 in one piece: 750,000 bytes, which with all around them fit a request. */
const PIECE_MAX = 1_000_000;

export const stage = operation(
  {
    method: 'POST',
    path: '/v1/files/staged',
    summary: 'Hand over a piece of a file that is to be sent',
    description:
      'For programs that share no disk with the agent. The first piece starts one; each further one says where it belongs, and a repeated one changes nothing. After the last one `path` is what to give to `files send`. Files with the same `folder` are one folder, each in it `as` that path; it is sent once all are there. What is not sent within a day is tidied up by `files gc`.',
    tag: 'files',
  },
  {
    faults: ['unknown_id', 'wrong_state', 'disk_full', 'unwritable'],
    example: 'netapp files stage --data aGVsbG8= --last',
    command: { words: ['files', 'stage'] },
  },
)
  .input(
    z.object({
      upload: z
        .uuid('expected the id that the first piece was given')
        .optional()
        .describe('which one; none: a new one'),
      at: z
        .number('expected a number of bytes')
        .int('expected whole bytes')
        .nonnegative('expected 0 bytes or more')
        .default(0)
        .describe('bytes that are before this piece'),
      data: z
        .base64('expected base64')
        .max(PIECE_MAX, `expected at most ${PIECE_MAX} characters`)
        .default('')
        .describe('the piece, in base64'),
      last: z.boolean().default(false).describe('there is no more after it'),
      folder: z
        .uuid('expected a UUID')
        .optional()
        .describe('the folder that it is in, by an id of your own making; said with each piece'),
      as: z
        .string()
        .max(4096, 'expected at most 4096 characters')
        .optional()
        .describe('its path in that folder, such as 2026/may.jpg; said with each piece'),
    }),
  )
  .output(staged);

export const preview = operation(
  {
    method: 'POST',
    path: '/v1/files/{id}/preview',
    summary: 'Make an address at which a browser shows a file that is here',
    description:
      'At a port of its own, without the API and without scripts; for four hours, on this machine. Pictures, sound, films and PDF are shown as such, all else as text.',
    tag: 'files',
  },
  {
    faults: ['unknown_id', 'wrong_state'],
    example: 'netapp files preview 7f3k',
    command: { words: ['files', 'preview'], positionals: ['id'], shows: 'line' },
  },
)
  .input(z.object({ id: idInput }))
  .output(previewShape);
