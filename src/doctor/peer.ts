/** Somebody: whether they are there, by which ways their node is reached, and what waits for them. */
import { createClient } from '../api/client.ts';
import type { PeerReach } from '../api/network.ts';
import { showAgo } from '../cli/units.ts';
import { bad, type Check, type Finding, isUp, note, ok } from './check.ts';

/** The rungs between two machines, nearest first, and why there may be no way on them. */
const RUNGS = {
  lan: 'none of their addresses in a private network is known, or may be tried from here',
  direct: 'none of their public or mapped addresses is known to answer',
  punched: 'no tracker that both of you have a link with can arrange a hole',
  relay: 'no tracker that both of you have a link with relays',
} as const;

/** All about one person. [N-92] */
export function peer(handle: string): Check {
  return {
    name: handle,
    run: async ({ agent, agentPath, signal }) => {
      if (!isUp(agent)) return [bad('agent', agent.code, agent.message, 'start it with netapp up')];
      return told(await createClient({ socketPath: agentPath }).network.peer({ handle }, { signal }));
    },
  };
}

export function told({ handle, status, lastSeen, link, ways, waiting }: PeerReach): Finding[] {
  const isThere = status !== 'offline';
  const works = ways.some((way) => way.works);
  return [
    isThere ? ok('who', `${handle} is ${status}`) : note('who', `${handle} is offline, seen ${showAgo(lastSeen)}`),
    ...ways.map(tried),
    // Two on one machine need no other way.
    ...(works && ways[0]?.rung === 'local' ? [] : missing(ways)),
    link
      ? ok('link', `${link.rung}, ${link.dialled ? 'to' : 'from'} ${link.address}${delay(link.rttMs)}`)
      : note('link', 'none now: it is made when there is something to say'),
    ...(works || !isThere ? [] : [unreached(handle)]),
    queue(waiting),
  ];
}

const delay = (ms: number | null): string => (ms === null ? '' : `, ${ms.toFixed(1)} ms`);

function tried({ rung, label, works, ms, reason }: PeerReach['ways'][number]): Finding {
  if (works) return ok(rung, `${label} works, within ${ms} ms`);
  return note(rung, `${label} failed after ${ms} ms: ${reason}`);
}

function missing(ways: PeerReach['ways']): Finding[] {
  return Object.entries(RUNGS)
    .filter(([name]) => !ways.some(({ rung }) => rung === name))
    .map(([name, why]) => note(name, `no way to try: ${why}`));
}

const unreached = (handle: string): Finding =>
  bad(
    'reach',
    'peer_unreachable',
    `${handle} is there, and no way leads to them now`,
    'let both of you look at "netapp doctor": at one of the two ends something keeps connections out',
  );

function queue({ queued, held, files }: PeerReach['waiting']): Finding {
  if (queued + held + files === 0) return ok('waiting', 'nothing waits for them');
  const parts = [
    ...(queued > 0 ? [`${queued} messages wait here`] : []),
    ...(held > 0 ? [`${held} messages are held for them by a mailbox`] : []),
    ...(files > 0 ? [`${files} files wait or move`] : []),
  ];
  return note('waiting', parts.join(', '));
}
