/**
 * Row "im": one room, everybody in it a client of the classic protocol, beside chat servers and a message bus that get the same
 * load from the same program. The others keep nothing of what is said; the door signs each message and has it on the disk first.
 */
import { resolve } from 'node:path';
import { Child } from './child.ts';
import { Columns } from './columns.ts';
import { beside, type ChatServer, type Contender, contenders, cpuSecondsOf, residentBytesOf } from './im-servers.ts';
import type { Measured, Row } from './run.ts';

const SPEAKERS = [1, 4];
/** Deliveries of one run, about, which takes a second or two; and messages at 200 a second: two seconds of them. */
const DELIVERIES = 4_000_000;
const PACED = 400;
const PACE_MS = 5;
const IDLE = 10_000;
/** Times in a run that each has a room, one after the other: of one quarter of an hour to the next the machine's speed differs by a third. */
const TURNS = 3;
/** Milliseconds of silence after which idle clients are measured: what was needed to let them in is given back by then. */
const RESTED_MS = 10_000;

type Sizes = { runs: number } & Record<'members' | 'messages' | 'size' | 'window', number | undefined>;

/**
 * `members`: of the larger room (1000; the smaller has a tenth); `messages` of a run; `window`: of them that are under way at once;
 * `size`: idle clients.
 */
async function run({ runs, members = 1000, messages, size = IDLE, window = 64 }: Sizes): Promise<Measured> {
  const columns = new Columns();
  const rooms = [Math.max(2, Math.round(members / 10)), members];
  for (const count of rooms) {
    const flood = { members: count, messages: messages ?? Math.ceil(DELIVERIES / count), window };
    for (let turn = 0; turn < runs * TURNS; turn++) {
      for (const contender of contenders) await room(columns, contender, flood);
    }
  }
  for (let n = 0; n < runs; n++) {
    for (const contender of contenders) await idle(columns, contender, size);
  }
  const compared = rooms.flatMap((count) =>
    SPEAKERS.flatMap((speakers) =>
      ['deliveries/s', 'server CPU us a delivery'].map((what) => [roomName(count, speakers), what] as const),
    ),
  );
  return {
    what: `rooms of ${rooms.join(' and ')}, window ${window}, ${size} idle clients, ${runs} runs of ${TURNS} turns, medians`,
    columns: columns.all,
    ratios: Object.fromEntries(
      contenders
        .filter(({ name }) => name !== 'netapp')
        .flatMap(({ name }) =>
          compared.map(([room, what]): [string, [string, string]] => [
            `${room}, ${what}: netapp / ${name}`,
            [`netapp, ${room}, ${what}`, `${name}, ${room}, ${what}`],
          ]),
        ),
    ),
  };
}

const roomName = (members: number, speakers: number): string =>
  `${members} receivers, ${speakers} sender${speakers > 1 ? 's' : ''}`;

async function room(
  columns: Columns,
  contender: Contender,
  flood: Record<'members' | 'messages' | 'window', number>,
): Promise<void> {
  const { name, kind } = contender;
  const { members, messages, window } = flood;
  await beside(contender, async (server) => {
    await using load = new Child(resolve(import.meta.dirname, 'im-load.ts'));
    const names = await load.ask<string[]>('come', kind, server.port, members);
    await server.gather?.(names);
    const { deliveries } = await load.ask<{ deliveries: number }>('start', kind);
    await load.ask('flood', 1, messages, window); // what is compiled as it runs is compiled now, and not counted: for all alike
    for (const speakers of SPEAKERS) {
      const what = `${name}, ${roomName(members, speakers)}`;
      const [atServer, atLoad] = [await cpuSecondsOf(server.pid), await load.cpuSeconds()];
      const seconds = await load.ask<number>('flood', speakers, messages, window);
      const all = deliveries * messages;
      columns.note(`${what}, deliveries/s`, all / seconds);
      columns.note(`${what}, server CPU us a delivery`, (1e6 * ((await cpuSecondsOf(server.pid)) - atServer)) / all);
      columns.note(`${what}, load CPU us a delivery`, (1e6 * ((await load.cpuSeconds()) - atLoad)) / all);
    }
    const { p50, p99 } = await load.ask<{ p50: number; p99: number }>('pace', 4, PACED, PACE_MS);
    columns.note(`${name}, ${members} receivers, 200 messages/s, p50 ms`, p50);
    columns.note(`${name}, ${members} receivers, 200 messages/s, p99 ms`, p99);
    await load.ask('end');
  });
}

async function idle(columns: Columns, contender: Contender, count: number): Promise<void> {
  await beside(contender, async (server: ChatServer) => {
    await using load = new Child(resolve(import.meta.dirname, 'im-load.ts'));
    const before = await residentBytesOf(server.pid);
    await load.ask('idle', contender.kind, server.port, count);
    await new Promise((done) => setTimeout(done, RESTED_MS));
    columns.note(`${contender.name}, idle client, KiB`, ((await residentBytesOf(server.pid)) - before) / count / 1024);
    await load.ask('end');
  });
}

export const imRow: Row = { name: 'im', run };
