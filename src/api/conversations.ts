/** Conversations: what is unread in them, and all that was said, as a file. */
import { eventIterator } from '@orpc/contract';
import { z } from 'zod';
import { operation, targetInput } from './operation.ts';
import { conversation } from './shapes.ts';

const tag = 'conversations';

export const list = operation(
  {
    method: 'GET',
    path: '/v1/conversations',
    summary: 'List conversations, with what is unread, the newest first',
    tag,
  },
  { faults: [], example: 'netapp conversations list', command: { words: ['conversations', 'list'], isDefault: true } },
).output(z.array(conversation));

export const exported = operation(
  {
    method: 'GET',
    path: '/v1/conversations/export',
    summary: 'Write out a whole conversation, line by line',
    description:
      'As NDJSON: the signed entries, from which anybody can verify that nothing was changed, added or left out (`netapp verify-export`). As Markdown: as people read it.',
    tag,
  },
  {
    faults: ['unknown_handle', 'unknown_zone', 'unknown_id', 'tracker_down', 'too_many'],
    example: 'netapp conversations export bob --format markdown > bob.md',
    command: { words: ['conversations', 'export'], positionals: ['target'], shows: 'raw' },
  },
)
  .input(
    z.object({
      target: targetInput,
      format: z
        .enum(['ndjson', 'markdown'], 'expected ndjson or markdown')
        .default('ndjson')
        .describe('ndjson (default) or markdown'),
    }),
  )
  .output(eventIterator(z.object({ line: z.string() })));
