/** Webhooks: events, posted to a program's own address as they happen. */
import { z } from 'zod';
import { cursorInput, idInput, matchInput, operation } from './operation.ts';
import { deadLetter, replayed, webhook, webhookMade, webhookTested } from './shapes.ts';

const tag = 'webhooks';

const one = z.object({ id: idInput.describe('id of the webhook, as the list shows it') });

export const create = operation(
  {
    method: 'POST',
    path: '/v1/webhooks',
    summary: 'Post events to an address, signed, in order, until they are taken',
    description:
      'Each event is a POST of JSON, signed as standardwebhooks.com says: HMAC-SHA256 over id, timestamp and body, by the secret that is shown this once. What is not answered with 2xx is tried again with growing waits, for a day; then it is a dead letter. The address must be on this machine, or its host be named in webhookTargets of the configuration. Redirects are not followed.',
    tag,
  },
  {
    faults: ['unknown_handle', 'unknown_id', 'too_many', 'disk_full'],
    example: 'netapp webhooks create http://127.0.0.1:8080/hook --match "message.*"',
    command: { words: ['webhooks', 'create'], positionals: ['url'], forms: { match: 'list' } },
  },
)
  .input(
    z.object({
      url: z
        .string()
        .max(2000, 'expected at most 2000 characters')
        .describe('http or https address that takes the events'),
      match: matchInput,
    }),
  )
  .output(webhookMade);

export const list = operation(
  { method: 'GET', path: '/v1/webhooks', summary: 'List the webhooks, and how each stands', tag },
  { faults: [], example: 'netapp webhooks list', command: { words: ['webhooks', 'list'] } },
).output(z.array(webhook));

export const show = operation(
  { method: 'GET', path: '/v1/webhooks/{id}', summary: 'Show a webhook: how far it is, and what it waits for', tag },
  {
    faults: ['unknown_id'],
    example: 'netapp webhooks show h7k2m9xw',
    command: { words: ['webhooks', 'show'], positionals: ['id'] },
  },
)
  .input(one)
  .output(webhook);

export const remove = operation(
  { method: 'POST', path: '/v1/webhooks/{id}/delete', summary: 'Delete a webhook, with its dead letters', tag },
  {
    faults: ['unknown_id'],
    example: 'netapp webhooks delete h7k2m9xw',
    command: { words: ['webhooks', 'delete'], positionals: ['id'] },
  },
)
  .input(one)
  .output(webhook);

export const test = operation(
  { method: 'POST', path: '/v1/webhooks/{id}/test', summary: 'Post one event of type webhook.test now, once', tag },
  {
    faults: ['unknown_id'],
    example: 'netapp webhooks test h7k2m9xw',
    command: { words: ['webhooks', 'test'], positionals: ['id'] },
  },
)
  .input(one)
  .output(webhookTested);

export const dead = operation(
  {
    method: 'GET',
    path: '/v1/webhooks/{id}/dead',
    summary: 'List the dead letters of a webhook: events that were given up',
    description: 'The newest 1,000 of a webhook are kept.',
    tag,
  },
  {
    faults: ['unknown_id'],
    example: 'netapp webhooks dead h7k2m9xw',
    command: { words: ['webhooks', 'dead'], positionals: ['id'] },
  },
)
  .input(one)
  .output(z.array(deadLetter));

export const replay = operation(
  {
    method: 'POST',
    path: '/v1/webhooks/{id}/replay',
    summary: 'Post dead letters again, the oldest first, until one is not taken',
    tag,
  },
  {
    faults: ['unknown_id', 'too_many'],
    example: 'netapp webhooks replay h7k2m9xw',
    command: { words: ['webhooks', 'replay'], positionals: ['id'] },
  },
)
  .input(one.extend({ letter: cursorInput.optional().describe('only this dead letter, by its number') }))
  .output(replayed);
