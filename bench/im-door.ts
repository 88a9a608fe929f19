/** A tracker with the door for IM clients beside it in one process, as "netapp tracker --im-port" runs them. */
import { join } from 'node:path';
import type { Hosting } from '../src/api/hosting.ts';
import { systemClock } from '../src/base/clock.ts';
import { silentLog } from '../src/base/log.ts';
import { startHostingNode } from '../src/bin/hosting-node.ts';
import { parseInvite } from '../src/directory/invite.ts';
import { openDoor } from '../src/im/door.ts';
import { Tracker } from '../src/tracker/tracker.ts';
import { answer } from './child.ts';

/** Invitations of one account that a tracker takes at once. */
const INVITES_EACH = 90;

const opened = new AsyncDisposableStack();
let hosting: Hosting | undefined;

answer({
  start: async (folder: string) => {
    const [clock, log] = [systemClock, silentLog()];
    const tracker = opened.use(
      new Tracker({ home: join(folder, 'tracker'), host: '127.0.0.1', port: 0, zone: 'bench', log }),
    );
    await tracker.start();
    const { gateway } = opened.use(
      await openDoor(join(folder, 'im'), {
        port: 0,
        limits: { perAddress: 0, rate: 0 },
        // The others tell nobody who is here, and ask each client each two minutes whether it lives: nothing of either is in a run.
        rosterMs: 3_600_000,
        clock,
        log,
        startHosting: async (home) => {
          const started = await startHostingNode({
            home,
            zone: 'bench',
            host: '127.0.0.1',
            port: 0,
            trackers: [parseInvite(tracker.invite)],
            version: 'bench',
            clock,
            log,
          });
          hosting = started.hosting;
          return started;
        },
      }),
    );
    return gateway.port;
  },
  /** One room of all: the owner makes moderators, and these invite the others. */
  gather: async (names: readonly string[]) => {
    const all = await Promise.all(names.map((name) => hosting?.open(name))).then((found) =>
      found.flatMap((each) => each ?? []),
    );
    const [owner, ...others] = all;
    if (!owner) throw new Error('nobody came');
    const moderators = others.slice(0, Math.ceil(others.length / INVITES_EACH));
    const { id } = await owner.backend.rooms.create('bench', { members: [], history: 'all' });
    for (const [n, each] of others.entries()) {
      const isModerator = n < moderators.length;
      const by = isModerator ? owner : (moderators[n % moderators.length] ?? owner);
      await by.backend.rooms.invite(id, each.handle, isModerator ? 'moderator' : 'member', {});
      await each.backend.rooms.join(id);
    }
  },
  end: () => opened.disposeAsync(),
});
