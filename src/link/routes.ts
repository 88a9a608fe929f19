/** The plain HTTP of a port: which handler answers below which path, and how refusals look. [L-3] */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { FAULTS, Fault, type FaultCode, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';

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

  async serve(request: IncomingMessage, response: ServerResponse, peerOf: () => string | undefined): Promise<void> {
    response.setHeader('x-content-type-options', 'nosniff');
    try {
      const url = new URL(request.url ?? '/', 'https://node');
      const route = this.#all.find(({ prefix }) => url.pathname.startsWith(prefix));
      if (!route)
        throw new Fault('unknown_operation', `asking for "${url.pathname.slice(0, 100)}": there is no such path here`);
      await route.handler(request, response, { peer: peerOf(), path: url.pathname, query: url.searchParams });
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
    const message = fault.code === 'internal' ? 'this request failed here' : fault.message;
    response.writeHead(FAULTS[fault.code].http, { 'content-type': 'application/json', 'x-netapp-fault': fault.code });
    response.end(`${JSON.stringify({ code: fault.code, message })}\n`);
  }
}

export function refuseUpgrade(socket: Duplex, code: FaultCode): void {
  const { http } = FAULTS[code];
  socket.end(`HTTP/1.1 ${http} Refused\r\nx-netapp-fault: ${code}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
}
