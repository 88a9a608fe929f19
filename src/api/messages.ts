/** Messages between two people, with what is proven about their delivery. */
import { eventIterator } from '@orpc/contract';
import { z } from 'zod';
import { cursorInput, flagInput, handleInput, idInput, operation, targetInput } from './operation.ts';
import { conversation, found, message, messageInFull } from './shapes.ts';

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

const textInput = z
  .string()
  .min(1, 'expected some text')
  .max(TEXT_MAX, `expected at most ${TEXT_MAX} characters; send a longer text as a file`);

const limitInput = z.coerce
  .number<number>(pageForm)
  .int(pageForm)
  .min(1, pageForm)
  .max(PAGE_MAX, pageForm)
  .default(PAGE_DEFAULT)
  .describe('at most so many');

const dateInput = z
  .string()
  .regex(
    /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?Z)?$/,
    'expected a date such as 2026-03-01 or 2026-03-01T10:00Z',
  )
  .refine((text) => !Number.isNaN(Date.parse(text)), 'expected a day that there is');

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
      'peer_unreachable',
      'wrong_key',
      'wrong_state',
      'disk_full',
      'queue_full',
    ],
    job: { peer: 'handle', ordered: true, spool: true },
    scope: 'messages:send',
    example: 'netapp say bob "see you at three"',
    command: { words: ['say'], positionals: ['handle', 'text'], forms: { text: 'text' }, shows: 'line' },
  },
)
  .input(
    z.object({
      handle: targetInput,
      text: textInput.describe('what to say; "-" reads standard input'),
    }),
  )
  .output(message);

export const list = operation(
  {
    method: 'GET',
    path: '/v1/messages',
    summary: 'List messages, the newest last',
    description:
      'A page at a time, as far back as there is something: `before` the first id of a page leads to the one before it, `after` the last one to the next. Ids hold for ever.',
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
      limit: limitInput,
      before: idInput.optional().describe('id of a message: the page that ends just before it'),
      after: idInput.optional().describe('id of a message: the page that starts just after it'),
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
  .input(
    z.object({
      id: idInput,
      history: flagInput.default(false).describe('also all words that it had before it was edited'),
    }),
  )
  .output(messageInFull);

const one = z.object({ id: idInput });

export const reply = operation(
  { method: 'POST', path: '/v1/messages/{id}/reply', summary: 'Answer a message', tag },
  {
    faults: ['unknown_id', 'wrong_state', 'disk_full', 'unwritable', 'queue_full'],
    job: { peer: 'id', ordered: true, spool: true },
    scope: 'messages:send',
    example: 'netapp messages reply 5vq7 "at four, then"',
    command: { words: ['messages', 'reply'], positionals: ['id', 'text'], forms: { text: 'text' }, shows: 'line' },
  },
)
  .input(one.extend({ text: textInput.describe('what to say; "-" reads standard input') }))
  .output(message);

export const edit = operation(
  {
    method: 'PATCH',
    path: '/v1/messages/{id}',
    summary: 'Change the words of a message that I wrote',
    description:
      'Whoever has the message sees the new words. The earlier ones are kept: see `messages show --history`.',
    tag,
  },
  {
    faults: ['unknown_id', 'wrong_state', 'disk_full', 'unwritable', 'queue_full'],
    job: { peer: 'id', ordered: true, spool: true },
    example: 'netapp messages edit 5vq7 "see you at four"',
    command: { words: ['messages', 'edit'], positionals: ['id', 'text'], forms: { text: 'text' }, shows: 'line' },
  },
)
  .input(one.extend({ text: textInput.describe('the new words; "-" reads standard input') }))
  .output(message);

export const remove = operation(
  {
    method: 'POST',
    path: '/v1/messages/{id}/delete',
    summary: 'Take back a message that I wrote',
    description:
      'Whoever has the message shows it as deleted from then on. What was read was read; the signed entry stays in the log, without which what follows could not be verified.',
    tag,
  },
  {
    faults: ['unknown_id', 'wrong_state', 'disk_full', 'unwritable', 'queue_full'],
    job: { peer: 'id', ordered: true, spool: true },
    example: 'netapp messages delete 5vq7',
    command: { words: ['messages', 'delete'], positionals: ['id'], shows: 'line' },
  },
)
  .input(one)
  .output(message);

export const react = operation(
  {
    method: 'POST',
    path: '/v1/messages/{id}/reactions',
    summary: 'React to a message with an emoji, or no longer',
    tag,
  },
  {
    faults: ['unknown_id', 'wrong_state', 'disk_full', 'unwritable', 'queue_full'],
    job: { peer: 'id', ordered: true, spool: true },
    example: 'netapp messages react 5vq7 👍',
    command: { words: ['messages', 'react'], positionals: ['id', 'emoji'], shows: 'line' },
  },
)
  .input(
    one.extend({
      emoji: z.string().min(1).max(32, 'expected one emoji').describe('one emoji, or any other single character'),
      off: flagInput.default(false).describe('take it back'),
    }),
  )
  .output(message);

export const read = operation(
  {
    method: 'POST',
    path: '/v1/messages/read',
    summary: 'Mark messages as read: up to one, or all of a conversation',
    description: 'Their authors are told by a signed receipt, at once or as soon as they can be reached.',
    tag,
  },
  {
    faults: ['unknown_handle', 'unknown_zone', 'unknown_id', 'tracker_down', 'disk_full', 'unwritable'],
    job: { peer: 'target', ordered: true, spool: true },
    example: 'netapp messages read bob',
    command: { words: ['messages', 'read'], positionals: ['target'] },
  },
)
  .input(
    z.object({
      target: targetInput.describe('a handle, a room as #name, the id of a conversation; or of a message: up to it'),
    }),
  )
  .output(conversation);

export const typing = operation(
  {
    method: 'POST',
    path: '/v1/messages/typing',
    summary: 'Tell those who are linked that I am writing',
    description: 'It holds for ten seconds, unless it is said again. It is kept nowhere, and nobody is dialled for it.',
    tag,
  },
  {
    faults: ['unknown_handle', 'unknown_zone', 'unknown_id', 'tracker_down'],
    example: 'netapp messages typing bob',
    command: { words: ['messages', 'typing'], positionals: ['target'] },
  },
)
  .input(z.object({ target: targetInput, off: flagInput.default(false).describe('I have stopped') }))
  .output(z.object({ conversation: z.string() }));

export const search = operation(
  {
    method: 'GET',
    path: '/v1/messages/search',
    summary: 'Search all messages for words',
    description:
      'Finds the newest messages that have every word, or a word that begins so; capitals and diacritics do not matter. Days are of UTC.',
    tag,
  },
  {
    faults: ['unknown_handle', 'unknown_zone', 'unknown_id', 'tracker_down'],
    example: 'netapp messages search train tickets --from bob --since 2026-03-01',
    command: { words: ['messages', 'search'], positionals: ['query'], forms: { query: 'text' } },
  },
)
  .input(
    z.object({
      query: z
        .string()
        .min(1, 'expected some words')
        .max(1000, 'expected at most 1000 characters')
        .describe('what to look for'),
      in: targetInput.optional().describe('only there: a handle, a room as #name, or the id of a conversation'),
      from: handleInput.optional().describe('only what this person wrote'),
      since: dateInput.optional().describe('only from this day or time on'),
      until: dateInput.optional().describe('only up to this day, it included, or this time'),
      limit: limitInput,
      before: idInput.optional().describe('id of a message: only what is older'),
    }),
  )
  .output(z.array(found));

export const follow = operation(
  {
    method: 'GET',
    path: '/v1/messages/follow',
    summary: 'Follow messages as they come, and as their delivery changes',
    description: 'Without `from`: what happens from now on. A message comes again whenever its delivery state changes.',
    tag,
  },
  {
    faults: ['cursor_gone', 'queue_full', 'too_many'],
    example: 'netapp messages follow',
    command: { words: ['messages', 'follow'] },
  },
)
  .input(z.object({ from: cursorInput.optional().describe('cursor: what came after it first') }))
  .output(eventIterator(followedMessage));
