/** The command line: from argv to an exit code. Ends no process, reads no global state. */
import type { Readable } from 'node:stream';
import { FAULTS, Fault, toFault } from '../base/fault.ts';
import { cleanLine, jsonLine } from './clean.ts';
import { buildProgram } from './commands.ts';
import { type AnyCommand, INTERRUPTED } from './help.ts';
import type { ProcessCommand } from './process-command.ts';
import { type GlobalOptions, places, type Shell } from './shell.ts';
import { type Stream, Term } from './term.ts';

export type CliOptions = {
  /** Without the program's own two words. */
  argv: readonly string[];
  env: NodeJS.ProcessEnv;
  cwd: string;
  stdin: Readable;
  stdout: Stream;
  stderr: Stream;
  version: string;
  /** Aborts on ctrl-C; SIGTERM too. */
  signal: AbortSignal;
  processCommands: readonly ProcessCommand[];
};

/** Answers with the exit code: 0, a fault's (`FAULTS`), or 130 after an interrupt. */
export async function runCli(options: CliOptions): Promise<number> {
  const { argv, env, cwd, stdin, stdout, stderr, signal: interrupted } = options;
  const gone = new AbortController();
  stdout.on('error', (error) => gone.abort(error)); // EPIPE: the reader, such as `head`, has what it wanted.
  stderr.on('error', () => {});
  const signal = AbortSignal.any([interrupted, gone.signal]);
  // Also said of a line that cannot be parsed.
  const flags = argv.slice(0, argv.includes('--') ? argv.indexOf('--') : undefined);
  const json = flags.includes('--json');
  const quiet = flags.includes('--quiet') || flags.includes('-q');
  const terms = {
    out: new Term(stdout, { env, gone: gone.signal }),
    notes: new Term(stderr, { env, gone: gone.signal, quiet }),
  };
  let code = 0;

  const shell = (): Shell => {
    const chosen: GlobalOptions = program.command.opts();
    return { ...places(chosen, env, cwd), json, env, cwd, stdin, stdout, stderr, signal, ...terms };
  };
  const exit = (own: number) => {
    code = own;
  };
  const program = buildProgram({ shell, exit }, options.processCommands, options.version, { word: firstWord(argv) });
  for (const command of [program.command, ...everyChild(program.command)]) {
    command.configureOutput({
      writeOut: (text) => void stdout.write(text),
      writeErr: (text) => void stderr.write(text),
      outputError: () => {}, // Told below, once and in one form.
    });
  }
  try {
    await program.command.parseAsync(asked(argv), { from: 'user' });
    return code;
  } catch (error) {
    if (gone.signal.aborted) return 0;
    if (interrupted.aborted) return INTERRUPTED;
    const fault = faultOfLine(error);
    if (typeof fault === 'number') return fault;
    terms.notes.clear();
    stderr.write(`${json ? jsonLine(fault) : `netapp: ${cleanLine(fault.message)}`}\n`);
    return FAULTS[fault.code].exit;
  }
}

/** `help files send` is `files send --help`; the parser's own help knows one word. */
function asked(argv: readonly string[]): string[] {
  const [first, ...words] = argv;
  return first === 'help' && words.length > 0 ? [...words, '--help'] : [...argv];
}

/** Which command is meant; undefined where only the program's own help or version can be. */
function firstWord(argv: readonly string[]): string | undefined {
  const words = asked(argv);
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? '';
    if (word === '--home' || word === '--agent-path') at += 1;
    else if (word === '--') return words[at + 1];
    else if (!word.startsWith('-')) return word;
  }
  return undefined;
}

function everyChild(command: AnyCommand): AnyCommand[] {
  return command.commands.flatMap((child) => [child, ...everyChild(child)]);
}

/** What a thrown value is to the caller: an exit code that needs no words, or a fault. */
function faultOfLine(error: unknown): Fault | number {
  if (!(error instanceof Error) || !('code' in error) || !String(error.code).startsWith('commander.')) {
    return toFault(error);
  }
  switch (error.code) {
    case 'commander.helpDisplayed':
    case 'commander.version':
      return 0;
    case 'commander.help': // A group, or nothing, was asked for: its help was shown on stderr.
      return FAULTS.invalid_argument.exit;
    default: {
      const message = error.message
        .replace(/^error: /, '')
        .replaceAll(/'([^']*)'/g, '"$1"')
        .replaceAll(/\s*\n\s*/g, ' ');
      const code = error.code === 'commander.unknownCommand' ? 'unknown_operation' : 'invalid_argument';
      return new Fault(code, `${message}${message.includes('Did you mean') ? '' : '; see --help'}`);
    }
  }
}
