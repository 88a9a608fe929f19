/** Tokens for programs: each opens what its scopes name, for a bounded time. */
import { z } from 'zod';
import { spanMs } from '../base/span.ts';
import { idInput, operation } from './operation.ts';
import { token, tokenMade } from './shapes.ts';

const tag = 'tokens';
const YEAR_MS = 366 * 86_400_000;

/** `30d`, from a second to a year. */
export const spanInput = z
  .string()
  .refine(
    (text) => (spanMs(text) ?? Number.POSITIVE_INFINITY) <= YEAR_MS,
    'expected a span from 1s to 366d, such as 90s, 12h or 30d',
  );

export const create = operation(
  {
    method: 'POST',
    path: '/v1/tokens',
    summary: 'Make a token for a program, limited in what it may do and for how long',
    description:
      'A scope is noun:verb (files:send, events:follow), noun:*, messages:send for all that sends words, or * for everything. The token is shown this once: what is kept of it is a hash. A token makes none that may do more than itself.',
    tag,
  },
  {
    faults: ['too_many', 'disk_full'],
    example: 'netapp tokens create --scope messages:send,events:follow --ttl 30d',
    command: { words: ['tokens', 'create'], forms: { scope: 'list' } },
  },
)
  .input(
    z.object({
      scope: z
        .array(z.string().min(1).max(100))
        .min(1, 'expected a scope such as messages:send')
        .max(64, 'expected at most 64 scopes')
        .describe('what it may do: noun:verb, noun:*, or *; several with commas between'),
      ttl: spanInput.default('30d').describe('how long it opens anything, such as 12h or 30d; default: 30d'),
      name: z.string().max(100, 'expected at most 100 characters').default('').describe('what it is for, for people'),
    }),
  )
  .output(tokenMade);

export const list = operation(
  { method: 'GET', path: '/v1/tokens', summary: 'List the tokens that were made, without the tokens themselves', tag },
  { faults: [], example: 'netapp tokens list', command: { words: ['tokens', 'list'] } },
).output(z.array(token));

export const revoke = operation(
  { method: 'POST', path: '/v1/tokens/{id}/revoke', summary: 'Revoke a token; what it follows ends at once', tag },
  {
    faults: ['unknown_id'],
    example: 'netapp tokens revoke k3x9w2ab',
    command: { words: ['tokens', 'revoke'], positionals: ['id'] },
  },
)
  .input(z.object({ id: idInput.describe('id of the token, as the list shows it') }))
  .output(token);
