/** Two connections of which each says what the other heard: raw bytes both ways, and no more of them in memory than a reader's slowness asks. */
import type { Duplex } from 'node:stream';
import type { Seat } from './turns.ts';

/** Bytes that may wait for the slower side, each way; past it the faster one is not read. */
const MOST_WAITING = 64 * 1024;
/** Milliseconds in which the last bytes must have left, once one side has ended. */
const LAST_MS = 5000;

/** One way of the two. Reads only in its turns. */
class Flow {
  readonly #from: Duplex;
  readonly #to: Duplex;
  readonly #moved: (bytes: number) => void;
  readonly #seat: Seat;
  #left = 0;
  /** Bytes that went through and were not told yet. */
  #untold = 0;
  #isFull = false;

  constructor(from: Duplex, to: Duplex, moved: (bytes: number) => void, sit: (go: (bytes: number) => void) => Seat) {
    this.#from = from;
    this.#to = to;
    this.#moved = moved;
    this.#seat = sit((bytes) => this.#go(bytes));
    from.pause();
    from.on('data', (chunk: Buffer) => this.#take(chunk));
    to.on('drain', () => this.#drained());
    this.#ask();
  }

  #ask(): void {
    this.tell();
    const bytes = this.#seat.ask();
    if (bytes > 0) this.#go(bytes);
    else this.#from.pause();
  }

  /** Not for each chunk: counting would cost as much as passing it on. */
  tell(): void {
    if (this.#untold > 0) this.#moved(this.#untold);
    this.#untold = 0;
  }

  #take(chunk: Buffer): void {
    this.#untold += chunk.length;
    this.#left -= chunk.length;
    if (!this.#to.write(chunk) && this.#to.writableLength > MOST_WAITING) {
      this.#isFull = true;
      this.#from.pause();
    } else if (this.#left <= 0) {
      this.#ask();
    }
  }

  #drained(): void {
    if (!this.#isFull) return;
    this.#isFull = false;
    if (this.#left > 0) this.#from.resume();
    else this.#ask();
  }

  #go(bytes: number): void {
    this.#left += bytes;
    if (!this.#isFull && this.#from.isPaused()) this.#from.resume();
  }

  leave(): void {
    this.tell();
    this.#seat.leave();
  }
}

export class Splice {
  /** Bytes that went through, both ways. */
  bytes = 0;
  /** Whether any went through since this was last set to false. */
  isMoving = true;
  readonly #sides: readonly [Duplex, Duplex];
  readonly #flows: readonly [Flow, Flow];
  readonly #ended = Promise.withResolvers<void>();
  #timer: NodeJS.Timeout | undefined;
  #open = 2;

  /** `sit` gives each way a seat among those who take turns; `moved` hears of all bytes. */
  constructor(
    sides: readonly [Duplex, Duplex],
    options: { sit(go: (bytes: number) => void): Seat; moved(bytes: number): void },
  ) {
    const [a, b] = sides;
    this.#sides = sides;
    const moved = (bytes: number): void => {
      this.bytes += bytes;
      this.isMoving = true;
      options.moved(bytes);
    };
    this.#flows = [new Flow(a, b, moved, options.sit), new Flow(b, a, moved, options.sit)];
    for (const [side, other] of [sides, [b, a] as const]) {
      side.on('error', () => side.destroy());
      side.once('end', () => this.#finish(other));
      side.once('close', () => {
        this.#finish(other);
        this.#open -= 1;
        if (this.#open === 0) this.#over();
      });
    }
  }

  /** Settles when both sides are gone. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** What was read is still said to the other side; then both are ended. */
  #finish(other: Duplex): void {
    if (!other.writableEnded) other.end();
    this.#timer ??= setTimeout(() => this.cut(), LAST_MS).unref();
  }

  /** Has `moved` hear of what went through since the last turn. */
  tell(): void {
    for (const flow of this.#flows) flow.tell();
  }

  cut(): void {
    for (const side of this.#sides) side.destroy();
  }

  #over(): void {
    clearTimeout(this.#timer);
    for (const flow of this.#flows) flow.leave();
    this.#ended.resolve();
  }
}
