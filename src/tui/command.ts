/** A line that begins with `/`: the same commands, with the same words, as on the command line. */
import { PassThrough, Readable } from 'node:stream';
import { runCli } from '../cli/cli.ts';
import { cutWords } from '../cli/completion/words.ts';

/** Lines kept of what a command says; what came first goes. */
const MOST_LINES = 2000;

export type Output = { title: string; lines: string[]; running: boolean };

/** Runs it against the agent; `changed` is told of each line. Ends with the command, or with `signal`. */
export async function runLine(
  line: string,
  output: Output,
  options: {
    agentPath: string;
    env: NodeJS.ProcessEnv;
    cwd: string;
    signal: AbortSignal;
    columns: number;
    changed(): void;
  },
): Promise<void> {
  const { agentPath, env, cwd, signal, columns, changed } = options;
  const { words } = cutWords(`${line} `);
  const page = () => Object.assign(new PassThrough({ encoding: 'utf8' }), { columns });
  const [stdout, stderr] = [page(), page()];
  for (const stream of [stdout, stderr]) {
    let held = '';
    const take = (...lines: string[]): void => {
      output.lines.push(...lines);
      if (output.lines.length > MOST_LINES) output.lines.splice(0, output.lines.length - MOST_LINES);
      changed();
    };
    stream.on('data', (text: string) => {
      const lines = (held + text).split('\n');
      held = lines.pop() ?? '';
      take(...lines);
    });
    stream.on('end', () => {
      if (held !== '') take(held);
    });
  }
  await runCli({
    argv: ['--agent-path', agentPath, ...words],
    env: { ...env, NO_COLOR: '1' },
    cwd,
    stdin: Readable.from([]),
    stdout,
    stderr,
    version: '',
    signal,
    processCommands: [],
  });
  for (const stream of [stdout, stderr]) stream.end();
  output.running = false;
  changed();
}
