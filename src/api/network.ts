/** How this machine stands in its networks, who else is there, and by which ways somebody is reached. */
import { z } from 'zod';
import { handleInput, operation } from './operation.ts';
import { heard, linkInfo, presence, rung } from './shapes.ts';

const tag = 'network';

/** How far from here somebody is who sees this machine. */
const scope = z.enum(['loopback', 'private', 'public']).describe('from this machine, from its network, from outside');

/** What is so of this machine's networks. */
export const networkInfo = z.object({
  interfaces: z.array(
    z.object({
      name: z.string(),
      addresses: z.array(z.string()),
      isDefault: z.boolean().describe('the way out of this network goes through it'),
    }),
  ),
  listening: z.array(z.string()).describe('host:port pairs that this node tells others'),
  trackers: z
    .array(
      z.object({
        peer: z.string(),
        zone: z.string(),
        address: z.string(),
        observed: z.string().nullable().describe('host from which it sees this node; null: it is not up'),
        scope: scope.nullable(),
        reached: z.array(z.string()).describe('host:port pairs at which it dialled this node back, and found it'),
        error: z.string().nullable(),
      }),
    )
    .describe('how the trackers that are used see this node'),
  nat: z
    .object({
      kind: z.enum(['none', 'endpoint-independent', 'address-dependent', 'address-and-port-dependent', 'unknown']),
      seen: z.array(z.object({ by: z.string(), as: z.string() })).describe('as what each that was asked saw one port'),
      hosts: z.number().int().describe('trackers that answered'),
    })
    .describe('how the NAT between here and the trackers maps (RFC 4787, section 4.1), by UDP'),
  multicast: z
    .array(
      z.object({
        network: z.string().describe('name of the interface'),
        heard: z.boolean().describe('what was said there came back'),
        others: z.number().int().describe('other machines that said something meanwhile'),
      }),
    )
    .describe('whether those on a network can find each other without a tracker'),
});

/** What came of one way to somebody. */
const way = z.object({
  rung,
  label: z.string().describe('the address, or what the way is known by'),
  works: z.boolean(),
  ms: z.number().nonnegative().describe('milliseconds until it came about, or failed'),
  reason: z.string().nullable().describe('why it did not come about'),
});

/** Somebody, and every way to them, tried now. */
export const peerReach = z.object({
  handle: z.string(),
  id: z.string().describe('account id'),
  status: presence,
  lastSeen: z.iso.datetime(),
  link: linkInfo.nullable().describe('the link that is used now; null: none'),
  ways: z.array(way).describe('each way that is known, nearest first'),
  waiting: z
    .object({
      queued: z.number().int().describe('messages for them that wait here'),
      held: z.number().int().describe('messages for them that a mailbox holds'),
      files: z.number().int().describe('files to or from them that are not at their end'),
    })
    .describe('what is not with them yet'),
});

export type NetworkInfo = z.infer<typeof networkInfo>;
export type PeerReach = z.infer<typeof peerReach>;

export const check = operation(
  {
    method: 'POST',
    path: '/v1/network/check',
    summary: 'Look how this machine stands in its networks',
    description:
      'Its interfaces, how the trackers see it, the kind of NAT, and whether multicast is heard. "netapp doctor" says the same in words, with what to do.',
    tag,
  },
  { faults: [], example: 'netapp network check', command: { words: ['network', 'check'] } },
).output(networkInfo);

export const peer = operation(
  {
    method: 'POST',
    path: '/v1/network/peer',
    summary: 'Try every way to somebody’s node now, each to its end',
    description:
      'What came of each, with its time and reason; who they are, and what waits for them. No link is changed. "netapp doctor HANDLE" says the same in words.',
    tag,
  },
  {
    faults: ['unknown_handle', 'unknown_zone', 'key_changed', 'wrong_state', 'tracker_down'],
    example: 'netapp network peer bob',
    command: { words: ['network', 'peer'], positionals: ['handle'] },
  },
)
  .input(z.object({ handle: handleInput }))
  .output(peerReach);

export const lan = operation(
  {
    method: 'GET',
    path: '/v1/network/lan',
    summary: 'List the nodes and trackers that are heard of on this network',
    description:
      'What they say of themselves by multicast is not proved: that comes with the first message, or with "netapp links connect HANDLE". Somebody whom no tracker vouches for goes by name@KEY.local.',
    tag,
  },
  { faults: ['wrong_state'], example: 'netapp lan', command: { words: ['lan'] } },
).output(z.array(heard));
