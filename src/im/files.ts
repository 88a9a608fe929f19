/**
 * Files that are offered in a conversation: to clients that have no word for them, a line with a link, which is served on the
 * door's own port. Who has the link has the file while it holds; the bytes come from its sender. [P-39]
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Hosting } from '../api/hosting.ts';
import type { Clock } from '../base/clock.ts';
import { FAULTS, Fault, toFault } from '../base/fault.ts';

const FILES_PATH = '/files/';

/** Milliseconds that a link holds after the file was offered. */
const HOLDS_MS = 30 * 86_400_000;
/** Connections that fetch at once. */
const MOST_FETCHING = 64;
const IDLE_MS = 30_000;

export type FilesOptions = {
  hosting: Hosting;
  clock: Clock;
  /** Signs links; kept, so that they hold across restarts. */
  secret: Uint8Array;
  /** `http://host:port` at which browsers reach the door. */
  base: () => string;
};

type Offer = { id: string; at: number; account: string };

export class Files {
  readonly #options: FilesOptions;
  readonly #server: Server;
  readonly #fetching = new Set<Socket>();

  constructor(options: FilesOptions) {
    this.#options = options;
    this.#server = createServer((request, response) => void this.#serve(request, response));
    this.#server.keepAliveTimeout = 1000;
  }

  /** Name and link; undefined where the message offers none. `account`: a hosted one that has it; it is fetched in its name. */
  textOf({ id, at, account }: Offer): string | undefined {
    try {
      const file = this.#options.hosting.get(account)?.file(id);
      if (!file) return undefined;
      const claim = `${id}.${account}.${Math.floor(at) + HOLDS_MS}`;
      const name = encodeURIComponent(file.name);
      return `${file.name} (${file.size} bytes): ${this.#options.base()}${FILES_PATH}${claim}.${this.#sign(claim)}/${name}`;
    } catch (error) {
      const { code } = toFault(error);
      if (code === 'wrong_state' || code === 'unknown_id') return undefined; // a folder is shown by its name alone
      throw error;
    }
  }

  #sign(claim: string): string {
    return createHmac('sha256', this.#options.secret).update(claim).digest('base64url');
  }

  /** Takes over a connection that turned out to be a browser's, with what it has sent. */
  take(socket: Socket, bytes: Buffer): void {
    if (this.#fetching.size >= MOST_FETCHING) {
      socket.end('HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
      return;
    }
    this.#fetching.add(socket);
    socket.on('close', () => this.#fetching.delete(socket));
    socket.setTimeout(IDLE_MS, () => socket.destroy());
    this.#server.emit('connection', socket);
    socket.unshift(bytes);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    try {
      const file = this.#file(request);
      const pieces = file.read(gone.signal)[Symbol.asyncIterator]();
      // Nothing is promised before the sender has given the first piece.
      let next = await pieces.next();
      response.writeHead(200, {
        'content-type': 'application/octet-stream',
        'content-length': file.size,
        'content-disposition': `attachment; filename*=UTF-8''${encodeURIComponent(file.name)}`,
        'x-content-type-options': 'nosniff',
        'cache-control': 'private, no-store',
      });
      for (; !next.done; next = await pieces.next()) {
        if (request.method !== 'HEAD' && !response.write(next.value))
          await once(response, 'drain', { signal: gone.signal });
      }
      response.end();
    } catch (error) {
      const fault = toFault(error);
      if (response.headersSent || gone.signal.aborted) return void response.destroy(); // a cut says that it is not whole
      response.writeHead(FAULTS[fault.code].http, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' });
      response.end(`${fault.code === 'internal' ? 'this failed here' : fault.message}\n`);
    }
  }

  /** Throws `forbidden`, `unknown_id`, `wrong_state`. */
  #file({ method, url = '' }: IncomingMessage) {
    const [, id = '', account = '', until = '', sign = ''] =
      /^\/files\/([a-z2-7]+)\.([a-z2-7]+)\.(\d+)\.([\w-]+)(?:\/|$)/.exec(url) ?? [];
    const right = Buffer.from(this.#sign(`${id}.${account}.${until}`));
    const given = Buffer.from(sign);
    const holds = given.length === right.length && timingSafeEqual(given, right);
    if (!holds || (method !== 'GET' && method !== 'HEAD')) {
      throw new Fault('forbidden', 'fetching a file: this link was not made here; copy all of it');
    }
    if (Number(until) < this.#options.clock.now()) throw new Fault('forbidden', 'fetching a file: the link has ended');
    const hosted = this.#options.hosting.get(account);
    if (!hosted) throw new Fault('unknown_id', 'fetching a file: whom it was offered to is here no more');
    return hosted.file(id);
  }

  [Symbol.dispose](): void {
    for (const socket of this.#fetching) socket.destroy();
  }
}
