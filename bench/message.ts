/** Row "message": from the call at one agent to the event at the other, on loopback, beside a ping-pong on TLS. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createServer } from 'node:tls';
import { createIdentity } from '../src/link/certificate.ts';
import { startNodes } from './nodes.ts';
import type { Measured, Row } from './run.ts';

/** Messages that warm both sides up, and messages that count. */
const WARM = 200;
const COUNTED = 1000;

const percentile = (sorted: number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;

async function ours(folder: string): Promise<number[]> {
  await using nodes = await startNodes(folder);
  const { alice, bob } = nodes;
  const stop = new AbortController();
  const arrived = new Map<string, (at: number) => void>();
  const following = (async () => {
    for await (const { data } of await bob.client.events.follow(
      { from: 0, match: 'message.received' },
      { signal: stop.signal },
    )) {
      arrived.get(String(data.text))?.(performance.now());
    }
  })().catch(() => {}); // ends by our own signal
  const times: number[] = [];
  for (let n = 0; n < WARM + COUNTED; n++) {
    const text = `message ${n}`;
    const seen = new Promise<number>((resolve) => arrived.set(text, resolve));
    const at = performance.now();
    await alice.client.messages.say({ handle: 'bob', text });
    const took = (await seen) - at;
    arrived.delete(text);
    if (n >= WARM) times.push(took);
  }
  stop.abort();
  await following;
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
  const columns: Record<string, number[]> = {};
  const note = (name: string, value: number): void => {
    columns[name] = [...(columns[name] ?? []), value];
  };
  for (let n = 0; n < runs; n++) {
    const folder = await mkdtemp(join(tmpdir(), 'netapp-bench-'));
    try {
      const best = await reference();
      note('node:tls ping-pong p50, ms', percentile(best, 0.5));
      const times = await ours(folder);
      note('message, call to event, p50, ms', percentile(times, 0.5));
      note('message, call to event, p99, ms', percentile(times, 0.99));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  return {
    what: `${COUNTED} messages one after the other, ${runs} runs, medians`,
    columns,
    ratios: { 'p50, netapp / node:tls': ['message, call to event, p50, ms', 'node:tls ping-pong p50, ms'] },
  };
}

export const messageRow: Row = { name: 'message', run };
