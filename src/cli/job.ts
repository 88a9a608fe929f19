/** A command that is carried out as a job: watched to its end or left alone, and left for later where no agent runs. */
import { createInterface } from 'node:readline/promises';
import type { Operation } from '../api/catalogue.ts';
import { createClient } from '../api/client.ts';
import { isOver, type Job, type JobRequest, job as jobShape } from '../api/job.ts';
import { outcomeOfJob } from '../api/outcome.ts';
import { isHome, leaveInSpool } from '../api/spool.ts';
import { Fault } from '../base/fault.ts';
import { jsonLine } from './clean.ts';
import type { JobLine } from './job-line.ts';
import { watch } from './progress.ts';
import type { Shell } from './shell.ts';
import { showAnswer, showValue } from './show.ts';

/** Milliseconds that the agent has to take a job, or to cancel one, however it is interrupted. */
const TAKE_MS = 30_000;

type Wanted = { input: Record<string, unknown> | undefined; job: JobLine };

/** What `leaveIfAway` gives for a request that is in the spool now. */
export const LEFT = Symbol('left in the spool');

export async function runJob(operation: Operation, { input, job: line }: Wanted, shell: Shell): Promise<void> {
  const client = createClient({ socketPath: shell.agentPath });
  const request = requestOf(operation, { input, job: line });
  const taken = await client.jobs
    .create(request, { signal: AbortSignal.timeout(TAKE_MS) })
    .catch((error: unknown) => leaveIfAway(error, operation, { input, job: line }, shell));
  if (taken === LEFT) return;
  if (line.detach) return await showValue(taken, jobShape, shell);
  await watchToEnd(taken, operation, shell);
}

function requestOf(operation: Operation, { input, job }: Wanted): JobRequest {
  // Whoever waits at the command wants to hear at once what is wrong, unless they said that it is to wait.
  return { operation: operation.name, input: input ?? {}, retry: job.isAsked, ...job.options };
}

/** Leaves the request in the spool where no agent runs, and says so; else throws what was thrown. */
export async function leaveIfAway(
  error: unknown,
  operation: Operation,
  wanted: Wanted,
  { home, json, out, notes }: Shell,
): Promise<typeof LEFT> {
  const isAway = error instanceof Fault && error.code === 'agent_down';
  if (!isAway || !operation.meta.job?.spool || !wanted.job.spool || !(await isHome(home))) throw error;
  const { id, file } = await leaveInSpool(home, { ...requestOf(operation, wanted), retry: true });
  if (json) await out.line(jsonLine({ id, state: 'spooled', operation: operation.name, file }));
  else await out.line(id);
  await notes.line(
    `netapp: no agent runs: the request waits as ${id} in "${file}"; it is carried out once "netapp up" runs`,
  );
  return LEFT;
}

async function watchToEnd(taken: Job, operation: Operation, shell: Shell): Promise<void> {
  const client = createClient({ socketPath: shell.agentPath });
  let last = taken;
  let shown: string | undefined;
  const follow = async (signal: AbortSignal | undefined): Promise<void> => {
    const snapshots = await client.jobs.wait({ id: taken.id }, { ...(signal && { signal }) });
    await watch(snapshots, shell.notes, async (next) => {
      last = jobShape.parse(next);
      const line = jsonLine(last.answer);
      if (!operation.stream || !shell.json || last.answer === null || line === shown) return;
      shown = line;
      await shell.out.line(line);
    });
  };
  try {
    await follow(shell.signal);
  } catch (error) {
    if (!shell.signal.aborted) throw error;
    if ((await interrupted(last, shell)) !== 'wait') throw error;
    await follow(undefined); // the next ctrl-C ends this program, and leaves the job
  }
  const fault = outcomeOfJob(last);
  if (fault && !operation.stream && last.answer !== null) await showAnswer(last.answer, operation, shell);
  if (fault) throw fault;
  if (!operation.stream || !shell.json) await showAnswer(last.answer, operation, shell);
}

/** Ctrl-C: a person is asked what is to become of the job; without one it goes on, and its id is said. */
async function interrupted(job: Job, shell: Shell): Promise<'left' | 'cancelled' | 'wait'> {
  const { notes, stdin, stderr, agentPath, signal } = shell;
  const isPerson = signal.reason === 'SIGINT' && 'isTTY' in stdin && stdin.isTTY === true && stderr.isTTY === true;
  if (isOver(job.state)) return 'left';
  if (isPerson) {
    const answer = await ask(
      `The job ${job.id} is ${job.state}. [l]eave it running, [c]ancel it, or [w]ait on? `,
      shell,
    );
    if (answer.startsWith('w')) return 'wait';
    if (answer.startsWith('c')) {
      const client = createClient({ socketPath: agentPath });
      const { state } = await client.jobs.cancel({ id: job.id }, { signal: AbortSignal.timeout(TAKE_MS) });
      await notes.line(`netapp: the job ${job.id} is ${state}`);
      return 'cancelled';
    }
  }
  await notes.line(
    `netapp: the job ${job.id} goes on; see "netapp jobs wait ${job.id}", or cancel it with "netapp jobs cancel ${job.id}"`,
  );
  return 'left';
}

/** One line from the terminal; nothing at its end. */
async function ask(question: string, { stdin, stderr }: Shell): Promise<string> {
  const lines = createInterface({ input: stdin, terminal: false });
  stderr.write(`\n${question}`);
  for await (const line of lines) return line.trim().toLowerCase();
  return '';
}
