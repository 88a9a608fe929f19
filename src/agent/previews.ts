/**
 * Received files as a browser may look at them: at a port, and so an origin, of their own, where neither the page nor the API is.
 * Each has an address that cannot be guessed and is over soon. Only kinds that a browser draws are sent as what they are, by their
 * name alone; whatever could be a program is text there, in a sandbox.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';

/** 128 bits: not to be guessed. */
const NAME_BYTES = 16;
/** Milliseconds that an address holds: as long as somebody looks at a film. */
const HOLDS_MS = 4 * 3_600_000;
/** Addresses that hold at once; the oldest goes for one more. */
const MOST = 500;
/** Connections at once: those of one browser, and room. */
const MOST_CONNECTIONS = 64;
const HEADERS_MS = 10_000;

const TYPES: Readonly<Record<string, string>> = {
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.jpeg': 'image/jpeg',
  '.gif': 'image/gif',
  '.webp': 'image/webp',
  '.avif': 'image/avif',
  '.mp3': 'audio/mpeg',
  '.m4a': 'audio/mp4',
  '.ogg': 'audio/ogg',
  '.opus': 'audio/ogg',
  '.flac': 'audio/flac',
  '.wav': 'audio/wav',
  '.mp4': 'video/mp4',
  '.webm': 'video/webm',
  '.pdf': 'application/pdf',
};

/** What everything else is shown as, a page or a drawing with scripts in it too. */
const TEXT = 'text/plain; charset=utf-8';

const SANDBOX =
  "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox; base-uri 'none'; form-action 'none'";
/** A browser's own viewer of these does not start in a sandbox; it runs apart from any page, and this lets it fetch nothing. */
const PDF = "default-src 'none'; style-src 'unsafe-inline'; object-src 'self'; base-uri 'none'; form-action 'none'";

type Shown = { path: string; name: string };
export type Preview = { url: string; type: string; until: number };

export class Previews implements AsyncDisposable {
  readonly #log: Log;
  readonly #host: string;
  readonly #shown = new Map<string, Shown & { until: number }>();
  readonly #server: Server;
  #origin = '';

  constructor({ host, log }: { host: string; log: Log }) {
    this.#host = host;
    this.#log = log;
    this.#server = createServer({ headersTimeout: HEADERS_MS, requestTimeout: HEADERS_MS }, (request, response) => {
      this.#answer(request, response).catch((error: unknown) => {
        this.#log.debug({ err: error }, 'a preview was not sent');
        if (response.headersSent) response.destroy();
        else response.writeHead(404).end();
      });
    });
    this.#server.maxConnections = MOST_CONNECTIONS;
  }

  /** Where the page may look for previews. */
  get origin(): string {
    return this.#origin;
  }

  /** At this port, or at any where it is taken: the same one after a restart is still in the policy of pages that are open. */
  async start(port = 0): Promise<void> {
    this.#server.listen(port, this.#host);
    try {
      await once(this.#server, 'listening');
    } catch (error) {
      const fault = toFault(error, `listening on "${this.#host}" for previews`);
      if (port === 0 || fault.code !== 'port_taken') throw fault;
      return await this.start();
    }
    const { port: bound } = this.#server.address() as AddressInfo; // A TCP server's address is one of these.
    this.#origin = `http://${this.#host.includes(':') ? `[${this.#host}]` : this.#host}:${bound}`;
  }

  show(shown: Shown): Preview {
    const id = randomBytes(NAME_BYTES).toString('base64url');
    const until = Date.now() + HOLDS_MS;
    this.#shown.set(id, { ...shown, until });
    for (const [oldest] of this.#shown) {
      if (this.#shown.size <= MOST) break;
      this.#shown.delete(oldest);
    }
    return { url: `${this.#origin}/${id}`, type: typeOf(shown.name), until };
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const shown = this.#shown.get((request.url ?? '').slice(1));
    const known = shown && shown.until > Date.now() && `http://${request.headers.host}` === this.#origin;
    if (!known || (request.method !== 'GET' && request.method !== 'HEAD')) {
      response.writeHead(404).end();
      return;
    }
    // The path is the one that the transfer wrote; what somebody put in its place by a link is not looked at.
    await using file = await open(shown.path, constants.O_RDONLY | constants.O_NOFOLLOW);
    const state = await file.stat();
    if (!state.isFile()) throw new Error('it is no file');
    const type = typeOf(shown.name);
    const range = rangeOf(request.headers.range, state.size);
    const { start, end } = range ?? { start: 0, end: state.size };
    response.writeHead(range ? 206 : 200, {
      'content-type': type,
      'content-length': end - start,
      'accept-ranges': 'bytes',
      ...(range && { 'content-range': `bytes ${start}-${end - 1}/${state.size}` }),
      'content-security-policy': type === 'application/pdf' ? PDF : SANDBOX,
      'content-disposition': 'inline',
      'x-content-type-options': 'nosniff',
      // The page is another origin, and an IP address is no site to browsers; who has no address gets nothing anyway.
      'cross-origin-resource-policy': 'cross-origin',
      'cross-origin-opener-policy': 'same-origin',
      'referrer-policy': 'no-referrer',
      'cache-control': 'private, no-store',
    });
    if (request.method === 'HEAD' || start === end) response.end();
    else await pipeline(file.createReadStream({ start, end: end - 1, autoClose: false }), response);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}

const typeOf = (name: string): string => TYPES[extname(name).toLowerCase()] ?? TEXT;

/** The one range that is asked for, if it lies inside; a player asks for no other kind. */
function rangeOf(header: string | undefined, size: number): { start: number; end: number } | undefined {
  const [, first, last] = /^bytes=(\d{1,15})-(\d{1,15})?$/.exec(header ?? '') ?? [];
  if (first === undefined) return undefined;
  const start = Number(first);
  const end = last === undefined ? size : Math.min(size, Number(last) + 1);
  return start < end ? { start, end } : undefined;
}
