/** Messages between two people, with what is proven about their delivery. */
import { eventIterator } from '@orpc/contract';
import { z } from 'zod';
import { cursorInput, idInput, operation, targetInput } from './operation.ts';
import { message } from './shapes.ts';

const tag = 'messages';

/** A page is what a person or a program reads at once; the bound keeps one answer below a megabyte or two. */
const PAGE_DEFAULT = 50;
const PAGE_MAX = 1_000;
const pageForm = `expected a whole number from 1 to ${PAGE_MAX}`;

/** 64 KiB of UTF-16 units: a long letter. What is longer is a file. */
const TEXT_MAX = 65_536;

export const followedMessage = message.extend({
  cursor: z.number().int().positive().describe('where to follow on from, after this one'),
});

export const say = operation(
  {
    method: 'POST',
    path: '/v1/messages',
    summary: 'Send a message',
    description:
      'Answers once the message is signed and stored here; delivery goes on by itself, also across restarts.',
    tag,
  },
  {
    faults: [
      'unknown_handle',
      'unknown_zone',
      'unknown_id',
      'tracker_down',
      'key_changed',
      'wrong_state',
      'disk_full',
      'queue_full',
    ],
    example: 'netapp say bob "see you at three"',
    command: { words: ['say'], positionals: ['handle', 'text'], forms: { text: 'text' }, shows: 'line' },
  },
)
  .input(
    z.object({
      handle: targetInput,
      text: z
        .string()
        .min(1, 'expected some text')
        .max(TEXT_MAX, `expected at most ${TEXT_MAX} characters; send a longer text as a file`)
        .describe('what to say; "-" reads standard input'),
    }),
  )
  .output(message);

export const list = operation(
  {
    method: 'GET',
    path: '/v1/messages',
    summary: 'List messages, the newest last',
    tag,
  },
  {
    faults: ['unknown_handle', 'unknown_id'],
    example: 'netapp messages list bob --limit 20',
    command: { words: ['messages', 'list'], positionals: ['handle'] },
  },
)
  .input(
    z.object({
      handle: targetInput.optional().describe('with whom, or in which #room; default: everybody and all rooms'),
      limit: z.coerce
        .number<number>(pageForm)
        .int(pageForm)
        .min(1, pageForm)
        .max(PAGE_MAX, pageForm)
        .default(PAGE_DEFAULT)
        .describe('at most so many'),
      before: idInput.optional().describe('id of a message: the page that ends just before it'),
    }),
  )
  .output(z.array(message));

export const show = operation(
  { method: 'GET', path: '/v1/messages/{id}', summary: 'Show one message and its delivery', tag },
  {
    faults: ['unknown_id'],
    example: 'netapp messages show 5vq7',
    command: { words: ['messages', 'show'], positionals: ['id'] },
  },
)
  .input(z.object({ id: idInput }))
  .output(message);

export const follow = operation(
  {
    method: 'GET',
    path: '/v1/messages/follow',
    summary: 'Follow messages as they come, and as their delivery changes',
    description: 'Without `from`: what happens from now on. A message comes again whenever its delivery state changes.',
    tag,
  },
  { faults: ['queue_full', 'too_many'], example: 'netapp messages follow', command: { words: ['messages', 'follow'] } },
)
  .input(z.object({ from: cursorInput.optional().describe('cursor: what came after it first') }))
  .output(eventIterator(followedMessage));
