/** Network namespaces joined by a bridge, each with a line of its own whose rate is bounded both ways. Needs root and iproute2. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const exec = promisify(execFile);
const sh = async (program: string, ...args: string[]): Promise<void> => {
  await exec(program, args);
};

/**
 * Bytes that may leave at once, and milliseconds that a packet may wait in the line's queue. The burst holds the largest packet that the
 * kernel makes: a smaller one has it cut each into 45, which takes more of the processor than all nodes do.
 */
const BURST = '128kb';
const QUEUE = '50ms';

export type Place = {
  name: string;
  /** Its address in this network. */
  host: string;
  /** What to put before a command so that it runs there. */
  within: readonly string[];
};

export class Namespaces implements AsyncDisposable {
  readonly places: Place[] = [];
  readonly #hub: string;

  private constructor(hub: string) {
    this.#hub = hub;
  }

  static async create(): Promise<Namespaces> {
    const net = new Namespaces(`nap-${process.pid}-hub`);
    await sh('ip', 'netns', 'add', net.#hub);
    await sh('ip', '-n', net.#hub, 'link', 'add', 'bridge0', 'type', 'bridge');
    await sh('ip', '-n', net.#hub, 'link', 'set', 'bridge0', 'up');
    return net;
  }

  /** One more, with so many Mbit/s each way; without a number its line is as fast as the machine. */
  async add(mbit?: number): Promise<Place> {
    const n = this.places.length + 1;
    const name = `nap-${process.pid}-${n}`;
    const place: Place = { name, host: `10.77.0.${n}`, within: ['ip', 'netns', 'exec', name] };
    await sh('ip', 'netns', 'add', name);
    this.places.push(place);
    await sh('ip', '-n', name, 'link', 'add', 'line', 'type', 'veth', 'peer', 'name', `p${n}`, 'netns', this.#hub);
    await sh('ip', '-n', name, 'addr', 'add', `${place.host}/24`, 'dev', 'line');
    await sh('ip', '-n', name, 'link', 'set', 'lo', 'up');
    await sh('ip', '-n', name, 'link', 'set', 'line', 'up');
    await sh('ip', '-n', this.#hub, 'link', 'set', `p${n}`, 'master', 'bridge0', 'up');
    if (mbit === undefined) return place;
    await limit(name, 'line', mbit);
    await limit(this.#hub, `p${n}`, mbit);
    return place;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { name } of this.places) await sh('ip', 'netns', 'del', name).catch(() => {});
    await sh('ip', 'netns', 'del', this.#hub).catch(() => {});
  }
}

async function limit(namespace: string, device: string, mbit: number): Promise<void> {
  const rate = ['tbf', 'rate', `${mbit}mbit`, 'burst', BURST, 'latency', QUEUE];
  await sh('tc', '-n', namespace, 'qdisc', 'add', 'dev', device, 'root', ...rate);
}
