/** Runs one operation for a command line, and shows what it answers. */
import { z } from 'zod';
import type { Operation } from '../api/catalogue.ts';
import { createClient } from '../api/client.ts';
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

type Call = (input: unknown, options: { signal: AbortSignal }) => Promise<unknown>;

export async function runOperation(
  operation: Operation,
  written: Record<string, unknown>,
  shell: Shell,
): Promise<void> {
  const { input, job: line, qr } = await inputOf(operation, written, shell);
  const { signal } = shell;
  if (line.isAsked || operation.meta.job?.long) return await runJob(operation, { input, job: line }, shell);
  const client = createClient({ socketPath: shell.agentPath });
  // The catalogue's names are the client's own; that each input fits was checked by its schema.
  const callOf = ([noun, verb]: readonly [string, string]) =>
    (client as unknown as Record<string, Record<string, Call>>)[noun]?.[verb];
  const answer = await callOf(operation.path)?.(input, { signal }).catch((error: unknown) =>
    leaveIfAway(error, operation, { input, job: line }, shell),
  );
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
