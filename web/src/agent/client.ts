/** The agent's operations as typed functions, over the origin that the page came from. They throw `Trouble`. */

import contract from 'virtual:contract';
import { createORPCClient, ORPCError } from '@orpc/client';
import { OpenAPILink } from '@orpc/openapi-client/fetch';
import type { Client } from '../../../src/api/contract.ts';

/** What went wrong, as the agent says it: a closed code, and a sentence for people. */
export class Trouble extends Error {
  readonly code: string;
  readonly data: Readonly<Record<string, unknown>>;

  constructor(code: string, message: string, data: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.name = 'Trouble';
    this.code = code;
    this.data = data;
  }
}

const NO_ANSWER = 'The agent does not answer.';

const link = new OpenAPILink<Record<never, never>>(contract, {
  url: location.origin,
  fetch: async (request, init) => plainJson(await fetch(request, init)),
  customErrorResponseBodyDecoder: (body, { status }) => {
    const { code, message, data } = isObject(body) ? body : {};
    if (typeof code !== 'string' || typeof message !== 'string') {
      return new ORPCError('malformed', { status, message: `The agent answered ${status} in a form that is not its.` });
    }
    return new ORPCError<string, unknown>(code, { status, message, data });
  },
  interceptors: [
    async ({ next }) => {
      try {
        return await next();
      } catch (error) {
        throw troubleOf(error);
      }
    },
  ],
});

/** Problem details are JSON, which the link knows by one name alone. */
function plainJson(answer: Response): Response {
  if (!answer.headers.get('content-type')?.startsWith('application/problem+json')) return answer;
  const headers = new Headers(answer.headers);
  headers.set('content-type', 'application/json');
  return new Response(answer.body, { status: answer.status, statusText: answer.statusText, headers });
}

export const client: Client = createORPCClient<Client>(link);

/** Whatever was thrown, as one thing with a code. `agent_down`: nobody answered. */
export function troubleOf(error: unknown): Trouble {
  if (error instanceof Trouble) return error;
  if (error instanceof ORPCError) {
    return new Trouble(error.code, error.message, isObject(error.data) ? error.data : {});
  }
  if (error instanceof DOMException && error.name === 'AbortError')
    return new Trouble('cancelled', 'It was cancelled.');
  return new Trouble('agent_down', NO_ANSWER);
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
