/** Row "busy": a node that serves 8 files and fetches 8 at once, and what messages to it wait meanwhile. */
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { eventOf } from '../test/testnet.ts';
import { Columns } from './columns.ts';
import { makeFile } from './file.ts';
import { percentile } from './message.ts';
import { type MeasuredNode, startNet } from './nodes.ts';
import type { Measured, Row } from './run.ts';

const MiB = 1024 * 1024;
/** Each gives two files to the node that is measured, and takes two from it. */
const PEERS = ['ann', 'ben', 'cal', 'dan'];
const EACH = 2;

/** Offers a file; gives the id by which `to` accepts it. */
async function offer(from: MeasuredNode, to: MeasuredNode, handle: string, path: string): Promise<string> {
  const { hash } = await offered(from, (await from.client.files.send({ handle, path })).id);
  const event = await eventOf(to.client, 'file.offered', (data) => data.hash === hash && data.direction === 'in');
  return String(event.data.id);
}

async function offered(from: MeasuredNode, id: string): Promise<{ hash: string }> {
  for await (const { state, hash } of await from.client.files.follow({ id })) if (state === 'offered') return { hash };
  throw new Error('it was not offered');
}

async function fetched(node: MeasuredNode, id: string): Promise<void> {
  for await (const { error, state } of await node.client.files.get({ id })) {
    if (state === 'failed') throw new Error(error?.message);
  }
}

/** Says one message after another until `over`; gives the times from the call to the event at the other side. */
async function talk(from: MeasuredNode, to: MeasuredNode, handle: string, over: Promise<unknown>): Promise<number[]> {
  const stop = new AbortController();
  const seen = new Map<string, (at: number) => void>();
  const watching = (async () => {
    const events = await to.client.events.follow({ from: 0, match: 'message.received' }, { signal: stop.signal });
    for await (const { data } of events) seen.get(String(data.text))?.(performance.now());
  })().catch(() => {}); // ends by our own signal
  const times: number[] = [];
  let isOver = false;
  over.finally(() => (isOver = true)).catch(() => {});
  while (!isOver || times.length < 10) {
    const text = `message ${times.length}`;
    const received = new Promise<number>((resolve) => seen.set(text, resolve));
    const at = performance.now();
    await from.client.messages.say({ handle, text });
    times.push((await received) - at);
    seen.clear();
    await new Promise((done) => setTimeout(done, 5));
  }
  stop.abort();
  await watching;
  return times.sort((a, b) => a - b);
}

async function once(folder: string, size: number, columns: Columns): Promise<void> {
  await using net = await startNet(join(folder, 'net'), ['hub', ...PEERS]);
  const [hub, ...peers] = net.nodes;
  if (!hub) throw new Error('no hub');
  await hub.client.files.limits({ atOnce: PEERS.length * EACH });
  const moves: (() => Promise<void>)[] = [];
  let bytes = 0;
  for (const [n, peer] of peers.entries()) {
    for (let each = 0; each < EACH; each++) {
      const [up, down] = [join(folder, `up-${n}-${each}`), join(folder, `down-${n}-${each}`)];
      await makeFile(up, size + bytes);
      await makeFile(down, size + bytes + 1);
      bytes += 2; // no two are the same
      const taken = await offer(hub, peer, PEERS[n] ?? '', up);
      const given = await offer(peer, hub, 'hub', down);
      moves.push(
        () => fetched(peer, taken),
        () => fetched(hub, given),
      );
    }
  }
  const [first] = peers;
  if (!first) throw new Error('no peer');
  await talk(first, hub, 'hub', Promise.resolve()); // warms both up
  await hub.probe();
  const at = performance.now();
  const moving = Promise.all(moves.map((move) => move()));
  const times = await talk(first, hub, 'hub', moving);
  await moving;
  columns.note('in and out together, GB/s', (moves.length * size) / (performance.now() - at) / 1e6);
  const { p99Ms, longestMs } = await hub.probe();
  columns.note('event loop delay p99, ms', p99Ms);
  columns.note('event loop delay, longest, ms', longestMs);
  columns.note('message, call to event, p50, ms', percentile(times, 0.5));
  columns.note('message, call to event, p99, ms', percentile(times, 0.99));
  columns.note('peak MB', await hub.peakMB());
}

async function run({ runs, size: sizeMiB = 256 }: { runs: number; size: number | undefined }): Promise<Measured> {
  const columns = new Columns();
  for (let n = 0; n < runs; n++) {
    const folder = await mkdtemp('/dev/shm/netapp-bench-');
    try {
      await once(folder, sizeMiB * MiB, columns);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  return {
    what: `8 files of ${sizeMiB} MiB out and 8 in, with ${PEERS.length} peers, ${runs} runs, medians`,
    columns: columns.all,
    ratios: {},
  };
}

export const busyRow: Row = { name: 'busy', run };
