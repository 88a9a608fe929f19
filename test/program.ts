/** Real programs for tests: `netapp` as child processes in homes of their own, on free loopback ports. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { type Client, createClient } from '../src/api/client.ts';

export const MAIN = resolve(import.meta.dirname, '../src/bin/netapp.ts');

/** Tests do not see each other on the network, and ask nothing of its router. */
const ALONE = { NETAPP_LAN: 'off', NETAPP_PORT_MAPPING: 'off' };

/** Milliseconds that a program has to come up on a busy machine. */
const START_MS = 30_000;

export type Ran = { code: number; stdout: string; stderr: string };

/** Runs a command to its end. */
export function run(
  args: readonly string[],
  options: { input?: string; env?: Record<string, string>; node?: string[] } = {},
): Promise<Ran> {
  return new Promise((done) => {
    const child = execFile(
      process.execPath,
      [...(options.node ?? []), MAIN, ...args],
      { env: { ...process.env, NETAPP_HOME: '/nowhere', ...ALONE, ...options.env }, maxBuffer: 64 * 1024 * 1024 },
      (error, stdout, stderr) => done({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr }),
    );
    child.stdin?.end(options.input ?? '');
  });
}

/** A program that stays: what it said of itself, and how to end it. */
export class Running implements AsyncDisposable {
  #client: Client | undefined;
  readonly child: ChildProcess;
  readonly says: Record<string, unknown>;
  readonly home: string;

  /** What it wrote on stderr so far. */
  readonly said: () => string;

  constructor(child: ChildProcess, says: Record<string, unknown>, home: string, said: () => string) {
    this.said = said;
    this.child = child;
    this.says = says;
    this.home = home;
  }

  get client(): Client {
    this.#client ??= createClient({ socketPath: `${this.home}/agent.sock` });
    return this.#client;
  }

  /** A member of what it said, as text. */
  text(name: string): string {
    return String(this.says[name]);
  }

  /** SIGKILL: no goodbye, no flush. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** SIGTERM; gives the exit code. */
  async stop(): Promise<number | null> {
    await this.#end('SIGTERM');
    return this.child.exitCode;
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, 'exit');
    this.child.kill(signal);
    await ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

/**
 * Starts `netapp ARGS --home HOME --host 127.0.0.1 --json`; throws what it said if it ends before its first line. `host`: null for
 * all addresses; `within`: a command that runs another one elsewhere.
 */
export async function start(
  home: string,
  args: readonly string[],
  options: {
    env?: Record<string, string>;
    node?: string[];
    host?: string | null;
    within?: readonly string[];
    main?: string;
  } = {},
): Promise<Running> {
  const { host = '127.0.0.1', within = [], main = MAIN } = options;
  const at = host === null ? [] : ['--host', host];
  const [command = process.execPath, ...words] = [...within, process.execPath];
  const child = spawn(command, [...words, ...(options.node ?? []), main, ...args, ...at, '--home', home, '--json'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...ALONE, ...options.env },
  });
  let said = '';
  child.stderr.on('data', (data) => (said += data));
  const timer = setTimeout(() => child.kill('SIGKILL'), START_MS);
  const gone = once(child, 'exit').then(([code]) =>
    Promise.reject(new Error(`"${args.join(' ')}" ended with ${code}: ${said}`)),
  );
  gone.catch(() => {}); // of interest only until the first line
  try {
    const [line] = await Promise.race([once(createInterface({ input: child.stdout }), 'line'), gone]);
    return new Running(child, JSON.parse(String(line)), home, () => said);
  } finally {
    clearTimeout(timer);
  }
}
