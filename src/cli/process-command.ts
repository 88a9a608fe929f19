/** A command that is no operation of an agent but a process of its own: `netapp up`, `tracker`, `demo`. */
import type { z } from 'zod';
import type { FaultCode } from '../base/fault.ts';
import type { Shell } from './shell.ts';

export type ProcessCommand = {
  name: string;
  /** It is what its noun alone means: `im run` is `im`. */
  isDefault?: boolean;
  /** One line, without a full stop. */
  summary: string;
  description?: string;
  example: string;
  /** Codes it can give beyond `internal` and `invalid_argument`. */
  faults: readonly FaultCode[];
  /** Fields are flags; those with `.meta({ positional: true })` are given by position. */
  input: z.ZodObject;
  /** Runs until it is done or `shell.signal` aborts, throws a `Fault`, answers with the exit code. */
  run(input: unknown, shell: Shell): Promise<number>;
};

/** Keeps the type between `input` and `run`. */
export function processCommand<S extends z.ZodObject>(
  command: Omit<ProcessCommand, 'input' | 'run'> & { input: S; run(input: z.output<S>, shell: Shell): Promise<number> },
): ProcessCommand {
  // The command line gives `run` what `input` made of the words, and nothing else.
  return { ...command, run: (input, shell) => command.run(input as z.output<S>, shell) };
}
