/** What goes to one client: gathered for the tick, and then in one write. */
import type { Socket } from 'node:net';

/**
 * Bytes that may wait for a client beside what the kernel holds for it; past them it is cut. Some thousand messages: who is that far
 * behind does not read.
 */
export const WAITING_BYTES = 1_048_576;

/** What some outlets took at the end of a tick. */
type Told = { due: readonly Outlet[]; told: readonly (Buffer | undefined)[] };

/** Those to whom something is to be written at the end of this tick. */
export class Flush {
  readonly #due: Outlet[] = [];
  /** What must be so before anything leaves: what was numbered is on the disk. */
  readonly #settled: () => Promise<void> | undefined;
  /** Called first at the end of a tick: what was put off goes to its outlets now. */
  readonly #before: () => void;
  #isSet = false;
  /** What earlier ticks gathered, and the disk does not have yet: nothing overtakes it. */
  #leaving: Promise<void> | undefined;
  /** May leave now. */
  readonly #ready: Told[] = [];

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
    this.#before();
    this.#isSet = false; // what came of that is due now
    const due = this.#due.splice(0);
    if (due.length === 0) return;
    // What is told from now on may need more to be on the disk than this does.
    const told = due.map((outlet) => outlet.take());
    const settled = this.#settled();
    if (!settled && !this.#leaving) return this.#write([{ due, told }]);
    const leave = (): void => {
      this.#ready.push({ due, told });
      // Several ticks may have waited for the same: each client gets what they all have for it in one write.
      if (this.#ready.length === 1) process.nextTick(() => this.#write(this.#ready.splice(0)));
    };
    const cut = (): void => due.forEach((outlet) => void outlet.cut('what it was to hear could not be kept'));
    const leaving: Promise<void> = Promise.all([this.#leaving, settled])
      .then(leave, cut)
      .finally(() => {
        if (this.#leaving === leaving) this.#leaving = undefined;
      });
    this.#leaving = leaving;
  }

  #write(ready: readonly Told[]): void {
    const all = new Map<Outlet, Buffer>();
    for (const { due, told } of ready) {
      // In a room all are told the same, so what was joined last is wanted again.
      let joined: { first: Buffer; second: Buffer; both: Buffer } | undefined;
      for (const [index, outlet] of due.entries()) {
        const second = told[index];
        if (second === undefined) continue;
        const first = all.get(outlet);
        if (first && (joined?.first !== first || joined.second !== second)) {
          joined = { first, second, both: Buffer.concat([first, second]) };
        }
        all.set(outlet, first && joined ? joined.both : second);
      }
    }
    for (const [outlet, bytes] of all) outlet.write(bytes);
  }
}

export class Outlet {
  readonly #socket: Socket;
  readonly #flush: Flush;
  readonly #onCut: (why: string) => void;
  /** Waits for the end of the tick: one buffer, or several. */
  #one: Buffer | undefined;
  #more: Buffer[] | undefined;
  /** That were pushed, and not written. */
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

  /** All that was pushed in this tick; what is pushed from now on is of the next one. */
  take(): Buffer | undefined {
    const [one, more] = [this.#one, this.#more];
    this.#one = undefined;
    this.#more = undefined;
    return more === undefined ? one : Buffer.concat(more);
  }

  /** What was taken, in one write [P-30]; a client that is too far behind is cut instead [P-37]. */
  write(taken: Buffer | undefined): void {
    if (taken === undefined || this.#socket.destroyed) return;
    this.#bytes -= taken.length;
    if (this.#socket.writableLength > WAITING_BYTES) return this.cut('it does not read what it is sent');
    this.#socket.write(taken);
    if (this.#ended && this.#bytes === 0) this.#socket.end();
  }

  /** What was pushed still goes out, nothing after it; then the connection ends. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#bytes === 0) this.#socket.end();
  }

  cut(why: string): void {
    this.#ended = true;
    this.#socket.destroy();
    this.#onCut(why);
  }
}
