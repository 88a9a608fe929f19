/** Carries out one job: calls its operation, and follows what that has begun until it is settled. */
import { callByName } from '../api/call.ts';
import type { Client } from '../api/contract.ts';
import { outcome } from '../api/outcome.ts';
import { file } from '../api/shapes.ts';
import { isStream } from '../api/stream.ts';
import { Fault } from '../base/fault.ts';
import { jobOperations } from './job-view.ts';

/** Milliseconds that undoing may take when a job is cancelled. */
const UNDO_MS = 10_000;

type Performing = {
  client: Client;
  signal: AbortSignal;
  /** Told how far it is, by what the operation answers until then. */
  progress(answer: unknown): void;
};

/** Answers with the operation's answer, of a stream with its last one. Throws its fault, and the signal's reason. */
export async function perform(job: { operation: string; input: string }, performing: Performing): Promise<unknown> {
  const { client, signal, progress } = performing;
  const operation = jobOperations.get(job.operation);
  if (!operation)
    throw new Fault('unknown_operation', `running a job: there is no operation "${job.operation}" any more`);
  const call = (path: readonly [string, string], input: unknown, ends = signal): Promise<unknown> =>
    callByName(client, path, input, { signal: ends });
  const { settles } = operation.meta.command;
  let last: unknown;
  const seen = (answer: unknown): void => {
    last = answer;
    progress(answer);
  };
  try {
    const answer = await call(operation.path, operation.input ? JSON.parse(job.input) : undefined);
    if (isStream(answer)) {
      for await (const each of answer) seen(each);
      return ended(last);
    }
    seen(answer);
    if (!settles) return answer;
    const snapshots = await call(settles.by, { id: idOf(answer) });
    if (!isStream(snapshots)) throw new Error(`${operation.name}: cannot be followed`);
    for await (const each of snapshots) {
      seen(each);
      const { state } = file.parse(each);
      if (!settles.during.includes(state)) break;
    }
    const settled = file.parse(last);
    return settled.state === 'failed' ? ended(settled) : settled;
  } catch (error) {
    const undo = operation.meta.job?.cancelledBy;
    // An agent that closes takes it up again.
    const isGivenUp = signal.aborted && !(signal.reason instanceof Fault && signal.reason.code === 'link_closed');
    if (undo && isGivenUp && last !== undefined) {
      // What cannot be cancelled any more is over by itself.
      await call(undo, { id: idOf(last) }, AbortSignal.timeout(UNDO_MS)).catch(() => {});
    }
    throw error;
  }
}

function idOf(answer: unknown): string {
  return file.parse(answer).id;
}

/** The last snapshot of a transfer. Throws what ended it without its file. */
function ended(last: unknown): unknown {
  const snapshot = file.safeParse(last);
  const fault = snapshot.success ? outcome(snapshot.data) : undefined;
  if (fault) throw fault;
  return last;
}
