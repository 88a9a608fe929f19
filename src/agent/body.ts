/** Reads a request's body: JSON, within a bound. */
import type { IncomingMessage } from 'node:http';
import { Fault, toFault } from '../base/fault.ts';

/** The value in the body; `{}` if there is no body. */
export async function readBody(request: IncomingMessage, limit: number): Promise<unknown> {
  if (request.method === 'GET' || request.method === 'HEAD') return undefined;
  const tooLarge = () => new Fault('too_large', `reading the request: its body is over ${limit} bytes`);
  if (Number(request.headers['content-length'] ?? 0) > limit) throw tooLarge();
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of request) {
      bytes += chunk.length;
      if (bytes > limit) throw tooLarge();
      chunks.push(chunk);
    }
  } catch (error) {
    throw toFault(error, 'reading the request', 'link_closed');
  }
  if (bytes === 0) return {};
  // Only JSON: a browser sends it to another origin only after asking, and is told no.
  const type = request.headers['content-type'] ?? '';
  if (!/^application\/json\s*(;|$)/i.test(type)) {
    throw new Fault('invalid_argument', `reading the request: its content type "${type}" is not application/json`);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch (error) {
    throw new Fault('invalid_argument', 'reading the request: its body is not JSON', { cause: error });
  }
}
