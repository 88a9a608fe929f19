/** A command as a program writes it in the shared-memory area: an operation's name, and its arguments as words or as JSON. */
import { z } from 'zod';
import { type Operation, operationList } from '../api/catalogue.ts';
import { Fault } from '../base/fault.ts';

/** What programs of the textbook system call the first step. */
const OLD_NAMES = new Map([['submit-info', 'send-info']]);

const kebab = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** Every operation by its names: `people.find`, `people find`, `find` where the command line has it so, and the textbook's. */
const byName = new Map<string, Operation>(
  operationList.flatMap((operation) => {
    const { words, textbook } = operation.meta.command;
    const names = [
      operation.name.toLowerCase(),
      operation.path.map(kebab).join(' '),
      words.join(' '),
      textbook ?? [],
    ].flat();
    return names.map((name) => [name, operation] as const);
  }),
);

const WORDS_MOST = Math.max(...[...byName.keys()].map((name) => name.split(' ').length));

export type Command = { operation: Operation; input: Record<string, unknown> };

/** Faults: `unknown_operation`, `invalid_argument`. That the input fits is for the operation's own schema to say. */
export function commandOf(line: string): Command {
  const [operation, rest] = named(line);
  return { operation, input: rest.startsWith('{') ? fromJson(operation, rest) : fromWords(operation, rest) };
}

/** Longest name first: `people status` is not `people` with an argument. */
function named(line: string): [Operation, string] {
  const words = line.trim().split(/\s+/);
  for (let count = Math.min(WORDS_MOST, words.length); count > 0; count--) {
    const name = words.slice(0, count).join(' ').toLowerCase().replaceAll('_', '-');
    const operation = byName.get(OLD_NAMES.get(name) ?? name);
    if (operation) return [operation, line.trim().replace(new RegExp(`^(?:\\S+\\s*){${count}}`), '')];
  }
  throw new Fault(
    'unknown_operation',
    `asking for "${words.slice(0, 2).join(' ')}": there is no such operation; "netapp --help" lists them`,
  );
}

function fromJson({ name }: Operation, text: string): Record<string, unknown> {
  try {
    return z.record(z.string(), z.unknown()).parse(JSON.parse(text));
  } catch (error) {
    throw new Fault('invalid_argument', `asking for "${name}": its arguments are not one JSON object`, {
      cause: error,
    });
  }
}

const WORD = /^(?:"([^"]*)"|(\S+))\s*/;

function fromWords(operation: Operation, text: string): Record<string, unknown> {
  const { positionals = [], forms = {} } = operation.meta.command;
  const shape = operation.input?.shape ?? {};
  const input: Record<string, unknown> = {};
  const left = [...positionals];
  let rest = text.trim();
  const next = (): string => {
    const [whole = rest, quoted, word] = WORD.exec(rest) ?? [];
    rest = rest.slice(whole.length);
    return quoted ?? word ?? '';
  };
  while (rest !== '') {
    const [, flag] = /^--([a-z-]+)(?=\s|$)/.exec(rest) ?? [];
    const field = flag?.replaceAll(/-(.)/g, (_, letter: string) => letter.toUpperCase()) ?? left.shift();
    if (field === undefined || shape[field] === undefined) {
      throw new Fault(
        'invalid_argument',
        `asking for "${operation.name}": "${rest.slice(0, 40)}" is more than it takes; other arguments go into one JSON object`,
      );
    }
    if (flag !== undefined) next();
    if (flag !== undefined && z.safeParse(shape[field], true).data === true) input[field] = true;
    else if (forms[field] === 'text') {
      // A text is all that is left, as it stands.
      input[field] = rest;
      rest = '';
    } else input[field] = fieldValue(shape[field], next(), forms[field] === 'list');
  }
  return input;
}

/** A word as the field's schema wants it: text where that is fine, else what it is as JSON. */
function fieldValue(schema: z.core.$ZodType, word: string, list: boolean): unknown {
  if (list) return word.split(',').map((item) => item.trim());
  if (z.safeParse(schema, word).success) return word;
  try {
    return JSON.parse(word);
  } catch {
    return word; // The operation's schema says what is wrong with it.
  }
}
