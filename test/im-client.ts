/** Clients of the classic IM protocol for tests: raw ones, and programs of real Pythons. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../src/base/clock.ts';
import { silentLog } from '../src/base/log.ts';
import { startHostingNode } from '../src/bin/hosting-node.ts';
import { parseInvite } from '../src/directory/invite.ts';
import { openDoor } from '../src/im/door.ts';
import type { Gateway, GatewayOptions } from '../src/im/gateway.ts';
import { type Heard, ServerReader } from '../src/im/heard.ts';
import type { Pickled } from '../src/im/pickle.ts';
import { pickle } from '../src/im/pickle-encode.ts';
import type { TestNet } from './testnet.ts';

const PATIENCE_MS = 30_000;
/** To come by a name whose last holder has just gone: the server may hear of that later. */
const MOST_TRIES = 500;
const EXAMPLES = resolve(import.meta.dirname, '../examples/im');

/** A door beside a tracker of the net; opened again on the same name, it is the same one. */
export async function door(
  net: TestNet,
  tracker: { invite: string },
  options: Partial<Pick<GatewayOptions, 'port' | 'limits' | 'rosterMs' | 'tls'>> & { name?: string } = {},
): Promise<{ gateway: Gateway } & AsyncDisposable> {
  const invite = parseInvite(tracker.invite);
  const { name = 'im', ...rest } = options;
  return await openDoor(join(net.folder, name), {
    port: 0,
    ...rest,
    clock: systemClock,
    log: silentLog(),
    startHosting: (home) =>
      startHostingNode({
        home,
        zone: invite.zone,
        host: '127.0.0.1',
        port: 0,
        trackers: [invite],
        version: 'test',
        clock: systemClock,
        log: silentLog(),
      }),
  });
}

export type Told = { word: string; argument: unknown };

/** A connection that says what it is told to, and keeps all that it hears. */
export class RawClient implements AsyncDisposable {
  readonly socket: Socket;
  readonly heard: Told[] = [];
  ended = false;
  readonly #waiting = new Set<() => void>();
  #json = '';

  private constructor(socket: Socket, form: 'pickle' | 'json') {
    this.socket = socket;
    const reader = new ServerReader();
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      if (form === 'json') this.#takeJson(bytes);
      else {
        reader.push(bytes);
        for (let next = reader.next(); next; next = reader.next()) this.heard.push(toPlain(next));
      }
      this.#wake();
    });
    socket.on('close', () => {
      this.ended = true;
      this.#wake();
    });
  }

  static async open(port: number, form: 'pickle' | 'json' = 'pickle'): Promise<RawClient> {
    const socket = connect({ host: '127.0.0.1', port });
    await once(socket, 'connect');
    return new RawClient(socket, form);
  }

  /** One that has registered, and has seen itself among those who are here. */
  static async in(port: number, name: string, password?: string): Promise<RawClient> {
    const client = await RawClient.open(port);
    const isIn = (told: Told): boolean => told.word === 'ONLINE_USERS' && Object.hasOwn(told.argument as object, name); // a dict of them
    for (let tries = 1; ; tries++) {
      const from = client.heard.length;
      client.say('REGISTER', password === undefined ? [name, 'online'] : [name, 'online', password]);
      const answer = await client.#until(
        () => client.heard.slice(from).find((told) => told.word === 'ERROR' || isIn(told)),
        `"${name}" to be in`,
      );
      if (answer.word !== 'ERROR') return client;
      const error = String(answer.argument);
      if (tries === MOST_TRIES || !error.startsWith('username taken: somebody is here')) {
        client.socket.destroy();
        throw new Error(error);
      }
      // Who was here by this name has just gone, and the server does not know it yet.
      await sleep(10);
    }
  }

  #takeJson(bytes: Uint8Array): void {
    const lines = (this.#json + Buffer.from(bytes).toString()).split('\n');
    this.#json = lines.pop() ?? '';
    for (const line of lines) {
      const [, word = '', argument = ''] = /^(\w+) (.*)$/.exec(line) ?? [];
      this.heard.push({ word, argument: JSON.parse(argument) });
    }
  }

  write(bytes: string | Uint8Array): void {
    this.socket.write(bytes);
  }

  say(word: string, argument?: Pickled, protocol = 0): void {
    this.socket.write(
      argument === undefined ? word : Buffer.concat([Buffer.from(`${word} `), pickle(argument, protocol)]),
    );
  }

  /** The argument of the first message heard, from `from` on, that fits; waits for it. */
  async hears<T = unknown>(word: string, fits: (argument: T) => boolean = () => true, from = 0): Promise<T> {
    const find = (): Told | undefined =>
      this.heard.slice(from).find((told) => told.word === word && fits(told.argument as T)); // as the test says
    const found = await this.#until(() => find() ?? (this.ended ? 'ended' : undefined), `${word} to be heard`);
    if (found === 'ended') throw new Error(`the connection ended before ${word}: heard ${JSON.stringify(this.heard)}`);
    return found.argument as T; // as above
  }

  error(fits: string): Promise<string> {
    return this.hears<string>('ERROR', (sentence) => sentence.startsWith(fits));
  }

  async end(): Promise<void> {
    await this.#until(() => this.ended || undefined, 'the connection to end');
  }

  async #until<T>(ask: () => T | undefined, what: string): Promise<T> {
    const end = performance.now() + PATIENCE_MS;
    for (;;) {
      const value = ask();
      if (value !== undefined) return value;
      if (performance.now() > end)
        throw new Error(`waiting for ${what}: heard ${JSON.stringify(this.heard).slice(0, 3000)}`);
      await new Promise<void>((done) => {
        this.#waiting.add(done);
        setTimeout(done, 200);
      });
    }
  }

  #wake(): void {
    for (const done of this.#waiting) done();
    this.#waiting.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
    if (!this.ended) await once(this.socket, 'close');
  }
}

function toPlain({ word, argument }: Heard): Told {
  return { word, argument: plain(argument) };
}

function plain(value: Pickled): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, held]) => [String(key), plain(held)]));
  return Array.isArray(value) ? value.map(plain) : value;
}

export function isHere(program: string): boolean {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** The example client for the terminal, run by a real Python: what is typed, and the lines that it shows. */
export class PythonClient implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly lines: string[] = [];
  #part = '';
  #ended = false;
  readonly #waiting = new Set<() => void>();

  constructor(program: string, name: string, port: number) {
    this.#child = spawn(program, [join(EXAMPLES, 'terminal.py'), name, '127.0.0.1', String(port)], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, PYTHONIOENCODING: 'utf-8', PYTHONDONTWRITEBYTECODE: '1' },
    });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => this.#take(text));
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => this.#take(text));
    this.#child.on('exit', () => {
      this.#ended = true;
      this.#wake();
    });
  }

  #take(text: string): void {
    const lines = (this.#part + text).split(/\r?\n/);
    this.#part = lines.pop() ?? '';
    this.lines.push(...lines);
    this.#wake();
  }

  #wake(): void {
    for (const done of this.#waiting) done();
    this.#waiting.clear();
  }

  type(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  /** The first line that fits, also one shown before; from line `from` on. */
  async shows(fits: RegExp, from = 0): Promise<string> {
    const end = performance.now() + 2 * PATIENCE_MS; // Jython starts slowly
    for (;;) {
      const found = this.lines.slice(from).find((line) => fits.test(line));
      if (found !== undefined) return found;
      if (this.#ended || performance.now() > end) throw new Error(`no line like ${fits}:\n${this.lines.join('\n')}`);
      await new Promise<void>((done) => {
        this.#waiting.add(done);
        setTimeout(done, 200);
      });
    }
  }

  /** Exit code after `/quit`. */
  async quit(): Promise<number | null> {
    this.type('/quit');
    if (!this.#ended) await once(this.#child, 'exit');
    return this.#child.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ended) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }
}
