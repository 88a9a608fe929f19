/** Shows what an operation answers: as JSON for programs, as lines and tables for people. */
import type { AnySchema } from '@orpc/contract';
import { z } from 'zod';
import type { Operation } from '../api/catalogue.ts';
import { jsonLine } from './clean.ts';
import { indented, nounOf } from './nouns.ts';
import type { Shell } from './shell.ts';

/** What an operation answers once. */
export async function showAnswer(answer: unknown, operation: Operation, shell: Shell): Promise<void> {
  if (operation.meta.command.shows === 'line') await showNext(answer, operation, shell);
  else await showValue(answer, operation.output, shell);
}

export async function showNext(value: unknown, { output, meta }: Operation, { json, out }: Shell): Promise<void> {
  const noun = nounOf(output);
  if (json || !noun || meta.command.shows === 'json') return out.line(jsonLine(value));
  const cells = noun.row(value);
  const shown = cells.map((cell) =>
    typeof cell === 'string' ? indented(cell, '    ') : out.style(indented(cell.text, '    '), cell.style),
  );
  await out.line(shown.filter((text) => text !== '').join('  '));
}

export async function showValue(
  value: unknown,
  schema: AnySchema | undefined,
  { json, out, notes }: Shell,
): Promise<void> {
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
  // What has no names is for another program's command line: the text alone.
  const gap = width === 0 ? '' : '  ';
  for (const [name, cell] of lines) {
    const { text, style } = typeof cell === 'string' ? { text: cell, style: undefined } : cell;
    const label = out.style(name.padEnd(width), 'dim');
    await out.line(`${label}${gap}${out.style(indented(text, ' '.repeat(width + gap.length)), style)}`);
  }
}
