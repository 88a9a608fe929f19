/** What stands between a node and a tracker in tests: forwarders that can be cut, silenced, and that end TLS as a proxy does. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';

type Pair = { client: Socket; server: Socket };

export class Relay implements AsyncDisposable {
  readonly port: number;
  /** Connections that were taken, in all. */
  taken = 0;
  readonly #server: Server;
  readonly #pairs: Set<Pair>;
  #silent = false;

  private constructor(server: Server, pairs: Set<Pair>, onTake: { relay: Relay | undefined }) {
    this.#server = server;
    this.#pairs = pairs;
    this.port = (server.address() as AddressInfo).port; // a TCP server's address is never a string
    onTake.relay = this;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Connections that stand. */
  get open(): number {
    return this.#pairs.size;
  }

  /** To a port of this machine. `tls`: it ends TLS, and adds `head` to each connection's first request. */
  static async to(
    target: number,
    options: { port?: number; tls?: { cert: string; key: string }; head?: string } = {},
  ): Promise<Relay> {
    const pairs = new Set<Pair>();
    const self: { relay: Relay | undefined } = { relay: undefined };
    const take = (client: Socket): void => {
      const server = connect(target, '127.0.0.1');
      const pair = { client, server };
      pairs.add(pair);
      if (self.relay) self.relay.taken += 1;
      for (const [one, other] of [
        [client, server],
        [server, client],
      ] as const) {
        one.setNoDelay(true);
        one.on('error', () => other.destroy());
        one.on('close', () => {
          pairs.delete(pair);
          other.destroy();
        });
      }
      let first = true;
      client.on('data', (chunk: Buffer) => {
        const head = first ? options.head : undefined;
        first = false;
        server.write(
          head === undefined ? chunk : chunk.toString('latin1').replace('\r\n', `\r\n${head}\r\n`),
          'latin1',
        );
      });
      server.on('data', (chunk: Buffer) => client.write(chunk));
      if (self.relay?.isSilent) silence(pair);
    };
    const server = options.tls
      ? createTlsServer({ ...options.tls, ALPNProtocols: ['http/1.1'] }, take)
      : createServer(take);
    server.on('tlsClientError', () => {}); // a client that does not trust it is the test's concern
    server.listen(options.port ?? 0, '127.0.0.1');
    await once(server, 'listening');
    return new Relay(server, pairs, self);
  }

  get isSilent(): boolean {
    return this.#silent;
  }

  /** As a cable that is pulled out: nothing comes and nothing goes, and nobody is told. */
  silence(): void {
    this.#silent = true;
    for (const pair of this.#pairs) silence(pair);
  }

  /** The cable is in again: what waited goes on. */
  speak(): void {
    this.#silent = false;
    for (const { client, server } of this.#pairs) {
      client.resume();
      server.resume();
    }
  }

  /** Ends all connections at once; new ones are taken. */
  cut(): void {
    for (const { client, server } of [...this.#pairs]) {
      client.destroy();
      server.destroy();
    }
  }

  /** Ends all connections, and takes no new ones. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.cut();
    await closed;
  }
}

function silence({ client, server }: Pair): void {
  client.pause();
  server.pause();
}
