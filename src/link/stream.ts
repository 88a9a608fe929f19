/** A WebSocket as the stream below a link: whole text frames, everything said in one tick in one write. */
import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import { plainIp } from './address.ts';
import { Answers, type Outlet } from './answers.ts';
import { Gathered } from './gathered.ts';
import type { MessageStream } from './link.ts';
import type { Origin, Rung } from './rung.ts';

/** Milliseconds that the other side has to answer a close before the socket is cut. */
const CLOSE_MS = 1000;

/** Of all links: one at a time is answered so. */
const answers = new Answers();

export class WebSocketStream implements MessageStream, Outlet {
  readonly address: string;
  readonly rung: Rung;
  readonly #ws: WebSocket;
  readonly #socket: Socket;
  readonly #gathered = new Gathered();
  /** Whether its frames must be masked, as those of the side that dialled. */
  readonly #masks: boolean;
  #flushing = false;
  #pinging = false;
  sentBytes = 0;

  constructor(ws: WebSocket, socket: Socket, { address, rung }: Origin, { dialled }: { dialled: boolean }) {
    this.#ws = ws;
    this.#socket = socket;
    this.address = address;
    this.rung = rung;
    this.#masks = dialled;
    ws.on('error', ignored); // a close event always follows, and tells
    ws.pause(); // until start()
  }

  get localIp(): string | undefined {
    const { localAddress } = this.#socket;
    return localAddress === undefined ? undefined : plainIp(localAddress);
  }

  get bufferedBytes(): number {
    return this.#gathered.units + this.#ws.bufferedAmount + this.#socket.writableLength;
  }

  start(on: { frame(said: Buffer): void; pong(): void; close(code: number, reason: string): void }): void {
    this.#ws.on('message', (data, isBinary) => {
      if (isBinary) this.close(1003, 'frames are text');
      else on.frame(data as Buffer); // that is its binaryType, for whole frames
    });
    this.#ws.on('pong', () => on.pong());
    this.#ws.on('close', (code, reason) => on.close(code, reason.toString()));
    if (this.#ws.readyState === WebSocket.CLOSED) on.close(1006, '');
    this.#ws.resume();
  }

  share(most: number): void {
    this.#gathered.share(most);
  }

  get most(): number {
    return this.#gathered.most;
  }

  answering(): Answers | undefined {
    if (this.#masks) return undefined;
    if (this.#gathered.units > 0) this.#flush();
    answers.begin(this);
    return answers;
  }

  sendFrame(frame: Buffer, bytes: number, done: () => void): void {
    if (this.#ws.readyState !== WebSocket.OPEN) return done();
    this.sentBytes += bytes;
    this.#socket.write(frame, done);
  }

  send(text: string): void {
    this.#gathered.add(text);
    this.#flushSoon();
  }

  ping(): void {
    this.#pinging = true;
    this.#flushSoon();
  }

  pause(): void {
    this.#ws.pause();
  }

  resume(): void {
    this.#ws.resume();
  }

  close(code: number, reason: string): void {
    this.#flush();
    this.#ws.close(code, reason);
    setTimeout(() => this.#ws.terminate(), CLOSE_MS).unref();
    this.#ws.resume(); // a paused socket would never read the other side's close
  }

  cut(): void {
    this.#ws.terminate();
  }

  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    this.#flushing = false;
    answers.close(this);
    const frames = this.#gathered.take();
    if (this.#ws.readyState !== WebSocket.OPEN) return;
    this.#socket.cork();
    for (const frame of frames) {
      const bytes = Buffer.from(frame); // once: a string would be measured twice more on its way
      this.sentBytes += bytes.length;
      this.#ws.send(bytes, SENDING, ignored);
    }
    if (this.#pinging) this.#ws.ping();
    this.#pinging = false;
    this.#socket.uncork();
  }
}

const SENDING = { binary: false, compress: false };

/** What fails shows as a close. */
const ignored = (): void => {};
