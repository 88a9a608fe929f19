/** Runs one operation for a command line, and shows what it answers. */
import type { AnySchema } from '@orpc/contract';
import { z } from 'zod';
import { type Operation, operationList } from '../api/catalogue.ts';
import { createClient } from '../api/client.ts';
import { type FileInfo, file } from '../api/shapes.ts';
import { isStream } from '../api/stream.ts';
import { Fault } from '../base/fault.ts';
import { Bars } from './bars.ts';
import { cleanText, jsonLine } from './clean.ts';
import { inputOf } from './fields.ts';
import { indented, nounOf } from './nouns.ts';
import { outcome, watch } from './progress.ts';
import type { Shell } from './shell.ts';

type Call = (input: unknown, options: { signal: AbortSignal }) => Promise<unknown>;

export async function runOperation(
  operation: Operation,
  written: Record<string, unknown>,
  shell: Shell,
): Promise<void> {
  const { input, detach, qr } = await inputOf(operation, written, shell);
  const { signal } = shell;
  const client = createClient({ socketPath: shell.agentPath });
  // The catalogue's names are the client's own; that each input fits was checked by its schema.
  const callOf = ([noun, verb]: readonly [string, string]) =>
    (client as unknown as Record<string, Record<string, Call>>)[noun]?.[verb];
  const answer = await callOf(operation.path)?.(input, { signal });
  const { settles, shows, qr: coded } = operation.meta.command;

  if (isStream(answer)) {
    if (shows === 'progress') await showTransfer(answer, operation, shell);
    else if (shows === 'bars') await showBars(answer, shell);
    else if (shows === 'raw' && !shell.json) for await (const value of answer) await shell.out.line(rawLine(value));
    else for await (const value of answer) await showNext(value, operation, shell);
    return;
  }
  if (settles && !detach) {
    const follow = operationList.find(({ path }) => path.join() === settles.by.join());
    const snapshots = await callOf(settles.by)?.({ id: file.parse(answer).id }, { signal });
    if (!follow || !isStream(snapshots)) throw new Error(`${operation.name}: cannot be followed`);
    const during = async ({ state }: FileInfo) => settles.during.includes(state);
    const settled = (await watch(snapshots, shell.notes, during)) ?? file.parse(answer);
    await showValue(settled, operation.output, shell);
    if (settled.state === 'failed') throw outcome(settled);
    return;
  }
  if (shows === 'line') await showNext(answer, operation, shell);
  else await showValue(answer, operation.output, shell);
  if (coded && (qr || !coded.flag)) await showQr(answer, coded.field, shell);
}

/** For people alone: a program has the text itself. */
async function showQr(answer: unknown, field: string, { json, out }: Shell): Promise<void> {
  const text: unknown = typeof answer === 'object' && answer !== null ? Reflect.get(answer, field) : undefined;
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

async function showTransfer(snapshots: AsyncIterable<unknown>, { output, name }: Operation, shell: Shell) {
  const last = await watch(snapshots, shell.notes, async (snapshot) => {
    if (shell.json) await shell.out.line(jsonLine(snapshot));
    return true;
  });
  const fault = last ? outcome(last) : new Fault('link_closed', `${name}: the agent answered nothing`);
  if (fault) throw fault;
  if (!shell.json) await showValue(last, output, shell);
}

async function showNext(value: unknown, { output, meta }: Operation, { json, out }: Shell): Promise<void> {
  const noun = nounOf(output);
  if (json || !noun || meta.command.shows === 'json') return out.line(jsonLine(value));
  const cells = noun.row(value);
  const shown = cells.map((cell) =>
    typeof cell === 'string' ? indented(cell, '    ') : out.style(indented(cell.text, '    '), cell.style),
  );
  await out.line(shown.filter((text) => text !== '').join('  '));
}

async function showValue(value: unknown, schema: AnySchema | undefined, { json, out, notes }: Shell): Promise<void> {
  if (json) return out.line(jsonLine(value));
  if (schema instanceof z.ZodArray && Array.isArray(value)) {
    const noun = nounOf(schema.element);
    if (!noun) return out.line(jsonLine(value));
    if (value.length === 0) return notes.line(noun.none);
    return out.table(noun.head, value.map(noun.row));
  }
  const noun = nounOf(schema);
  if (!noun) return out.line(jsonLine(value));
  const lines = noun.detail(value);
  const width = Math.max(...lines.map(([name]) => name.length));
  for (const [name, cell] of lines) {
    const { text, style } = typeof cell === 'string' ? { text: cell, style: undefined } : cell;
    const label = out.style(name.padEnd(width), 'dim');
    await out.line(`${label}  ${out.style(indented(text, ' '.repeat(width + 2)), style)}`);
  }
}
