/** A server's messages from the bytes of a connection, as a client reads them. */
import { Fault } from '../base/fault.ts';
import { ByteQueue } from './bytes.ts';
import { PickleDecoder, type Pickled } from './pickle.ts';

const SPACE = 0x20;
/** Letters of the longest word that a server says, and some. */
const WORD_MAX = 32;

export type Heard = { word: string; argument: Pickled };

export class ServerReader {
  readonly #queue = new ByteQueue();
  #word: string | undefined;
  #decoder = new PickleDecoder();

  push(bytes: Uint8Array): void {
    this.#queue.push(bytes);
  }

  /** The next message that is here whole. Faults: `malformed`; nothing can be read after it. */
  next(): Heard | undefined {
    if (this.#word === undefined) {
      const end = this.#queue.indexOf(SPACE);
      if (end > WORD_MAX || (end < 0 && this.#queue.length > WORD_MAX))
        throw new Fault('malformed', 'reading what the server says: it is no command word');
      if (end < 0) return undefined;
      this.#word = this.#queue.peek(0, end).toString('latin1');
      this.#queue.drop(end + 1);
    }
    const found = this.#decoder.next(this.#queue);
    if (!found) {
      this.#queue.own();
      return undefined;
    }
    const word = this.#word;
    this.#word = undefined;
    this.#decoder = new PickleDecoder();
    return { word, argument: found.value };
  }
}
