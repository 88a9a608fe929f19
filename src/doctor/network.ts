/** The networks: what this machine stands in, and from where its node is reached. */
import { createClient } from '../api/client.ts';
import type { NetworkInfo } from '../api/network.ts';
import { interfaces } from '../base/interfaces.ts';
import { type Check, type Finding, isUp, note, ok } from './check.ts';

export const network: Check = {
  name: 'network',
  run: async ({ agent, agentPath, signal }) => {
    if (!isUp(agent)) return [cards(await interfaces())];
    return told(await createClient({ socketPath: agentPath }).network.check(undefined, { signal }));
  },
};

export function told({ interfaces, listening, trackers, nat, multicast }: NetworkInfo): Finding[] {
  return [
    cards(interfaces),
    ...trackers.flatMap((tracker) => reached(tracker, listening)),
    translated(nat),
    ...(multicast.length > 0 ? multicast.map(heardOn) : [UNHEARD]),
  ];
}

function cards(all: NetworkInfo['interfaces']): Finding {
  if (all.length === 0) {
    return note('network', 'no interface but loopback is up: only programs on this machine are reached', 'connect it');
  }
  const each = all.map(
    ({ name, addresses, isDefault }) => `${name}${isDefault ? ' (the way out)' : ''} ${addresses.join(' ')}`,
  );
  if (all.some(({ isDefault }) => isDefault)) return ok('network', each.join(', '));
  return note(
    'network',
    `${each.join(', ')}; no way out of these networks`,
    'see that a router is set, if there is one',
  );
}

/** [N-91] */
function reached({ zone, observed, scope, reached }: NetworkInfo['trackers'][number], listening: string[]): Finding[] {
  if (observed === null || scope === null) return []; // what is wrong with it, its own check says
  const from = { loopback: 'on this machine', private: 'from this network', public: 'from outside' }[scope];
  const sees = `the tracker of ${zone} sees this node at ${observed}`;
  if (reached.length > 0) return [ok('reached', `${sees}, and reaches it ${from} at ${reached.join(', ')}`)];
  const port = listening[0]?.split(':').at(-1) ?? '';
  return [
    note(
      'reached',
      `${sees}, and reaches it at none of its addresses: others get here by a hole or a relay`,
      scope === 'public'
        ? `to be reached at once, have the router pass port ${port} (TCP) on to this machine, and its firewall let it in`
        : `have this machine's firewall let in port ${port} (TCP)`,
    ),
  ];
}

const NATS: Record<NetworkInfo['nat']['kind'], { level: 'ok' | 'note'; says: string }> = {
  none: { level: 'ok', says: 'none: the trackers see this machine at its own address' },
  'endpoint-independent': {
    level: 'ok',
    says: 'one that shows the same address wherever one goes: holes through it come about with nearly everybody',
  },
  'address-dependent': {
    level: 'note',
    says: 'one that shows another address to each host: holes through it come about with those whose own NAT is simpler',
  },
  'address-and-port-dependent': {
    level: 'note',
    says: 'one that shows another address for each connection: holes through it hardly come about; a relay is used instead',
  },
  unknown: { level: 'note', says: 'not known: no tracker answers by UDP' },
};

/** [N-92] */
function translated({ kind, seen, hosts }: NetworkInfo['nat']): Finding {
  const { level, says } = NATS[kind];
  if (kind === 'none') return ok('nat', says);
  if (kind === 'unknown') {
    return hosts === 0
      ? note('nat', says, 'whoever runs a tracker lets in its port by UDP, too; nothing else depends on it')
      : note('nat', 'there is one; of which kind, one answer does not tell: join a second tracker to see');
  }
  const shown = `${says} (seen as ${seen.map(({ as }) => as).join(', ')})`;
  if (level === 'ok') return ok('nat', shown);
  return note(
    'nat',
    shown,
    'a mapping at the router would do without holes: let it allow UPnP, NAT-PMP or PCP, or pass on the port',
  );
}

const UNHEARD = note('lan', 'this node looks for nobody on its networks: that is switched off, or there is none');

/** [N-93] */
function heardOn({ network, heard, others }: NetworkInfo['multicast'][number]): Finding {
  if (heard && others > 0) return ok('lan', `multicast is heard on ${network}, also from ${others} other machines`);
  if (heard) return ok('lan', `multicast is heard on ${network}; no other machine said anything meanwhile`);
  return note(
    'lan',
    `multicast is not heard on ${network}: nodes there do not find each other without a tracker`,
    "have this machine's firewall let in port 5353 (UDP), if they should",
  );
}
