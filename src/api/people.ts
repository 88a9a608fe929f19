/** Who is there: the tracker's list, one record, my own presence, and what I allow whom. */
import { z } from 'zod';
import { flagInput, handleInput, operation } from './operation.ts';
import { person, personFound, presence, safety } from './shapes.ts';

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
    faults: ['tracker_down', 'name_taken', 'not_invited', 'revoked'],
    example: 'netapp people announce',
    command: { words: ['people', 'announce'], textbook: 'send-info' },
  },
).output(person);

export const list = operation(
  {
    method: 'GET',
    path: '/v1/people',
    summary: 'List the people that my trackers know',
    description:
      'Marks who is verified, blocked, or shown with another key than the known one. The textbook’s get_list.',
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
    description:
      'Also of another zone: by the trackers of the zones between. What was found is known for some seconds; --trace says so.',
    tag,
  },
  {
    faults: [
      'unknown_handle',
      'unknown_zone',
      'tracker_down',
      'key_changed',
      'bad_signature',
      'bad_referral',
      'malformed',
      'peer_unreachable',
      'wrong_key',
    ],
    example: 'netapp people find bob@lab1.cse.hcmut --trace',
    command: { words: ['people', 'find'], positionals: ['handle'] },
  },
)
  .input(
    z.object({
      handle: handleInput,
      mode: z
        .enum(['iterative', 'recursive'], 'expected iterative or recursive')
        .optional()
        .describe('who asks the trackers of other zones: iterative, I myself; recursive, my tracker for me'),
      trace: flagInput.optional().describe('show who was asked, what each answered, and how long that took'),
    }),
  )
  .output(personFound);

export const status = operation(
  {
    method: 'PUT',
    path: '/v1/people/me/status',
    summary: 'Say how I am: online, away or busy, in any words',
    description: 'Words alone mean online with these words.',
    tag,
  },
  {
    faults: ['tracker_down', 'not_invited', 'revoked'],
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
    faults: ['unknown_handle', 'unknown_zone', 'tracker_down', 'key_changed'],
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

export const verify = operation(
  {
    method: 'POST',
    path: '/v1/people/{handle}/verify',
    summary: 'Compare the safety number that I share with somebody',
    description:
      'Both sides see the same number, words and QR code. Compare them face to face or by phone, not through NetApp; then say so with --confirm and what the other side shows. Another key of theirs ends it.',
    tag,
  },
  {
    faults: ['unknown_handle', 'unknown_zone', 'tracker_down', 'key_changed', 'wrong_key'],
    example: 'netapp people verify bob',
    command: { words: ['people', 'verify'], positionals: ['handle'], qr: { field: 'uri' } },
  },
)
  .input(
    z.object({
      handle: handleInput,
      confirm: z
        .string()
        .max(500, 'expected at most 500 characters')
        .optional()
        .describe('the digits, words or link that the other side shows: if they are the same, I have verified them'),
    }),
  )
  .output(safety);

export const acceptKey = operation(
  {
    method: 'POST',
    path: '/v1/people/{handle}/accept-key',
    summary: 'Accept the new key of somebody whose key has changed',
    description:
      'Only after asking them by another way. Messages that wait for the old key fail and say so; what was said with it stays, marked as of the old key.',
    tag,
  },
  {
    faults: ['wrong_state', 'wrong_key', 'tracker_down', 'disk_full'],
    example: 'netapp people accept-key bob --key rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oa',
    command: { words: ['people', 'accept-key'], positionals: ['handle'] },
  },
)
  .input(
    z.object({
      handle: handleInput,
      key: z
        .string()
        .regex(/^[a-z2-7]{52}$/, 'expected an account id, 52 characters')
        .describe('account id of the new key, as the key_changed message names it'),
    }),
  )
  .output(person);

export const block = operation(
  {
    method: 'POST',
    path: '/v1/people/{handle}/block',
    summary: 'Take nothing more from somebody, who sees me as offline',
    description: 'They are not told: their messages wait at their side, as for somebody who is away.',
    tag,
  },
  {
    faults: ['unknown_handle', 'unknown_zone', 'tracker_down', 'too_many', 'disk_full'],
    example: 'netapp people block mallory',
    command: { words: ['people', 'block'], positionals: ['handle'] },
  },
)
  .input(z.object({ handle: handleInput }))
  .output(person);

export const unblock = operation(
  {
    method: 'POST',
    path: '/v1/people/{handle}/unblock',
    summary: 'Let somebody in again whom I blocked',
    tag,
  },
  {
    faults: ['unknown_handle', 'unknown_zone', 'tracker_down', 'disk_full'],
    example: 'netapp people unblock mallory',
    command: { words: ['people', 'unblock'], positionals: ['handle'] },
  },
)
  .input(z.object({ handle: handleInput }))
  .output(person);
