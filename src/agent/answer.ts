/** How an HTTP answer looks: JSON with an ETag, problem details, pages. [E-14] */
import { hash } from 'node:crypto';
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { problemOf } from '../api/failure.ts';
import { FAULTS, Fault } from '../base/fault.ts';

const PROBLEM = 'application/problem+json';

/** Every answer says so: it is nobody else's to read, to guess at, or to frame. */
export function guardHeaders(response: ServerResponse): void {
  response.setHeader('cache-control', 'no-store');
  response.setHeader('x-content-type-options', 'nosniff');
  response.setHeader('cross-origin-resource-policy', 'same-origin');
  response.setHeader('referrer-policy', 'no-referrer');
  response.setHeader('x-frame-options', 'DENY');
}

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  const type = status < 400 ? 'application/json' : PROBLEM;
  if (body === undefined) response.writeHead(status).end();
  else sendText(response, status, type, JSON.stringify(body));
}

/** With its length known, head and body leave in one write. */
export function sendText(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) }).end(text);
}

/** An answer that can be asked for again: 304 where the asker has it already (RFC 9110, section 13.1.2). */
export function sendTagged(request: IncomingMessage, response: ServerResponse, body: unknown): void {
  const text = JSON.stringify(body);
  const tag = `"${hash('sha256', text, 'base64url').slice(0, 27)}"`;
  response.setHeader('etag', tag);
  response.setHeader('cache-control', 'private, no-cache');
  response.setHeader('vary', 'authorization, cookie');
  if (hasTag(request.headers['if-none-match'], tag)) response.writeHead(304).end();
  else sendText(response, 200, 'application/json', text);
}

/** Whether an `If-None-Match` names this tag. */
export function hasTag(condition: string | undefined, tag: string): boolean {
  if (condition === undefined) return false;
  return condition.split(',').some((each) => each.trim() === '*' || each.trim().replace(/^W\//, '') === tag);
}

export function sendPage(
  response: ServerResponse,
  status: number,
  { html, policy }: { html: string; policy: string },
): void {
  response.setHeader('content-security-policy', policy);
  response.writeHead(status, { 'content-type': 'text/html; charset=utf-8' }).end(html);
}

/** Of a request that reached no operation: the connection is not kept, as its body may not have been read. */
export function refuse(response: ServerResponse, fault: Fault): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  response.setHeader('connection', 'close');
  if (fault.code === 'unauthenticated') response.setHeader('www-authenticate', 'Bearer');
  sendJson(response, FAULTS[fault.code].http, problemOf(fault));
}

/** What cannot be read as a request, or came too slowly, is refused in the same form. */
export function refuseRaw(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const fault = rawFault(error.code);
  const body = JSON.stringify(problemOf(fault));
  const status = FAULTS[fault.code].http;
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\ncontent-type: ${PROBLEM}\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  );
}

function rawFault(code: string | undefined): Fault {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new Fault('timeout', 'reading the request: it came too slowly');
  if (code === 'HPE_HEADER_OVERFLOW') return new Fault('too_large', 'reading the request: its headers are too long');
  return new Fault('malformed', 'reading the request: it is not HTTP/1.1');
}
