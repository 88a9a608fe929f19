/** What may stand for the last word of a command line: read from the parser's own tree and the operations' schemas. */
import { z } from 'zod';
import { naming } from '../../api/operation.ts';
import type { Fields, Program } from '../commands.ts';
import { choicesOf, WORDS } from '../fields.ts';
import type { AnyCommand } from '../help.ts';

export type Choice = { value: string; about: string };

export type Answer = {
  choices: Choice[];
  /** What of the file system fits, too; the shell knows it best. */
  paths: 'none' | 'files' | 'folders';
};

/** Names that only a running agent knows; those of `id` are of one noun. */
export type Ask = (of: 'person' | 'room' | 'target' | 'id', noun: string) => Promise<Choice[]>;

type AnyOption = AnyCommand['options'][number];

/** `words` stand before `current`, the program's own name not among them. Never throws for what somebody writes. */
export async function complete(program: Program, words: readonly string[], current: string, ask: Ask): Promise<Answer> {
  const place = new Place(program, words[0] === 'help' ? words.slice(1) : words);
  const { pending, ended } = place;
  if (pending) return fitting(await ofOption(place, pending, current, ask), current);
  if (!current.startsWith('-') || ended) return fitting(await ofPosition(place, current, ask), current);
  const at = current.indexOf('=');
  if (at < 0) return fitting(only(place.flags()), current);
  const option = place.option(current.slice(0, at));
  if (!option || !takesValue(option)) return only([]);
  const { choices } = await ofOption(place, option, current.slice(at + 1), ask);
  // A path behind "=" is left alone: shells differ in what of the word they would replace.
  return fitting(
    only(choices.map(({ value, about }) => ({ value: current.slice(0, at + 1) + value, about }))),
    current,
  );
}

/** Where a line stands: in which command, at which of its arguments, or behind which option. */
class Place {
  readonly #program: Program;
  readonly #path: string[] = [];
  command: AnyCommand;
  positionals = 0;
  pending: AnyOption | undefined;
  /** `--` was written: what follows are arguments. */
  ended = false;

  constructor(program: Program, words: readonly string[]) {
    this.#program = program;
    this.command = program.command;
    for (const word of words) this.#take(word);
  }

  #take(word: string): void {
    if (this.pending) {
      this.pending = undefined;
    } else if (this.ended || !word.startsWith('-') || word === '-') {
      const child = this.positionals === 0 && !this.ended && this.command.commands.find((each) => each.name() === word);
      if (!child) {
        this.positionals += 1;
        return;
      }
      this.command = child;
      this.#path.push(word);
    } else if (word === '--') {
      this.ended = true;
    } else if (!word.includes('=')) {
      const option = this.option(word);
      if (option && takesValue(option)) this.pending = option;
    }
  }

  get fields(): Fields | undefined {
    return this.#program.fields.get(this.#path.join(' '));
  }

  get noun(): string {
    return this.fields?.operation?.path[0] ?? '';
  }

  #options(): AnyOption[] {
    const { command } = this.#program;
    return this.command === command ? [...command.options] : [...this.command.options, ...command.options];
  }

  option(flag: string): AnyOption | undefined {
    return this.#options().find(({ long, short }) => long === flag || short === flag);
  }

  flags(): Choice[] {
    const known = this.#options().map(({ long, description }) => ({ value: long ?? '', about: description }));
    return [...known, { value: '--help', about: 'show help' }];
  }

  commands(): Choice[] {
    if (this.positionals > 0 || this.ended) return [];
    const { command } = this.#program;
    const known = this.command.commands.map((each) => ({ value: each.name(), about: each.summary() || titleOf(each) }));
    return this.command === command ? [...known, { value: 'help', about: 'Show help for a command' }] : known;
  }
}

const titleOf = (command: AnyCommand): string => command.description().split('\n')[0] ?? '';

const takesValue = ({ required, optional }: AnyOption): boolean => required || optional;

async function ofPosition(place: Place, current: string, ask: Ask): Promise<Answer> {
  const { command, positionals, fields } = place;
  const { registeredArguments: all } = command;
  const argument = all[positionals] ?? all.find(({ variadic }) => variadic);
  const phrase = fields?.operation?.meta.command.phrase;
  let values: Answer = only([]);
  if (argument && phrase && argument.name() === WORDS) {
    values = only(positionals === 0 ? enumOf(fields.input?.shape[phrase.choice]) : []);
  } else if (argument) {
    values = await ofField(place, argument.name(), current, ask);
  }
  return { ...values, choices: [...place.commands(), ...values.choices] };
}

async function ofOption(place: Place, option: AnyOption, written: string, ask: Ask): Promise<Answer> {
  if (option.flags.endsWith(' <dir>')) return { choices: [], paths: 'folders' };
  if (option.flags.endsWith(' <socket>')) return { choices: [], paths: 'files' };
  return ofField(place, option.attributeName(), written, ask);
}

/** What fits an input field, by its schema and by how it is written on a command line. */
async function ofField(place: Place, name: string, written: string, ask: Ask): Promise<Answer> {
  const schema: unknown = place.fields?.input?.shape[name];
  const form = place.fields?.operation?.meta.command.forms?.[name];
  const of = namingOf(schema);
  if (of === 'folder') return { choices: [], paths: 'folders' };
  if (of === 'path' || form === 'path' || form === 'paths') return { choices: [], paths: 'files' };
  if (of === undefined) return only(enumOf(schema));
  const choices = await ask(of, place.noun);
  if (form !== 'list') return only(choices);
  const before = written.slice(0, written.lastIndexOf(',') + 1);
  const taken = before.split(',');
  const left = choices.filter(({ value }) => !taken.includes(value));
  return only(left.map(({ value, about }) => ({ value: before + value, about })));
}

/** Of the field's own schema, or of what it wraps. */
function namingOf(schema: unknown): ReturnType<typeof named> {
  const found = named(schema);
  if (found) return found;
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodNullable) {
    return namingOf(schema.unwrap());
  }
  return schema instanceof z.ZodArray ? namingOf(schema.element) : undefined;
}

const named = (schema: unknown) => (schema instanceof z.ZodType ? naming.get(schema)?.of : undefined);

const enumOf = (schema: unknown): Choice[] => choicesOf(schema).map((value) => ({ value, about: '' }));

const only = (choices: Choice[]): Answer => ({ choices, paths: 'none' });

function fitting({ choices, paths }: Answer, current: string): Answer {
  return { choices: choices.filter(({ value }) => value.startsWith(current)), paths };
}
