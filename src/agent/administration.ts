/** What an admin of a zone asks of its trackers, as the operations need it. */
import type { Backend } from '../api/backend.ts';
import type { HandleInfo } from '../api/shapes.ts';
import type { Node } from '../node/node.ts';

type Entry = Awaited<ReturnType<Node['directory']['administration']['revoke']>>;

export function administrationOf({ directory }: Node): Backend['administration'] {
  const { administration } = directory;
  return {
    policy: (zone, policy, wait) => administration.policy(zone, policy, wait),
    async invite(zone, options) {
      const { until, ...made } = await administration.invite(zone, options);
      return { ...made, until: new Date(until).toISOString() };
    },
    async uninvite(invite, wait) {
      const { zone, until } = await administration.uninvite(invite, wait);
      return { zone, until: new Date(until).toISOString() };
    },
    handles: async (zone, wait) => (await administration.handles(zone, wait)).map(handleView),
    revoke: async (handle, wait) => handleView(await administration.revoke(handle, wait)),
    rename: async (handle, to, wait) => handleView(await administration.rename(handle, to, wait)),
    free: (handle, wait) => administration.free(handle, wait),
  };
}

function handleView({ handle, account, since, state, to, online, lastSeen }: Entry): HandleInfo {
  return {
    handle,
    id: account,
    state,
    renamedTo: to,
    online,
    since: new Date(since).toISOString(),
    lastSeen: lastSeen === null ? null : new Date(lastSeen).toISOString(),
  };
}
