/** The agent's doors for programs: its socket, and loopback HTTP and shared memory where wanted. All serve the same operations. */
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Backend } from '../api/backend.ts';
import { localClient } from '../api/operations.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { createDoor } from './http.ts';
import { LIMITS, type Limits } from './limits.ts';
import { type Preview, Previews } from './previews.ts';
import { loadToken, Session } from './session.ts';
import { SharedMemory } from './shared-memory.ts';
import { listenOnSocket } from './socket.ts';
import { WebPage } from './web.ts';

export type AgentOptions = {
  backend: Backend;
  /** Where the socket is made, mode 0600. */
  socketPath: string;
  /** The loopback HTTP door; port 0 takes any. */
  http?: { port: number; host?: '127.0.0.1' | '::1' } | undefined;
  /** A file that programs map, and how many bytes it has where it is made here. */
  sharedMemory?: { path: string; size?: number | undefined } | undefined;
  /** File that keeps the HTTP door's bearer token, mode 0600. Made when the HTTP door first opens. */
  tokenPath: string;
  log: Log;
  limits?: Partial<Limits>;
};

/** Open answers get so long to end by themselves when the agent closes. */
const GRACE_MS = 500;

export class Agent {
  readonly #options: AgentOptions;
  readonly #closing = new AbortController();
  readonly #servers: Server[] = [];
  #sharedMemory: SharedMemory | undefined;
  #previews: Previews | undefined;
  #httpPort: number | undefined;

  constructor(options: AgentOptions) {
    this.#options = options;
  }

  /** The port that the HTTP door is bound to; undefined without one, and before `start()`. */
  get httpPort(): number | undefined {
    return this.#httpPort;
  }

  /** Where browsers and programs find the HTTP door. */
  get origin(): string | undefined {
    const host = this.#options.http?.host === '::1' ? '[::1]' : '127.0.0.1';
    return this.#httpPort === undefined ? undefined : `http://${host}:${this.#httpPort}`;
  }

  /** An address at which a browser shows this file; undefined without an HTTP door. */
  readonly preview = (file: { path: string; name: string }): Preview | undefined => this.#previews?.show(file);

  /** Faults: `agent_running`, `port_taken`, `exists`, `invalid_argument`, `unwritable`. */
  async start(): Promise<void> {
    const { backend, log, socketPath, http, sharedMemory, tokenPath } = this.#options;
    const limits = { ...LIMITS, ...this.#options.limits };
    const context = { backend, log, closing: this.#closing.signal, origin: () => this.origin, preview: this.preview };
    const door = { ...context, limits };
    try {
      backend.jobs.start();
      const local = createDoor(door);
      await listenOnSocket(local, socketPath);
      this.#servers.push(local);
      if (sharedMemory) {
        const client = localClient(context);
        const door = new SharedMemory({ ...sharedMemory, client, log });
        await door.start();
        this.#sharedMemory = door;
      }
      if (!http) return;
      const previews = new Previews({ host: http.host ?? '127.0.0.1', log });
      await previews.start(http.port > 0 && http.port < 65_535 ? http.port + 1 : 0);
      this.#previews = previews;
      const token = await loadToken(tokenPath, log);
      const session = new Session({ token, access: backend.access, port: () => this.#httpPort ?? 0 });
      const server = createDoor({ ...door, session, page: new WebPage({ previews: previews.origin }) });
      this.#httpPort = await listenOnPort(server, http.port, http.host ?? '127.0.0.1');
      this.#servers.push(server);
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Ends open streams with `link_closed`, then the connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Fault('link_closed', 'the agent is closing'));
    await this.#sharedMemory?.[Symbol.asyncDispose]();
    await this.#previews?.[Symbol.asyncDispose]();
    await Promise.all([...this.#servers.splice(0).map(closeServer), this.#options.backend.jobs[Symbol.asyncDispose]()]);
  }
}

async function listenOnPort(server: Server, port: number, host: string): Promise<number> {
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    throw toFault(error, `listening on "${host}:${port}"`);
  }
  return (server.address() as AddressInfo).port; // A TCP server's address is one of these.
}

async function closeServer(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeIdleConnections();
  const cut = setTimeout(() => server.closeAllConnections(), GRACE_MS);
  await closed;
  clearTimeout(cut);
}
