/**
 * One request and its answer, between `node:http` and the operations. oRPC's own adapter makes three URLs, two signals and a
 * chunked answer of each; here a short answer is one write.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { StandardLazyRequest, StandardResponse } from '@orpc/standard-server';
import { sendStandardResponse } from '@orpc/standard-server-node';
import { isStream } from '../api/stream.ts';
import { sendJson, sendTagged } from './answer.ts';
import { KEEP_ALIVE_MS } from './stream.ts';

/** Signals of the requests under way at one door: each aborts when its asker goes, all when the agent closes. */
export class Asking {
  readonly #open = new Set<AbortController>();

  constructor(closing: AbortSignal) {
    closing.addEventListener('abort', () => {
      for (const controller of this.#open) controller.abort(closing.reason);
    });
  }

  signalOf(response: ServerResponse): AbortSignal {
    const controller = new AbortController();
    this.#open.add(controller);
    response.once('close', () => {
      this.#open.delete(controller);
      if (!response.writableFinished) controller.abort();
    });
    return controller.signal;
  }
}

export function standardRequest(
  { method = 'GET', headers }: IncomingMessage,
  { url, body, signal }: { url: URL; body: unknown; signal: AbortSignal },
): StandardLazyRequest {
  return { method, url, headers, signal, body: () => Promise.resolve(body) };
}

/** Settles once it has left, or is not wanted any more. */
export async function sendAnswer(
  request: IncomingMessage,
  response: ServerResponse,
  { status, headers, body }: StandardResponse,
): Promise<void> {
  if (isStream(body)) {
    const options = { eventIteratorKeepAliveInterval: KEEP_ALIVE_MS };
    return await sendStandardResponse(response, { status, headers, body }, options);
  }
  if (response.destroyed) return;
  for (const [name, value] of Object.entries(headers)) if (value !== undefined) response.setHeader(name, value);
  if (request.method === 'GET' && status === 200) sendTagged(request, response, body);
  else sendJson(response, status, body);
}
