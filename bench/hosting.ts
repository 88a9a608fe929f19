/** Row "hosting": many accounts on one node, what each costs, and what a message to a room of them costs, told to a door. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Child } from './child.ts';
import { Columns } from './columns.ts';
import type { Measured, Row } from './run.ts';

const MEMBERS = 1000;
const MESSAGES = 5000;
/** Accounts that were opened once and are not here. */
const OFFLINE = 500;
/** Messages of one speaker that are not on the disk yet, at most; as many as the chat servers are measured with. */
const WINDOW = 64;

async function once(folder: string, members: number, messages: number, columns: Columns): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const program = join(import.meta.dirname, 'hosting-house.ts');
  const tracker = stack.use(new Child(program, [folder]));
  const house = stack.use(new Child(program, [folder]));
  await house.ask('up', await tracker.ask<string>('tracker'));
  const look = async () => ({
    node: await house.ask<{ rss: number; heapUsed: number }>('memory'),
    tracker: await tracker.ask<{ rss: number; heapUsed: number }>('memory'),
    cpu: await house.cpuSeconds(),
  });
  const costs = async (name: string, count: number, work: () => Promise<void>): Promise<void> => {
    const before = await look();
    await work();
    const after = await look();
    columns.note(`${name}, resident KiB each at the node`, (after.node.rss - before.node.rss) / count / 1024);
    columns.note(`${name}, heap KiB each at the node`, (after.node.heapUsed - before.node.heapUsed) / count / 1024);
    columns.note(`${name}, resident KiB each at the tracker`, (after.tracker.rss - before.tracker.rss) / count / 1024);
    columns.note(`${name}, CPU ms each at the node`, ((after.cpu - before.cpu) * 1000) / count);
  };
  await house.ask('open', 20, false); // code is loaded and compiled
  await costs('offline', OFFLINE, () => house.ask('open', OFFLINE + 20, false));
  await costs('online', members, () => house.ask('open', members, true));
  const room = await house.ask<string>('room', members);
  for (const speakers of [1, 4]) {
    await house.ask('say', room, Math.ceil(messages / 10), speakers, WINDOW);
    const used = await house.cpuSeconds();
    const start = performance.now();
    const told = await house.ask<number>('say', room, messages, speakers, WINDOW);
    const [seconds, cpu] = [(performance.now() - start) / 1000, (await house.cpuSeconds()) - used];
    columns.note(`${speakers} speaking, M deliveries/s`, told / seconds / 1e6);
    columns.note(`${speakers} speaking, M deliveries a CPU s`, told / cpu / 1e6);
    columns.note(`${speakers} speaking, CPU µs a message`, (cpu * 1e6) / messages);
  }
}

async function run({ runs, members = MEMBERS, messages = MESSAGES }: Parameters<Row['run']>[0]): Promise<Measured> {
  const columns = new Columns();
  for (let n = 0; n < runs; n++) {
    const folder = await mkdtemp(join(tmpdir(), 'netapp-bench-'));
    try {
      await once(folder, members, messages, columns);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  return { what: `${members} members, ${messages} messages, ${runs} runs`, columns: columns.all, ratios: {} };
}

export const hostingRow: Row = { name: 'hosting', run };
