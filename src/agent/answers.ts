/** Answers too long for the shared-memory area, and streams: kept under an id, read in pieces. */
import { randomBytes } from 'node:crypto';
import { toBase32 } from '../base/encoding.ts';
import { Fault } from '../base/fault.ts';

/** Answers kept at once. The one that was asked for least lately goes first. */
const KEPT_MOST = 64;
/** Bytes of all of them; beyond it the same one goes first. */
const KEPT_BYTES = 64 * 1024 * 1024;
/** Bytes of a stream that wait to be read; then its source waits. */
const AHEAD_BYTES = 256 * 1024;
/** How long one read waits for more of a stream. */
const WAIT_MS = 1_000;

export type Piece = {
  bytes: Buffer;
  /** The offset to ask for next; asking for it lets go of what stands before it. */
  next: number;
  /** `more` is here already; `wait`: it has not come yet; `end`: that was all. */
  state: 'more' | 'wait' | 'end';
};

class Answer {
  #start = 0;
  #bytes: Buffer = Buffer.alloc(0);
  #ended = false;
  #fault: unknown;
  #changed = Promise.withResolvers<void>();

  get bytes(): number {
    return this.#bytes.length;
  }

  /** Nobody will read it any more. */
  discard(): void {
    this.#bytes = Buffer.alloc(0);
    this.#wake();
  }

  append(text: string): void {
    this.#bytes = Buffer.concat([this.#bytes, Buffer.from(text)]);
    this.#wake();
  }

  end(fault?: unknown): void {
    this.#ended = true;
    this.#fault = fault;
    this.#wake();
  }

  /** Settles when there is room for more. */
  async drained(): Promise<void> {
    while (this.#bytes.length > AHEAD_BYTES) await this.#changed.promise;
  }

  async read(offset: number, most: (next: number) => number): Promise<Piece> {
    if (offset < this.#start || offset > this.#start + this.#bytes.length) {
      throw new Fault(
        'invalid_argument',
        `reading an answer at byte ${offset}: it has ${this.#start} to ${this.#start + this.#bytes.length}`,
      );
    }
    if (offset === this.#start + this.#bytes.length && !this.#ended) await this.#soon();
    this.#bytes = this.#bytes.subarray(offset - this.#start);
    this.#start = offset;
    this.#wake();
    const bytes = this.#bytes.subarray(0, most(offset + this.#bytes.length));
    const next = offset + bytes.length;
    if (bytes.length < this.#bytes.length) return { bytes, next, state: 'more' };
    if (!this.#ended) return { bytes, next, state: 'wait' };
    if (this.#fault !== undefined && bytes.length === 0) throw this.#fault;
    return { bytes, next, state: this.#fault === undefined ? 'end' : 'more' };
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  async #soon(): Promise<void> {
    const timer = Promise.withResolvers<void>();
    const handle = setTimeout(timer.resolve, WAIT_MS);
    await Promise.race([this.#changed.promise, timer.promise]);
    clearTimeout(handle);
  }
}

export class Answers {
  readonly #kept = new Map<string, { answer: Answer; stop: () => void }>();

  has(id: string): boolean {
    return this.#kept.has(id);
  }

  /** An answer that is here whole. */
  keep(text: string, id?: string): string {
    const answer = new Answer();
    answer.append(text);
    answer.end();
    return this.#add(answer, () => {}, id);
  }

  /** A stream, its values as lines of JSON; it is drawn no faster than it is read. `stop` ends it. */
  follow(values: AsyncIterable<unknown>, stop: () => void): string {
    const answer = new Answer();
    void (async () => {
      try {
        for await (const value of values) {
          answer.append(`${JSON.stringify(value)}\n`);
          await answer.drained();
        }
        answer.end();
      } catch (error) {
        answer.end(error);
      }
    })();
    return this.#add(answer, stop);
  }

  /** `most`: bytes that fit, given where the piece may end. Faults: `unknown_id`, `invalid_argument`, the stream's own. */
  async read(id: string, offset: number, most: (end: number) => number): Promise<Piece> {
    const kept = this.#kept.get(id);
    if (!kept)
      throw new Fault('unknown_id', `reading answer "${id}": it is not kept any more, or never was; ask again`);
    this.#kept.delete(id);
    this.#kept.set(id, kept); // Maps keep their order: this one is now the latest.
    return await kept.answer.read(offset, most);
  }

  /** Ends every stream. */
  clear(): void {
    for (const id of this.#kept.keys()) this.#drop(id);
  }

  #drop(id: string): void {
    const kept = this.#kept.get(id);
    this.#kept.delete(id);
    kept?.stop();
    kept?.answer.discard();
  }

  #add(answer: Answer, stop: () => void, id = toBase32(randomBytes(8))): string {
    this.#kept.set(id, { answer, stop });
    let bytes = this.#kept.values().reduce((sum, kept) => sum + kept.answer.bytes, 0);
    for (const [oldest, kept] of this.#kept) {
      if (oldest === id || (this.#kept.size <= KEPT_MOST && bytes <= KEPT_BYTES)) break;
      bytes -= kept.answer.bytes;
      this.#drop(oldest);
    }
    return id;
  }
}
