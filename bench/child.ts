/** A forked program of the bench: asked by a message, answers by a message; watched from outside. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';

type Answer = { id: number; result?: unknown; error?: string };

export class Child implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #next = 1;

  constructor(program: string, args: string[] = []) {
    const profile = process.env.BENCH_PROFILE ? ['--cpu-prof', `--cpu-prof-dir=${process.env.BENCH_PROFILE}`] : [];
    this.#process = fork(program, args, { execArgv: profile });
    this.#process.on('message', (message) => {
      const { id, result, error } = message as Answer; // our own child
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(result);
      else waiting?.reject(new Error(error));
    });
    this.#process.on('exit', (code) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`${program} ended with ${code}`));
    });
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /** Calls one of the child's commands; what it gives is what the caller knows it to be. */
  async ask<T = void>(command: string, ...args: unknown[]): Promise<T> {
    const id = this.#next++;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#waiting.set(id, { resolve, reject });
    this.#process.send({ id, command, args });
    return (await promise) as T; // the command's own answer
  }

  /** Processor time so far, in seconds: on a busy machine it says more than the clock. */
  async cpuSeconds(): Promise<number> {
    return await this.ask<number>('cpu');
  }

  /** As `cpuSeconds`, of its main thread alone. */
  async mainCpuSeconds(): Promise<number> {
    return await this.ask<number>('mainCpu');
  }

  /** Peak resident memory so far, in MB. */
  async peakMB(): Promise<number> {
    return await peakMBOf(this.#process.pid);
  }

  /** As a power cut would end it. */
  async kill(): Promise<void> {
    const ended = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#process.connected) return;
    const ended = once(this.#process, 'exit');
    this.#process.disconnect();
    await ended;
  }
}

/** In the child: answers commands until the parent hangs up, then ends. */
export function answer(own: Record<string, (...args: never[]) => unknown>): void {
  const cpu = (): number => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  };
  const mainCpu = (): number => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1e6;
  };
  const commands: typeof own = { ...own, cpu, mainCpu };
  process.on('message', async (message) => {
    const { id, command, args } = message as { id: number; command: string; args: never[] }; // from Child.ask
    try {
      process.send?.({ id, result: await commands[command]?.(...args) });
    } catch (error) {
      process.send?.({ id, error: String(error) });
    }
  });
  process.on('disconnect', () => process.exit());
}

/** Peak resident memory of a process so far, in MB. */
export async function peakMBOf(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1024;
}
