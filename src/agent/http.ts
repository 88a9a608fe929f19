/** Answers HTTP requests with operations: the same handler behind the socket and behind the loopback port. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { StandardOpenAPIHandler } from '@orpc/openapi/standard';
import type { Backend } from '../api/backend.ts';
import type { Caller } from '../api/caller.ts';
import { faultOf, problemOf } from '../api/failure.ts';
import { openApi } from '../api/openapi.ts';
import { type OperationContext, operations } from '../api/operations.ts';
import { permit } from '../api/scopes.ts';
import { isStream } from '../api/stream.ts';
import { Fault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { guardHeaders, refuse, refuseRaw, sendJson, sendPage, sendTagged, sendText } from './answer.ts';
import { readBody } from './body.ts';
import { Asking, sendAnswer, standardRequest } from './exchange.ts';
import type { Limits } from './limits.ts';
import { codeOf, indexPage, OPEN_PAGE, SIGN_IN_PAGE } from './pages.ts';
import { asPreferred, type Preference, preferenceOf, withPreference } from './prefer.ts';
import type { Session } from './session.ts';
import { cutSlowFollower } from './stream.ts';
import type { WebPage } from './web.ts';

export type Door = {
  backend: Backend;
  log: Log;
  closing: AbortSignal;
  limits: Limits;
  /** Where browsers reach the agent; undefined without an HTTP door. */
  origin: () => string | undefined;
  preview: OperationContext['preview'];
  /** The page for people, if this door shows it. */
  page?: WebPage | undefined;
  /** Rules of admission; none on the socket, whose file mode is the rule. */
  session?: Session | undefined;
};

/**
 * How long a connection without a request is kept. A client may be writing its next one as it ends, and then cannot know whether
 * it was heard: so at the socket, where all are the owner's, it is far longer than programs pause.
 */
const IDLE_MS = 5_000;
const IDLE_AT_SOCKET_MS = 60_000;
/** Part of the connections that may be open before those without a request make room. */
const CROWDED = 0.75;

/** A server that does not listen yet. */
export function createDoor(door: Door): Server {
  const handler = new StandardOpenAPIHandler<OperationContext & { preference?: Preference | undefined }>(operations, {
    rootInterceptors: [withPreference],
    clientInterceptors: [asPreferred],
    customErrorResponseBodyEncoder: (error) => problemOf(faultOf(error) ?? new Fault('internal', 'a defect in NetApp')),
  });
  const { backend, log, closing, limits, origin, page, preview, session } = door;
  const followers = new Set<ServerResponse>();
  const asking = new Asking(closing);

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = urlOf(request);
    const path = url.pathname;
    session?.check(request, { linked: path === '/open' });
    if (closing.aborted) throw new Fault('link_closed', 'the agent is closing');
    const asked = `${request.method} ${path}`;
    if (asked === 'GET /healthz') return sendJson(response, 200, { status: 'ok' });
    if (asked === 'GET /readyz') return sendJson(response, 200, { status: 'ready' }); // one that closes refuses everything
    if (asked === 'GET /open') return sendPage(response, 200, OPEN_PAGE);
    if (asked === 'POST /open' && session) return await openSession(session, request, response);
    // Files of the page tell nothing of anybody; the page itself is for who has a session, as others could only be refused.
    if (path !== '/' && (await page?.answer(request, response, path))) return;
    const caller = admit(request, response);
    if (caller === 'refused') return;
    if (path === '/' && (await page?.answer(request, response, path))) return;
    if (asked === 'GET /api' || asked === 'GET /') return sendPage(response, 200, await indexPage(backend, caller));
    if (asked === 'GET /metrics') {
      permit(caller, ['status', 'show']);
      const { metricsOf } = await import('./metrics.ts');
      const { type, body } = await metricsOf(backend);
      return sendText(response, 200, type, body);
    }
    if (asked === 'GET /openapi.json') return sendTagged(request, response, await openApi());
    const body = await readBody(request, limits.bodyBytes);
    const admitStream = () => {
      if (followers.size < limits.followers) return;
      throw new Fault('too_many', `following "${path}": ${followers.size} followers are connected already`);
    };
    const context = { backend, log, closing, admitStream, caller, origin, preview, preference: preferenceOf(request) };
    const standard = standardRequest(request, { url, body, signal: asking.signalOf(response) });
    const { response: made } = await handler.handle(standard, { context });
    if (!made) {
      throw new Fault('unknown_operation', `asking for "${request.method} ${path}": there is none; see /openapi.json`);
    }
    if (isStream(made.body)) follow(path, response);
    await sendAnswer(request, response, made);
  }

  /** A person whose browser has no session is told how to get one. */
  function admit(request: IncomingMessage, response: ServerResponse): Caller | undefined | 'refused' {
    try {
      return session?.admit(request);
    } catch (error) {
      const person = request.method === 'GET' && /\btext\/html\b/.test(request.headers.accept ?? '');
      if (!person || !(error instanceof Fault) || error.code !== 'unauthenticated') throw error;
      sendPage(response, 401, SIGN_IN_PAGE);
      return 'refused';
    }
  }

  async function openSession(from: Session, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { value, seconds } = from.redeem(codeOf(await readBody(request, limits.bodyBytes)));
    response.setHeader('set-cookie', `${from.cookie}=${value}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Strict`);
    sendJson(response, 204, undefined);
  }

  function follow(path: string, response: ServerResponse): void {
    followers.add(response);
    response.once('close', () => followers.delete(response));
    cutSlowFollower(response, limits.slowFollowerMs, () => log.warn({ path }, 'a follower that did not read was cut'));
  }

  const server = createServer(
    {
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      connectionsCheckingInterval: Math.min(1_000, limits.headersMs / 2),
      keepAliveTimeout: session ? IDLE_MS : IDLE_AT_SOCKET_MS,
    },
    (request, response) => {
      guardHeaders(response);
      answer(request, response).catch((error: unknown) => {
        if (!(error instanceof Fault)) log.error({ err: error }, 'a request failed by a defect');
        refuse(response, error instanceof Fault ? error : new Fault('internal', 'a defect in NetApp'));
      });
    },
  );
  server.maxConnections = limits.connections;
  let open = 0;
  server.on('connection', (socket) => {
    open += 1;
    socket.once('close', () => {
      open -= 1;
    });
    if (open > CROWDED * limits.connections) server.closeIdleConnections();
  });
  server.on('clientError', refuseRaw);
  return server;
}

/** Only a path of our own: another form of target, or a second host, could mean something else to a proxy before us. */
function urlOf(request: IncomingMessage): URL {
  const target = request.url ?? '';
  const hosts = request.rawHeaders.filter((name, at) => at % 2 === 0 && name.toLowerCase() === 'host').length;
  if (hosts > 1 || !/^\/(?![/\\])/.test(target) || !URL.canParse(target, 'http://localhost')) {
    throw new Fault('malformed', `asking for "${target.slice(0, 100)}": expected a path, and one host`);
  }
  return new URL(target, 'http://localhost');
}
