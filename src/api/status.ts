/** Who I am, and how this node stands. */
import { operation } from './operation.ts';
import { status } from './shapes.ts';

export const show = operation(
  {
    method: 'GET',
    path: '/v1/status',
    summary: 'Show who I am, my trackers, links and queue',
    tag: 'status',
  },
  { faults: [], example: 'netapp status', command: { words: ['status'] } },
).output(status);
