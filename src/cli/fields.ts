/** From the words and flags of a command line to an operation's input. */
import { resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { z } from 'zod';
import type { Operation } from '../api/catalogue.ts';
import { invalidArgument } from '../api/failure.ts';
import { Fault } from '../base/fault.ts';
import { type JobLine, jobFlags, jobOf, listOf, NO_JOB, needsOf, timeOf } from './job-line.ts';
import { parseBytes, parseSeconds } from './units.ts';

/** The longest text an operation takes, in UTF-8, and a little: what comes after is read no more. */
const STDIN_BYTES_MAX = 4 * 65_536;

/** The field in which a phrase's words stand. */
export const WORDS = 'words';

/** The values of a field that has a closed list of them. */
export function choicesOf(schema: unknown): string[] {
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodOptional) return choicesOf(schema.unwrap());
  return schema instanceof z.ZodEnum ? schema.options.map(String) : [];
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** The command line's own schema: strings only, of which `inputOf` makes what the operation's schema wants. */
export function lineSchema({ meta, input, name }: Operation): z.ZodObject {
  const { command } = meta;
  const shape: Record<string, z.ZodType> = {};
  const fields = Object.entries(input?.shape ?? {});
  const positionals = command.positionals ?? [];
  for (const positional of positionals) {
    if (!fields.some(([field]) => field === positional)) throw new Error(`${name}: no field "${positional}"`);
  }
  if (command.phrase) {
    const { choice, text } = command.phrase;
    const about = fields
      .filter(([field]) => field === choice || field === text)
      .map(([, schema]) => describe(schema))
      .join(', then ');
    shape[WORDS] = z.array(z.string()).meta({ positional: true, description: about });
  }
  const order = [...positionals, ...fields.map(([field]) => field).filter((field) => !positionals.includes(field))];
  for (const field of order) {
    const schema = input?.shape[field];
    if (command.secrets?.[field] !== undefined) continue;
    if (!(schema instanceof z.ZodType) || field === command.phrase?.choice || field === command.phrase?.text) continue;
    const isMany = command.forms?.[field] === 'text' || command.forms?.[field] === 'paths';
    const written = isMany ? z.array(z.string()) : z.string();
    if (schema.safeParse(true).data === true) {
      const isOn = schema.safeParse(undefined).data === true;
      shape[field] = z
        .boolean()
        .optional()
        .meta({ description: describe(schema), ...(isOn && { negatable: true }) });
      continue;
    }
    const optional = schema.safeParse(undefined).success;
    const positional = positionals.includes(field) ? { positional: true } : {};
    const list = command.forms?.[field] === 'list' ? { list: true } : {};
    const about = { description: describe(schema), ...positional, ...list };
    shape[field] = (optional ? written.optional() : written).meta(about);
  }
  if (command.qr?.flag) shape.qr = z.boolean().optional().describe('show it as a QR code, too');
  if (meta.job) Object.assign(shape, jobFlags(meta.job));
  return z.object(shape);
}

/** Whether a field of a line's schema takes values with commas between. */
export function isList(schema: unknown): boolean {
  return schema instanceof z.ZodType && schema.meta()?.list === true;
}

/** What a field is for, and what it is where nothing is said. */
export function describe(schema: unknown): string {
  if (!(schema instanceof z.ZodType)) return '';
  const about = schema.description ?? '';
  const fallback = schema instanceof z.ZodDefault ? schema.safeParse(undefined).data : undefined;
  return typeof fallback === 'number' ? `${about}; default: ${fallback}` : about;
}

export type Line = {
  input: Record<string, unknown> | undefined;
  qr: boolean;
  /** How it is wanted as a job. */
  job: JobLine;
};

/** Faults: `invalid_argument`, in the command line's words. */
export async function inputOf(
  { input, meta }: Operation,
  written: Record<string, unknown>,
  place: { cwd: string; stdin: Readable; env: NodeJS.ProcessEnv },
): Promise<Line> {
  const { command } = meta;
  const { job, rest } = meta.job ? jobOf(written) : { job: NO_JOB, rest: written };
  const { qr, [WORDS]: words, ...fields } = rest;
  const flags = { job, qr: qr === true };
  if (command.phrase && Array.isArray(words)) {
    const { choice, text } = command.phrase;
    const rest = words.map(String);
    const known = choicesOf(input?.shape[choice]);
    if (rest[0] !== undefined && known.includes(rest[0].toLowerCase())) fields[choice] = rest.shift()?.toLowerCase();
    fields[text] = rest.join(' ');
  }
  for (const [field, form] of Object.entries(command.forms ?? {})) {
    const value = fields[field];
    if (value === undefined) continue;
    if (form === 'path' || form === 'paths') fields[field] = resolve(place.cwd, String(value));
    else if (form === 'bytes') fields[field] = parseBytes(String(value));
    else if (form === 'seconds') fields[field] = parseSeconds(String(value));
    else if (form === 'list') fields[field] = listOf(String(value));
    else if (form === 'json') fields[field] = jsonOf(field, String(value));
    else if (form === 'time') fields[field] = timeOf(String(value));
    else if (form === 'needs') fields[field] = needsOf(String(value));
    else if (Array.isArray(value)) fields[field] = await textOf(value.map(String), place.stdin);
  }
  for (const [field, variable] of Object.entries(command.secrets ?? {}))
    fields[field] = place.env[variable] || undefined;
  if (!input) return { input: undefined, ...flags };
  // What is checked here is checked again by the agent; this way the answer is in the caller's words.
  const checked = input.safeParse(fields);
  if (!checked.success) {
    throw invalidArgument(
      checked.error.issues,
      (field) =>
        command.secrets?.[field] ??
        (command.positionals?.includes(field) ? `<${kebab(field)}> "${fields[field]}"` : `--${kebab(field)}`),
    );
  }
  return { input: checked.data, ...flags };
}

function jsonOf(field: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Fault('invalid_argument', `<${kebab(field)}> "${text}": expected JSON`, { cause: error });
  }
}

async function textOf(words: string[], stdin: Readable): Promise<string> {
  if (words.length !== 1 || words[0] !== '-') return words.join(' ');
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stdin) {
    const data = Buffer.from(chunk);
    bytes += data.length;
    if (bytes > STDIN_BYTES_MAX) {
      throw new Fault('too_large', `reading standard input: over ${STDIN_BYTES_MAX} bytes; send it as a file`);
    }
    chunks.push(data);
  }
  return Buffer.concat(chunks)
    .toString('utf8')
    .replace(/\r?\n$/, '');
}
