/** A job's row, as its reader sees it and as the queue does. */
import { createHash } from 'node:crypto';
import { operationList } from '../api/catalogue.ts';
import type { Job } from '../api/job.ts';
import { toBase32 } from '../base/encoding.ts';
import { FAULTS, Fault, isFaultCode } from '../base/fault.ts';
import type { Ticket } from './job-queue.ts';
import type { JobRow } from './job-store.ts';

/** The operations that can be jobs, by name. */
export const jobOperations = new Map(
  operationList.filter(({ meta }) => meta.job !== undefined).map((operation) => [operation.name, operation]),
);

const isoOf = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

/** `answer`: how far it is, while it runs. */
export function jobView(row: JobRow, answer: unknown): Job {
  const { id, operation, input, state, priority, every, schedule, missed, attempts, waiting, error, key, source } = row;
  return {
    id,
    operation,
    input: JSON.parse(input),
    state,
    priority,
    at: new Date(row.at).toISOString(),
    startedAt: isoOf(row.started),
    endedAt: isoOf(row.ended),
    due: isoOf(row.due),
    deadline: isoOf(row.deadline),
    every,
    schedule,
    missed,
    attempts,
    waitingFor: waiting === null ? null : JSON.parse(waiting),
    answer: answer ?? (row.answer === null ? null : JSON.parse(row.answer)),
    error: error === null ? null : JSON.parse(error),
    key,
    source,
  };
}

/** Whom the job concerns, as its input has it; empty where nobody. */
export function peerOf({ operation, input }: Pick<JobRow, 'operation' | 'input'>): string {
  const field = jobOperations.get(operation)?.meta.job?.peer;
  const value: unknown = field === undefined ? undefined : JSON.parse(input)[field];
  return typeof value === 'string' ? value : '';
}

export function ticketOf(row: JobRow): Ticket {
  const { seq, id, priority, operation } = row;
  const [noun] = operation.split('.');
  const ordered = jobOperations.get(operation)?.meta.job?.ordered === true;
  return { seq, id, priority, kind: operation, lane: `${noun} ${peerOf(row)}`, ordered };
}

/** An id of the form that jobs have, by what it stands for. */
const derivedId = (text: string): string => toBase32(createHash('sha256').update(text).digest().subarray(0, 10));

/** Under which the job's work is done once; once more in each round. */
export const keyOf = ({ id, round }: JobRow): string => (round === 0 ? id : derivedId(`${id} ${round}`));

/** Id of the job that a schedule makes for one of its times. */
export const childId = (schedule: string, due: number): string => derivedId(`${schedule} at ${due}`);

/** It failed by something that may be over by now. */
export function isPassing({ state, error }: JobRow): boolean {
  const code: unknown = state === 'failed' && error !== null ? JSON.parse(error).code : undefined;
  return isFaultCode(code) && FAULTS[code].retry;
}

export function lateFault({ id, deadline }: JobRow): Fault {
  return new Fault('timeout', `running the job "${id}": it was not done by ${isoOf(deadline)}`);
}
