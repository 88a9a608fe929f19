/** A tracker, or nodes of people in rooms, in a process of their own, over real TLS: what bench/catchup.ts measures. */
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { systemClock } from '../src/base/clock.ts';
import { Fault } from '../src/base/fault.ts';
import { silentLog } from '../src/base/log.ts';
import { Store } from '../src/base/sqlite.ts';
import { ChatService } from '../src/chat/service.ts';
import { parseInvite } from '../src/directory/invite.ts';
import { loadOrCreateKey } from '../src/link/identity.ts';
import { homePaths } from '../src/node/home.ts';
import { Node } from '../src/node/node.ts';
import { Tracker } from '../src/tracker/tracker.ts';
import { until } from '../test/testnet.ts';
import { answer } from './child.ts';

/** Entries that are written in one transaction. */
const BULK = 500;
const PATIENCE_MS = 600_000;

const [folder = ''] = process.argv.slice(2);
const running = new Map<string, Node>();
const delay = monitorEventLoopDelay({ resolution: 5 });
delay.enable();

function nodeOf(name: string): Node {
  const node = running.get(name);
  if (!node) throw new Error(`"${name}" does not run here`);
  return node;
}

const newestSeq = (name: string, room: string): number =>
  nodeOf(name).chat.list({ account: room, limit: 1 })[0]?.seq ?? 0;

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;

answer({
  tracker: async () => {
    const home = join(folder, 'tracker');
    const tracker = new Tracker({ home, host: '127.0.0.1', port: 0, zone: 'bench', log: silentLog() });
    await tracker.start();
    return tracker.invite;
  },
  up: async (name: string, invite: string) => {
    const home = join(folder, name);
    mkdirSync(home, { recursive: true });
    const node = await Node.start({
      home,
      handle: `${name}@bench`,
      host: '127.0.0.1',
      port: 0,
      trackers: [parseInvite(invite)],
      software: 'bench',
      clock: systemClock,
      log: silentLog(),
    });
    running.set(name, node);
    await node.directory.ready({ signal: AbortSignal.timeout(PATIENCE_MS) });
    return node.account;
  },
  down: async (name: string) => {
    await nodeOf(name)[Symbol.asyncDispose]();
    running.delete(name);
  },
  create: async (name: string, room: string, members: string[]) =>
    (await nodeOf(name).chat.rooms.create(room, { members })).id,
  join: async (name: string, room: string) => {
    await until(() => nodeOf(name).chat.rooms.has(room), Boolean);
    await nodeOf(name).chat.rooms.join(room);
  },
  members: async (name: string, room: string, count: number) => {
    await until(
      () => nodeOf(name).chat.rooms.show(room).members.length,
      (length) => length === count,
    );
  },
  /** Writes what a busy room says while its other members are away: the node is down, the service is its own. */
  fill: async (name: string, room: string, count: number) => {
    const paths = homePaths(join(folder, name));
    using store = new Store(paths.store);
    await using chat = new ChatService({
      account: await loadOrCreateKey(paths.accountKey),
      store,
      clock: systemClock,
      log: silentLog(),
      emit: () => {},
      reach: () => Promise.reject(new Fault('peer_unreachable', 'nobody is there while the log is filled')),
    });
    chat.start();
    for (let n = 0; n < count; n += BULK) {
      store.transaction(() => {
        for (let at = n; at < Math.min(n + BULK, count); at++) {
          chat.say(room, { text: `message ${at}: the build is green again, who takes the next one?` });
        }
      });
      await new Promise((done) => setImmediate(done));
    }
  },
  /** Unix ms at which the node has the room's first entries, and the one at `seq`. */
  caughtUp: async (name: string, room: string, seq: number) => {
    await until(
      () => nodeOf(name).peers.links.size,
      (size) => size > 0,
      PATIENCE_MS,
    );
    const from = Date.now();
    await until(
      () => newestSeq(name, room),
      (newest) => newest >= seq,
      PATIENCE_MS,
    );
    return { from, to: Date.now() };
  },
  storeBytes: (name: string) => {
    const { store } = homePaths(join(folder, name));
    return sizeOf(store) + sizeOf(`${store}-wal`);
  },
  rss: () => process.memoryUsage.rss(),
  watch: () => delay.reset(),
  /** Longest turn of the event loop since `watch`, in milliseconds. */
  blocked: () => delay.max / 1e6,
});
