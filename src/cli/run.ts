/** Runs one operation for a command line, and shows what it answers. */
import { rm } from 'node:fs/promises';
import { z } from 'zod';
import { callByName } from '../api/call.ts';
import type { Operation } from '../api/catalogue.ts';
import { createClient } from '../api/client.ts';
import { faultOf } from '../api/failure.ts';
import { job } from '../api/job.ts';
import { outcome, outcomeOfJob } from '../api/outcome.ts';
import { file } from '../api/shapes.ts';
import { isStream } from '../api/stream.ts';
import { Fault } from '../base/fault.ts';
import { Bars } from './bars.ts';
import { cleanText, jsonLine } from './clean.ts';
import { inputOf } from './fields.ts';
import { LEFT, leaveIfAway, runJob } from './job.ts';
import { watch } from './progress.ts';
import type { Shell } from './shell.ts';
import { showAnswer, showNext, showValue } from './show.ts';
import { traceOf } from './trace.ts';

/** Where several paths are named: one call for each, in order. What fails keeps none of the others; its fault comes last. */
export async function runOperation(
  operation: Operation,
  written: Record<string, unknown>,
  shell: Shell,
): Promise<void> {
  const field = Object.entries(operation.meta.command.forms ?? {}).find(([, form]) => form === 'paths')?.[0];
  const paths = field === undefined ? undefined : written[field];
  if (field === undefined || !Array.isArray(paths)) return await runOnce(operation, written, shell);
  if (paths.length > 1 && written.name !== undefined) {
    throw new Fault('invalid_argument', `--name "${written.name}": it can name one path, not ${paths.length}`);
  }
  const faults: unknown[] = [];
  for (const path of paths.map(String)) {
    try {
      if (path === '-') await sendInput(operation, { ...written, [field]: path }, field, shell);
      else await runOnce(operation, { ...written, [field]: path }, shell);
    } catch (error) {
      if (shell.signal.aborted || paths.length === 1) throw error;
      if (faults.push(error) > 1) await shell.notes.line(error instanceof Error ? error.message : String(error));
    }
  }
  if (faults.length > 0) throw faults[0];
}

/** Standard input becomes a file in the home first: what goes to others must have a length and a hash. */
async function sendInput(operation: Operation, written: Record<string, unknown>, field: string, shell: Shell) {
  const { spool } = await import('./spool.ts');
  const { home } = await createClient({ socketPath: shell.agentPath }).status.show(undefined, { signal: shell.signal });
  const path = await spool(shell.stdin, home, shell.signal);
  try {
    await runOnce(operation, { ...written, name: written.name ?? 'stdin', [field]: path }, shell);
  } catch (error) {
    // With the call the agent takes it over: what it may have taken stays, what it refused is nobody's.
    const code = faultOf(error)?.code;
    const isTaken = code === 'cancelled' || code === 'link_closed' || code === 'timeout';
    if (!isTaken) await rm(path, { force: true });
    throw error;
  }
}

async function runOnce(operation: Operation, written: Record<string, unknown>, shell: Shell): Promise<void> {
  const { input, job: line, qr } = await inputOf(operation, written, shell);
  const { signal } = shell;
  if (line.isAsked || operation.meta.job?.long) return await runJob(operation, { input, job: line }, shell);
  const client = createClient({ socketPath: shell.agentPath });
  const answer = await callByName(client, operation.path, input, { signal }).catch(async (error: unknown) => {
    if (!shell.json) for (const text of traceOf(error)) await shell.notes.line(text);
    return leaveIfAway(error, operation, { input, job: line }, shell);
  });
  const { shows, qr: coded, opens } = operation.meta.command;
  if (answer === LEFT) return;

  if (isStream(answer)) {
    if (shows === 'progress') await showTransfer(answer, operation, shell);
    else if (shows === 'bars') await showBars(answer, shell);
    else if (shows === 'raw' && !shell.json) for await (const value of answer) await shell.out.line(rawLine(value));
    else for await (const value of answer) await showNext(value, operation, shell);
    return;
  }
  await showAnswer(answer, operation, shell);
  if (coded && (qr || !coded.flag)) await showQr(answer, coded.field, shell);
  if (opens !== undefined && !shell.json) await openIn(fieldOf(answer, opens), shell);
}

const fieldOf = (answer: unknown, field: string): unknown =>
  typeof answer === 'object' && answer !== null ? Reflect.get(answer, field) : undefined;

async function openIn(url: unknown, shell: Shell): Promise<void> {
  if (typeof url !== 'string') return;
  const { openInBrowser } = await import('./browser.ts');
  if (await openInBrowser(url, shell)) await shell.notes.line('The browser opens it.');
}

/** For people alone: a program has the text itself. */
async function showQr(answer: unknown, field: string, { json, out }: Shell): Promise<void> {
  const text = fieldOf(answer, field);
  if (json || typeof text !== 'string') return;
  const { qrLines } = await import('./qr.ts');
  await out.line('');
  for (const line of qrLines(text)) await out.line(line);
}

const raw = z.object({ line: z.string() });

/** JSON stays the value that it is; in other text nothing may steer the terminal. */
function rawLine(value: unknown): string {
  const { line } = raw.parse(value);
  try {
    return jsonLine(JSON.parse(line));
  } catch {
    return cleanText(line);
  }
}

/** A bar for each on a terminal; for a program, or a file, a snapshot a line. */
async function showBars(snapshots: AsyncIterable<unknown>, shell: Shell): Promise<void> {
  const { out, json } = shell;
  if (json || !out.isTerminal) {
    for await (const snapshot of snapshots) await out.line(jsonLine(snapshot));
    return;
  }
  const bars = new Bars(out);
  try {
    for await (const snapshot of snapshots) await bars.show(file.parse(snapshot));
  } finally {
    bars.end();
  }
}

/** Snapshots of a file or of a job, until it is over. */
async function showTransfer(snapshots: AsyncIterable<unknown>, { output, name }: Operation, shell: Shell) {
  const last = await watch(snapshots, shell.notes, async (snapshot) => {
    if (shell.json) await shell.out.line(jsonLine(snapshot));
  });
  const isJob = job.safeParse(last);
  const fault = isJob.success
    ? outcomeOfJob(isJob.data)
    : last
      ? outcome(file.parse(last))
      : new Fault('link_closed', `${name}: the agent answered nothing`);
  if (fault) throw fault;
  if (!shell.json) await showValue(last, output, shell);
}
