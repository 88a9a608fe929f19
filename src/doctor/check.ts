/** What a check of the doctor is, and what it finds. */
import type { Status } from '../api/shapes.ts';
import { Fault, type FaultCode, toFault } from '../base/fault.ts';
import type { HomeConfig } from '../node/home.ts';

export type Finding = {
  /** What was looked at, in a word or two. */
  about: string;
  /** `ok`: as it should be. `note`: worth knowing, and nobody has to act. `bad`: a person must act. */
  level: 'ok' | 'note' | 'bad';
  /** What is so. */
  says: string;
  /** What to do about it. */
  todo: string | null;
  /** Of `bad`: which kind of trouble, and with it the exit code. */
  code: FaultCode | null;
};

/** What all checks look at, asked for once. */
export type Patient = {
  home: string;
  agentPath: string;
  /** Of this program. */
  version: string;
  /** What the agent says of itself; the fault where none answers. */
  agent: Status | Fault;
  /** What the home remembers; empty where it cannot be read, which a check of its own says. */
  config: HomeConfig;
  signal: AbortSignal;
};

export type Check = {
  name: string;
  /** What it throws becomes a finding. */
  run(patient: Patient): Promise<Finding[]>;
};

export const ok = (about: string, says: string): Finding => ({ about, level: 'ok', says, todo: null, code: null });

export const note = (about: string, says: string, todo: string | null = null): Finding => ({
  about,
  level: 'note',
  says,
  todo,
  code: null,
});

export const bad = (about: string, code: FaultCode, says: string, todo: string | null = null): Finding => ({
  about,
  level: 'bad',
  says,
  todo,
  code,
});

export const isUp = (agent: Status | Fault): agent is Status => !(agent instanceof Fault);

/** In the order of `checks`; each is told when it is there. Checks run one after another, so that none disturbs another. */
export async function* examine(checks: readonly Check[], patient: Patient): AsyncGenerator<Finding, void, void> {
  for (const { name, run } of checks) {
    try {
      yield* await run(patient);
    } catch (error) {
      patient.signal.throwIfAborted();
      const fault = toFault(error, `looking at the ${name}`);
      yield bad(name, fault.code, fault.message);
    }
  }
}
