/** Row "one file": memory disk to memory disk, until verified and named, between two processes. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { eventOf } from '../test/testnet.ts';
import { Child } from './child.ts';
import { Columns } from './columns.ts';
import { type Probe, startNodes } from './nodes.ts';
import type { Measured, Row } from './run.ts';

const MiB = 1024 * 1024;
const GiB = 1024 * MiB;
const MEMORY_DISK = '/dev/shm';
const program = (name: string): string => join(import.meta.dirname, name);

export async function ours(home: string, source: string, size: number) {
  await using nodes = await startNodes(home);
  const { alice, bob } = nodes;
  await Promise.all([alice.probe(), bob.probe()]);
  const sentAt = performance.now();
  const sent = await alice.client.files.send({ handle: 'bob', path: source });
  const offer = await eventOf(bob.client, 'file.offered', () => true);
  const hashing = performance.now() - sentAt;
  await warm(home, size);
  const before = await Promise.all([alice.probe(), bob.probe()]);
  const acceptedAt = performance.now();
  let path = '';
  for await (const snapshot of await bob.client.files.get({ id: String(offer.data.id) })) {
    path = snapshot.path;
    if (snapshot.error) throw new Error(`the transfer failed: ${snapshot.error.message}`);
  }
  const doneAt = performance.now();
  if ((await stat(path)).size !== size) throw new Error('the file that came is not as long');
  const after = await Promise.all([alice.probe(), bob.probe()]);
  if ((await alice.client.files.show({ id: sent.id })).size !== size) throw new Error('another file was sent');
  const cpu = (probes: Probe[]): number => probes.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0);
  const longest = (n: 0 | 1): number => Math.max(before[n].longestMs, after[n].longestMs);
  return {
    cpu: (cpu(after) - cpu(before)) / (size / GiB),
    accepted: size / (doneAt - acceptedAt) / 1e6,
    sent: size / (hashing + doneAt - acceptedAt) / 1e6,
    senderMB: await alice.peakMB(),
    receiverMB: await bob.peakMB(),
    senderBlocked: longest(0),
    receiverBlocked: longest(1),
  };
}

/**
 * Writes as much and removes it, so that both find the same memory: on a virtual machine, pages that were free for a
 * while go back to the host, and to get them again can cost more than the transfer itself.
 */
export async function warm(home: string, size: number): Promise<void> {
  const path = join(home, 'warm.bin');
  await makeFile(path, size);
  await rm(path);
}

async function reference(home: string, source: string, size: number): Promise<{ rate: number; cpu: number }> {
  await using server = new Child(program('reference-tls.ts'));
  await using client = new Child(program('reference-tls.ts'));
  const port = await server.ask<number>('serve', source, size);
  const cpu = async (): Promise<number> => (await server.cpuSeconds()) + (await client.cpuSeconds());
  await warm(home, size);
  const cpuBefore = await cpu();
  const at = performance.now();
  await client.ask('fetch', port, join(home, 'reference.bin'), size);
  const rate = size / (performance.now() - at) / 1e6;
  return { rate, cpu: ((await cpu()) - cpuBefore) / (size / GiB) };
}

export async function makeFile(path: string, size: number): Promise<void> {
  const handle = await open(path, 'w');
  const block = randomBytes(16 * MiB);
  for (let at = 0; at < size; at += block.length) {
    block.writeDoubleLE(at, 0);
    await handle.write(block, 0, Math.min(block.length, size - at), at);
  }
  await handle.close();
}

async function run({ runs, size: sizeMiB = 2048 }: { runs: number; size: number | undefined }): Promise<Measured> {
  const home = await mkdtemp(join(MEMORY_DISK, 'netapp-bench-'));
  const size = sizeMiB * MiB;
  const source = join(home, 'source.bin');
  const columns = new Columns();
  try {
    await makeFile(source, size);
    for (let n = 0; n < runs; n++) {
      const place = join(home, `run${n}`);
      const best = await reference(home, source, size);
      columns.note('node:tls + BLAKE3, GB/s', best.rate);
      columns.note('node:tls + BLAKE3, CPU s/GiB', best.cpu);
      await rm(join(home, 'reference.bin'));
      const figures = await ours(place, source, size);
      await rm(place, { recursive: true });
      columns.note('netapp, accept to verified, GB/s', figures.accepted);
      columns.note('netapp, send (with hashing) to verified, GB/s', figures.sent);
      columns.note('netapp, accept to verified, CPU s/GiB', figures.cpu);
      columns.note('sender, peak MB', figures.senderMB);
      columns.note('receiver, peak MB', figures.receiverMB);
      columns.note('sender, longest block, ms', figures.senderBlocked);
      columns.note('receiver, longest block, ms', figures.receiverBlocked);
    }
  } finally {
    await rm(home, { recursive: true, force: true });
  }
  const [tls] = Object.keys(columns.all);
  return {
    what: `${sizeMiB} MiB, ${runs} runs, medians`,
    columns: columns.all,
    ratios: {
      'CPU, netapp / node:tls': ['netapp, accept to verified, CPU s/GiB', 'node:tls + BLAKE3, CPU s/GiB'],
      'netapp / node:tls': ['netapp, accept to verified, GB/s', tls ?? ''],
    },
  };
}

export const fileRow: Row = { name: 'file', run };
