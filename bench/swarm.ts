/**
 * Row "swarm": one file from one member of a room to eight others, each in a network namespace of its own with 80 Mbit/s
 * each way, the sender too; until the last one has verified it, against the time that no way of sending can beat.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Client } from '../src/api/client.ts';
import { type Running, start } from '../test/program.ts';
import { eventOf, until } from '../test/testnet.ts';
import { Columns } from './columns.ts';
import { Namespaces, type Place } from './namespaces.ts';
import { COMPILED } from './nodes.ts';
import type { Measured, Row } from './run.ts';

const MiB = 1024 * 1024;
const MEMORY_DISK = '/dev/shm';
const RECEIVERS = 8;
/** Mbit/s of each line, each way. */
const MBIT = 80;
const LINE_BYTES = (MBIT * 1e6) / 8;
const PATIENCE_MS = 120_000;

/** Seconds that distribution takes at least: of one source, one receiver, and all lines together. */
function bound(size: number): number {
  const all = LINE_BYTES * (RECEIVERS + 1);
  return Math.max(size / LINE_BYTES, size / LINE_BYTES, (RECEIVERS * size) / all);
}

/** Bytes that left by a place's line so far. */
async function sentOf({ within }: Place): Promise<number> {
  const [program = '', ...args] = [...within, 'cat', '/sys/class/net/line/statistics/tx_bytes'];
  const { stdout } = await promisify(execFile)(program, args);
  return Number(stdout);
}

/** Seconds of processor time that the programs took so far. */
async function cpuOf(running: readonly Running[]): Promise<number> {
  let ticks = 0;
  for (const { child } of running) {
    const fields = (await readFile(`/proc/${child.pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? [];
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / 100;
}

/** A room of all of them, in which each has joined. */
async function gather(sender: Client, receivers: readonly Client[]): Promise<void> {
  const names = receivers.map((_, n) => `r${n}`);
  for (const name of names) {
    await until(() => sender.people.find({ handle: name }).then(Boolean, () => false), Boolean, PATIENCE_MS);
  }
  await sender.rooms.create({ name: 'team', members: names });
  for (const client of receivers) {
    await until(
      () => client.rooms.list(),
      (rooms) => rooms.length === 1,
      PATIENCE_MS,
    );
    await client.rooms.join({ room: 'team' });
  }
  for (const client of [sender, ...receivers]) {
    await until(
      () => client.rooms.show({ room: 'team' }),
      ({ members }) => members.length === receivers.length + 1,
      PATIENCE_MS,
    );
  }
}

type Distribution = { last: number; first: number; sent: number; cpu: number };

/** A file in the room: until the last one has verified it. The second is sent by programs that have done so before. */
async function ours(folder: string, size: number): Promise<{ fresh: Distribution; again: Distribution }> {
  await using net = await Namespaces.create();
  const running: Running[] = [];
  await using _programs = {
    [Symbol.asyncDispose]: async () => {
      await Promise.all(running.map((program) => program.stop()));
    },
  };
  const trackerAt = await net.add();
  const tracker = await start(join(folder, 'tracker'), ['tracker', '--port', '0'], trackerAt);
  running.push(tracker);
  const invite = tracker.text('invite');
  const place = await net.add(MBIT);
  const up = async (name: string, at: Place): Promise<Client> => {
    const program = await start(join(folder, name), ['up', '--name', name, '--port', '0', '--join', invite], {
      ...at,
      env: { NODE_COMPILE_CACHE: COMPILED },
      node: process.env.BENCH_PROFILE ? ['--cpu-prof', `--cpu-prof-dir=${process.env.BENCH_PROFILE}/${name}`] : [],
    });
    running.push(program);
    return program.client;
  };
  const sender = await up('sender', place);
  const receivers: Client[] = [];
  for (let n = 0; n < RECEIVERS; n++) receivers.push(await up(`r${n}`, await net.add(MBIT)));
  await gather(sender, receivers);

  const distribute = async (name: string): Promise<Distribution> => {
    const source = join(folder, name);
    await writeFile(source, randomBytes(size));
    await sender.files.send({ handle: '#team', path: source });
    const offers = await Promise.all(
      receivers.map((client) => eventOf(client, 'file.offered', (data) => data.name === name)),
    );
    const sentBefore = await sentOf(place);
    const cpuBefore = await cpuOf(running);
    const startedAt = performance.now();
    const took = await Promise.all(
      receivers.map(async (client, n) => {
        let path = '';
        for await (const snapshot of await client.files.get({ id: String(offers[n]?.data.id) })) {
          path = snapshot.path;
          if (snapshot.error) process.stderr.write(`r${n}: ${snapshot.error.message}\n`);
        }
        if ((await stat(path)).size !== size) throw new Error('the file that came is not as long');
        return (performance.now() - startedAt) / 1000;
      }),
    );
    const sent = ((await sentOf(place)) - sentBefore) / size;
    const cpu = (await cpuOf(running)) - cpuBefore;
    return { last: Math.max(...took), first: Math.min(...took), sent, cpu };
  };
  return { fresh: await distribute('first.bin'), again: await distribute('second.bin') };
}

async function run({ runs, size: sizeMiB = 64 }: { runs: number; size: number | undefined }): Promise<Measured> {
  const size = sizeMiB * MiB;
  const columns = new Columns();
  for (let n = 0; n < runs; n++) {
    const folder = await mkdtemp(join(MEMORY_DISK, 'netapp-bench-'));
    try {
      const { fresh, again } = await ours(folder, size);
      columns.note('bound max(F/us, F/dmin, NF/(us+sum ui)), s', bound(size));
      for (const [what, { last, first, sent, cpu }] of [
        ['programs just started', fresh],
        ['their second file', again],
      ] as const) {
        columns.note(`${what}, accept to last one verified, s`, last);
        columns.note(`${what}, accept to first one verified, s`, first);
        columns.note(`${what}, sender sent, copies`, sent);
        columns.note(`${what}, all nodes, CPU s`, cpu);
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  const least = 'bound max(F/us, F/dmin, NF/(us+sum ui)), s';
  return {
    what: `${sizeMiB} MiB to ${RECEIVERS}, ${MBIT} Mbit/s each way, ${runs} runs, medians`,
    columns: columns.all,
    ratios: {
      'programs just started / bound': ['programs just started, accept to last one verified, s', least],
      'their second file / bound': ['their second file, accept to last one verified, s', least],
    },
  };
}

export const swarmRow: Row = { name: 'swarm', run };
