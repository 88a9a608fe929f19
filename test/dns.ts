/** A DNS server on loopback that knows what it is told: enough of RFC 1035 for SRV, TXT and A. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';

const TYPES = { A: 1, TXT: 16, SRV: 33 } as const;
const NO_ERROR = 0x8180;
const NO_SUCH_NAME = 0x8183;

type Answer = { type: keyof typeof TYPES; data: Buffer };

const nameOf = (name: string): Buffer =>
  Buffer.concat([
    ...name.split('.').flatMap((label) => [Buffer.from([label.length]), Buffer.from(label)]),
    Buffer.from([0]),
  ]);

export class DnsServer implements AsyncDisposable {
  readonly #socket: Socket = createSocket('udp4');
  readonly #names = new Map<string, Answer[]>();
  asked: string[] = [];

  async start(): Promise<this> {
    this.#socket.on('message', (query, { port, address }) => this.#socket.send(this.#answer(query), port, address));
    this.#socket.bind(0, '127.0.0.1');
    await once(this.#socket, 'listening');
    return this;
  }

  /** `IP:port` of itself. */
  get address(): string {
    return `127.0.0.1:${this.#socket.address().port}`;
  }

  /** A zone served at `port` of the host, which is this machine; `text` where it says its key. */
  zone(zone: string, port: number, text?: string, ip = '127.0.0.1'): void {
    const host = `tracker.${zone}`;
    const srv = Buffer.concat([Buffer.from([0, 0, 0, 0, port >> 8, port & 255]), nameOf(host)]);
    const answers: Answer[] = [{ type: 'SRV', data: srv }];
    if (text !== undefined)
      answers.push({ type: 'TXT', data: Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]) });
    this.#names.set(`_netapp._tcp.${zone}`, answers);
    this.#names.set(host, [{ type: 'A', data: Buffer.from(ip.split('.').map(Number)) }]);
  }

  #answer(query: Buffer): Buffer {
    const labels: string[] = [];
    let at = 12;
    for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
      labels.push(query.subarray(at + 1, at + 1 + length).toString());
      at += length + 1;
    }
    const name = labels.join('.').toLowerCase();
    const type = query.readUInt16BE(at + 1);
    const known = this.#names.get(name);
    const answers = (known ?? []).filter((answer) => TYPES[answer.type] === type);
    this.asked.push(name);
    const head = Buffer.from(query.subarray(0, 12));
    head.writeUInt16BE(known ? NO_ERROR : NO_SUCH_NAME, 2);
    head.writeUInt16BE(1, 4);
    head.writeUInt16BE(answers.length, 6);
    head.writeUInt32BE(0, 8);
    const records = answers.map(({ type, data }) => {
      const fixed = Buffer.alloc(12);
      fixed.writeUInt16BE(0xc00c, 0); // the name of the question
      fixed.writeUInt16BE(TYPES[type], 2);
      fixed.writeUInt16BE(1, 4);
      fixed.writeUInt32BE(1, 6);
      fixed.writeUInt16BE(data.length, 10);
      return Buffer.concat([fixed, data]);
    });
    return Buffer.concat([head, query.subarray(12, at + 5), ...records]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#socket, 'close');
    this.#socket.close();
    await closed;
  }
}
