/** A link's dialling end with as little below it as can be, so that what it asks costs the tracker and not the asker. */
import { randomBytes } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { Identity } from '../src/link/certificate.ts';
import { dial } from '../src/link/dial.ts';
import { type HelloInfo, SUBPROTOCOL } from '../src/link/hello.ts';
import type { Sessions } from '../src/link/sessions.ts';

export type Target = { address: string; peer: string };

/** A text frame as a client sends it (RFC 6455, section 5.2), masked. */
export function frameOf(text: string): Buffer {
  const payload = Buffer.from(text);
  const mask = randomBytes(4);
  mask[0] = (mask[0] ?? 0) | 1; // a mask of zeros would spare the other side its work
  const head =
    payload.length < 126
      ? Buffer.from([0x81, 0x80 | payload.length])
      : payload.length < 65_536
        ? Buffer.from([0x81, 0x80 | 126, payload.length >> 8, payload.length & 255])
        : Buffer.from([0x81, 0x80 | 127, 0, 0, 0, 0, ...[24, 16, 8, 0].map((bits) => (payload.length >> bits) & 255)]);
  for (let n = 0; n < payload.length; n++) payload[n] = (payload[n] ?? 0) ^ (mask[n & 3] ?? 0);
  return Buffer.concat([head, mask, payload]);
}

export class RawLink {
  readonly socket: TLSSocket;
  /** Takes the payload of each text frame. */
  onFrame: (payload: Buffer) => void = () => {};
  onEnd: () => void = () => {};
  #rest: Buffer = Buffer.alloc(0);
  #upgraded: (() => void) | undefined;

  private constructor(socket: TLSSocket) {
    this.socket = socket;
    socket.on('data', (data) => this.#take(data));
    socket.on('close', () => this.onEnd());
  }

  /** A greeted link. */
  static async dial(
    target: Target,
    identity: Identity,
    self: HelloInfo,
    { timeoutMs = 30_000, sessions }: { timeoutMs?: number; sessions?: Sessions } = {},
  ): Promise<RawLink> {
    const socket = await dial({ address: target.address, expect: target.peer, identity, timeoutMs, sessions });
    const link = new RawLink(socket);
    const upgraded = new Promise<void>((resolve, reject) => {
      link.#upgraded = resolve;
      link.onEnd = () => reject(new Error('it was closed before it was greeted'));
    });
    const key = randomBytes(16).toString('base64');
    socket.write(
      `GET /link HTTP/1.1\r\nhost: ${target.address}\r\nconnection: upgrade\r\nupgrade: websocket\r\n` +
        `sec-websocket-version: 13\r\nsec-websocket-key: ${key}\r\nsec-websocket-protocol: ${SUBPROTOCOL}\r\n\r\n`,
    );
    await upgraded;
    const greeted = new Promise<void>((resolve, reject) => {
      link.onEnd = () => reject(new Error('it was closed when it greeted'));
      link.onFrame = () => resolve();
    });
    link.send(frameOf(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'hello', params: self })));
    await greeted;
    link.onEnd = () => {};
    return link;
  }

  send(frame: Buffer): void {
    this.socket.write(frame);
  }

  /** Sends one request and gives its answer's text. For one at a time. */
  async ask(text: string): Promise<string> {
    const answer = new Promise<string>((resolve, reject) => {
      this.onFrame = (payload) => resolve(payload.toString());
      this.onEnd = () => reject(new Error('it was closed before it answered'));
    });
    this.send(frameOf(text));
    const said = await answer;
    this.onEnd = () => {};
    return said;
  }

  #take(data: Buffer): void {
    let bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, data]) : data;
    if (this.#upgraded) {
      const end = bytes.indexOf('\r\n\r\n');
      if (end < 0) {
        this.#rest = bytes;
        return;
      }
      const upgraded = this.#upgraded;
      this.#upgraded = undefined;
      if (bytes.subarray(0, 12).toString() !== 'HTTP/1.1 101') throw new Error(bytes.toString());
      bytes = bytes.subarray(end + 4);
      upgraded();
    }
    let at = 0;
    while (bytes.length - at >= 2) {
      const short = (bytes[at + 1] ?? 0) & 127;
      const head = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (bytes.length - at < head) break;
      const size = short < 126 ? short : short === 126 ? bytes.readUInt16BE(at + 2) : bytes.readUInt32BE(at + 6);
      if (bytes.length - at - head < size) break;
      const kind = (bytes[at] ?? 0) & 15;
      if (kind === 1) this.onFrame(bytes.subarray(at + head, at + head + size));
      if (kind === 9) this.#pong(bytes.subarray(at + head, at + head + size));
      at += head + size;
    }
    this.#rest = at < bytes.length ? bytes.subarray(at) : Buffer.alloc(0);
  }

  /** [L-28] */
  #pong(payload: Buffer): void {
    this.send(Buffer.concat([Buffer.from([0x8a, 0x80 | payload.length, 0, 0, 0, 0]), payload]));
  }
}
