/** Answers HTTP requests with operations: the same handler behind the socket and behind the loopback port. */
import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { StandardOpenAPIHandler } from '@orpc/openapi/standard';
import type { Backend } from '../api/backend.ts';
import { faultOf } from '../api/failure.ts';
import { openApi } from '../api/openapi.ts';
import { type OperationContext, operations } from '../api/operations.ts';
import { FAULTS, Fault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { readBody } from './body.ts';
import { Asking, sendAnswer, standardRequest } from './exchange.ts';
import type { Limits } from './limits.ts';
import { asPreferred, type Preference, preferenceOf, withPreference } from './prefer.ts';
import type { Session } from './session.ts';
import { cutSlowFollower } from './stream.ts';

export type Door = {
  backend: Backend;
  log: Log;
  closing: AbortSignal;
  limits: Limits;
  /** Rules of admission; none on the socket, whose file mode is the rule. */
  session?: Session | undefined;
};

/** A server that does not listen yet. */
export function createDoor(door: Door): Server {
  const handler = new StandardOpenAPIHandler<OperationContext & { preference?: Preference | undefined }>(operations, {
    rootInterceptors: [withPreference],
    clientInterceptors: [asPreferred],
    customErrorResponseBodyEncoder: (error) => answerOf(faultOf(error) ?? new Fault('internal', 'a defect in NetApp')),
  });
  const { backend, log, closing, limits } = door;
  const followers = new Set<ServerResponse>();
  const asking = new Asking(closing);

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const path = url.pathname;
    door.session?.admit(request, { open: path === '/healthz' });
    if (closing.aborted) throw new Fault('link_closed', 'the agent is closing');
    if (request.method === 'GET' && path === '/healthz') return send(response, 200, { status: 'ok' });
    if (request.method === 'GET' && path === '/openapi.json') return send(response, 200, await openApi());
    const body = await readBody(request, limits.bodyBytes);
    response.once('pipe', () => {
      followers.add(response);
      response.once('close', () => followers.delete(response));
      cutSlowFollower(response, limits.slowFollowerMs, () =>
        log.warn({ path }, 'a follower that did not read was cut'),
      );
    });
    const admitStream = () => {
      if (followers.size < limits.followers) return;
      throw new Fault('too_many', `following "${path}": ${followers.size} followers are connected already`);
    };
    const preference = preferenceOf(request);
    const context = { backend, log, closing, admitStream, preference };
    const asked = standardRequest(request, { url, body, signal: asking.signalOf(response) });
    const { response: answered } = await handler.handle(asked, { context });
    if (!answered) {
      throw new Fault('unknown_operation', `asking for "${request.method} ${path}": there is none; see /openapi.json`);
    }
    await sendAnswer(response, answered);
  }

  const server = createServer(
    {
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      connectionsCheckingInterval: Math.min(1_000, limits.headersMs / 2),
      keepAliveTimeout: 5_000,
    },
    (request, response) => {
      response.setHeader('cache-control', 'no-store');
      response.setHeader('x-content-type-options', 'nosniff');
      response.setHeader('cross-origin-resource-policy', 'same-origin');
      answer(request, response).catch((error: unknown) => {
        if (!(error instanceof Fault)) log.error({ err: error }, 'a request failed by a defect');
        refuse(response, error instanceof Fault ? error : new Fault('internal', 'a defect in NetApp'));
      });
    },
  );
  server.maxConnections = limits.connections;
  server.on('clientError', refuseRaw);
  return server;
}

function answerOf(fault: Fault) {
  return fault.toJSON();
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function refuse(response: ServerResponse, fault: Fault): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  // What is left of the request's body is not worth reading.
  response.setHeader('connection', 'close');
  if (fault.code === 'unauthenticated') response.setHeader('www-authenticate', 'Bearer');
  send(response, FAULTS[fault.code].http, answerOf(fault));
}

/** What cannot be read as a request, or came too slowly, is refused in the same form. */
function refuseRaw(error: NodeJS.ErrnoException, socket: Duplex): void {
  const slow = error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
  const fault = slow
    ? new Fault('timeout', 'reading the request: it came too slowly')
    : new Fault('malformed', 'reading the request: it is not HTTP/1.1');
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const body = JSON.stringify(answerOf(fault));
  const status = FAULTS[fault.code].http;
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  );
}
