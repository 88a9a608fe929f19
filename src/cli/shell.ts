/** Where a command runs: its home, its streams, and when it must end. */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import type { Stream, Term } from './term.ts';

/** What a command of the process itself (`up`, `tracker`, `demo`) is given beside its input. */
export type Shell = {
  /** Absolute. `--home`, else `NETAPP_HOME`, else the XDG data folder's `netapp`. */
  home: string;
  /** The agent's socket. `--agent-path`, else `NETAPP_AGENT_PATH`, else `agent.sock` in the home. */
  agentPath: string;
  /** Both, and which flag or variable said so. */
  places: readonly Place[];
  /** Data is wanted as JSON, one value a line. */
  json: boolean;
  env: NodeJS.ProcessEnv;
  cwd: string;
  stdin: Readable;
  stdout: Stream;
  stderr: Stream;
  /** Aborts on ctrl-C and SIGTERM, whose name is the reason then, and when nobody reads stdout any more. */
  signal: AbortSignal;
  /** Data for people, and messages: both clean what others wrote. */
  out: Term;
  notes: Term;
};

export type Place = { name: 'home' | 'agentPath'; value: string; origin: string };

export type GlobalOptions = { home?: string; agentPath?: string; json?: boolean };

/** Flags, then environment, then defaults (https://specifications.freedesktop.org/basedir-spec/latest/). */
export function places(
  options: GlobalOptions,
  env: NodeJS.ProcessEnv,
  cwd: string,
): { home: string; agentPath: string; places: readonly Place[] } {
  const data = env.XDG_DATA_HOME || join(env.HOME || homedir(), '.local', 'share');
  const chosen = (name: Place['name'], flag: string, given: string | undefined, fallback: string): Place => {
    const variable = name === 'home' ? 'NETAPP_HOME' : 'NETAPP_AGENT_PATH';
    const said = env[variable];
    const origin = given ? `flag ${flag}` : said ? `environment ${variable}` : 'default';
    return { name, value: resolve(cwd, given || said || fallback), origin };
  };
  const home = chosen('home', '--home', options.home, join(data, 'netapp'));
  const agentPath = chosen('agentPath', '--agent-path', options.agentPath, join(home.value, 'agent.sock'));
  return { home: home.value, agentPath: agentPath.value, places: [home, agentPath] };
}
