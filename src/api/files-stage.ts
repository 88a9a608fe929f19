/** Files of those who share no disk with the agent, such as a page in a browser: handed over piece by piece. */
import { z } from 'zod';
import { operation } from './operation.ts';
import { staged } from './shapes.ts';

/** Characters of base64 in one piece: 750,000 bytes, which with all around them fit a request. */
const PIECE_MAX = 1_000_000;

export const stage = operation(
  {
    method: 'POST',
    path: '/v1/files/staged',
    summary: 'Hand over a piece of a file that is to be sent',
    description:
      'For programs that share no disk with the agent. The first piece starts one; each further one says where it belongs, and a repeated one changes nothing. After the last one `path` is what to give to `files send`. What is not sent within a day is tidied up by `files gc`.',
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
    }),
  )
  .output(staged);
