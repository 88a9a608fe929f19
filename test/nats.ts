/** Real nats-servers on free loopback ports, with JetStream in folders of their own: one alone, or some as a cluster. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from '@nats-io/transport-node';
import { expect } from 'vitest';
import { until } from './testnet.ts';

/** Milliseconds for a cluster to elect itself on a busy machine. */
const PATIENCE_MS = 120_000;

const hasNats = spawnSync('nats-server', ['--version'], { stdio: 'ignore' }).status === 0;

/** Skips a test where there is no nats-server, but never in CI, where it must be there. */
export function needsNats(skip: (note: string) => void): void {
  if (!hasNats && process.env.CI !== 'true') skip('no "nats-server" here: apt-get install nats-server');
  expect(hasNats, '"nats-server" is missing: apt-get install nats-server').toBe(true);
}

type Machine = { name: string; args: string[]; port: number; child: ChildProcess | undefined };

export class Nats implements AsyncDisposable {
  readonly #folder: string;
  readonly #machines: Machine[];

  private constructor(folder: string, machines: Machine[]) {
    this.#folder = folder;
    this.#machines = machines;
  }

  /** Settles when JetStream answers on each of them. */
  static async start(count: 1 | 3 = 1): Promise<Nats> {
    const folder = await mkdtemp(join(tmpdir(), 'netapp-nats-'));
    const ports = await freePorts(count * 2);
    const routes = ports.slice(count).map((port) => `nats-route://127.0.0.1:${port}`);
    const machines = Array.from({ length: count }, (_, index): Machine => {
      const [name, port] = [`n${index}`, ports[index] ?? 0];
      const alone = ['-a', '127.0.0.1', '-p', `${port}`, '-n', name, '-js', '-sd', join(folder, name)];
      const joined = ['-cluster_name', 'netapp', '-cluster', routes[index] ?? '', '-routes', routes.join()];
      return { name, port, args: count === 1 ? alone : [...alone, ...joined], child: undefined };
    });
    const nats = new Nats(folder, machines);
    for (const index of machines.keys()) nats.restart(index);
    await nats.ready();
    return nats;
  }

  get size(): number {
    return this.#machines.length;
  }

  /** For `--engine`. */
  get url(): string {
    return `nats://${this.#machines.map(({ port }) => `127.0.0.1:${port}`).join()}`;
  }

  #machine(index: number): Machine {
    return this.#machines[index] ?? expect.fail(`no nats-server ${index}`);
  }

  /** As a machine that loses its power. */
  async kill(index: number): Promise<void> {
    const machine = this.#machine(index);
    const { child } = machine;
    machine.child = undefined;
    if (!child) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  /** As one behind a switch that drops everything: connections stand, and nothing moves on them. */
  freeze(index: number): void {
    this.#machine(index).child?.kill('SIGSTOP');
  }

  thaw(index: number): void {
    this.#machine(index).child?.kill('SIGCONT');
  }

  /** On the same port and folder. */
  restart(index: number): void {
    const machine = this.#machine(index);
    if (machine.child) return;
    machine.child = spawn('nats-server', machine.args, { stdio: 'ignore' });
  }

  /** Settles when each server that runs answers for JetStream, and the cluster has a leader. */
  async ready(): Promise<void> {
    for (const { port, child } of this.#machines) if (child) await answers(port);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const index of this.#machines.keys()) {
      this.thaw(index);
      await this.kill(index);
    }
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function answers(port: number): Promise<void> {
  await until(
    async () => {
      try {
        const connection = await connect({ servers: `127.0.0.1:${port}`, reconnect: false });
        try {
          const { data } = await connection.request('$JS.API.INFO', '', { timeout: 1000 });
          return !new TextDecoder().decode(data).includes('"error"');
        } finally {
          await connection.close();
        }
      } catch {
        return false;
      }
    },
    (ready) => ready,
    PATIENCE_MS,
  );
}

/** So many ports that were free a moment ago: held together, so that none is given twice. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      return server;
    }),
  );
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  });
  await Promise.all(servers.map(async (server) => server[Symbol.asyncDispose]()));
  return ports;
}
