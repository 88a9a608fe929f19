/** `netapp doctor`: looks at all that must be so for messages to come and go, and says what a person has to do. */
import { createClient } from '../api/client.ts';
import { FAULTS, toFault } from '../base/fault.ts';
import { cleanLine, jsonLine } from '../cli/clean.ts';
import type { Shell } from '../cli/shell.ts';
import type { Style } from '../cli/term.ts';
import { readConfig } from '../node/home.ts';
import { agent, people, port } from './agent.ts';
import { type Check, examine, type Finding, type Patient } from './check.ts';
import { home, lock, settings, store } from './home.ts';
import { disk, versions } from './machine.ts';
import { mapping } from './mapping.ts';
import { network } from './network.ts';
import { peer } from './peer.ts';
import { trackers } from './trackers.ts';

/** In the order in which one thing stands on the other. */
const CHECKS: readonly Check[] = [
  versions,
  home,
  settings,
  disk,
  store,
  lock,
  agent,
  port,
  network,
  mapping,
  trackers,
  people,
];

/**
 * What can be looked at from within the agent itself: whether somebody else holds its home, and whether every page of its store is
 * whole, is for a program beside it to say.
 */
const CHECKS_WITHIN: readonly Check[] = [
  versions,
  home,
  settings,
  disk,
  agent,
  port,
  network,
  mapping,
  trackers,
  people,
];

/** The same of an agent that runs in this process. */
export async function examineAgent(patient: Patient): Promise<Finding[]> {
  return await Array.fromAsync(examine(CHECKS_WITHIN, patient));
}

const styles: Record<Finding['level'], Style> = { ok: 'green', note: 'yellow', bad: 'red' };

/**
 * Answers with the exit code: 0, or that of the first thing that a person must do something about. `handle`: looks at the ways to
 * this person instead.
 */
export async function doctor(shell: Shell, version: string, handle?: string): Promise<number> {
  const checks = handle === undefined ? CHECKS : [peer(handle)];
  const { home, agentPath, signal, out, json } = shell;
  const asked = createClient({ socketPath: agentPath }).status.show(undefined, { signal });
  const patient: Patient = {
    home,
    agentPath,
    version,
    agent: await asked.catch((error: unknown) => toFault(error)),
    config: await readConfig(home).catch(() => ({})),
    signal,
  };
  signal.throwIfAborted();
  const findings: Finding[] = [];
  for await (const finding of examine(checks, patient)) {
    findings.push(finding);
    if (json) continue;
    const { level, about, says, todo } = finding;
    await out.line(`${out.style(level.padEnd(4), styles[level])}  ${about.padEnd(8)}  ${cleanLine(says)}`);
    if (todo) await out.line(`${' '.repeat(16)}→ ${cleanLine(todo)}`);
  }
  if (json) await out.line(jsonLine(findings));
  const first = findings.find(({ code }) => code !== null)?.code;
  return first ? FAULTS[first].exit : 0;
}
