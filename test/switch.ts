/** A switch of the tests' own, and machines with a cable to it: network namespaces that nothing else is in. Needs root and iproute2. */
import { spawnSync } from 'node:child_process';
import { expect } from 'vitest';

const ip = (...args: string[]): boolean => spawnSync('ip', args, { stdio: 'ignore' }).status === 0;

const must = (...args: string[]): void => {
  const { status, stderr } = spawnSync('ip', args);
  expect(status, `ip ${args.join(' ')}: ${stderr}`).toBe(0);
};

export class Switch implements Disposable {
  readonly name: string;
  readonly #machines = new Set<string>();
  #ports = 0;

  private constructor(name: string) {
    this.name = name;
  }

  /** Undefined where none can be made; fails where `CI` is set. */
  static create(name: string): Switch | undefined {
    const own = new Switch(`netapp-${name}-${process.pid}`);
    const isMade = ip('netns', 'add', own.name);
    if (!isMade && process.env.CI === 'true') expect.fail('"ip netns add" failed: run as root, with iproute2');
    if (!isMade) return undefined;
    own.run('ip', 'link', 'set', 'lo', 'up');
    own.run('ip', 'link', 'add', 'switch', 'type', 'bridge', 'mcast_snooping', '0');
    own.run('ip', 'link', 'set', 'switch', 'up');
    return own;
  }

  /** A machine with `eth0`, a new one also where one had the name; gives its name. */
  machine(name: string, ...addresses: string[]): string {
    const space = `${this.name}-${name}`;
    if (this.#machines.has(space)) must('netns', 'delete', space);
    must('netns', 'add', space);
    this.#machines.add(space);
    must('-n', space, 'link', 'set', 'lo', 'up');
    this.plug(space, 'eth0', ...addresses);
    return space;
  }

  /** One more cable, to a machine that may stand at another switch, too. */
  plug(space: string, device: string, ...addresses: string[]): void {
    const port = `port${this.#ports++}`;
    must('-n', this.name, 'link', 'add', port, 'type', 'veth', 'peer', 'name', device, 'netns', space);
    must('-n', this.name, 'link', 'set', port, 'master', 'switch', 'up');
    must('-n', space, 'link', 'set', device, 'up');
    for (const address of addresses) {
      must('-n', space, 'address', 'add', address, 'dev', device, ...(address.includes(':') ? ['nodad'] : []));
    }
  }

  /** Runs a command on the machine of the switch itself. */
  run(...command: string[]): void {
    runIn(this.name, ...command);
  }

  [Symbol.dispose](): void {
    for (const space of [...this.#machines, this.name]) ip('netns', 'delete', space);
  }
}

/** What stands before a command so that it runs on the machine. */
export const within = (space: string): string[] => ['ip', 'netns', 'exec', space];

export function runIn(space: string, ...command: string[]): string {
  const { status, stdout, stderr } = spawnSync('ip', ['netns', 'exec', space, ...command]);
  expect(status, `${command.join(' ')}: ${stderr}`).toBe(0);
  return String(stdout);
}
