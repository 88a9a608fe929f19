/** Row "room": many members on as many nodes, over TLS on loopback, beside plain node:tls that tells as many the same bytes. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Child } from './child.ts';
import { Columns } from './columns.ts';
import type { Measured, Row } from './run.ts';

const MEMBERS = 100;
const MESSAGES = 200;
/** Processes among which the members are dealt, and of the reference. One member of each speaks. */
const PROCESSES = 4;
/** Messages of one speaker that lack somebody's word, at most. */
const WINDOW = 16;
/** Messages that are said one at a time. */
const ALONE = 20;
/** Bytes of one entry on the wire with its frame, and of the receipt that answers it. */
const [ENTRY_BYTES, RECEIPT_BYTES] = [620, 600];

const at = (sorted: number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;

const since = (start: number): number => (performance.now() - start) / 1000;

/** All at once. */
const all = <T>(children: readonly Child[], ask: (child: Child, index: number) => Promise<T>): Promise<T[]> =>
  Promise.all(children.map(ask));

async function spawn(program: string, count: number, args: string[], into: AsyncDisposableStack): Promise<Child[]> {
  return Array.from({ length: count }, () => into.use(new Child(join(import.meta.dirname, program), args)));
}

/** Deliveries in a second. */
async function reference(members: number, messages: number): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const children = await spawn('reference-fanout.ts', PROCESSES, [], stack);
  const ports = await all(children, (child, index) =>
    child.ask<number[]>('listen', share(members, index), ENTRY_BYTES, RECEIPT_BYTES),
  );
  // Each speaker tells all but one: itself.
  await all(children, (child, index) => child.ask('dial', ports.flat().toSpliced(share(members, 0) * index, 1)));
  const start = performance.now();
  await all(children, (child) =>
    child.ask('tell', Math.ceil(messages / PROCESSES), WINDOW, ENTRY_BYTES, RECEIPT_BYTES),
  );
  return (Math.ceil(messages / PROCESSES) * PROCESSES * (members - 1)) / since(start);
}

/** Of how many members the process at `index` takes care. */
const share = (members: number, index: number): number =>
  Math.floor(members / PROCESSES) + (index < members % PROCESSES ? 1 : 0);

async function ours(folder: string, members: number, messages: number, columns: Columns): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const [tracker] = await spawn('room-crowd.ts', 1, [folder], stack);
  if (!tracker) return;
  const children = await spawn('room-crowd.ts', PROCESSES, [folder], stack);
  const names = children.map((_, index) => Array.from({ length: share(members, index) }, (_, n) => `p${index}-${n}`));
  const invite = await tracker.ask<string>('tracker');
  const everybody = [tracker, ...children];
  const cpu = async (): Promise<number> =>
    (await all(everybody, (child) => child.cpuSeconds())).reduce((sum, seconds) => sum + seconds, 0);
  const say = (text: string): boolean => process.stderr.isTTY && process.stderr.write(`${text}\n`);

  let start = performance.now();
  await all(children, (child, index) => child.ask('up', names[index], invite));
  columns.note('nodes up, s', since(start));
  say(`up ${since(start)} s, CPU ${await cpu()} s`);

  const [founder = '', ...others] = names.flat();
  let used = await cpu();
  start = performance.now();
  const room = await (children[0] ?? tracker).ask<string>(
    'create',
    founder,
    'team',
    others.map((name) => `${name}@bench`),
  );
  columns.note('room made with all names, s', since(start));
  await all(children, (child) => child.ask('join', room));
  await all(children, (child) => child.ask('members', room, members));
  columns.note('everybody knows everybody, s', since(start));
  columns.note('set-up, CPU s', (await cpu()) - used);
  say(`set up ${since(start)} s`);

  await all(children, (child) => child.ask('listen'));
  const speak = (child: Child, index: number, count: number, window: number): Promise<void> =>
    child.ask('say', names[index]?.[0], room, count, window);
  const heard = async (): Promise<number[]> =>
    (await all(children, (child) => child.ask<number[]>('latencies'))).flat();
  start = performance.now();
  await all(children, (child, index) => speak(child, index, 1, 1)); // links are dialled
  columns.note('first messages, s', since(start));
  await heard();

  used = await cpu();
  start = performance.now();
  const each = Math.ceil(messages / PROCESSES);
  await all(children, (child, index) => speak(child, index, each, WINDOW));
  columns.note('deliveries/s', (each * PROCESSES * (members - 1)) / since(start));
  columns.note('CPU ms a delivery', (((await cpu()) - used) * 1000) / (each * PROCESSES * (members - 1)));
  const busy = (await heard()).sort((a, b) => a - b);
  columns.note('busy: call to event, p50, ms', at(busy, 0.5));
  columns.note('busy: call to event, p99, ms', at(busy, 0.99));

  for (let n = 0; n < ALONE / PROCESSES; n++) {
    for (const [index, child] of children.entries()) await speak(child, index, 1, 1);
  }
  const alone = (await heard()).sort((a, b) => a - b);
  columns.note('alone: call to event, p50, ms', at(alone, 0.5));
  columns.note('alone: call to event, p99, ms', at(alone, 0.99));
  columns.note('links', (await all(children, (child) => child.ask<number>('links'))).reduce((a, b) => a + b, 0) / 2);
  columns.note('peak MB a node', (await all(children, (child) => child.peakMB())).reduce((a, b) => a + b, 0) / members);
}

async function run({ runs, members = MEMBERS, messages = MESSAGES }: Parameters<Row['run']>[0]): Promise<Measured> {
  const columns = new Columns();
  for (let n = 0; n < runs; n++) {
    const folder = await mkdtemp(join(tmpdir(), 'netapp-bench-'));
    try {
      columns.note('node:tls fan-out, deliveries/s', await reference(members, messages));
      await ours(folder, members, messages, columns);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  return {
    what: `${members} members on as many nodes in ${PROCESSES} processes, ${messages} messages of ${PROCESSES} speakers, ${runs} runs, medians`,
    columns: columns.all,
    ratios: { 'deliveries, netapp / node:tls': ['deliveries/s', 'node:tls fan-out, deliveries/s'] },
  };
}

export const roomRow: Row = { name: 'room', run };
