/** Row "message": from the call at one agent to the event at the other, on loopback, beside a ping-pong on TLS. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createServer } from 'node:tls';
import { createIdentity } from '../src/link/certificate.ts';
import { Columns } from './columns.ts';
import { type MeasuredNode, startNodes } from './nodes.ts';
import type { Measured, Row } from './run.ts';

/** Messages that warm both sides up, and messages that count. */
const WARM = 200;
const COUNTED = 1000;

export const percentile = (sorted: number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;

async function ours(folder: string): Promise<number[]> {
  await using nodes = await startNodes(folder);
  const { alice, bob } = nodes;
  const stop = new AbortController();
  const seenAt = new Map<string, (at: number) => void>();
  /** Watches one side's events of a type; who waits for a text hears when it was there. */
  const watch = async (node: MeasuredNode, match: string): Promise<void> => {
    const { signal } = stop;
    for await (const { data } of await node.client.events.follow({ from: 0, match }, { signal })) {
      seenAt.get(`${match} ${data.text}`)?.(performance.now());
    }
  };
  const watching = [watch(bob, 'message.received'), watch(alice, 'message.delivered')].map((done) =>
    done.catch(() => {}),
  ); // end by our own signal
  const seen = (what: string): Promise<number> => new Promise((resolve) => seenAt.set(what, resolve));
  const times: number[] = [];
  for (let n = 0; n < WARM + COUNTED; n++) {
    const text = `message ${n}`;
    const [received, delivered] = [seen(`message.received ${text}`), seen(`message.delivered ${text}`)];
    const at = performance.now();
    await alice.client.messages.say({ handle: 'bob', text });
    const took = (await received) - at;
    await delivered;
    seenAt.clear();
    if (n >= WARM) times.push(took);
  }
  stop.abort();
  await Promise.all(watching);
  return times.sort((a, b) => a - b);
}

/** Round trips of 200 bytes on a TLS connection in this process. */
async function reference(): Promise<number[]> {
  const { key, cert } = await createIdentity();
  const server = createServer({ key: key.pem, cert, minVersion: 'TLSv1.3' }, (socket) =>
    socket.setNoDelay(true).pipe(socket),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const socket = connect({
    port: typeof address === 'object' && address ? address.port : 0,
    host: '127.0.0.1',
    rejectUnauthorized: false,
  });
  socket.setNoDelay(true);
  await new Promise((resolve) => socket.once('secureConnect', resolve));
  const times: number[] = [];
  const block = Buffer.alloc(200, 'x');
  for (let n = 0; n < WARM + COUNTED; n++) {
    const at = performance.now();
    socket.write(block);
    await new Promise((resolve) => socket.once('data', resolve));
    if (n >= WARM) times.push(performance.now() - at);
  }
  socket.destroy();
  server.close();
  return times.sort((a, b) => a - b);
}

async function run({ runs }: { runs: number }): Promise<Measured> {
  const columns = new Columns();
  for (let n = 0; n < runs; n++) {
    const folder = await mkdtemp(join(tmpdir(), 'netapp-bench-'));
    try {
      const best = await reference();
      columns.note('node:tls ping-pong p50, ms', percentile(best, 0.5));
      const times = await ours(folder);
      columns.note('message, call to event, p50, ms', percentile(times, 0.5));
      columns.note('message, call to event, p99, ms', percentile(times, 0.99));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  return {
    what: `${COUNTED} messages, each said when the one before was delivered, ${runs} runs, medians`,
    columns: columns.all,
    ratios: { 'p50, netapp / node:tls': ['message, call to event, p50, ms', 'node:tls ping-pong p50, ms'] },
  };
}

export const messageRow: Row = { name: 'message', run };
