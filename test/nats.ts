/** Real nats-servers on free loopback ports, with JetStream in folders of their own: one alone, or some as a cluster. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from '@nats-io/transport-node';
import { expect } from 'vitest';
import { needs } from './needs.ts';
import { until } from './testnet.ts';

/** Milliseconds for a cluster to elect itself on a busy machine. */
const PATIENCE_MS = 120_000;

// Debian keeps it where only root looks.
process.env.PATH = `${process.env.PATH ?? ''}:/usr/sbin`;
const hasNats = spawnSync('nats-server', ['--version'], { stdio: 'ignore' }).status === 0;

/** Skips a test where there is no nats-server, but never in CI, where it must be there. */
export function needsNats(skip: (note: string) => void): void {
  needs(hasNats, 'no "nats-server" here: apt-get install nats-server', skip);
}

type Machine = { name: string; address: string; command: string[]; child: ChildProcess | undefined };

export class Nats implements AsyncDisposable {
  readonly #folder: string;
  readonly #machines: Machine[];

  private constructor(folder: string, machines: Machine[]) {
    this.#folder = folder;
    this.#machines = machines;
  }

  /** On loopback. Settles when JetStream answers on each of them. */
  static async start(count: 1 | 3 = 1): Promise<Nats> {
    const ports = await freePorts(count * 2);
    const places = Array.from({ length: count }, (_, index) => ({
      host: '127.0.0.1',
      port: ports[index] ?? 0,
      route: ports[count + index] ?? 0,
      within: [],
    }));
    const nats = await Nats.at(places);
    await nats.ready();
    return nats;
  }

  /** At addresses of the caller's, each by a command that runs another one there; does not wait for them. */
  static async at(places: readonly { host: string; port: number; route: number; within: string[] }[]): Promise<Nats> {
    const folder = await mkdtemp(join(tmpdir(), 'netapp-nats-'));
    const routes = places.map(({ host, route }) => `nats-route://${host}:${route}`);
    const machines = places.map(({ host, port, within }, index): Machine => {
      const name = `n${index}`;
      const alone = ['nats-server', '-a', host, '-p', `${port}`, '-n', name, '-js', '-sd', join(folder, name)];
      const joined = ['-cluster_name', 'netapp', '-cluster', routes[index] ?? '', '-routes', routes.join()];
      const command = [...within, ...alone, ...(places.length > 1 ? joined : [])];
      return { name, address: `${host}:${port}`, command, child: undefined };
    });
    const nats = new Nats(folder, machines);
    for (const index of machines.keys()) nats.restart(index);
    return nats;
  }

  /** For `--engine`. */
  get url(): string {
    return `nats://${this.#machines.map(({ address }) => address).join()}`;
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
    const [command = '', ...args] = machine.command;
    machine.child = spawn(command, args, { stdio: 'ignore' });
  }

  /** Settles when each server that runs answers for JetStream, and the cluster has a leader. */
  async ready(): Promise<void> {
    for (const { address, child } of this.#machines) if (child) await answers(address);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const index of this.#machines.keys()) {
      this.thaw(index);
      await this.kill(index);
    }
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function answers(address: string): Promise<void> {
  await until(
    async () => {
      try {
        const connection = await connect({ servers: address, reconnect: false });
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
