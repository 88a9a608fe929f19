/** Row "resume": the receiver is killed half-way; how long until bytes flow again, and what is moved twice. */
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { eventOf } from '../test/testnet.ts';
import { Columns } from './columns.ts';
import { makeFile } from './file.ts';
import { startNet } from './nodes.ts';
import type { Measured, Row } from './run.ts';

const MiB = 1024 * 1024;

async function once(folder: string, size: number, columns: Columns): Promise<void> {
  const source = join(folder, 'source.bin');
  await makeFile(source, size);
  await using net = await startNet(join(folder, 'net'), ['alice', 'bob']);
  const [alice, bob] = net.nodes;
  if (!alice || !bob) throw new Error('two were started');
  await alice.client.files.send({ handle: 'bob', path: source });
  const offer = await eventOf(bob.client, 'file.offered', () => true);
  const id = String(offer.data.id);
  const before = await alice.readBytes();
  // So that half of a small file, too, is seen before it is over.
  await bob.client.files.limit({ id, rate: Math.round(size / 4) });
  await bob.client.files.accept({ id });
  for await (const { progress } of await bob.client.files.follow({ id })) if (progress >= size / 2) break;
  await bob.kill();
  const at = performance.now();
  const again = await net.startNode('bob');
  const upAt = performance.now();
  const kept = (await again.client.files.show({ id })).progress;
  for await (const { progress, state } of await again.client.files.follow({ id })) {
    if (progress > kept || state === 'done') break;
  }
  const flowsAt = performance.now();
  columns.note('kill to agent up, ms', upAt - at);
  columns.note('agent up to a new chunk verified, ms', flowsAt - upAt);
  await again.client.files.limit({ id, rate: null });
  for await (const { state, error } of await again.client.files.follow({ id })) {
    if (state === 'failed') throw new Error(error?.message);
  }
  columns.note('read at the holder beyond the file, MiB', ((await alice.readBytes()) - before - size) / MiB);
}

async function run({ runs, size: sizeMiB = 2048 }: { runs: number; size: number | undefined }): Promise<Measured> {
  const columns = new Columns();
  for (let n = 0; n < runs; n++) {
    const folder = await mkdtemp('/dev/shm/netapp-bench-');
    try {
      await once(folder, sizeMiB * MiB, columns);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  return { what: `${sizeMiB} MiB, killed at a half, ${runs} runs, medians`, columns: columns.all, ratios: {} };
}

export const resumeRow: Row = { name: 'resume', run };
