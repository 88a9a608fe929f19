/** Long lines between namespaces: delay and loss, told while they are in use. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { Space } from './space.ts';

const PROGRAM = resolve(import.meta.dirname, 'lines.py');

export type Weather = {
  /** Milliseconds one way. */
  delayMs: number;
  /** Part of the packets that are lost, each way; 0 to 1. */
  loss: number;
};

export class Lines implements AsyncDisposable {
  readonly #space: Space;
  readonly #carrier: ChildProcessWithoutNullStreams;
  readonly #answers: AsyncIterator<string>;
  #said = '';
  #turn: Promise<void> = Promise.resolve();
  #count = 0;

  private constructor(space: Space) {
    this.#space = space;
    const [command = '', ...args] = [...space.within, 'python3', PROGRAM];
    this.#carrier = spawn(command, args);
    this.#carrier.stderr.on('data', (data) => (this.#said += data));
    this.#answers = createInterface({ input: this.#carrier.stdout })[Symbol.asyncIterator]();
  }

  static async create(): Promise<Lines> {
    const space = await Space.create('lines');
    await space.sysctl({ 'net.ipv6.conf.all.disable_ipv6': 1, 'net.ipv6.conf.default.disable_ipv6': 1 });
    return new Lines(space);
  }

  /** A line from `one` to `other`, whose interfaces get these names. */
  async lay(one: Space, its: string, other: Space, others: string, weather: Weather): Promise<Line> {
    const n = this.#count++;
    const ends: [string, string] = [`a${n}`, `b${n}`];
    await this.#space.cable(ends[0], one, its);
    await this.#space.cable(ends[1], other, others);
    const line = new Line(weather, (now) => this.#tell({ ends, ...now }));
    await line.set(weather);
    return line;
  }

  async #tell(what: object): Promise<void> {
    const told = this.#turn.then(async () => {
      this.#carrier.stdin.write(`${JSON.stringify(what)}\n`);
      const { value } = await this.#answers.next();
      if (value !== 'ok') throw new Error(`telling the lines ${JSON.stringify(what)}: ${this.#said}`);
    });
    this.#turn = told.catch(() => {});
    await told;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#carrier.exitCode === null && this.#carrier.signalCode === null) {
      const gone = once(this.#carrier, 'exit');
      this.#carrier.kill('SIGKILL');
      await gone;
    }
    await this.#space[Symbol.asyncDispose]();
  }
}

export class Line {
  #weather: Weather;
  readonly #tell: (weather: Weather) => Promise<void>;

  constructor(weather: Weather, tell: (weather: Weather) => Promise<void>) {
    this.#weather = weather;
    this.#tell = tell;
  }

  async set(weather: Partial<Weather>): Promise<void> {
    this.#weather = { ...this.#weather, ...weather };
    await this.#tell(this.#weather);
  }
}
