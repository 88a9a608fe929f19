/** Finds where a JSON value ends in a stream: brackets are counted, strings are skipped. */
import { Fault } from '../base/fault.ts';
import type { ByteQueue } from './bytes.ts';

const [QUOTE, BACKSLASH] = [0x22, 0x5c];
const OPENS = new Set([0x5b, 0x7b]);
const CLOSES = new Set([0x5d, 0x7d]);

export class JsonDecoder {
  readonly #limit: number;
  #at = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;

  /** `limit`: bytes of the value. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Takes the value from the queue once it is whole; undefined until then. It begins with `[`, `{` or `"`. Faults: `malformed`. */
  next(queue: ByteQueue): { value: unknown } | undefined {
    for (let byte = queue.at(this.#at); byte !== undefined; byte = queue.at(this.#at)) {
      this.#at += 1;
      if (this.#at > this.#limit) throw new Fault('malformed', `reading JSON: it has over ${this.#limit} bytes`);
      this.#step(byte);
      if (this.#depth === 0 && !this.#inString) return { value: this.#take(queue) };
    }
    return undefined;
  }

  #step(byte: number): void {
    if (this.#escaped) this.#escaped = false;
    else if (this.#inString && byte === BACKSLASH) this.#escaped = true;
    else if (byte === QUOTE) this.#inString = !this.#inString;
    else if (this.#inString) return;
    else if (OPENS.has(byte)) this.#depth += 1;
    else if (CLOSES.has(byte)) this.#depth -= 1;
  }

  #take(queue: ByteQueue): unknown {
    const text = queue.peek(0, this.#at).toString('utf8');
    queue.drop(this.#at);
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new Fault('malformed', 'reading JSON: it is not well-formed', { cause: error });
    }
  }
}
