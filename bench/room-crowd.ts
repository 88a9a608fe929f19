/** A tracker, or many people's nodes, in one process, over real TLS: what bench/room.ts measures. */
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { pino } from 'pino';
import { backendOf } from '../src/agent/backend.ts';
import { systemClock } from '../src/base/clock.ts';
import { parseInvite } from '../src/directory/invite.ts';
import { Node } from '../src/node/node.ts';
import { Tracker } from '../src/tracker/tracker.ts';
import { until } from '../test/testnet.ts';
import { answer } from './child.ts';

const PATIENCE_MS = 600_000;
/** Nodes that start at once. */
const STARTS = 4;

const [folder = ''] = process.argv.slice(2);
const crowd = new Map<string, Node>();
const calls: Record<string, number> = {};
const delay = monitorEventLoopDelay({ resolution: 5 });
delay.enable();

/** Counts the requests that links trace, and writes none of it. */
const log = pino({
  level: 'debug',
  hooks: {
    logMethod: ([first]) => {
      const traced: { wire?: string; method?: string } = Object(first);
      if (traced.wire === 'asked' && traced.method) calls[traced.method] = (calls[traced.method] ?? 0) + 1;
    },
  },
});

/** How the nodes are asked. */
const AS = { version: 'bench', clock: systemClock, log };

function nodeOf(name: string): Node {
  const node = crowd.get(name);
  if (!node) throw new Error(`"${name}" does not run here`);
  return node;
}

/** Milliseconds since 1970 with fractions: the same clock in every process of this machine. */
const now = (): number => performance.timeOrigin + performance.now();

/** What the people here have heard since `watch`. */
let latencies: number[] = [];
/** Who waits until all have one's message, by its text. */
const everybodyHas = new Map<string, () => void>();

async function listen(node: Node): Promise<void> {
  for await (const { type, data } of node.events.follow({ from: node.events.last, match: ['message.*'] })) {
    const text = String(data.text);
    if (type === 'message.received') latencies.push(now() - Number(text.split(' ')[0]));
    if (type === 'message.delivered') everybodyHas.get(text)?.();
  }
}

async function up(name: string, invite: string): Promise<string> {
  const node = await Node.start({
    home: join(folder, name),
    handle: `${name}@bench`,
    host: '127.0.0.1',
    port: 0,
    trackers: [parseInvite(invite)],
    software: 'bench',
    clock: systemClock,
    log,
  });
  crowd.set(name, node);
  await node.directory.ready({ signal: AbortSignal.timeout(PATIENCE_MS) });
  return node.account;
}

answer({
  tracker: async () => {
    const tracker = new Tracker({ home: join(folder, 'tracker'), host: '127.0.0.1', port: 0, zone: 'bench', log });
    await tracker.start();
    return tracker.invite;
  },
  up: async (names: string[], invite: string) => {
    const left = [...names];
    const work = async (): Promise<void> => {
      for (let name = left.shift(); name !== undefined; name = left.shift()) await up(name, invite);
    };
    await Promise.all(Array.from({ length: STARTS }, work));
  },
  /** As `netapp rooms create --members` does it. */
  create: async (name: string, room: string, handles: string[]) =>
    (await backendOf(nodeOf(name), AS).rooms.create(room, { history: 'all', members: handles })).id,
  /** Everybody here who is not in the room yet joins as soon as they are invited. */
  join: async (room: string) => {
    await Promise.all(
      [...crowd.values()].map(async ({ chat: { rooms } }) => {
        await until(() => rooms.has(room), Boolean, PATIENCE_MS);
        if (rooms.show(room).standing === 'invited') await rooms.join(room);
      }),
    );
  },
  /** Settles once everybody here knows that so many are in the room. */
  members: async (room: string, count: number) => {
    for (const { chat } of crowd.values()) {
      await until(
        () => chat.rooms.show(room).members.length,
        (length) => length === count,
        PATIENCE_MS,
      );
    }
  },
  listen: () => {
    for (const node of crowd.values()) void listen(node);
  },
  /** Says messages, `window` of which at most lack the word of a member. */
  say: async (name: string, room: string, count: number, window: number) => {
    const node = nodeOf(name);
    const { messages } = backendOf(node, AS);
    let left = count;
    const speak = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        const text = `${now()} the build is green again, who takes the next one?`;
        const done = new Promise<void>((resolve) => everybodyHas.set(text, resolve));
        await messages.say(room, text, {});
        await node.settled();
        await done;
        everybodyHas.delete(text);
      }
    };
    await Promise.all(Array.from({ length: window }, speak));
  },
  heard: () => latencies.length,
  /** Milliseconds from the call to each member's event, since this was last asked. */
  latencies: () => {
    const all = latencies;
    latencies = [];
    return all;
  },
  links: () => [...crowd.values()].reduce((sum, node) => sum + node.peers.links.size, 0),
  /** Requests of everybody here so far, by method, and bytes that went out on the links that stand. */
  calls: () => calls,
  bytes: () => [...crowd.values()].reduce((sum, node) => sum + node.links().reduce((n, l) => n + l.sentBytes, 0), 0),
  /** Longest turn of the event loop since this was last asked, in milliseconds. */
  blocked: () => {
    const longest = delay.max / 1e6;
    delay.reset();
    return longest;
  },
});
