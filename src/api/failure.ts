/** How a `Fault` crosses a door: to oRPC's error on the agent's side, and back on the client's. */
import { ORPCError } from '@orpc/client';
import { ValidationError } from '@orpc/contract';
import { FAULTS, Fault, type FaultCode, isFaultCode } from '../base/fault.ts';

type Issues = ValidationError['issues'];

function fieldOf(issue: Issues[number]): string {
  return (issue.path ?? []).map((part) => String(typeof part === 'object' ? part.key : part)).join('.');
}

/** One sentence for a person from the issues of a schema: which field, as its door calls it, and what is expected. */
export function invalidArgument(issues: Issues, nameOf = (field: string) => `"${field}"`): Fault {
  const sentences = issues.slice(0, 3).map((issue) => {
    const field = fieldOf(issue);
    return field === '' ? issue.message : `${nameOf(field)}: ${issue.message}`;
  });
  const field = issues[0] && fieldOf(issues[0]);
  return new Fault('invalid_argument', sentences.join('; '), field ? { data: { field } } : undefined);
}

// oRPC's own codes, where its handler refuses before an operation is reached.
const codesOfORPC: Record<string, FaultCode> = {
  BAD_REQUEST: 'invalid_argument',
  NOT_FOUND: 'unknown_operation',
  METHOD_NOT_SUPPORTED: 'unknown_operation',
  PAYLOAD_TOO_LARGE: 'too_large',
  UNAUTHORIZED: 'unauthenticated',
  FORBIDDEN: 'forbidden',
  TOO_MANY_REQUESTS: 'too_many',
};

/** What a fault in an operation is to the one who asked; undefined if it is a defect, of which nothing may be told. */
export function faultOf(error: unknown): Fault | undefined {
  if (error instanceof Fault) return error;
  if (error instanceof Error && error.name === 'AbortError') return new Fault('cancelled', 'it was cancelled');
  if (!(error instanceof ORPCError)) return undefined;
  if (isFaultCode(error.code)) return faultOfParts(error.code, error.message, error.data);
  if (error.code === 'BAD_REQUEST' && error.cause instanceof ValidationError)
    return invalidArgument(error.cause.issues);
  const code = codesOfORPC[error.code];
  return code && new Fault(code, error.message);
}

export function errorOf(fault: Fault): ORPCError<string, unknown> {
  return new ORPCError<string, unknown>(fault.code, {
    status: FAULTS[fault.code].http,
    message: fault.message,
    data: fault.data,
    cause: fault,
  });
}

/** RFC 9457's name of a kind of problem: one for each code. */
export function problemType(code: FaultCode): string {
  return `urn:netapp:fault:${code}`;
}

/** A fault as problem details (RFC 9457). `code`, `message` and `data` are members of our own. */
export function problemOf(fault: Fault) {
  const { http, means } = FAULTS[fault.code];
  return { type: problemType(fault.code), title: means, status: http, detail: fault.message, ...fault.toJSON() };
}

/** A fault from the JSON that a door answered; undefined if it is none. */
export function faultOfJson(body: unknown): Fault | undefined {
  if (typeof body !== 'object' || body === null || !('code' in body) || !('message' in body)) return undefined;
  const { code, message } = body;
  if (!isFaultCode(code) || typeof message !== 'string') return undefined;
  return faultOfParts(code, message, 'data' in body ? body.data : undefined);
}

function faultOfParts(code: FaultCode, message: string, data: unknown): Fault {
  if (typeof data !== 'object' || data === null || Array.isArray(data)) return new Fault(code, message);
  return new Fault(code, message, { data: { ...data } });
}
