/** The doors for whoever looks after a tracker: alive, ready, and in numbers. */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { toBase64url } from '../base/encoding.ts';
import { FAULTS, Fault, toFault } from '../base/fault.ts';
import { formatAddress } from '../link/address.ts';
import type { Metrics } from './metrics.ts';
import type { ReadinessCheck } from './readiness.ts';

const TOKEN_BYTES = 32;
/** Milliseconds that a reader of the numbers may take for a request. */
const REQUEST_MS = 10_000;
/** Connections at once of those who look. */
const MOST_CONNECTIONS = 64;

/** `HOST:PORT`, or `PORT` at 127.0.0.1. Throws `invalid_argument`. */
export function parseMonitorAddress(text: string): { host: string; port: number } {
  const [, six, name, digits] = /^(?:(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+)):)?(\d{1,5})$/i.exec(text) ?? [];
  const port = Number(digits);
  if (digits !== undefined && port <= 65_535) return { host: six ?? name ?? '127.0.0.1', port };
  throw new Fault('invalid_argument', `reading the address for metrics "${text}": expected PORT, or HOST:PORT`);
}

/** The token in the file at `path`, made there (0600) if there is none. Throws `unreadable`, `unwritable`, `corrupt`. */
export function loadToken(path: string): string {
  try {
    writeFileSync(path, `${toBase64url(randomBytes(TOKEN_BYTES))}\n`, { mode: 0o600, flag: 'wx', flush: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw toFault(error, `writing "${path}"`, 'unwritable'); // a system error of fs
  }
  try {
    chmodSync(path, 0o600);
    const token = readFileSync(path, 'utf8').trim();
    if (token.length >= 16) return token;
  } catch (error) {
    throw toFault(error, `reading "${path}"`);
  }
  throw new Fault(
    'corrupt',
    `reading "${path}": expected a token of at least 16 characters; remove the file for a new one`,
  );
}

/** Reached from this machine alone; 0.0.0.0 and :: are reached from everywhere. */
const isOwn = (host: string): boolean => /^(?:localhost|::1|127(?:\.\d{1,3}){3})$/i.test(host);

export class Monitor implements AsyncDisposable {
  readonly #readiness: ReadinessCheck;
  readonly #metrics: Metrics;
  readonly #token: string;
  #server: Server | undefined;

  constructor(options: { readiness: ReadinessCheck; metrics: Metrics; token: string }) {
    this.#readiness = options.readiness;
    this.#metrics = options.metrics;
    this.#token = options.token;
  }

  /**
   * Serves plain HTTP at an address of its own. There the numbers are for everybody who reaches it, if that is this machine
   * alone; else for those with the token. Throws `port_taken`, `invalid_argument`.
   */
  async listen(address: { host: string; port: number }): Promise<void> {
    const open = isOwn(address.host);
    const server = createServer({ requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS }, (request, response) => {
      const path = (request.url ?? '').replace(/\?.*$/, '');
      this.answer(request, response, { path, open }).catch((error: unknown) => {
        const { code, message } = toFault(error);
        response.writeHead(FAULTS[code].http, { 'content-type': 'application/json', 'x-netapp-fault': code });
        response.end(`${JSON.stringify({ code, message })}\n`);
      });
    });
    server.maxConnections = MOST_CONNECTIONS;
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) =>
        reject(toFault(error, `listening on "${formatAddress(address)}" for metrics`, 'invalid_argument')),
      );
      server.listen(address.port, address.host, resolve);
    });
    this.#server = server;
  }

  /** `host:port` at which `listen` serves; undefined without it. */
  get address(): string | undefined {
    const bound = this.#server?.address() as AddressInfo | null | undefined; // a TCP server's address is never a string
    return bound ? formatAddress({ host: bound.address, port: bound.port }) : undefined;
  }

  /** `open`: who asks needs no token. Throws `unauthenticated`, `unknown_operation`. */
  async answer(
    request: IncomingMessage,
    response: ServerResponse,
    { path, open }: { path: string; open: boolean },
  ): Promise<void> {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      throw new Fault('unknown_operation', `asking for "${path.slice(0, 100)}": it can only be read`);
    }
    response.setHeader('cache-control', 'no-store');
    const send = (status: number, type: string, body: string): void => {
      response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
      response.end(request.method === 'HEAD' ? undefined : body);
    };
    if (path === '/healthz') return send(200, 'application/json', '{"status":"ok"}\n');
    if (path === '/readyz') {
      const { ready, ...checks } = await this.#readiness.look();
      const said = { status: ready ? 'ready' : 'not ready', ...checks };
      return send(ready ? 200 : 503, 'application/json', `${JSON.stringify(said)}\n`);
    }
    if (path !== '/metrics') {
      throw new Fault('unknown_operation', `asking for "${path.slice(0, 100)}": there is no such path here`);
    }
    if (!open && !this.#knows(request.headers.authorization)) {
      response.setHeader('www-authenticate', 'Bearer');
      throw new Fault(
        'unauthenticated',
        'asking for "/metrics": send "Authorization: Bearer TOKEN" with the token of the file metrics.token beside the tracker’s key',
      );
    }
    const { type, body } = await this.#metrics.text();
    send(200, type, body);
  }

  #knows(authorization: string | undefined): boolean {
    const [, token = ''] = /^Bearer (\S+)$/i.exec(authorization ?? '') ?? [];
    const [given, wanted] = [Buffer.from(token), Buffer.from(this.#token)];
    return given.length === wanted.length && timingSafeEqual(given, wanted);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const server = this.#server;
    if (!server) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
  }
}
