/** `netapp chat`: a full-screen chat in the terminal, until the user leaves it. */
import { render } from 'ink';
import { createElement } from 'react';
import { Fault } from '../base/fault.ts';
import type { Program } from '../cli/commands.ts';
import { askAgent } from '../cli/completion/ask.ts';
import { complete } from '../cli/completion/complete.ts';
import { cutWords, quoted } from '../cli/completion/words.ts';
import type { Shell } from '../cli/shell.ts';
import { type Output, runLine } from './command.ts';
import { Model } from './model.ts';
import { Screen } from './screen.ts';
import { Chat } from './view.ts';

/** Answers with the exit code once the user has left. Throws `wrong_state` without a terminal, `agent_down` without an agent. */
export async function chat({ with: who }: { with?: string | undefined }, shell: Shell): Promise<number> {
  const { stdin, stdout, stderr, agentPath, signal } = shell;
  if (!isTerminal(stdin) || stdout.isTTY !== true) {
    throw new Fault(
      'wrong_state',
      'opening the chat: it needs a terminal; scripts have "netapp say", "netapp messages" and "netapp pipe"',
    );
  }
  const left = new AbortController();
  const both = AbortSignal.any([signal, left.signal]);
  const model = new Model(agentPath, both);
  await model.start();
  const screen = screenOf(model, shell, () => app.unmount());
  const target = who === undefined ? undefined : await targetOf(model, who);
  if (target !== undefined) screen.open(target);
  const app = render(createElement(Chat, { screen }), {
    // A terminal is a stream of these types; the shell knows as much of them as others need.
    stdin: stdin as NodeJS.ReadStream,
    stdout: stdout as NodeJS.WriteStream,
    stderr: stderr as NodeJS.WriteStream,
    alternateScreen: true,
    interactive: true,
    incrementalRendering: true,
    exitOnCtrlC: false,
    patchConsole: false,
  });
  const stop = (): void => app.unmount();
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  try {
    await app.waitUntilExit();
    if (signal.aborted) throw new Fault('cancelled', 'the chat was ended');
    return 0;
  } finally {
    signal.removeEventListener('abort', stop);
    left.abort();
    stdin.pause();
  }
}

const isTerminal = (stdin: Shell['stdin']): boolean => 'isTTY' in stdin && stdin.isTTY === true;

/** As the list has it: a room by its name or id, somebody by their handle in whichever form. */
async function targetOf(model: Model, who: string): Promise<string> {
  const known = model.places.find(({ target, title }) => target === who || title === who);
  if (known) return known.target;
  if (who.startsWith('#')) return (await model.client.rooms.show({ room: who })).id;
  return (await model.client.people.find({ handle: who })).handle;
}

function screenOf(model: Model, shell: Shell, exit: () => void): Screen {
  const { agentPath, env, cwd, signal, stdout } = shell;
  let program: Promise<Program> | undefined;
  const screen = new Screen(model, {
    exit,
    run(line) {
      const output: Output = { title: `/${line}`, lines: [], running: true };
      const stop = new AbortController();
      screen.to({ of: 'output', output, from: 0, stop });
      const options = { agentPath, env, cwd, columns: stdout.columns ?? 80, changed: () => model.changed() };
      const both = AbortSignal.any([signal, stop.signal]);
      void model.attempt(() => runLine(line, output, { ...options, signal: both }));
    },
    async complete(line) {
      program ??= import('../cli/commands.ts').then(({ buildProgram }) =>
        buildProgram({ shell: () => shell, exit: () => {} }, [], ''),
      );
      const { words, current } = cutWords(line);
      const { choices } = await complete(await program, words, current, askAgent(agentPath, signal));
      const shared = commonBeginning(choices.map(({ value }) => value));
      const one = choices.length === 1;
      if (!one && choices.length > 0) model.say({ text: choices.map(({ value }) => value).join('  '), bad: false });
      if (shared.length < current.length || (shared === current && !one)) return undefined;
      return [...words, shared].map((word) => quoted(word, '') ?? word).join(' ') + (one ? ' ' : '');
    },
  });
  return screen;
}

function commonBeginning(values: readonly string[]): string {
  const [first = '', ...others] = values;
  let length = first.length;
  for (const other of others) while (!other.startsWith(first.slice(0, length))) length -= 1;
  return first.slice(0, length);
}
