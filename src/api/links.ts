/** Direct connections to other nodes and to trackers. */
import { z } from 'zod';
import { naming, operation } from './operation.ts';
import { linkInfo } from './shapes.ts';

const tag = 'links';

export const list = operation(
  { method: 'GET', path: '/v1/links', summary: 'List direct connections, and which rung they stand on', tag },
  { faults: [], example: 'netapp links list', command: { words: ['links', 'list'] } },
).output(z.array(linkInfo));

export const connect = operation(
  {
    method: 'POST',
    path: '/v1/links',
    summary: 'Connect to somebody’s node now',
    description: 'The node does so by itself when there is something to carry. The textbook’s peer_connect.',
    tag,
  },
  {
    faults: [
      'unknown_handle',
      'unknown_zone',
      'key_changed',
      'wrong_state',
      'peer_unreachable',
      'tracker_down',
      'wrong_key',
      'unsupported_version',
    ],
    job: { peer: 'target', long: true },
    example: 'netapp links connect bob',
    command: { words: ['links', 'connect'], textbook: 'peer-connect', positionals: ['target'] },
  },
)
  .input(
    z.object({
      target: z
        .string()
        .max(512, 'expected at most 512 characters')
        .regex(/^\S+$/u, 'expected a handle, or peerid@host:port')
        .describe('a handle, or peerid@host:port')
        .register(naming, { of: 'person' }),
    }),
  )
  .output(linkInfo);
