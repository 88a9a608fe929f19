/** Who I am, and how this node stands. */
import { operation } from './operation.ts';
import { invite as inviteShape, status } from './shapes.ts';

export const show = operation(
  {
    method: 'GET',
    path: '/v1/status',
    summary: 'Show who I am, my trackers, links and queue',
    tag: 'status',
  },
  { faults: [], example: 'netapp status', command: { words: ['status'] } },
).output(status);

export const invite = operation(
  {
    method: 'GET',
    path: '/v1/invite',
    summary: 'Show the invite link to my tracker, for others to join',
    tag: 'status',
  },
  {
    faults: ['wrong_state'],
    example: 'netapp invite --qr',
    command: { words: ['invite'], qr: { field: 'invite', flag: true } },
  },
).output(inviteShape);
