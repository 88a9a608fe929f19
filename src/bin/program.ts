/** A NetApp program as a child process: started, listened to, and ended. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { abortable, deadline } from '../base/async.ts';
import { Fault, isFaultCode } from '../base/fault.ts';

/** One request on one of the program's links, as its log tells it. */
export type Wire = {
  method: string;
  /** Whether the program asked; else it answered. */
  sent: boolean;
  /** First characters of the other side's peer id. */
  peer: string;
  /** Bytes of the request's frame. */
  bytes: number;
  /** Milliseconds until the answer. */
  ms: number;
};

const wireLine = z.object({
  wire: z.enum(['asked', 'answered']),
  method: z.string(),
  peer: z.string(),
  bytes: z.number(),
  ms: z.number(),
});

/** Milliseconds that a program has to say its first line, and to end. */
const START_MS = 15_000;
const END_MS = 5000;
/** What is kept of the log: enough to find any step of a short run. */
const MOST_WIRES = 10_000;

export class Program<T> implements AsyncDisposable {
  readonly name: string;
  /** What the program said of itself on its first line. */
  readonly says: T;
  readonly #child: ChildProcess;
  readonly #log: ProgramLog;

  constructor(name: string, says: T, child: ChildProcess, log: ProgramLog) {
    this.name = name;
    this.says = says;
    this.#child = child;
    this.#log = log;
  }

  /** The first request that fits, seen already or within `ms`. Throws `timeout`. */
  async wire(fits: (seen: Wire) => boolean, ms: number): Promise<Wire> {
    using limit = deadline(ms, `waiting for a request of "${this.name}"`);
    return await abortable(this.#log.find(fits), limit);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await end(this.#child);
  }
}

class ProgramLog {
  readonly #wires: Wire[] = [];
  readonly #waiting = new Set<(seen: Wire) => void>();
  /** The last line that was no JSON: what the program said to people. */
  last = '';

  take(line: string): void {
    const parsed = wireLine.safeParse(parseJson(line));
    if (!parsed.success) {
      if (!line.startsWith('{')) this.last = line;
      return;
    }
    const { wire, ...rest } = parsed.data;
    const seen = { ...rest, sent: wire === 'asked' };
    if (this.#wires.length < MOST_WIRES) this.#wires.push(seen);
    for (const waiting of this.#waiting) waiting(seen);
  }

  find(fits: (seen: Wire) => boolean): Promise<Wire> {
    const found = this.#wires.find(fits);
    if (found) return Promise.resolve(found);
    return new Promise((resolve) => {
      const waiting = (seen: Wire): void => {
        if (!fits(seen)) return;
        this.#waiting.delete(waiting);
        resolve(seen);
      };
      this.#waiting.add(waiting);
    });
  }
}

/** Starts `netapp ARGS` on loopback, with ports of its own; throws the fault that it ended with. */
export async function startProgram<T>(options: {
  name: string;
  home: string;
  args: readonly string[];
  line: z.ZodType<T>;
  signal: AbortSignal;
}): Promise<Program<T>> {
  const { name, home, args, line, signal } = options;
  const main = fileURLToPath(new URL('./netapp.ts', import.meta.url).href.replace(/\.ts$/, extension));
  const child = spawn(
    process.execPath,
    [main, ...args, '--host', '127.0.0.1', '--port', '0', '--home', home, '--json'],
    {
      env: { ...process.env, NETAPP_LOG: 'debug' },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  const log = new ProgramLog();
  createInterface({ input: child.stderr }).on('line', (text) => log.take(text));
  const first = once(createInterface({ input: child.stdout }), 'line').then(([text]) =>
    line.parse(parseJson(String(text))),
  );
  const gone = once(child, 'exit').then(([code]) => {
    throw faultOf(name, code, log.last);
  });
  gone.catch(() => {}); // of interest only until the first line
  try {
    using limit = deadline(START_MS, `starting "${name}"`, signal);
    const says = await abortable(Promise.race([first, gone]), limit);
    return new Program(name, says, child, log);
  } catch (error) {
    await end(child);
    throw error;
  }
}

/** `.ts` in a checkout, `.js` as published. */
const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';

function faultOf(name: string, code: unknown, said: string): Fault {
  const parsed = z.object({ code: z.string(), message: z.string() }).safeParse(parseJson(said));
  if (parsed.success && isFaultCode(parsed.data.code)) return new Fault(parsed.data.code, parsed.data.message);
  return new Fault('internal', `starting "${name}": it ended with code ${code}: ${said}`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const kill = setTimeout(() => child.kill('SIGKILL'), END_MS);
  await ended;
  clearTimeout(kill);
}
