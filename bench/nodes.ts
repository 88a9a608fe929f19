/** Whole programs to measure: a tracker and nodes as a user starts them, driven through their agents. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Client, createClient } from '../src/api/client.ts';
import { type Running, start } from '../test/program.ts';
import { peakMBOf } from './child.ts';

/** Where `./netapp` keeps compiled code: programs are measured as it starts them. */
export const COMPILED = join(import.meta.dirname, '../node_modules/.cache/netapp');

export type Probe = { longestMs: number; p99Ms: number; cpuSeconds: number };

/** One person's node, with a probe in it. */
export class MeasuredNode {
  readonly client: Client;
  readonly #program: Running;
  readonly #probe: string;

  constructor(program: Running, probe: string) {
    this.#program = program;
    this.#probe = probe;
    this.client = createClient({ socketPath: join(program.home, 'agent.sock') });
  }

  /** What the probe saw since it was last asked. */
  async probe(): Promise<Probe> {
    await rm(this.#probe, { force: true });
    this.#program.child.kill('SIGUSR2');
    for (;;) {
      const text = await readFile(this.#probe, 'utf8').catch(() => undefined);
      if (text !== undefined) return JSON.parse(text);
      await new Promise((done) => setTimeout(done, 2));
    }
  }

  /** As a power cut would end it. */
  async kill(): Promise<void> {
    await this.#program.kill();
  }

  /** Bytes that it has read so far: from files, and what others sent. */
  async readBytes(): Promise<number> {
    const io = await readFile(`/proc/${this.#program.child.pid}/io`, 'utf8');
    return Number(/^rchar: (\d+)/m.exec(io)?.[1] ?? 0);
  }

  /** Peak resident memory so far, in MB. */
  async peakMB(): Promise<number> {
    return await peakMBOf(this.#program.child.pid);
  }
}

/** A tracker, Alice and Bob, in homes below `folder`. */
export async function startNodes(
  folder: string,
): Promise<{ alice: MeasuredNode; bob: MeasuredNode } & AsyncDisposable> {
  const { nodes, ...net } = await startNet(folder, ['alice', 'bob']);
  const [alice, bob] = nodes;
  if (!alice || !bob) throw new Error('two were started');
  return { ...net, alice, bob };
}

/** A tracker, and a node for each name, in homes below `folder`. */
export async function startNet(folder: string, names: readonly string[]): Promise<Net> {
  const running: Running[] = [];
  const tracker = await start(join(folder, 'tracker'), ['tracker', '--port', '0']);
  running.push(tracker);
  const startNode = async (name: string): Promise<MeasuredNode> => {
    const probe = join(folder, `${name}.probe`);
    const program = await start(
      join(folder, name),
      ['up', '--name', name, '--port', '0', '--join', tracker.text('invite')],
      {
        node: ['--import', join(import.meta.dirname, 'probe.ts')],
        env: { NETAPP_BENCH_PROBE: probe, NODE_COMPILE_CACHE: COMPILED },
      },
    );
    running.push(program);
    return new MeasuredNode(program, probe);
  };
  const nodes: MeasuredNode[] = [];
  for (const name of names) nodes.push(await startNode(name));
  return {
    nodes,
    startNode,
    [Symbol.asyncDispose]: async () => {
      for (const program of running.reverse()) await program.stop();
    },
  };
}

type Net = { nodes: MeasuredNode[]; startNode(name: string): Promise<MeasuredNode> } & AsyncDisposable;

/** Milliseconds from starting `up` in a new home to its first line, by which its agent answers. */
export async function startUp(home: string): Promise<number> {
  const at = performance.now();
  const program = await start(home, ['up', '--name', 'me', '--port', '0', '--tracker-port', '0']);
  const took = performance.now() - at;
  await program.stop();
  return took;
}
