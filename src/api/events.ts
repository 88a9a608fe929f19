/** All that happens on this node, in order, with cursors to resume from. */
import { eventIterator } from '@orpc/contract';
import { z } from 'zod';
import { cursorInput, matchInput, operation } from './operation.ts';
import { event } from './shapes.ts';

export const follow = operation(
  {
    method: 'GET',
    path: '/v1/events',
    summary: 'Follow events: messages, files, people, links',
    description:
      'Without `from`: what happens from now on; with it: kept events after that cursor first. At most 20,000 events of the last seven days are kept; a cursor from before gives `cursor_gone` with the `oldest` that is kept. Over HTTP the cursor is the event’s id, so `Last-Event-ID` resumes.',
    tag: 'events',
  },
  {
    faults: ['cursor_gone', 'unknown_handle', 'unknown_id', 'queue_full', 'too_many'],
    example: 'netapp events follow --from 0 --match "message.*,file.done"',
    command: { words: ['events', 'follow'], isDefault: true, forms: { match: 'list' }, shows: 'json' },
  },
)
  .input(
    z.object({
      from: cursorInput.optional().describe('cursor: what came after it first; 0 for all that is kept'),
      match: matchInput,
    }),
  )
  .output(eventIterator(event));

export const last = operation(
  {
    method: 'GET',
    path: '/v1/events/last',
    summary: 'Show the cursor of the newest event, to follow from',
    tag: 'events',
  },
  { faults: [], example: 'netapp events last', command: { words: ['events', 'last'], shows: 'json' } },
).output(z.object({ last: z.number().int().nonnegative().describe('0 if there was none yet') }));
