/** A WebSocket as the stream below a link: whole text frames, everything said in one tick in one write. */
import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import { Gathered } from './gathered.ts';
import type { MessageStream } from './link.ts';
import type { Origin, Rung } from './rung.ts';

/** Milliseconds that the other side has to answer a close before the socket is cut. */
const CLOSE_MS = 1000;

export class WebSocketStream implements MessageStream {
  readonly address: string;
  readonly rung: Rung;
  readonly #ws: WebSocket;
  readonly #socket: Socket;
  readonly #gathered = new Gathered();
  #flushing = false;
  #pinging = false;
  sentBytes = 0;

  constructor(ws: WebSocket, socket: Socket, { address, rung }: Origin) {
    this.#ws = ws;
    this.#socket = socket;
    this.address = address;
    this.rung = rung;
    ws.on('error', () => {}); // a close event always follows, and tells
    ws.pause(); // until start()
  }

  get bufferedBytes(): number {
    return this.#gathered.units + this.#ws.bufferedAmount + this.#socket.writableLength;
  }

  start(on: { frame(text: string): void; pong(): void; close(code: number, reason: string): void }): void {
    this.#ws.on('message', (data, isBinary) => {
      if (isBinary) this.close(1003, 'frames are text');
      else on.frame(data.toString());
    });
    this.#ws.on('pong', on.pong);
    this.#ws.on('close', (code, reason) => on.close(code, reason.toString()));
    if (this.#ws.readyState === WebSocket.CLOSED) on.close(1006, '');
    this.#ws.resume();
  }

  share(most: number): void {
    this.#gathered.share(most);
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
    const frames = this.#gathered.take();
    if (this.#ws.readyState !== WebSocket.OPEN) return;
    this.#socket.cork();
    for (const frame of frames) {
      const bytes = Buffer.from(frame); // once: a string would be measured twice more on its way
      this.sentBytes += bytes.length;
      this.#ws.send(bytes, SENDING, sent);
    }
    if (this.#pinging) this.#ws.ping();
    this.#pinging = false;
    this.#socket.uncork();
  }
}

const SENDING = { binary: false, compress: false };

/** A failed write shows as a close. */
const sent = (): void => {};
