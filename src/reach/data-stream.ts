/** A WebRTC data channel as a stream: bytes in order, and neither side ever holds more than a window of what nobody reads. [N-42] */
import { Duplex } from 'node:stream';
import { Fault } from '../base/fault.ts';

/** What is used of a data channel. Binary messages are bytes, text ones what this protocol says about them. */
export type Channel = {
  sendMessage(text: string): boolean;
  sendMessageBinary(bytes: Buffer): boolean;
  bufferedAmount(): number;
  setBufferedAmountLowThreshold(bytes: number): void;
  onBufferedAmountLow(listener: () => void): void;
  onMessage(listener: (message: string | Buffer | ArrayBuffer) => void): void;
  onClosed(listener: () => void): void;
  isOpen(): boolean;
  close(): void;
};

/** Bytes under way that the reader has not taken: enough for 300 Mbit/s at a round trip of 100 ms. */
export const WINDOW_BYTES = 4 * 1024 * 1024;
/** Bytes of one message; each has a header and an acknowledgement of its own. */
const MESSAGE_BYTES = 65_536;
/** Bytes that wait in the channel: past the first the writer waits until it is below the second. */
const MOST_BUFFERED = 1024 * 1024;
const LOW_BUFFERED = 256 * 1024;
/** What has been read is told when it is so much of the window. */
const TOLD_BYTES = WINDOW_BYTES / 4;
/** Milliseconds that the channel has for its last bytes after the end of both. */
const LINGER_MS = 1000;

const END = 'end';

export class DataStream extends Duplex {
  readonly #channel: Channel;
  readonly #ended: () => void;
  #mayWrite = WINDOW_BYTES;
  #unread = 0;
  #untold = 0;
  #arrived: Buffer[] = [];
  #isWanted = false;
  /** The other side has said that nothing more comes; and the reader was told. */
  #isEnding = false;
  #isEnded = false;
  #waiting: (() => void) | undefined;

  /** `ended` lets the connection below go, once the last bytes have had their time. */
  constructor(channel: Channel, ended: () => void) {
    super();
    this.#channel = channel;
    this.#ended = ended;
    this.on('error', () => {}); // a close follows, and tells; until somebody uses it, nobody else listens
    channel.setBufferedAmountLowThreshold(LOW_BUFFERED);
    channel.onBufferedAmountLow(() => this.#goOn());
    channel.onMessage((message) => this.#take(message));
    channel.onClosed(() => this.cut('the other side has closed it'));
  }

  /** It is gone; what came before an end in order stays readable. */
  cut(why: string): void {
    if (this.destroyed) return;
    if (this.#isEnding) this.#goOn();
    else this.destroy(new Fault('link_closed', `using a channel by UDP: ${why}`));
  }

  #take(message: string | Buffer | ArrayBuffer): void {
    if (this.destroyed) return;
    if (typeof message !== 'string') {
      const bytes = Buffer.isBuffer(message) ? message : Buffer.from(message);
      this.#unread += bytes.length;
      if (this.#unread > WINDOW_BYTES || this.#isEnding) return this.#refuse('sends more than it may');
      this.#arrived.push(bytes);
      this.#pass();
    } else if (message === END) {
      this.#isEnding = true;
      this.#pass();
    } else {
      const read = /^\d{1,8}$/.test(message) ? Number(message) : Number.NaN;
      if (!(read > 0 && this.#mayWrite + read <= WINDOW_BYTES)) return this.#refuse(`says "${message.slice(0, 20)}"`);
      this.#mayWrite += read;
      this.#goOn();
    }
  }

  #refuse(what: string): void {
    this.destroy(new Fault('malformed', `using a channel by UDP: the other side ${what}`));
  }

  /** Hands on what arrived, as long as somebody reads. */
  #pass(): void {
    while (this.#isWanted) {
      const bytes = this.#arrived.shift();
      if (!bytes) break;
      this.#unread -= bytes.length;
      this.#untold += bytes.length;
      this.#isWanted = this.push(bytes);
    }
    if (this.#untold >= TOLD_BYTES && this.#channel.isOpen()) {
      const read = this.#untold;
      this.#untold = 0;
      this.#channel.sendMessage(String(read));
    }
    if (this.#isEnding && this.#arrived.length === 0 && !this.#isEnded) {
      this.#isEnded = true;
      this.push(null);
    }
  }

  override _read(): void {
    this.#isWanted = true;
    this.#pass();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#send(chunk, done);
  }

  #send(bytes: Buffer, done: (error?: Error | null) => void): void {
    let left = bytes;
    while (left.length > 0) {
      if (!this.#channel.isOpen()) return done(new Fault('link_closed', 'writing to a channel by UDP: it is closed'));
      if (this.#mayWrite === 0 || this.#channel.bufferedAmount() > MOST_BUFFERED) {
        const rest = left;
        this.#waiting = () => this.#send(rest, done);
        return;
      }
      const part = left.subarray(0, Math.min(MESSAGE_BYTES, this.#mayWrite));
      left = left.subarray(part.length);
      this.#mayWrite -= part.length;
      this.#channel.sendMessageBinary(part);
    }
    done();
  }

  #goOn(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.();
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.#channel.isOpen()) this.#channel.sendMessage(END);
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.#arrived = [];
    const close = (): void => {
      this.#channel.close();
      this.#ended();
    };
    // What was written before the end leaves in its own time.
    if (error) close();
    else setTimeout(close, LINGER_MS);
    done(error);
    waiting?.();
  }
}
