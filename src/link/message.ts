/** JSON-RPC 2.0, one message a frame: what a frame may be, and the methods that two ends agree on. [L-20] */
import { z } from 'zod';
import { FAULTS, Fault, type FaultCode, faultCodeOfRpc, isFaultCode } from '../base/fault.ts';

const id = z.number().int().nonnegative();

const errorObject = z.object({
  code: z.number().int(),
  message: z.string().max(4000),
  data: z.object({ code: z.string().optional() }).loose().optional(),
});

const version = { jsonrpc: z.literal('2.0') };
const name = z.string().min(1).max(80);

const incoming = z.union([
  z.object({ ...version, id, method: name, params: z.unknown() }),
  z.object({ ...version, method: name, params: z.unknown() }),
  z.object({ ...version, id, error: errorObject }),
  z.object({ ...version, id, result: z.unknown() }),
]);

export type Incoming =
  | { kind: 'request'; id: number; method: string; params: unknown }
  | { kind: 'notice'; method: string; params: unknown }
  | { kind: 'result'; id: number; result: unknown }
  | { kind: 'error'; id: number; fault: Fault };

/** Reads one frame. Throws `malformed` for anything that is not one JSON-RPC 2.0 message. */
export function parseFrame(text: string): Incoming {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Fault('malformed', 'a frame is not JSON');
  }
  const parsed = incoming.safeParse(value);
  if (!parsed.success) throw new Fault('malformed', 'a frame is not a JSON-RPC 2.0 message');
  const frame = parsed.data;
  if ('error' in frame) return { kind: 'error', id: frame.id, fault: faultOf(frame.error) };
  if ('result' in frame) return { kind: 'result', id: frame.id, result: frame.result };
  if ('id' in frame) return { kind: 'request', id: frame.id, method: frame.method, params: frame.params };
  return { kind: 'notice', method: frame.method, params: frame.params };
}

/** The name in `data.code` is exact; the number alone stands in for it where the other side gave no name. */
function faultOf(error: z.infer<typeof errorObject>): Fault {
  const { code: named, ...data } = error.data ?? {};
  const code: FaultCode = isFaultCode(named) ? named : faultCodeOfRpc(error.code);
  return new Fault(code, error.message, { data });
}

export const encodeRequest = (id: number, method: string, params: unknown): string =>
  JSON.stringify({ jsonrpc: '2.0', id, method, params });

export const encodeNotice = (method: string, params: unknown): string =>
  JSON.stringify({ jsonrpc: '2.0', method, params });

export const encodeResult = (id: number, result: unknown): string =>
  JSON.stringify({ jsonrpc: '2.0', id, result: result ?? null });

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
