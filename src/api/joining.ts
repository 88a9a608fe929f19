/** Whom a zone takes in: its policy, and invites for newcomers. For its admins. */
import { z } from 'zod';
import { operation } from './operation.ts';
import { takenBackInvite, zoneInvite, zonePolicy } from './shapes.ts';
import { spanInput } from './tokens.ts';

const tag = 'zones';

/** What a tracker can say to somebody who administers, beside what every operation can. */
export const ofAdmins = ['unknown_zone', 'wrong_state', 'tracker_down', 'too_many', 'unknown_operation'] as const;

export const zoneInput = z
  .string()
  .max(253, 'expected at most 253 characters')
  .regex(/^[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?$/, 'expected a zone such as lab or cse.hcmut');

export const policy = operation(
  {
    method: 'PUT',
    path: '/v1/zones/{zone}/policy',
    summary: 'Say whom a zone takes in: open, invite or closed',
    description:
      'For its admins. open: anybody; invite: newcomers who bring a link of "zones invite"; closed: nobody new. Who has a name already keeps it. Without a policy it only shows the present one.',
    tag,
  },
  {
    faults: [...ofAdmins, 'disk_full'],
    example: 'netapp zones policy lab invite',
    command: { words: ['zones', 'policy'], positionals: ['zone', 'policy'] },
  },
)
  .input(
    z.object({
      zone: zoneInput.describe('which zone'),
      policy: z
        .enum(['open', 'invite', 'closed'], 'expected open, invite or closed')
        .optional()
        .describe('whom it takes in from now on: open, invite or closed'),
    }),
  )
  .output(zonePolicy);

export const invite = operation(
  {
    method: 'POST',
    path: '/v1/zones/invites',
    summary: 'Make an invite link that lets newcomers into a zone',
    description: 'For its admins. Whoever has the link may use it, as often as it says and until then.',
    tag,
  },
  {
    faults: ofAdmins,
    example: 'netapp zones invite --uses 5 --ttl 7d',
    command: { words: ['zones', 'invite'], qr: { field: 'invite', flag: true } },
  },
)
  .input(
    z.object({
      zone: zoneInput.optional().describe('the zone; default: my own'),
      uses: z.coerce
        .number<number>('expected a whole number from 1 to 10000')
        .int('expected a whole number from 1 to 10000')
        .min(1, 'expected a whole number from 1 to 10000')
        .max(10_000, 'expected a whole number from 1 to 10000')
        .default(1)
        .describe('how many newcomers it lets in; default: 1'),
      ttl: spanInput.default('7d').describe('how long it holds, such as 12h or 7d; default: 7d'),
    }),
  )
  .output(zoneInvite);

export const uninvite = operation(
  {
    method: 'POST',
    path: '/v1/zones/uninvite',
    summary: 'Take an invite link into a zone back',
    description: 'For its admins. It lets nobody in any more; whom it let in stays. Other invites hold on.',
    tag,
  },
  {
    faults: [...ofAdmins, 'bad_invite', 'disk_full'],
    example: "netapp zones uninvite 'netapp://…&token=…'",
    command: { words: ['zones', 'uninvite'], positionals: ['invite'] },
  },
)
  .input(
    z.object({
      invite: z.string().max(8192, 'expected at most 8192 characters').describe('the link, as "zones invite" gave it'),
    }),
  )
  .output(takenBackInvite);
