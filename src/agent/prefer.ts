/**
 * Headers that make a job of a request: `Prefer: respond-async` (RFC 7240) answers 202 with the job, `Idempotency-Key`
 * makes the same request sent again one job with one answer.
 */
import type { IncomingMessage } from 'node:http';
import type { StandardHandleResult } from '@orpc/server/standard';
import { operationList } from '../api/catalogue.ts';
import { errorOf, faultOf, faultOfJson } from '../api/failure.ts';
import { type Job, keyInput } from '../api/job.ts';
import type { OperationContext } from '../api/operations.ts';
import { outcomeOfJob } from '../api/outcome.ts';
import { permit } from '../api/scopes.ts';
import { ended } from '../api/waiting.ts';
import { FAULTS, Fault } from '../base/fault.ts';
import { jobOperations } from './job-view.ts';

/** How a request is wanted as a job. */
export type Preference = {
  key: string | undefined;
  isAsync: boolean;
  /** Milliseconds to wait for the end before answering 202. */
  waitMs: number;
  /** The job that is answered with instead of the operation's own answer. */
  accepted: Job | undefined;
};

/** Longer than anybody waits for a plain answer: whoever does not say `respond-async` has asked for the answer. */
const PATIENCE_MS = 86_400_000;
const WAIT_MOST_MS = 45_000;

/** Undefined where nothing of the kind is asked for. Throws `invalid_argument`. */
export function preferenceOf({ headers }: IncomingMessage): Preference | undefined {
  const prefer = [headers.prefer ?? []].flat().join(',');
  const key = headers['idempotency-key'];
  if (prefer === '' && key === undefined) return undefined;
  const preferences = prefer.split(',').map((each) => each.trim().toLowerCase());
  const isAsync = preferences.includes('respond-async');
  if (!isAsync && key === undefined) return undefined;
  const seconds = preferences.flatMap((each) => /^wait=(\d{1,6})$/.exec(each)?.[1] ?? []).map(Number)[0] ?? 0;
  return { key: keyOf(key), isAsync, waitMs: Math.min(seconds * 1000, WAIT_MOST_MS), accepted: undefined };
}

function keyOf(header: string | string[] | undefined): string | undefined {
  if (header === undefined) return undefined;
  // The draft's own form is a quoted string; most clients send it bare.
  const bare = String(header).replace(/^"(.*)"$/, '$1');
  const key = keyInput.safeParse(bare);
  if (key.success) return key.data;
  throw new Fault('invalid_argument', `reading the header Idempotency-Key: ${key.error.issues[0]?.message}`);
}

const isRead = new Set(operationList.filter(({ method }) => method === 'GET').map(({ name }) => name));

type Called = {
  context: OperationContext & { preference?: Preference | undefined };
  path: readonly string[];
  input: unknown;
  signal?: AbortSignal | undefined;
  next(): Promise<unknown>;
};

/** Between a door and its operations: makes the job, and answers with it or with what it came to. */
export async function asPreferred(called: Called): Promise<unknown> {
  const { context, path, next } = called;
  if (!context.preference || path[0] === 'jobs') return next();
  try {
    return await preferred(called, context.preference);
  } catch (error) {
    const fault = faultOf(error);
    throw fault ? errorOf(fault) : error;
  }
}

async function preferred({ context, path, input, signal, next }: Called, preference: Preference): Promise<unknown> {
  const { backend, caller } = context;
  permit(caller, path);
  const name = path.join('.');
  const operation = jobOperations.get(name);
  if (!operation) {
    if (preference.key === undefined || isRead.has(name)) return next(); // a preference may be left aside, a key may not
    throw new Fault(
      'invalid_argument',
      `asking for "${name}" with an Idempotency-Key: it cannot be a job; leave the key out`,
    );
  }
  const { key, isAsync, waitMs } = preference;
  if (!isAsync && operation.stream) {
    throw new Fault(
      'invalid_argument',
      `asking for "${name}" with an Idempotency-Key: it answers with a stream; add "Prefer: respond-async"`,
    );
  }
  backend.used();
  const taken = backend.jobs.create({
    operation: name,
    input: typeof input === 'object' && input !== null ? { ...input } : {},
    ...(key !== undefined && { key }),
    // Whoever waits for the answer wants to hear at once what is wrong.
    retry: isAsync,
  });
  const settled = backend.settled();
  if (settled) await settled;
  const ms = isAsync ? waitMs : PATIENCE_MS;
  const job = ms === 0 ? taken : await ended(backend.jobs, taken.id, { ms, signal });
  if (isAsync) {
    preference.accepted = job;
    return job;
  }
  const fault = outcomeOfJob(job);
  if (fault) throw fault;
  return job.answer;
}

type Answered = {
  context: Called['context'];
  next(): Promise<StandardHandleResult>;
};

/** Says in the answer's head what was made of the request, and when to come again where there is no room now. */
export async function withPreference({ context, next }: Answered): Promise<StandardHandleResult> {
  const result = await next();
  const { response } = result;
  if (!response) return result;
  const accepted = context.preference?.accepted;
  if (accepted && response.status === 200) {
    const headers = { location: `/v1/jobs/${accepted.id}`, 'preference-applied': 'respond-async' };
    return { ...result, response: { ...response, status: 202, headers: { ...response.headers, ...headers } } };
  }
  const isFull = response.status === FAULTS.queue_full.http || response.status === FAULTS.too_many.http;
  const fault = isFull ? faultOfJson(response.body) : undefined;
  if (fault?.code !== 'queue_full' && fault?.code !== 'too_many') return result;
  const after = fault.data?.retryAfter;
  const headers = { ...response.headers, 'retry-after': String(typeof after === 'number' ? after : 1) };
  return { ...result, response: { ...response, headers } };
}
