/** A client of an agent, over its socket or over loopback HTTP: the operations as typed functions that throw `Fault`s. */
import { type ClientRequest, Agent as Connections, request as httpRequest, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { createORPCClient } from '@orpc/client';
import { StandardOpenAPILink } from '@orpc/openapi-client/standard';
import type { StandardLazyResponse, StandardRequest } from '@orpc/standard-server';
import { toEventIterator } from '@orpc/standard-server-node';
import { Fault, toFault } from '../base/fault.ts';
import { operationList } from './catalogue.ts';
import { type Client, contract } from './contract.ts';
import { errorOf, faultOf, faultOfJson } from './failure.ts';
import { guarded, isStream } from './stream.ts';

export type { Client } from './contract.ts';

export type AgentAddress =
  /** The agent's socket: `agent.sock` in its home. */
  | { socketPath: string }
  /** The agent's loopback HTTP door, `http://127.0.0.1:port`, and the token from its home. */
  | { url: string; token: string }
  /** The same door, by headers of one's own, such as a session's cookie. */
  | { url: string; headers: Readonly<Record<string, string>> };

/** An agent that says nothing for so long, not even a keep-alive, is gone. Agents send one every 5 s on a stream. */
const SILENCE_MS = 60_000;

/** Connections that wait for the next call. */
const MOST_IDLE = 4;

/** Connections for calls at once; more calls wait for one of them. A stream has its own, for as long as it lasts. */
const MOST_CALLS = 8;

const streaming = new Set(operationList.filter(({ stream }) => stream).map(({ name }) => name));

/** Does no I/O until it is called; keeps connections for the next call, which keep no process alive. Calls take `{ signal }`. */
export function createClient(agent: AgentAddress): Client {
  const calls = new Connections({ keepAlive: true, maxFreeSockets: MOST_IDLE, maxSockets: MOST_CALLS });
  const streams = new Connections({ keepAlive: true, maxFreeSockets: MOST_IDLE });
  // The transport stands below web requests and responses: making those takes longer than all else of a short call.
  const transport = {
    call: (request: StandardRequest, _options: unknown, path: readonly string[]) =>
      overHttp(agent, streaming.has(path.join('.')) ? streams : calls, request),
  };
  const link = new StandardOpenAPILink<Record<never, never>>(contract, transport, {
    url: 'url' in agent ? agent.url : 'http://localhost',
    headers: headersOf(agent),
    customErrorResponseBodyDecoder: (body, { status }) =>
      errorOf(
        faultOfJson(body) ??
          new Fault('malformed', `asking the agent: it answered ${status} in a form that is not its`),
      ),
    interceptors: [
      async ({ next, signal }) => {
        const fault = (error: unknown) => clientFault(error, signal);
        try {
          const output = await next();
          return isStream(output) ? guarded(output, { signal, fault }) : output;
        } catch (error) {
          throw fault(error);
        }
      },
    ],
  });
  return createORPCClient<Client>(link);
}

function headersOf(agent: AgentAddress): Record<string, string> {
  if ('token' in agent) return { authorization: `Bearer ${agent.token}` };
  return 'headers' in agent ? { ...agent.headers } : {};
}

function clientFault(error: unknown, signal: AbortSignal | undefined): Fault {
  if (signal?.aborted) return new Fault('cancelled', 'it was cancelled', { cause: error });
  const known = faultOf(error);
  if (known) return known;
  if (error instanceof Error && error.cause instanceof Fault) return error.cause;
  if (error instanceof Error && error.cause instanceof SyntaxError) return notAnAgent(error);
  return toFault(error, 'reading the agent’s answer', 'link_closed');
}

function notAnAgent(cause?: unknown): Fault {
  return new Fault('malformed', 'asking the agent: what answers there is no NetApp agent', { cause });
}

/** One HTTP request with node:http, which can speak over a socket; `fetch` cannot. */
function overHttp(
  agent: AgentAddress,
  connections: Connections,
  request: StandardRequest,
): Promise<StandardLazyResponse> {
  const { url, method, signal, headers } = request;
  const body = request.body === undefined ? undefined : JSON.stringify(request.body);
  const place = 'socketPath' in agent ? { socketPath: agent.socketPath } : { host: url.hostname, port: url.port };
  const { promise, resolve, reject } = Promise.withResolvers<StandardLazyResponse>();
  const outgoing: ClientRequest = httpRequest({
    ...place,
    path: url.pathname + url.search,
    method,
    headers: {
      ...headers,
      ...(body !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
    },
    ...(signal && { signal }),
    agent: connections,
    timeout: SILENCE_MS,
  });
  outgoing.on('timeout', () => {
    outgoing.destroy(new Fault('timeout', `asking the agent: no word from it for ${SILENCE_MS / 1_000} s`));
  });
  outgoing.on('error', (error: NodeJS.ErrnoException) => {
    // The agent ended a connection that was idle just as this was written to it: asking again changes nothing.
    const isStale = outgoing.reusedSocket && method === 'GET' && error.code !== undefined && CUT.has(error.code);
    if (isStale && !signal?.aborted) resolve(overHttp(agent, connections, request));
    else reject(connectFault(agent, error));
  });
  outgoing.on('response', (incoming) => {
    const type = incoming.headers['content-type'] ?? '';
    const read = /^text\/event-stream\b/.test(type)
      ? events
      : /^application\/(?:problem\+)?json\b/.test(type)
        ? json
        : undefined;
    if (read) {
      resolve({ status: incoming.statusCode ?? 500, headers: incoming.headers, body: () => read(incoming) });
    } else {
      incoming.destroy();
      reject(notAnAgent());
    }
  });
  outgoing.end(body);
  return promise;
}

const events = async (incoming: IncomingMessage): Promise<unknown> => toEventIterator(incoming);

async function json(incoming: IncomingMessage): Promise<unknown> {
  const whole = await text(incoming);
  return whole === '' ? undefined : JSON.parse(whole);
}

const CUT = new Set(['ECONNRESET', 'EPIPE']);
const ABSENT = new Set(['ENOENT', 'ECONNREFUSED', 'ENOTSOCK']);

function connectFault(agent: AgentAddress, error: NodeJS.ErrnoException): Fault {
  if (error.code !== undefined && ABSENT.has(error.code)) {
    const where = 'socketPath' in agent ? agent.socketPath : agent.url;
    return new Fault('agent_down', `asking the agent at "${where}": nobody answers; start it with "netapp up"`, {
      cause: error,
      data: { where },
    });
  }
  return toFault(error, 'asking the agent', 'link_closed');
}
