/** Row "requests": 1,000 requests at once from 50 clients, and reads over the socket beside a plain `node:http` server. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../test/testnet.ts';
import { Child } from './child.ts';
import { Columns } from './columns.ts';
import { type MeasuredNode, startNodes } from './nodes.ts';
import type { Measured, Row } from './run.ts';

const CLIENTS = 50;
const EACH = 20;
/** Connections that read at once. */
const READERS = 16;
/** Milliseconds that all of it may take on a busy machine. */
const MOST_MS = 60_000;
const PROGRAM = join(import.meta.dirname, 'requests-load.ts');

type Reads = { seconds: number; last: string };

const percentile = (times: number[], share: number): number =>
  times.toSorted((a, b) => a - b)[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0;

/** All at once; nothing may be lost, and nothing done twice. */
async function atOnce(alice: MeasuredNode, load: Child, socket: string, as: 'say' | 'job', columns: Columns) {
  const label = as === 'say' ? 'messages said at once' : 'jobs asked for at once';
  const at = performance.now();
  const { times, failed } = await load.ask<{ times: number[]; failed: string[] }>('atOnce', socket, CLIENTS, EACH, as);
  if (failed.length > 0) throw new Error(`${failed.length} requests were lost: ${failed[0]}`);
  for (const state of ['queued', 'running'] as const) {
    await until(
      () => alice.client.jobs.list({ state, limit: 1 }),
      (jobs) => jobs.length === 0,
      MOST_MS,
    );
  }
  columns.note(`${label}, all done, ms`, performance.now() - at);
  const said = (await alice.client.messages.list({ limit: 1000 })).map(({ text }) => text);
  const own = new Set(said.filter((text) => text.startsWith(`${as} `)));
  if (own.size !== CLIENTS * EACH) throw new Error(`of ${CLIENTS * EACH} only ${own.size} are there`);
  columns.note(`${label}, p50, ms`, percentile(times, 0.5));
  columns.note(`${label}, p99, ms`, percentile(times, 0.99));
}

async function once(folder: string, count: number, columns: Columns): Promise<void> {
  await using nodes = await startNodes(folder);
  await using load = new Child(PROGRAM);
  await using plain = new Child(PROGRAM);
  const { alice } = nodes;
  const socket = join(folder, 'alice', 'agent.sock');
  await atOnce(alice, load, socket, 'say', columns);
  await atOnce(alice, load, socket, 'job', columns);
  columns.note('peak memory of the agent, MB', await alice.peakMB());

  // What is still being delivered would be counted with the reads.
  await until(
    () => alice.client.status.show(),
    ({ queue }) => queue.messages === 0,
    MOST_MS,
  );
  const [message] = await alice.client.messages.list({ limit: 1 });
  const path = `/v1/messages/${message?.id}`;
  const { last } = await load.ask<Reads>('reads', socket, path, Math.ceil(count / 4), READERS); // warms it up
  const before = await alice.probe();
  const ours = await load.ask<Reads>('reads', socket, path, count, READERS);
  const after = await alice.probe();
  columns.note('reads/s', count / ours.seconds);
  columns.note('reads/s of processor time', count / (after.cpuSeconds - before.cpuSeconds));

  const reference = join(folder, 'plain.sock');
  await plain.ask('serve', reference, last);
  await load.ask<Reads>('reads', reference, path, Math.ceil(count / 4), READERS);
  const cpu = await plain.cpuSeconds();
  const theirs = await load.ask<Reads>('reads', reference, path, count, READERS);
  columns.note('node:http answering the same bytes/s', count / theirs.seconds);
  columns.note('node:http, /s of processor time', count / ((await plain.cpuSeconds()) - cpu));
}

async function run({ runs, size }: { runs: number; size: number | undefined }): Promise<Measured> {
  const columns = new Columns();
  const count = (size ?? 20) * 1000;
  for (let n = 0; n < runs; n++) {
    const folder = await mkdtemp(join(tmpdir(), 'netapp-bench-'));
    try {
      await once(folder, count, columns);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  return {
    what: `${CLIENTS} clients with ${EACH} requests each at once, then ${count} reads of a message over the socket on ${READERS} connections, ${runs} runs, medians`,
    columns: columns.all,
    ratios: {
      'reads, netapp / node:http': ['reads/s of processor time', 'node:http, /s of processor time'],
    },
  };
}

export const requestsRow: Row = { name: 'requests', run };
