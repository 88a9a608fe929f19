/** Runs a node and its agent until it is told to end. */
import type { Writable } from 'node:stream';
import type { Backend } from '../api/backend.ts';
import { Fault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';

export type UpOptions = {
  name?: string | undefined;
  port?: number | undefined;
  join?: string | undefined;
  tracker: string[];
  zone?: string | undefined;
  /** Bytes; null: nothing unasked; undefined: as the home's configuration says. */
  autoAccept?: number | null | undefined;
  httpPort?: number | undefined;
};

/** The doors that `up` opens for its backend. Started after the backend, disposed before it. */
export interface Doors extends AsyncDisposable {
  start(): Promise<void>;
  readonly httpPort: number | undefined;
}

/** What `up` needs from whoever runs it. */
export type UpShell = {
  home: string;
  agentPath: string;
  json: boolean;
  stdout: Writable;
  stderr: Writable;
  /** Aborts when it must end. */
  signal: AbortSignal;
  createAgent(options: {
    backend: Backend;
    socketPath: string;
    tokenPath: string;
    http: { port: number } | undefined;
    log: Log;
  }): Doors;
};

/** Answers with the exit code once it has ended cleanly; throws a `Fault` where it cannot run. */
export async function up(_options: UpOptions, _shell: UpShell): Promise<number> {
  throw new Fault('internal', 'running a node: this version has none yet');
}
