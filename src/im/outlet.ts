/** What goes to one client: gathered for the tick, and then in one write. */
import type { Socket } from 'node:net';

/**
 * Bytes that may wait for a client beside what the kernel holds for it; past them it is cut. Some thousand messages: who is that far
 * behind does not read.
 */
export const WAITING_BYTES = 1_048_576;

/** Those to whom something is to be written at the end of this tick. */
export class Flush {
  readonly #due: Outlet[] = [];
  /** What must be so before anything leaves: what was numbered is on the disk. */
  readonly #settled: () => Promise<void> | undefined;
  /** Called first at the end of a tick: what was put off goes to its outlets now. */
  readonly #before: () => void;
  #isSet = false;

  constructor(options: { settled: () => Promise<void> | undefined; before: () => void }) {
    this.#settled = options.settled;
    this.#before = options.before;
  }

  add(outlet: Outlet): void {
    this.#due.push(outlet);
    this.soon();
  }

  /** At the end of this tick. */
  soon(): void {
    if (this.#isSet) return;
    this.#isSet = true;
    setImmediate(() => this.#run());
  }

  #run(): void {
    this.#isSet = false;
    this.#before();
    const due = this.#due.splice(0);
    const settled = this.#settled();
    const write = (): void => {
      for (const outlet of due) outlet.flush();
    };
    if (settled)
      settled.then(write, () => due.forEach((outlet) => void outlet.cut('what it was to hear could not be kept')));
    else write();
  }
}

export class Outlet {
  readonly #socket: Socket;
  readonly #flush: Flush;
  readonly #onCut: (why: string) => void;
  /** Waits for the end of the tick: one buffer, or several. */
  #one: Buffer | undefined;
  #more: Buffer[] | undefined;
  #bytes = 0;
  #ended = false;

  constructor(options: { socket: Socket; flush: Flush; onCut: (why: string) => void }) {
    this.#socket = options.socket;
    this.#flush = options.flush;
    this.#onCut = options.onCut;
  }

  /** Whole messages. They are not copied. */
  push(messages: Buffer): void {
    if (this.#ended) return;
    this.#bytes += messages.length;
    if (this.#one === undefined) {
      this.#one = messages;
      this.#flush.add(this);
    } else if (this.#more === undefined) this.#more = [this.#one, messages];
    else this.#more.push(messages);
  }

  /** Bytes that wait for the client to read. */
  get waiting(): number {
    return this.#socket.writableLength + this.#bytes;
  }

  /** All of the tick in one write [P-30]; a client that is too far behind is cut instead [P-37]. */
  flush(): void {
    const [one, more] = [this.#one, this.#more];
    this.#one = undefined;
    this.#more = undefined;
    this.#bytes = 0;
    if (one === undefined || this.#socket.destroyed) return;
    if (this.#socket.writableLength > WAITING_BYTES) return this.cut('it does not read what it is sent');
    this.#socket.write(more === undefined ? one : Buffer.concat(more));
    if (this.#ended) this.#socket.end();
  }

  /** What was pushed still goes out, nothing after it; then the connection ends. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#one === undefined) this.#socket.end();
  }

  cut(why: string): void {
    this.#ended = true;
    this.#socket.destroy();
    this.#onCut(why);
  }
}
