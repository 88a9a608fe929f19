/** Reads what links give: few entries at once, many on a thread, so that whoever talks meanwhile does not wait. [C-17] */
import { toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { Thread } from '../base/thread.ts';
import type { Link } from '../link/link.ts';
import { type Reading, read, readingTold, type Told } from './reading.ts';

/** Entries from which on the way to a thread and back costs less than reading them here: some milliseconds. */
const MANY = 32;

export class Reader implements AsyncDisposable {
  readonly #log: Log;
  readonly #thread = new Thread<string, Told>('reader-thread', import.meta.url);
  /** The last call of a link that is being read: one that comes after it waits for it. */
  readonly #under = new WeakMap<Link, Promise<unknown>>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** What the entries of a call say, in the order of the link's calls: at once where there is nothing to wait for. */
  read(link: Link, values: readonly unknown[]): Reading | Promise<Reading> {
    const before = this.#under.get(link);
    if (!before && values.length < MANY) return read(values);
    const reading = this.#after(before, values.length < MANY ? read(values) : this.#elsewhere(values));
    this.#under.set(link, reading);
    const done = (): void => {
      if (this.#under.get(link) === reading) this.#under.delete(link);
    };
    reading.then(done, done);
    return reading;
  }

  async #after(before: Promise<unknown> | undefined, reading: Reading | Promise<Reading>): Promise<Reading> {
    await before;
    return await reading;
  }

  async #elsewhere(values: readonly unknown[]): Promise<Reading> {
    const text = JSON.stringify(values);
    // A member of this name is left out by whoever reads a form: such entries are not the same there and here.
    if (text.includes('__proto__')) return read(values);
    try {
      return readingTold(values, await this.#thread.ask(text));
    } catch (error) {
      this.#log.error({ err: toFault(error, 'reading entries') }, 'entries are read without a thread');
      return read(values);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#thread[Symbol.asyncDispose]();
  }
}
