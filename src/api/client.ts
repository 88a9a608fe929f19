/** A client of an agent, over its socket or over loopback HTTP: the operations as typed functions that throw `Fault`s. */
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { createORPCClient } from '@orpc/client';
import { OpenAPILink } from '@orpc/openapi-client/fetch';
import { Fault, toFault } from '../base/fault.ts';
import { type Client, contract } from './contract.ts';
import { errorOf, faultOf, faultOfJson } from './failure.ts';
import { guarded, isStream } from './stream.ts';

export type { Client } from './contract.ts';

export type AgentAddress =
  /** The agent's socket: `agent.sock` in its home. */
  | { socketPath: string }
  /** The agent's loopback HTTP door, `http://127.0.0.1:port`, and the token from its home. */
  | { url: string; token: string };

/** An agent that says nothing for so long, not even a keep-alive, is gone. Agents send one every 5 s on a stream. */
const SILENCE_MS = 60_000;

/** Does no I/O; each call makes its own connection. Calls take `{ signal }`. */
export function createClient(agent: AgentAddress): Client {
  const link = new OpenAPILink<Record<never, never>>(contract, {
    url: 'url' in agent ? agent.url : 'http://localhost',
    headers: 'token' in agent ? { authorization: `Bearer ${agent.token}` } : {},
    fetch: (request) => overHttp(agent, request),
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
async function overHttp(agent: AgentAddress, request: Request): Promise<Response> {
  const body = Buffer.from(await request.arrayBuffer());
  const url = new URL(request.url);
  const place = 'socketPath' in agent ? { socketPath: agent.socketPath } : { host: url.hostname, port: url.port };
  const headers = Object.fromEntries(request.headers);
  const { promise, resolve, reject } = Promise.withResolvers<Response>();
  const outgoing: ClientRequest = httpRequest({
    ...place,
    path: url.pathname + url.search,
    method: request.method,
    headers: { ...headers, ...(body.length > 0 && { 'content-length': body.length }) },
    signal: request.signal,
    agent: false,
    timeout: SILENCE_MS,
  });
  outgoing.on('timeout', () => {
    outgoing.destroy(new Fault('timeout', `asking the agent: no word from it for ${SILENCE_MS / 1_000} s`));
  });
  outgoing.on('error', (error) => reject(connectFault(agent, error)));
  outgoing.on('response', (incoming) => {
    if (/^(application\/json|text\/event-stream)\b/.test(incoming.headers['content-type'] ?? '')) {
      resolve(responseOf(incoming));
    } else {
      incoming.destroy();
      reject(notAnAgent());
    }
  });
  outgoing.end(body);
  return promise;
}

function responseOf(incoming: IncomingMessage): Response {
  const headers = new Headers();
  for (const [name, value] of Object.entries(incoming.headers)) if (value) headers.set(name, String(value));
  // Node's own web stream; the DOM's type of the same thing differs in details that do not matter here.
  const stream = Readable.toWeb(incoming) as ReadableStream;
  return new Response(stream, { status: incoming.statusCode ?? 500, headers });
}

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
