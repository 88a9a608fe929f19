/** A client of an agent's shared-memory door, for tests: the operations as functions, each one command in the area. */
import { openSync, readSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { createORPCClient } from '@orpc/client';
import { operationList } from '../src/api/catalogue.ts';
import type { Client } from '../src/api/client.ts';
import { faultOfJson } from '../src/api/failure.ts';

const HEAD = 64;
const PATIENCE_MS = 30_000;

export class AreaClient {
  readonly #fd: number;
  readonly #size: number;
  #turn: Promise<unknown> = Promise.resolve();

  /** `size`: bytes of the area as it is. */
  constructor(path: string, size: number) {
    this.#fd = openSync(path, 'r+');
    this.#size = size;
  }

  /** Writes at byte 0, as a mapping would. */
  write(text: string): void {
    if (Buffer.byteLength(text) > this.#size) throw new Error('a mapping of this size has no room for the command');
    writeSync(this.#fd, Buffer.from(text), 0, Buffer.byteLength(text), 0);
  }

  /** Head and body as they are now. */
  read(): [head: string, body: Buffer] {
    const bytes = Buffer.alloc(this.#size);
    readSync(this.#fd, bytes, 0, this.#size, 0);
    const upTo = (part: Buffer) => (part.includes(0) ? part.subarray(0, part.indexOf(0)) : part);
    return [upTo(bytes.subarray(0, HEAD)).toString(), upTo(bytes.subarray(HEAD))];
  }

  /** What the agent writes next: head and body. */
  async settled(): Promise<[head: string, body: Buffer]> {
    const until = performance.now() + PATIENCE_MS;
    for (;;) {
      const [head, body] = this.read();
      if (/^(done|error)/.test(head)) return [head, body];
      if (performance.now() > until) throw new Error(`no answer; the head is "${head}"`);
      await sleep(1);
    }
  }

  /** One command after the other. Throws the agent's fault. */
  ask(command: string): Promise<Buffer> {
    const turn = this.#turn.then(async () => {
      this.write(`${command}\n`);
      const [head, body] = await this.settled();
      if (head === 'done') return body;
      throw faultOfJson(JSON.parse(body.toString())) ?? new Error(`${head}: ${body}`);
    });
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** The bytes behind a claim check, as they come. */
  async *pieces(job: string): AsyncGenerator<Buffer> {
    for (let offset = '0', state = ''; state !== 'end'; ) {
      const body = await this.ask(`answer ${job} ${offset}`);
      const end = body.indexOf('\n');
      [offset = '', state = ''] = body.toString('utf8', 0, end).split(' ');
      yield body.subarray(end + 1);
    }
  }

  async *#values(job: string): AsyncGenerator<unknown> {
    let rest = Buffer.alloc(0);
    for await (const piece of this.pieces(job)) {
      rest = Buffer.concat([rest, piece]);
      for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
        yield JSON.parse(rest.toString('utf8', 0, end));
        rest = rest.subarray(end + 1);
      }
    }
  }

  client(): Client {
    return createORPCClient<Client>({
      call: async (path, input) => {
        const name = path.join('.');
        const body = (await this.ask(`${name} ${JSON.stringify(input ?? {})}`)).toString();
        const [, job] = /^job (\w+)$/.exec(body) ?? [];
        if (operationList.find((operation) => operation.name === name)?.stream) return this.#values(job ?? '');
        if (job === undefined) return JSON.parse(body);
        return JSON.parse(Buffer.concat(await Array.fromAsync(this.pieces(job))).toString());
      },
    });
  }
}
