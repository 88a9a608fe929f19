/** Who I am, and how this node stands. */
import { z } from 'zod';
import { operation } from './operation.ts';
import { finding, invite as inviteShape, status } from './shapes.ts';

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

export const check = operation(
  {
    method: 'POST',
    path: '/v1/status/check',
    summary: 'Look whether all is well with the agent, and say what to do',
    description:
      'Home, disk, port, trackers with their keys and clocks, people. `netapp doctor` does it also where no agent runs, and looks into the store, too.',
    tag: 'status',
  },
  { faults: [], example: 'netapp check', command: { words: ['check'] } },
).output(z.array(finding));
