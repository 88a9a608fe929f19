/** A tracker, or a gateway's node with all that it hosts, as one program of row "hosting". */
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { openHosting } from '../src/agent/hosting.ts';
import type { Hosted, Hosting } from '../src/api/hosting.ts';
import { systemClock } from '../src/base/clock.ts';
import { silentLog } from '../src/base/log.ts';
import { parseInvite } from '../src/directory/invite.ts';
import { Node } from '../src/node/node.ts';
import { Tracker } from '../src/tracker/tracker.ts';
import { answer } from './child.ts';

const [folder = ''] = process.argv.slice(2);
const quiet = { clock: systemClock, log: silentLog() };
/** Accounts that are opened at once. */
const AT_ONCE = 50;
/** A tracker takes 100 invitations of one account at once, and then 30 a minute. */
const INVITES_EACH = 90;

setFlagsFromString('--expose-gc');
const collect: () => void = runInNewContext('gc');

let hosting: Hosting | undefined;
let heard = 0;
const accounts: Hosted[] = [];

const at = <T>(list: readonly T[], index: number): T => {
  const found = list[index % list.length];
  if (found === undefined) throw new Error('nobody is here');
  return found;
};

answer({
  async tracker() {
    const tracker = new Tracker({
      home: join(folder, 'tracker'),
      host: '127.0.0.1',
      port: 0,
      zone: 'bench',
      log: quiet.log,
    });
    await tracker.start();
    return tracker.invite;
  },

  async up(invite: string) {
    const trackers = [parseInvite(invite)];
    const home = join(folder, 'gateway');
    const node = await Node.start({
      home,
      handle: 'gateway@bench',
      host: '127.0.0.1',
      port: 0,
      trackers,
      software: 'bench',
      ...quiet,
    });
    await node.directory.ready();
    hosting = await openHosting(node, quiet);
    hosting.on((event) => {
      if (event.type === 'message') heard += event.to.length - 1;
    });
  },

  async open(count: number, online: boolean) {
    for (let first = 0; first < count; first += AT_ONCE) {
      const names = Array.from(
        { length: Math.min(AT_ONCE, count - first) },
        (_, n) => `${online ? 'on' : 'off'}${first + n}`,
      );
      await Promise.all(
        names.map(async (name) => {
          const account = await hosting?.open(name);
          if (!account || !online) return account?.setOffline();
          await account.setOnline('online', '');
          accounts.push(account);
        }),
      );
    }
  },

  /** Resident bytes, and bytes of objects, after a collection. */
  memory() {
    collect();
    const { rss, heapUsed } = process.memoryUsage();
    return { rss, heapUsed };
  },

  async room(members: number) {
    const owner = at(accounts, 0);
    const room = await owner.backend.rooms.create('bench', { members: [], history: 'all' });
    const hosts = 1 + Math.ceil(members / INVITES_EACH);
    for (let n = 1; n < members; n++) {
      const [by, role] =
        n < hosts ? [owner, 'moderator' as const] : [at(accounts.slice(1, hosts), n), 'member' as const];
      const each = at(accounts, n);
      await by.backend.rooms.invite(room.id, each.handle, role, {});
      await each.backend.rooms.join(room.id);
    }
    return room.id;
  },

  /** Gives how many deliveries were told. */
  async say(room: string, count: number, speakers: number, window: number) {
    heard = 0;
    const text = 'x'.repeat(64);
    let left = count;
    const speak = async (who: Hosted): Promise<void> => {
      while (left-- > 0) await who.say(room, text);
    };
    await Promise.all(Array.from({ length: window }, (_, n) => speak(at(accounts.slice(0, speakers), n))));
    return heard;
  },
});
