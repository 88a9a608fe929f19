/** Row "one file": memory disk to memory disk, until verified and named, between two processes. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Child } from './child.ts';
import type { Measured, Row } from './run.ts';

const MiB = 1024 * 1024;
const GiB = 1024 * MiB;
const MEMORY_DISK = '/dev/shm';
const program = (name: string): string => join(import.meta.dirname, name);

/** What the row needs of a node: whoever fulfils this can be measured. */
type FilePeer = {
  /** Hashes and offers the file, and gives the offer as it would come to the other side. */
  send(path: string): Promise<unknown[]>;
  /** Takes an offer; gives its id. */
  take(offer: unknown[]): Promise<string>;
  /** Accepts, and settles when the file has its name; gives its path. */
  accept(id: string): Promise<string>;
  watch(): Promise<void>;
  blockedMs(): Promise<number>;
  cpuSeconds(): Promise<number>;
  peakMB(): Promise<number>;
};

function peerOf(child: Child): FilePeer {
  return {
    send: async (path) => {
      const { entryId, ticket } = await child.ask<{ entryId: string; ticket: unknown }>('send', path);
      return [entryId, ticket];
    },
    take: (offer) => child.ask<string>('take', ...offer),
    accept: (id) => child.ask<string>('accept', id),
    watch: () => child.ask('watch'),
    blockedMs: () => child.ask<number>('blocked'),
    cpuSeconds: () => child.cpuSeconds(),
    peakMB: () => child.peakMB(),
  };
}

/** Two processes that know each other. */
async function twoPeers(home: string): Promise<{ alice: FilePeer; bob: FilePeer } & AsyncDisposable> {
  const [a, b] = [new Child(program('peer.ts'), [join(home, 'a')]), new Child(program('peer.ts'), [join(home, 'b')])];
  await a.ask('meet', await b.ask('who'));
  await b.ask('meet', await a.ask('who'));
  return {
    alice: peerOf(a),
    bob: peerOf(b),
    [Symbol.asyncDispose]: async () => {
      await a[Symbol.asyncDispose]();
      await b[Symbol.asyncDispose]();
    },
  };
}

async function ours(home: string, source: string, size: number) {
  await using peers = await twoPeers(home);
  const { alice, bob } = peers;
  await Promise.all([alice.watch(), bob.watch()]);
  const sentAt = performance.now();
  const offer = await alice.send(source);
  const cpu = async (): Promise<number> => (await alice.cpuSeconds()) + (await bob.cpuSeconds());
  const hashing = performance.now() - sentAt;
  await warm(home, size);
  const cpuBefore = await cpu();
  const acceptedAt = performance.now();
  const path = await bob.accept(await bob.take(offer));
  const doneAt = performance.now();
  if ((await stat(path)).size !== size) throw new Error('the file that came is not as long');
  return {
    cpu: ((await cpu()) - cpuBefore) / (size / GiB),
    accepted: size / (doneAt - acceptedAt) / 1e6,
    sent: size / (hashing + doneAt - acceptedAt) / 1e6,
    senderMB: await alice.peakMB(),
    receiverMB: await bob.peakMB(),
    senderBlocked: await alice.blockedMs(),
    receiverBlocked: await bob.blockedMs(),
  };
}

/**
 * Writes as much and removes it, so that both find the same memory: on a virtual machine, pages that were free for a
 * while go back to the host, and to get them again can cost more than the transfer itself.
 */
async function warm(home: string, size: number): Promise<void> {
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

async function makeFile(path: string, size: number): Promise<void> {
  const handle = await open(path, 'w');
  const block = randomBytes(16 * MiB);
  for (let at = 0; at < size; at += block.length) {
    block.writeDoubleLE(at, 0);
    await handle.write(block, 0, Math.min(block.length, size - at), at);
  }
  await handle.close();
}

async function run({ runs, sizeMiB }: { runs: number; sizeMiB: number }): Promise<Measured> {
  const home = await mkdtemp(join(MEMORY_DISK, 'netapp-bench-'));
  const size = sizeMiB * MiB;
  const source = join(home, 'source.bin');
  const columns: Record<string, number[]> = {};
  const note = (name: string, value: number): void => {
    columns[name] = [...(columns[name] ?? []), value];
  };
  try {
    await makeFile(source, size);
    for (let n = 0; n < runs; n++) {
      const place = join(home, `run${n}`);
      const best = await reference(home, source, size);
      note('node:tls + BLAKE3, GB/s', best.rate);
      note('node:tls + BLAKE3, CPU s/GiB', best.cpu);
      await rm(join(home, 'reference.bin'));
      const figures = await ours(place, source, size);
      await rm(place, { recursive: true });
      note('netapp, accept to verified, GB/s', figures.accepted);
      note('netapp, send (with hashing) to verified, GB/s', figures.sent);
      note('netapp, accept to verified, CPU s/GiB', figures.cpu);
      note('sender, peak MB', figures.senderMB);
      note('receiver, peak MB', figures.receiverMB);
      note('sender, longest block, ms', figures.senderBlocked);
      note('receiver, longest block, ms', figures.receiverBlocked);
    }
  } finally {
    await rm(home, { recursive: true, force: true });
  }
  const [tls] = Object.keys(columns);
  return {
    what: `${sizeMiB} MiB, ${runs} runs, medians`,
    columns,
    ratios: {
      'CPU, netapp / node:tls': ['netapp, accept to verified, CPU s/GiB', 'node:tls + BLAKE3, CPU s/GiB'],
      'netapp / node:tls': ['netapp, accept to verified, GB/s', tls ?? ''],
    },
  };
}

export const fileRow: Row = { name: 'file', run };
