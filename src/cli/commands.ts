/** The command tree: a router of the operations and the process commands, which `trpc-cli` makes into a program. */
import { type AnyProcedure, os } from '@orpc/server';
import { Command, createCli, type TrpcCliMeta } from 'trpc-cli';
import type { z } from 'zod';
import { type Operation, operationList } from '../api/catalogue.ts';
import { faultOf } from '../api/failure.ts';
import { faultsOf } from '../api/operation.ts';
import { FAULTS, type FaultCode } from '../base/fault.ts';
import { completionCommand } from './completion/command.ts';
import { describe, isList, lineSchema } from './fields.ts';
import { type AnyCommand, type Entry, exitCodesHelp, GROUPS, rootHelp, setHelp } from './help.ts';
import { pipeCommand } from './pipe/command.ts';
import type { ProcessCommand } from './process-command.ts';
import type { Shell } from './shell.ts';

type Context = {
  shell(): Shell;
  /** A process command's own exit code. */
  exit(code: number): void;
};

type Tree = { [word: string]: AnyProcedure | Tree };

/** What a command's arguments and options are, beside what the parser knows of them. */
export type Fields = { input: z.ZodObject | undefined; operation?: Operation };

export type Program = { command: Command; entries: readonly Entry[]; fields: ReadonlyMap<string, Fields> };

/** A list may stand several times, with commas, or both. */
const together = (value: string, before: unknown): string =>
  typeof before === 'string' ? `${before},${value}` : value;

/**
 * `asked`: the first word of the line. Then only the commands that begin with it are built, since most of the time of a short
 * command would go into all the others; where none does, all of them, so that the parser can say which one is near.
 */
export function buildProgram(
  context: Context,
  processCommands: readonly ProcessCommand[],
  version: string,
  asked?: { word: string | undefined },
): Program {
  const router: Tree = {};
  const entries: Entry[] = [];
  const inputs = new Map<string, z.ZodObject>();
  const fields = new Map<string, Fields>();
  const coded = os.$context<Context>().$meta<TrpcCliMeta>({});
  const procedure = coded.use(async ({ next }) => {
    try {
      return await next();
    } catch (error) {
      throw faultOf(error) ?? error;
    }
  });

  const ownCommands = [...processCommands, pipeCommand, completionCommand(() => built)];
  const first = (words: string): string => words.split(' ')[0] ?? '';
  const names = [
    ...ownCommands.map(({ name }) => name),
    ...operationList.flatMap(({ meta: { command } }) => [command.words[0] ?? '', command.textbook ?? []].flat()),
  ].map(first);
  const { word } = asked ?? {};
  const isKnown = word === undefined ? asked !== undefined : names.includes(word) && word !== 'completion';
  const isBuilt = (words: string): boolean => !isKnown || first(words) === word;

  for (const { name, isDefault = false, summary, description, example, faults, input, run } of ownCommands) {
    entries.push({ words: name, summary, group: name.startsWith('im ') ? 'im' : 'process' });
    if (!isBuilt(name)) continue;
    inputs.set(name, input);
    fields.set(name, { input });
    const command = procedure
      .meta({
        description: page(summary, description),
        examples: examples(example, ['internal', ...faults]),
        default: isDefault,
      })
      .input(input)
      .handler(async ({ context, input }) => context.exit(await run(input, context.shell())));
    place(router, name.split(' '), command);
  }
  for (const operation of operationList) {
    const { summary, description, meta, path } = operation;
    const { words, textbook } = meta.command;
    const written = words.join(' ');
    entries.push({ words: written, summary, group: path[0] });
    if (textbook) entries.push({ words: textbook, summary: `The same as "${written}"`, group: 'textbook' });
    if (!isBuilt(written) && !(textbook && isBuilt(textbook))) continue;
    const faults = faultsOf(meta).filter((code) => code !== 'unauthenticated');
    const schema = lineSchema(operation);
    const command = procedure
      .meta({
        description: page(summary, description),
        examples: examples(meta.example, faults),
        default: meta.command.isDefault === true,
      })
      .input(schema)
      // Loaded when a command runs: help needs no client.
      .handler(async ({ context, input }) => {
        const { runOperation } = await import('./run.ts');
        await runOperation(operation, input, context.shell());
      });
    inputs.set(written, schema);
    fields.set(written, { input: operation.input, operation });
    place(router, words, command);
    if (!textbook) continue;
    inputs.set(textbook, schema);
    fields.set(textbook, { input: operation.input, operation });
    place(router, [textbook], command);
  }

  const program = createCli({ router, name: 'netapp', context }).buildProgram({ argv: [], process: NO_EXIT });
  if (!(program instanceof Command)) throw new Error('trpc-cli builds a program that is not its Command');
  program
    .option('--home <dir>', 'folder of this node’s data (NETAPP_HOME)')
    .option('--agent-path <socket>', 'the agent’s socket; default: agent.sock in the home (NETAPP_AGENT_PATH)')
    .option('--json', 'data as JSON: one value a line')
    .option('-q, --quiet', 'data and errors alone: no notes, no progress');
  program.version(version, '--version', 'show the version');
  const exitCodes = program.command('exit-codes').description('Show what each exit code means');
  exitCodes.action(() => exitCodes.outputHelp());
  entries.push({ words: 'help <command>', summary: 'Show help for a command', group: 'help' });
  entries.push({ words: 'help exit-codes', summary: 'Show what each exit code means', group: 'help' });
  settle(program, [], inputs);
  setHelp(exitCodes, exitCodesHelp);
  setHelp(program, () =>
    rootHelp(entries, [...program.options, { flags: '-h, --help', description: 'show help, also after any command' }]),
  );
  const built: Program = { command: program, entries, fields };
  return built;
}

// Commands end by throwing; only bin ends the process.
const NO_EXIT = {
  exit: (): never => {
    throw new Error('a command must not end the process');
  },
};

function place(tree: Tree, words: readonly string[], command: AnyProcedure): void {
  const [word, ...rest] = words;
  if (word === undefined) return;
  if (rest.length === 0) {
    tree[word] = command;
    return;
  }
  const branch = tree[word] ?? {};
  if ('~orpc' in branch) throw new Error(`"${word}" is a command and a group`);
  tree[word] = branch;
  place(branch as Tree, rest, command); // What is no procedure is a tree.
}

function page(summary: string, description: string | undefined): string {
  return description ? `${summary}.\n\n${description}` : `${summary}.`;
}

function examples(example: string, faults: readonly FaultCode[]): string[] {
  const rows = [...new Set(faults)]
    .sort((a, b) => FAULTS[a].exit - FAULTS[b].exit)
    .map((code) => `  ${String(FAULTS[code].exit).padStart(2)}  ${FAULTS[code].means}`);
  return [`  ${example}`, '', 'Exit codes:', '   0  it was done', ...rows];
}

/**
 * The house's ways, for each command: it throws instead of exiting, says what our schemas say, and its flags either
 * take no value or always want one, which our schemas check.
 */
function settle(command: AnyCommand, words: readonly string[], inputs: ReadonlyMap<string, z.ZodObject>): void {
  command.exitOverride((error) => {
    throw error;
  });
  command.showHelpAfterError(false);
  const input = inputs.get(words.join(' '));
  for (const argument of command.registeredArguments) {
    argument.description = describe(input?.shape[argument.name()]);
    argument.parseArg = undefined;
  }
  for (const option of command.options) {
    const field = input?.shape[option.attributeName()];
    if (field === undefined) continue;
    option.description = describe(field);
    option.defaultValue = undefined;
    const [flag] = option.flags.split(' ');
    if (option.negate) {
      option.description = `not ${flag?.replace('--no-', '--')}`;
    } else if (option.flags.endsWith('[boolean]')) {
      option.flags = flag ?? '';
      option.optional = false;
      option.parseArg = undefined;
    } else {
      option.flags = `${flag} <${option.variadic ? 'value...' : 'value'}>`;
      option.optional = false;
      option.required = true;
      if (!option.variadic) option.parseArg = undefined;
      if (isList(field)) option.argParser<string | undefined>(together);
    }
  }
  if (words.length > 0) {
    command.configureHelp({ showGlobalOptions: true });
    const [summary = ''] = command.description().split('\n');
    command.summary(summary.replace(/\.$/, ''));
  }
  const [noun = ''] = words;
  if (words.length > 0 && command.commands.length > 0) command.description(GROUPS[noun]?.about ?? '');
  for (const child of command.commands) settle(child, [...words, child.name()], inputs);
}
