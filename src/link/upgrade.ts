/** From a connection to a link's stream: `GET /link`, answered by a WebSocket or by a refusal with a code. [L-3] */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { WebSocket } from 'ws';
import { reasonOf } from '../base/async.ts';
import { Fault, type FaultCode, isFaultCode, toFault } from '../base/fault.ts';
import { retryAfterMs } from '../base/retry-after.ts';
import { SUBPROTOCOL } from './hello.ts';
import { MOST_FRAME_BYTES } from './message.ts';
import type { Origin } from './rung.ts';
import { WebSocketStream } from './stream.ts';

/** Milliseconds for the answer to the request. */
const ANSWER_MS = 5000;

/** What a status says that came from no NetApp: from the proxy before it. */
const codeByStatus: Record<number, FaultCode> = {
  401: 'unauthenticated',
  403: 'forbidden',
  429: 'too_many',
  502: 'tracker_down',
  503: 'tracker_down',
  504: 'tracker_down',
};

/** What an answer says that is no upgrade. */
export function faultOfAnswer(what: string, { headers, statusCode }: IncomingMessage): Fault {
  const named = headers['x-netapp-fault'];
  const code = isFaultCode(named) ? named : (codeByStatus[statusCode ?? 0] ?? 'malformed');
  const wait = retryAfterMs(headers['retry-after']);
  const data = wait === undefined ? {} : { data: { retryAfterMs: wait } };
  return new Fault(code, `${what}: refused with HTTP ${statusCode}`, data);
}

/**
 * Throws the fault with which it was refused, with `data.retryAfterMs` where the answer says when to come back; `peer_unreachable`,
 * `timeout`, `cancelled`. `socket` is ended where it comes to nothing.
 */
export async function upgrade(
  socket: TLSSocket,
  options: {
    url: string;
    origin: Origin;
    headers?: Record<string, string>;
    signal?: AbortSignal | undefined;
    timeoutMs?: number;
  },
): Promise<{ stream: WebSocketStream; headers: IncomingHttpHeaders }> {
  const { url, origin, signal } = options;
  const what = `opening a link to "${origin.address}"`;
  const ws = new WebSocket(url, SUBPROTOCOL, {
    createConnection: () => socket,
    headers: options.headers ?? {},
    perMessageDeflate: false,
    maxPayload: MOST_FRAME_BYTES,
    handshakeTimeout: options.timeoutMs ?? ANSWER_MS,
    skipUTF8Validation: false,
  });
  return await new Promise((resolve, reject) => {
    let headers: IncomingHttpHeaders = {};
    const abort = (): void => fail(signal ? reasonOf(signal) : new Fault('cancelled', what));
    const fail = (fault: Fault): void => {
      signal?.removeEventListener('abort', abort);
      ws.terminate();
      socket.destroy();
      reject(fault);
    };
    signal?.addEventListener('abort', abort, { once: true });
    ws.on('error', (error) => fail(toFault(error, what, 'peer_unreachable')));
    ws.once('upgrade', (response) => {
      headers = response.headers;
    });
    ws.once('unexpected-response', (_request, response) => fail(faultOfAnswer(what, response)));
    ws.once('open', () => {
      signal?.removeEventListener('abort', abort);
      ws.removeAllListeners('error');
      resolve({ stream: new WebSocketStream(ws, socket, origin, { dialled: true }), headers });
    });
  });
}
