/** How a running node is reached and reaches others, as what the operations need. */
import type { Backend } from '../api/backend.ts';
import { Fault } from '../base/fault.ts';
import type { Node } from '../node/node.ts';

type Wait = { signal?: AbortSignal | undefined };

export function networkOf(node: Node, account: (handle: string, wait: Wait) => Promise<string>): Backend['network'] {
  return {
    async check(wait) {
      const { listening, trackers, ...facts } = await node.network.check(wait);
      return {
        ...facts,
        listening: [...listening],
        trackers: trackers.map((each) => ({ ...each, reached: [...each.reached] })),
      };
    },
    lan: async () =>
      node.neighbours.list().map(({ since, until, account = null, zone = null, port: _port, ...rest }) => ({
        ...rest,
        account,
        zone,
        since: new Date(since).toISOString(),
        until: new Date(until).toISOString(),
      })),
    async peer(handle, wait) {
      const id = await account(handle, wait);
      const { link, ways, waiting } = await node.network.peer(id, wait);
      const person = node.directory.get(id);
      if (!person) throw new Fault('unknown_handle', `looking at "${handle}": it is known no more`);
      const { handle: shown, status, lastSeen } = node.personView(person);
      return {
        handle: shown,
        id,
        status,
        lastSeen,
        link: link ? node.linkView(link) : null,
        ways: ways.map(({ reason, ms, ...way }) => ({
          ...way,
          works: reason === null,
          ms: Math.round(ms * 10) / 10,
          reason,
        })),
        waiting,
      };
    },
  };
}
