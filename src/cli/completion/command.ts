/** `netapp completion`: a script for the user's shell, and the answers that the script asks for. */
import { z } from 'zod';
import type { Program } from '../commands.ts';
import { processCommand } from '../process-command.ts';
import { places, type Shell } from '../shell.ts';
import { askAgent } from './ask.ts';
import { type Answer, complete } from './complete.ts';
import { SHELLS, scriptOf } from './scripts.ts';
import { beforeBreak, cutWords, quoted, type Written } from './words.ts';

export const completionCommand = (program: () => Program) =>
  processCommand({
    name: 'completion',
    summary: 'Print a script that completes command lines in bash, zsh or fish',
    description:
      'For good: in ~/.bashrc "source <(netapp completion bash)", in ~/.zshrc after compinit "source <(netapp completion zsh)", in ~/.config/fish/config.fish "netapp completion fish | source". Handles, rooms and ids come from the running agent; without one there are none. The script asks with the words behind "--": what could stand for the last one.',
    example: 'netapp completion bash >> ~/.bash_completion',
    faults: [],
    input: z.object({
      shell: z.enum(SHELLS, 'expected bash, zsh or fish').meta({ positional: true, description: 'bash, zsh or fish' }),
      words: z
        .array(z.string())
        .optional()
        .meta({ positional: true, description: 'of a line to complete; bash: the line up to the cursor' }),
    }),
    async run({ shell: name, words }, shell) {
      if (!words || words.length === 0) {
        shell.stdout.write(scriptOf(name));
        return 0;
      }
      const written = name === 'bash' ? cutWords(words.join(' ')) : wordsOf(words);
      // What bash hands over begins with the program's own name.
      const before = name === 'bash' ? written.words.slice(1) : written.words;
      const ask = askAgent(agentOf(before, shell), shell.signal);
      const answer = await complete(program(), before, written.current, ask);
      shell.stdout.write(shown(answer, name === 'bash' ? bashValue(written, shell.env) : (value) => value));
      return 0;
    },
  });

/** The last word comes as fish has it, with its quotes. */
function wordsOf(words: readonly string[]): Written {
  const { current, raw, quote } = cutWords(words.at(-1) ?? '');
  return { words: words.slice(0, -1), current, raw, quote };
}

function bashValue(written: Written, env: NodeJS.ProcessEnv): (value: string) => string | undefined {
  const from = beforeBreak(written, env.COMP_WORDBREAKS ?? '');
  return (value) => {
    const text = quoted(value, written.quote);
    if (written.quote !== '') return text;
    // Written in another way than we would: there is nothing that could be put behind it.
    return text?.startsWith(written.raw.slice(0, from)) ? text.slice(from) : undefined;
  };
}

function shown({ choices, paths }: Answer, textOf: (value: string) => string | undefined): string {
  const lines = choices.flatMap(({ value, about }) => {
    const text = textOf(value);
    return text === undefined ? [] : [`${text}\t${about.replaceAll(/\s+/g, ' ')}`];
  });
  return `${[paths, ...lines].join('\n')}\n`;
}

/** The line may itself say which agent it is for. */
function agentOf(words: readonly string[], shell: Shell): string {
  const said = (flag: string): string | undefined => {
    const at = words.findLastIndex((word) => word === flag || word.startsWith(`${flag}=`));
    const word = words[at];
    const value = word === flag ? words[at + 1] : word?.slice(flag.length + 1);
    return value?.replace(/^~(?=\/|$)/, shell.env.HOME ?? '~');
  };
  const [home, agentPath] = [said('--home'), said('--agent-path')];
  if (!home && !agentPath) return shell.agentPath;
  return places({ ...(home && { home }), ...(agentPath && { agentPath }) }, shell.env, shell.cwd).agentPath;
}
