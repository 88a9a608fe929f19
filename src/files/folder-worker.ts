/** The event loop's side of a thread that works on one folder. */
import { Worker } from 'node:worker_threads';
import { reasonOf } from '../base/async.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Call, Calls, Reply, WorkerData } from './folder-thread.ts';

/** MiB of heap that a thread may take: a manifest of a million files takes 800. */
const MOST_HEAP_MB = 2048;

type Waiting = { resolve(value: unknown): void; reject(error: Error): void };

/** A thread, started at the first call. Calls are answered in their order. */
export class FolderWorker implements AsyncDisposable {
  readonly #stop = new SharedArrayBuffer(4);
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  #fault: Fault | undefined;
  #calls = 0;

  /** Starts the thread, so that it is there when it is first asked. */
  start(): void {
    if (!this.#fault) this.#worker ??= this.#start();
  }

  /** Throws what the work throws; `too_large` where the thread runs out of memory. `args` are copied, shared memory is not. */
  async ask<N extends keyof Calls>(name: N, ...args: Parameters<Calls[N]>): Promise<ReturnType<Calls[N]>> {
    if (this.#fault) throw this.#fault;
    this.#worker ??= this.#start();
    const worker = this.#worker;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const id = ++this.#calls;
    this.#waiting.set(id, { resolve, reject });
    worker.postMessage({ id, name, args } satisfies Call);
    return (await promise) as ReturnType<Calls[N]>; // the thread answers by the same table
  }

  /** As `ask`, for work that ends as soon as `signal` aborts. */
  async askUntil<N extends keyof Calls>(
    signal: AbortSignal,
    name: N,
    ...args: Parameters<Calls[N]>
  ): Promise<ReturnType<Calls[N]>> {
    const stop = (): void => void Atomics.store(new Int32Array(this.#stop), 0, 1);
    if (signal.aborted) throw reasonOf(signal);
    signal.addEventListener('abort', stop, { once: true });
    try {
      return await this.ask(name, ...args);
    } catch (error) {
      throw signal.aborted ? reasonOf(signal) : error;
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  /** As `ask`, for what nobody waits for: where it fails, a later call will too. */
  tell<N extends keyof Calls>(name: N, ...args: Parameters<Calls[N]>): void {
    this.ask(name, ...args).catch(() => {});
  }

  #start(): Worker {
    const ending = import.meta.filename.endsWith('.ts') ? 'ts' : 'js';
    const worker = new Worker(new URL(`./folder-thread.${ending}`, import.meta.url), {
      workerData: { stop: this.#stop } satisfies WorkerData,
      resourceLimits: { maxOldGenerationSizeMb: MOST_HEAP_MB },
      execArgv: [],
    });
    worker.on('message', ({ id, value, fault }: Reply) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (!fault) return waiting?.resolve(value);
      waiting?.reject(new Fault(fault.code, fault.message, { data: fault.errno ? { errno: fault.errno } : {} }));
    });
    worker.on('error', (error: NodeJS.ErrnoException) => {
      const isMemory = error.code === 'ERR_WORKER_OUT_OF_MEMORY';
      this.#end(isMemory ? new Fault('too_large', 'reading a folder: too many files to hold') : toFault(error));
    });
    worker.on('exit', () => this.#end(new Fault('cancelled', 'working on a folder: it was ended')));
    return worker;
  }

  #end(fault: Fault): void {
    this.#fault ??= fault;
    for (const { reject } of this.#waiting.values()) reject(this.#fault);
    this.#waiting.clear();
  }

  /** Ends the thread; what is under way there fails. Files that it holds open are closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    Atomics.store(new Int32Array(this.#stop), 0, 1);
    this.#end(new Fault('cancelled', 'working on a folder: it was ended'));
    await this.#worker?.terminate();
  }
}
