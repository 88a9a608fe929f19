/** The networks: what this machine stands in, and from where its node is reached. */
import { createClient } from '../api/client.ts';
import type { NetworkInfo } from '../api/network.ts';
import { interfaces } from '../base/interfaces.ts';
import { type Check, type Finding, isUp, note, ok } from './check.ts';

export const network: Check = {
  name: 'network',
  run: async ({ agent, agentPath, signal }) => {
    if (!isUp(agent)) return [cards(await interfaces())];
    const found = await createClient({ socketPath: agentPath }).network.check(undefined, { signal });
    return [
      cards(found.interfaces),
      ...found.trackers.flatMap((tracker) => reached(tracker, found.listening)),
      ...found.multicast.map(multicast),
    ];
  },
};

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

/** [N-93] */
function multicast({ network, heard, others }: NetworkInfo['multicast'][number]): Finding {
  if (heard && others > 0) return ok('lan', `multicast is heard on ${network}, also from ${others} other machines`);
  if (heard) return ok('lan', `multicast is heard on ${network}; no other machine said anything meanwhile`);
  return note(
    'lan',
    `multicast is not heard on ${network}: nodes there do not find each other without a tracker`,
    "have this machine's firewall let in port 5353 (UDP), if they should",
  );
}
