/** JSON-RPC 2.0, one message a frame or several: what a frame may be, and the methods that two ends agree on. [L-20] [L-35] */
import { z } from 'zod';
import { FAULTS, Fault, type FaultCode, faultCodeOfRpc, isFaultCode } from '../base/fault.ts';

const errorObject = z.object({
  code: z.number().int(),
  message: z.string().max(4000),
  data: z.object({ code: z.string().optional() }).loose().optional(),
});

const MOST_NAME = 80;

/** Messages in one frame. [L-35] */
export const MOST_BATCH = 1024;

/** Bytes of a frame that holds several: what the largest of most methods may have alone. [L-35] */
export const BATCH_BYTES = 64 * 1024;

export type Incoming =
  | { kind: 'request'; id: number; method: string; params: unknown }
  | { kind: 'notice'; method: string; params: unknown }
  | { kind: 'result'; id: number; result: unknown }
  | { kind: 'error'; id: number; fault: Fault };

/**
 * Reads one frame of so many bytes. Throws `malformed` for anything that is not one JSON-RPC 2.0 message, or several where
 * this side takes them, of which then none counts; `too_large` for more together than may be. [L-20] [L-35]
 */
export function parseFrame(text: string, bytes: number, takesSeveral: boolean): Incoming | Incoming[] {
  if (takesSeveral && bytes > BATCH_BYTES && text.startsWith('[')) {
    throw new Fault('too_large', `reading several messages: ${bytes} bytes, at most ${BATCH_BYTES} are taken together`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Fault('malformed', 'a frame is not JSON');
  }
  if (!takesSeveral || !Array.isArray(value)) return messageOf(value);
  if (value.length === 0) throw new Fault('malformed', 'a frame holds no message');
  if (bytes > BATCH_BYTES || value.length > MOST_BATCH) {
    throw new Fault(
      'too_large',
      `reading ${value.length} messages: at most ${MOST_BATCH}, and ${BATCH_BYTES} bytes, are taken together`,
    );
  }
  return value.map(messageOf);
}

/**
 * One message. By hand, for every message of every link comes through here, and a schema took as long as all else that is
 * done to read it; a test compares the two.
 */
function messageOf(value: unknown): Incoming {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw notAMessage();
  const message = value as Partial<Record<string, unknown>>; // an object; each field is looked at below
  if (message.jsonrpc !== '2.0') throw notAMessage();
  const { id, method } = message;
  const numbered = typeof id === 'number' && Number.isSafeInteger(id) && id >= 0;
  if (typeof method === 'string' && method.length >= 1 && method.length <= MOST_NAME && 'params' in message) {
    const { params } = message;
    return numbered ? { kind: 'request', id, method, params } : { kind: 'notice', method, params };
  }
  if (!numbered) throw notAMessage();
  const error = message.error === undefined ? undefined : errorObject.safeParse(message.error);
  if (error?.success) return { kind: 'error', id, fault: faultOf(error.data) };
  if ('result' in message) return { kind: 'result', id, result: message.result };
  throw notAMessage();
}

const notAMessage = (): Fault => new Fault('malformed', 'a frame is not a JSON-RPC 2.0 message');

/** The name in `data.code` is exact; the number alone stands in for it where the other side gave no name. */
function faultOf(error: z.infer<typeof errorObject>): Fault {
  const { code: named, ...data } = error.data ?? {};
  const code: FaultCode = isFaultCode(named) ? named : faultCodeOfRpc(error.code);
  return new Fault(code, error.message, { data });
}

/**
 * Bytes of params, or of a result, for which at most `most` are allowed: of their frame, or, where that holds others too (undefined), of
 * themselves. They are measured only where less is allowed than all in a frame may have. [L-22] [L-35]
 */
export const bytesOf = (value: unknown, frameBytes: number | undefined, most: number): number =>
  frameBytes ?? (most < BATCH_BYTES ? Buffer.byteLength(JSON.stringify(value) ?? '') : 0);

/** A result, or the params of a notice, that were encoded before, for many who are told the same. */
export class Encoded {
  readonly json: string;

  constructor(json: string) {
    this.json = json;
  }
}

export const encodeRequest = (id: number, method: string, params: unknown): string =>
  JSON.stringify({ jsonrpc: '2.0', id, method, params });

export const encodeNotice = (method: string, params: unknown): string =>
  params instanceof Encoded
    ? `{"jsonrpc":"2.0","method":"${method}","params":${params.json}}`
    : JSON.stringify({ jsonrpc: '2.0', method, params });

export const encodeResult = (id: number, result: unknown): string =>
  result instanceof Encoded
    ? `{"jsonrpc":"2.0","id":${id},"result":${result.json}}`
    : JSON.stringify({ jsonrpc: '2.0', id, result: result ?? null });

export const encodeError = (id: number, fault: Fault): string =>
  JSON.stringify({
    jsonrpc: '2.0',
    id,
    error: { code: FAULTS[fault.code].rpc, message: fault.message, data: { ...fault.data, code: fault.code } },
  });

/** Bytes that a frame may have, unless its method says otherwise. */
const FRAME_BYTES = 64 * 1024;

/** Bytes that any frame may have; the transport refuses more before it is read. [L-22] */
export const MOST_FRAME_BYTES = 1024 * 1024;

/** Milliseconds that an answer may take, unless the method says otherwise. */
const ANSWER_MS = 10_000;

/** A request that both ends know: its name, and the shapes of its params and result. */
export type Method<P, R> = {
  readonly name: string;
  readonly params: z.ZodType<P>;
  readonly result: z.ZodType<R>;
  /** Bytes that the request's frame may have. */
  readonly maxBytes: number;
  /** Bytes that the answer's frame may have. */
  readonly answerBytes: number;
  /** Milliseconds until the asker gives up. */
  readonly timeoutMs: number;
};

export function method<P, R>(
  name: string,
  spec: {
    params: z.ZodType<P>;
    result: z.ZodType<R>;
    maxBytes?: number;
    answerBytes?: number;
    timeoutMs?: number;
  },
): Method<P, R> {
  return { name, maxBytes: FRAME_BYTES, answerBytes: MOST_FRAME_BYTES, timeoutMs: ANSWER_MS, ...spec };
}

/** A message without an answer. */
export type Notice<P> = { readonly name: string; readonly params: z.ZodType<P>; readonly maxBytes: number };

export function notice<P>(name: string, spec: { params: z.ZodType<P>; maxBytes?: number }): Notice<P> {
  return { name, maxBytes: FRAME_BYTES, ...spec };
}
