/** Row "many small files": a folder of files of 4 KiB, memory disk to memory disk, until verified and named. */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { eventOf } from '../test/testnet.ts';
import { Child } from './child.ts';
import { Columns } from './columns.ts';
import { isHere, sshd } from './contenders.ts';
import { startNodes } from './nodes.ts';
import type { Measured, Row } from './run.ts';

const FILE_BYTES = 4096;
const FILES_IN_FOLDER = 1000;
const MEMORY_DISK = '/dev/shm';

function makeFiles(root: string, count: number): void {
  for (let n = 0; n < count; n++) {
    const folder = join(root, `folder-${Math.floor(n / FILES_IN_FOLDER)}`);
    if (n % FILES_IN_FOLDER === 0) mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `file-${n}.bin`), randomBytes(FILE_BYTES));
  }
}

async function countFiles(root: string): Promise<number> {
  return (await readdir(root, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile()).length;
}

async function ours(home: string, source: string, count: number) {
  await using nodes = await startNodes(home);
  const { alice, bob } = nodes;
  await Promise.all([alice.probe(), bob.probe()]);
  const sentAt = performance.now();
  await alice.client.files.send({ handle: 'bob', path: source });
  const offer = await eventOf(bob.client, 'file.offered', () => true);
  const acceptedAt = performance.now();
  let path = '';
  for await (const snapshot of await bob.client.files.get({ id: String(offer.data.id) })) {
    path = snapshot.path;
    if (snapshot.error) throw new Error(`the transfer failed: ${snapshot.error.message}`);
  }
  const doneAt = performance.now();
  if ((await countFiles(path)) !== count) throw new Error('not all files came');
  const [sender, receiver] = await Promise.all([alice.probe(), bob.probe()]);
  return {
    hashing: (count * 1000) / (acceptedAt - sentAt),
    accepted: (count * 1000) / (doneAt - acceptedAt),
    sent: (count * 1000) / (doneAt - sentAt),
    cpu: ((sender.cpuSeconds + receiver.cpuSeconds) * 1e6) / count,
    senderMB: await alice.peakMB(),
    receiverMB: await bob.peakMB(),
    senderBlocked: sender.longestMs,
    receiverBlocked: receiver.longestMs,
    senderP99: sender.p99Ms,
    receiverP99: receiver.p99Ms,
  };
}

async function tarred(home: string, source: string, count: number): Promise<number> {
  await using server = new Child(join(import.meta.dirname, 'reference-tar.ts'));
  await using client = new Child(join(import.meta.dirname, 'reference-tar.ts'));
  const port = await server.ask<number>('serve', source);
  const target = join(home, 'tarred');
  await mkdir(target);
  const at = performance.now();
  await client.ask('fetch', port, target);
  const rate = (count * 1000) / (performance.now() - at);
  if ((await countFiles(target)) !== count) throw new Error('tar lost files');
  await rm(target, { recursive: true });
  return rate;
}

/** What people type: programs that copy a folder, by a shell's line with SOURCE, TARGET and SSH in its environment. */
const TYPED = [
  { name: 'rsync -a, unencrypted, files/s', needs: ['rsync'], line: 'rsync -a "$SOURCE/" "$TARGET/"' },
  {
    name: 'rsync -a over ssh, files/s',
    needs: ['rsync', 'ssh', '/usr/sbin/sshd'],
    line: 'rsync -a -e "$SSH" "127.0.0.1:$SOURCE/" "$TARGET/"',
  },
  {
    name: 'ssh tar | tar, files/s',
    needs: ['tar', 'ssh', '/usr/sbin/sshd'],
    line: '$SSH 127.0.0.1 "tar -C $SOURCE -cf - ." | tar -C "$TARGET" -xf -',
  },
] as const;

/** Files a second of each that is installed. */
async function typed(home: string, source: string, count: number, columns: Columns): Promise<void> {
  const keys = join(home, 'ssh');
  await mkdir(keys);
  const here = TYPED.filter(({ needs }) => needs.every(isHere));
  const ssh = here.some(({ needs }) => needs.some((program) => program === 'ssh')) ? await sshd(keys) : undefined;
  await using _server = ssh?.server;
  for (const { name, line } of here) {
    const target = join(home, 'typed');
    await mkdir(target);
    const env = {
      ...process.env,
      SOURCE: source,
      TARGET: target,
      SSH: ['ssh', '-p', ssh?.port, ...(ssh?.args ?? [])].join(' '),
    };
    const at = performance.now();
    const { status, stderr } = spawnSync('bash', ['-o', 'pipefail', '-c', line], { env, encoding: 'utf8' });
    const took = performance.now() - at;
    if (status !== 0) throw new Error(`${name}: ${stderr}`);
    if ((await countFiles(target)) !== count) throw new Error(`${name}: it lost files`);
    await rm(target, { recursive: true });
    columns.note(name, (count * 1000) / took);
  }
  await rm(keys, { recursive: true });
}

async function run({ runs, files = 100_000 }: { runs: number; files?: number | undefined }): Promise<Measured> {
  const home = await mkdtemp(join(MEMORY_DISK, 'netapp-bench-'));
  const source = join(home, 'source');
  const columns = new Columns();
  try {
    makeFiles(source, files);
    for (let n = 0; n < runs; n++) {
      const place = join(home, `run${n}`);
      columns.note('tar | node:tls | tar, files/s', await tarred(home, source, files));
      await typed(home, source, files, columns);
      const figures = await ours(place, source, files);
      await rm(place, { recursive: true });
      columns.note('netapp, accept to verified, files/s', figures.accepted);
      columns.note('netapp, send to offered (hashing), files/s', figures.hashing);
      columns.note('netapp, send to verified, files/s', figures.sent);
      columns.note('netapp, CPU us/file, both sides', figures.cpu);
      columns.note('sender, peak MB', figures.senderMB);
      columns.note('receiver, peak MB', figures.receiverMB);
      columns.note('sender, longest block, ms', figures.senderBlocked);
      columns.note('receiver, longest block, ms', figures.receiverBlocked);
      columns.note('sender, event loop p99, ms', figures.senderP99);
      columns.note('receiver, event loop p99, ms', figures.receiverP99);
    }
  } finally {
    await rm(home, { recursive: true, force: true });
  }
  const own = 'netapp, accept to verified, files/s';
  return {
    what: `${files} files of 4 KiB, ${runs} runs, medians`,
    columns: columns.all,
    ratios: {
      'netapp / tar | node:tls | tar': [own, 'tar | node:tls | tar, files/s'],
      ...Object.fromEntries(
        TYPED.filter(({ name }) => columns.all[name]).map(({ name }) => [
          `netapp / ${name.replace(', files/s', '')}`,
          [own, name] as const,
        ]),
      ),
    },
  };
}

export const smallRow: Row = { name: 'small', run };
