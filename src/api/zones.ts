/** Zones of my tracker: to whom those below are given. For accounts that administer it. */
import { z } from 'zod';
import { operation } from './operation.ts';
import { zone, zoneKey } from './shapes.ts';

const tag = 'zones';

const zoneInput = z
  .string()
  .max(253, 'expected at most 253 characters')
  .regex(/^[a-z0-9-]+(\.[a-z0-9-]+)*$/i, 'expected a zone such as lab1.cse.hcmut');

export const delegate = operation(
  {
    method: 'POST',
    path: '/v1/zones',
    summary: 'Give a zone below my tracker’s to another tracker',
    description:
      'That tracker runs with --parent and the invite of mine, proves its key, and keeps the delegation alive by itself. For the zone of my tracker itself: names one more tracker that serves it, which runs with --primary.',
    tag,
  },
  {
    faults: ['tracker_down', 'bad_invite', 'unknown_zone', 'exists', 'too_many', 'disk_full'],
    example: 'netapp zones delegate lab1.cse.hcmut --to INVITE',
    command: { words: ['zones', 'delegate'], positionals: ['zone'] },
  },
)
  .input(
    z.object({
      zone: zoneInput.describe('the zone, such as lab1.cse.hcmut'),
      to: z.string().max(4000, 'expected an invite link').describe('invite link of the tracker that gets it'),
    }),
  )
  .output(zone);

export const acceptKey = operation(
  {
    method: 'POST',
    path: '/v1/zones/{zone}/key',
    summary: 'Accept the key of a zone that DNS leads to, in place of the one that was seen first',
    description:
      'For key_changed: ask whoever runs the zone for its peer id by another way than DNS. For my node alone, not for my tracker. Also before the first look, so that no other key is taken.',
    tag,
  },
  {
    faults: ['wrong_state', 'disk_full'],
    example: 'netapp zones accept-key example.org --key PEER',
    command: { words: ['zones', 'accept-key'], positionals: ['zone'] },
  },
)
  .input(
    z.object({
      zone: zoneInput.describe('the zone, such as example.org'),
      key: z
        .string()
        .regex(/^[a-z2-7]{52}$/, 'expected a peer id, 52 characters')
        .describe('peer id of its key, as whoever runs it says'),
    }),
  )
  .output(zoneKey);

export const list = operation(
  {
    method: 'GET',
    path: '/v1/zones',
    summary: 'List the zones that my tracker serves and delegates',
    tag,
  },
  {
    faults: ['tracker_down'],
    example: 'netapp zones list',
    command: { words: ['zones', 'list'] },
  },
).output(z.array(zone));

export const revoke = operation(
  {
    method: 'POST',
    path: '/v1/zones/{zone}/revoke',
    summary: 'Take a zone back, or a further tracker of my tracker’s own',
    description: 'Whoever was told before may follow it for some minutes more.',
    tag,
  },
  {
    faults: ['tracker_down', 'unknown_zone', 'disk_full'],
    example: 'netapp zones revoke lab1.cse.hcmut',
    command: { words: ['zones', 'revoke'], positionals: ['zone'] },
  },
)
  .input(
    z.object({
      zone: zoneInput.describe('the zone, such as lab1.cse.hcmut'),
      peer: z
        .string()
        .regex(/^[a-z2-7]{52}$/, 'expected a peer id, 52 characters')
        .optional()
        .describe('of a zone that my tracker serves itself: peer id of the further tracker'),
    }),
  )
  .output(zone);
