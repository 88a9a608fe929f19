/** The plain HTTP of a port: which handler answers below which path, and how refusals look. [L-3] */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { FAULTS, Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { SUBPROTOCOL } from './hello.ts';
import { MOST_FRAME_BYTES } from './message.ts';

/** What a plain HTTP request comes with: who asks, as TLS proved it (undefined for a client without a certificate). */
export type HttpHandler = (
  request: IncomingMessage,
  response: ServerResponse,
  context: { peer: string | undefined; path: string; query: URLSearchParams },
) => void | Promise<void>;

export class Routes {
  readonly #log: Log;
  readonly #all: { prefix: string; handler: HttpHandler }[] = [];

  constructor(log: Log) {
    this.#log = log;
  }

  /** Serves plain HTTP below `prefix`, e.g. `/blobs/`; the longest prefix that fits wins. */
  add(prefix: string, handler: HttpHandler): void {
    this.#all.push({ prefix, handler });
    this.#all.sort((a, b) => b.prefix.length - a.prefix.length);
  }

  /** `admit` gives who asks, as TLS proved it; what it throws is the refusal. */
  async serve(request: IncomingMessage, response: ServerResponse, admit: () => string | undefined): Promise<void> {
    response.setHeader('x-content-type-options', 'nosniff');
    try {
      const peer = admit();
      const url = new URL(request.url ?? '/', 'https://node');
      const route = this.#all.find(({ prefix }) => url.pathname.startsWith(prefix));
      if (!route)
        throw new Fault('unknown_operation', `asking for "${url.pathname.slice(0, 100)}": there is no such path here`);
      await route.handler(request, response, { peer, path: url.pathname, query: url.searchParams });
    } catch (error) {
      this.refuse(response, error);
    }
  }

  refuse(response: ServerResponse, error: unknown): void {
    const fault = toFault(error);
    if (fault.code === 'internal') this.#log.error({ err: error }, 'an HTTP request failed by a defect');
    if (response.headersSent) {
      response.destroy(); // what was promised cannot be kept: a cut says so
      return;
    }
    const wait = retryAfter(fault);
    if (wait !== undefined) response.setHeader('retry-after', wait);
    const message = fault.code === 'internal' ? 'this request failed here' : fault.message;
    response.writeHead(FAULTS[fault.code].http, { 'content-type': 'application/json', 'x-netapp-fault': fault.code });
    response.end(`${JSON.stringify({ code: fault.code, message })}\n`);
  }
}

/** With when to come back, where the fault says so. */
export function refuseUpgrade(socket: Duplex, fault: Pick<Fault, 'code'> & { data?: Fault['data'] }): void {
  const { http } = FAULTS[fault.code];
  const wait = retryAfter(fault);
  const later = wait === undefined ? '' : `retry-after: ${wait}\r\n`;
  socket.end(
    `HTTP/1.1 ${http} Refused\r\nx-netapp-fault: ${fault.code}\r\n${later}content-length: 0\r\nconnection: close\r\n\r\n`,
  );
}

/** Seconds after which it is worth another try, where the fault says so. */
function retryAfter({ data }: { data?: Fault['data'] }): number | undefined {
  return typeof data?.retryAfterMs === 'number' ? Math.max(1, Math.ceil(data.retryAfterMs / 1000)) : undefined;
}

/** What makes a WebSocket of a request for a link, at whichever port it comes in. */
export function linkUpgrades(): WebSocketServer {
  return new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: MOST_FRAME_BYTES,
    handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
  });
}

/** Whether the request offers the link's subprotocol. */
export function offersLink({ headers }: IncomingMessage): boolean {
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((text) => text.trim());
  return offered.includes(SUBPROTOCOL);
}
