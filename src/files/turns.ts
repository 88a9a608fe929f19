/** What bulk lines may move in one turn of the event loop, so that a message never waits behind many fast ones. */

/** Bytes of a turn, of all lines together, where there are more than `FEW`: what TLS has already read comes on top. */
const MANY_BYTES = 64 * 1024;
/** Lines that are left alone: they cannot make a turn long, and every pause costs them a system call. */
const FEW = 2;
const FEW_BYTES = 1024 * 1024;
/** Lines that go on in the next turn once the budget of one is used up; the others wait for a later one, in order. */
const WOKEN = 2;

export type Line = Disposable & {
  /** Counts bytes that were read or written; undefined if more may follow now, else settles in a later turn. */
  take(bytes: number): Promise<void> | undefined;
};

/** One event loop's turns. */
class Turns {
  #lines = 0;
  #moved = 0;
  #isCounted = false;
  readonly #waiting: (() => void)[] = [];

  line(): Line {
    this.#lines += 1;
    let isOpen = true;
    return {
      take: (bytes) => this.#take(bytes),
      [Symbol.dispose]: () => {
        if (isOpen) this.#lines -= 1;
        isOpen = false;
      },
    };
  }

  #take(bytes: number): Promise<void> | undefined {
    this.#moved += bytes;
    if (!this.#isCounted) this.#count();
    if (this.#moved < (this.#lines > FEW ? MANY_BYTES : FEW_BYTES)) return undefined;
    return new Promise((done) => this.#waiting.push(done));
  }

  #count(): void {
    this.#isCounted = true;
    setImmediate(() => {
      this.#moved = 0;
      this.#isCounted = false;
      for (const goOn of this.#waiting.splice(0, WOKEN)) goOn();
      if (this.#waiting.length > 0) this.#count();
    });
  }
}

export const turns = new Turns();
