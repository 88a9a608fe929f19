/** Joins a program to the agent over standard streams: what happens goes in, what is to be done comes out. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { createClient } from '../../api/client.ts';
import { FAULTS, Fault, toFault } from '../../base/fault.ts';
import { jsonLine } from '../clean.ts';
import type { Shell } from '../shell.ts';
import { Actions } from './actions.ts';
import { boundedLines } from './lines.ts';

/** Characters of an action: the longest text that an operation takes, escaped, and its frame. */
const MOST_LINE = 1_048_576;
/** Milliseconds that a program has to end by itself once its input has ended. */
const END_MS = 5000;

export type PipeOptions = {
  /** A command for the shell; without it, whoever stands before and behind this process is the program. */
  run?: string | undefined;
  /** What `events.follow` takes; undefined: no events. */
  follow: { from?: number | undefined; match?: string[] | undefined } | undefined;
};

/** The program at the other end. */
type Stage = {
  actions: Readable;
  /** Settles when the line is taken; waits while the program is slow. */
  write(line: string): Promise<void>;
  /** Ends it, if it has not ended by itself; gives its exit code, undefined if it has none of its own. */
  end(): Promise<number | undefined>;
};

/** Until the program's actions end, the agent goes, or `shell.signal` aborts. Answers with the exit code. */
export async function pipe(options: PipeOptions, shell: Shell): Promise<number> {
  const done = new AbortController();
  const signal = AbortSignal.any([shell.signal, done.signal]);
  const client = createClient({ socketPath: shell.agentPath });
  if (options.run !== undefined) await client.status.show(undefined, { signal }); // no program without an agent
  const followed = options.follow && (await client.events.follow(options.follow, { signal }));
  const stage = options.run === undefined ? own(shell) : child(options.run, shell);
  const actions = new Actions({ client, signal, answer: (line) => stage.write(jsonLine(line)) });
  let cursor: number | undefined;

  async function events(): Promise<void> {
    for await (const event of followed ?? []) {
      await stage.write(jsonLine(event));
      cursor = event.cursor;
    }
  }
  async function work(): Promise<void> {
    for await (const line of boundedLines(stage.actions, MOST_LINE)) await actions.do(line);
    if (options.run === undefined) await actions.settled();
  }

  let code: number | undefined;
  try {
    const stopped = once(signal, 'abort').then(() => {
      throw new Fault('cancelled', 'it was cancelled');
    });
    await Promise.race([work(), stopped, ...(followed ? [events().then(() => stopped)] : [])]);
  } catch (error) {
    if (!signal.aborted && cursor !== undefined) {
      await shell.notes.line(
        `netapp: the last event that the program was given is ${cursor}; go on with --from ${cursor}`,
      );
    }
    throw toFault(error, 'joining the program', 'link_closed');
  } finally {
    done.abort();
    code = await stage.end();
  }
  return code ?? (actions.failed ? FAULTS[actions.failed].exit : 0);
}

function own(shell: Shell): Stage {
  return {
    actions: shell.stdin,
    write: (line) => shell.out.line(line),
    end: async () => undefined,
  };
}

/** The program finds the same agent as this process, if it runs `netapp` itself. */
function child(command: string, shell: Shell): Stage {
  const { home, agentPath, cwd, env } = shell;
  const program = spawn(command, {
    shell: true,
    detached: true, // a group of its own, so that what the shell starts can be ended with it
    cwd,
    env: { ...env, NETAPP_HOME: home, NETAPP_AGENT_PATH: agentPath },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const ended = once(program, 'close');
  ended.catch(() => {}); // told by whoever waits for it
  program.stderr.on('data', (data) => shell.stderr.write(data));
  // A program that reads no more may still have something to be done; that it has gone shows at its output.
  program.stdin.on('error', () => {});
  return {
    actions: program.stdout,
    write: (line) => taken(program.stdin, `${line}\n`),
    end: () => ending(program, ended),
  };
}

async function taken(stream: Writable, text: string): Promise<void> {
  if (!stream.writable || stream.write(text)) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  for (const event of ['drain', 'close', 'error']) stream.once(event, resolve);
  await promise;
}

async function ending(program: ChildProcess, ended: Promise<unknown[]>): Promise<number> {
  program.stdin?.end();
  program.stdout?.resume();
  const ask = setTimeout(() => signalGroup(program, 'SIGTERM'), END_MS);
  const force = setTimeout(() => signalGroup(program, 'SIGKILL'), 2 * END_MS);
  try {
    await ended;
  } finally {
    clearTimeout(ask);
    clearTimeout(force);
  }
  const { exitCode, signalCode } = program;
  return exitCode ?? 128 + (signalCode ? constants.signals[signalCode] : 0);
}

function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // All of it has ended meanwhile.
  }
}
