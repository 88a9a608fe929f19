/** Who is on the networks of this machine, heard of without any tracker. */
import { z } from 'zod';
import { operation } from './operation.ts';
import { heard } from './shapes.ts';

export const lan = operation(
  {
    method: 'GET',
    path: '/v1/network/lan',
    summary: 'List the nodes and trackers that are heard of on this network',
    description:
      'What they say of themselves by multicast is not proved: that comes with the first message, or with "netapp links connect HANDLE". Somebody whom no tracker vouches for goes by name@KEY.local.',
    tag: 'network',
  },
  { faults: ['wrong_state'], example: 'netapp lan', command: { words: ['lan'] } },
).output(z.array(heard));
