/** All that happens on this node, in order, with cursors to resume from. */
import { eventIterator } from '@orpc/contract';
import { z } from 'zod';
import { cursorInput, operation } from './operation.ts';
import { event } from './shapes.ts';

export const follow = operation(
  {
    method: 'GET',
    path: '/v1/events',
    summary: 'Follow events: messages, files, people, links',
    description:
      'Without `from`: what happens from now on; with it: kept events after that cursor first. Over HTTP the cursor is the event’s id, so `Last-Event-ID` resumes.',
    tag: 'events',
  },
  {
    faults: ['queue_full', 'too_many'],
    example: 'netapp events --match "message.*"',
    command: { words: ['events'], shows: 'json' },
  },
)
  .input(
    z.object({
      from: cursorInput.optional().describe('cursor: what came after it first; 0 for all that is kept'),
      match: z
        .string()
        .max(100, 'expected at most 100 characters')
        .regex(/^[a-z._]+\*?$/, 'expected a type such as message.received, or a prefix such as message.*')
        .optional()
        .describe('only this type, or prefix such as message.*'),
    }),
  )
  .output(eventIterator(event));
