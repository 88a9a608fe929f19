/** What stands in the picture of the network: me first, then trackers and people. */
import type { LinkInfo, Status } from '../../../src/api/shapes.ts';
import { cleanLine } from '../words/clean.ts';

export type Spot = {
  id: string;
  kind: 'me' | 'tracker' | 'person';
  name: string;
  /** Of a person who is known. */
  handle: string | null;
  up: boolean;
  rung: LinkInfo['rung'] | 'none';
  rttMs: number | null;
};

export function spotsOf({ handle, node, trackers }: Status, links: readonly LinkInfo[]): Spot[] {
  const byPeer = new Map(links.map((link) => [link.peer, link]));
  const known = new Set(trackers.map(({ peer }) => peer));
  return [
    { id: node, kind: 'me', name: cleanLine(handle), handle, up: true, rung: 'local', rttMs: null },
    ...trackers.map(({ peer, zone, state }): Spot => {
      const link = byPeer.get(peer);
      return {
        id: peer,
        kind: 'tracker',
        name: cleanLine(zone),
        handle: null,
        up: state === 'up',
        rung: link?.rung ?? 'direct',
        rttMs: link?.rttMs ?? null,
      };
    }),
    ...links
      .filter(({ peer, role }) => role === 'node' && !known.has(peer))
      .map(
        (link): Spot => ({
          id: link.peer,
          kind: 'person',
          name: cleanLine(link.handle ?? 'not known yet'),
          handle: link.handle,
          up: true,
          rung: link.rung,
          rttMs: link.rttMs,
        }),
      ),
  ];
}
