/** Who is there: the tracker's list, one record, my own presence, and what I allow whom. */
import { z } from 'zod';
import { handleInput, operation } from './operation.ts';
import { person, presence } from './shapes.ts';

const tag = 'people';

/** `offline` is not for saying: it is what others see when the node has gone. */
const ownPresence = presence.exclude(['offline'], 'expected "online", "away" or "busy"');

export const announce = operation(
  {
    method: 'POST',
    path: '/v1/people/announce',
    summary: 'Tell my trackers now who and where I am',
    description: 'The node does so by itself whenever something changes. The textbook’s send_info.',
    tag,
  },
  {
    faults: ['tracker_down', 'name_taken'],
    example: 'netapp people announce',
    command: { words: ['people', 'announce'], textbook: 'send-info' },
  },
).output(person);

export const list = operation(
  {
    method: 'GET',
    path: '/v1/people',
    summary: 'List the people that my trackers know',
    description: 'The textbook’s get_list.',
    tag,
  },
  {
    faults: ['tracker_down'],
    example: 'netapp people list --json',
    command: { words: ['people', 'list'], textbook: 'get-list' },
  },
).output(z.array(person));

export const find = operation(
  {
    method: 'GET',
    path: '/v1/people/{handle}',
    summary: 'Show one person: status, node and addresses',
    tag,
  },
  {
    faults: ['unknown_handle', 'unknown_zone', 'tracker_down'],
    example: 'netapp people find bob',
    command: { words: ['people', 'find'], positionals: ['handle'] },
  },
)
  .input(z.object({ handle: handleInput }))
  .output(person);

export const status = operation(
  {
    method: 'PUT',
    path: '/v1/people/me/status',
    summary: 'Say how I am: online, away or busy, in any words',
    description: 'Words alone mean online with these words.',
    tag,
  },
  {
    faults: ['tracker_down'],
    example: 'netapp people status busy "in a lecture"',
    command: { words: ['people', 'status'], phrase: { choice: 'status', text: 'text' } },
  },
)
  .input(
    z.object({
      status: ownPresence.default('online').describe('online, away or busy'),
      text: z.string().max(200, 'expected at most 200 characters').default('').describe('my own words beside it'),
    }),
  )
  .output(person);

export const set = operation(
  {
    method: 'PATCH',
    path: '/v1/people/{handle}',
    summary: 'Say whose files I take unasked, and up to which size',
    tag,
  },
  {
    faults: ['unknown_handle', 'unknown_zone', 'tracker_down'],
    example: 'netapp people set bob --auto-accept 10MB',
    command: { words: ['people', 'set'], positionals: ['handle'], forms: { autoAccept: 'bytes' } },
  },
)
  .input(
    z.object({
      handle: handleInput,
      autoAccept: z
        .number('expected a number of bytes such as 10MB, or none')
        .int('expected whole bytes')
        .nonnegative('expected 0 bytes or more')
        .nullable()
        .describe('fetch their files unasked up to this size'),
    }),
  )
  .output(person);
