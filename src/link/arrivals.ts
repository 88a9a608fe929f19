/** Connections whose handshake has not begun: those that began come first, so that each that is begun also ends in time. */
import type { Socket } from 'node:net';

/** Handshakes begun in one turn of the event loop, which does all else that is ready in the same turn: each takes about a millisecond. */
const AT_ONCE = 8;
/** Milliseconds after which a connection is let go of: who dialled gives up after 5 s, and the handshake takes its time too. */
const MOST_WAIT_MS = 4000;

/** Milliseconds of a turn that count as waiting: a longer one is this process that stood still, and its queue may be short. */
const MOST_TURN_MS = 250;
/** Places at the head of the list that are cleared at once. */
const MOST_EMPTY = 1024;

/** One for all: a link is to keep as little as can be. */
export function cut(this: Socket): void {
  this.destroy();
}

export class Arrivals {
  readonly #waiting: { socket: Socket; begin: () => void; since: number }[] = [];
  readonly #now: () => number;
  readonly #onLate: () => void;
  /** Milliseconds that have passed in turns. */
  #passed = 0;
  /** When the last turn was. */
  #last = 0;
  /** Where in the list the first is that waits. */
  #at = 0;
  #turning = false;

  /** `onLate`: one has waited too long. */
  constructor(options: { onLate(): void; now?: () => number }) {
    this.#onLate = options.onLate;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Calls `begin` in its turn, unless `socket` ends before. Bounded by the connections that a listener takes. */
  add(socket: Socket, begin: () => void): void {
    socket.on('error', cut);
    this.#waiting.push({ socket, begin, since: this.#passed });
    if (this.#turning) return;
    this.#last = this.#now();
    this.#turning = true;
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    const now = this.#now();
    this.#passed += Math.min(now - this.#last, MOST_TURN_MS);
    this.#last = now;
    for (let begun = 0; begun < AT_ONCE && this.#at < this.#waiting.length; ) {
      const next = this.#waiting[this.#at++];
      if (!next || next.socket.destroyed) continue;
      if (this.#passed - next.since > MOST_WAIT_MS) {
        this.#onLate();
        next.socket.destroy();
        continue;
      }
      next.begin();
      begun += 1;
    }
    const isOver = this.#at === this.#waiting.length;
    if (isOver || this.#at >= MOST_EMPTY) {
      this.#waiting.splice(0, this.#at);
      this.#at = 0;
    }
    if (isOver) this.#turning = false;
    else setImmediate(() => this.#turn());
  }

  /** Ends all that wait. */
  [Symbol.dispose](): void {
    for (const { socket } of this.#waiting.slice(this.#at)) socket.destroy();
  }
}
