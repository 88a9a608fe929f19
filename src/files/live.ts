/** A part that is being fetched, as others read it: only what is there, and never after it was closed. [F-40] */
import { Fault } from '../base/fault.ts';
import type { Content } from './content.ts';
import { type Held, sliceBytes } from './held.ts';
import type { Layout } from './layout.ts';
import type { Part } from './part.ts';
import type { Bytes } from './serve.ts';

export class LivePart {
  readonly #content: Content;
  readonly #held: Held;
  readonly #part: Pick<Part, 'layout' | 'read'>;
  readonly #reads = new Set<Promise<number>>();
  #closed = false;

  constructor(options: { content: Content; held: Held; part: Pick<Part, 'layout' | 'read'> }) {
    this.#content = options.content;
    this.#held = options.held;
    this.#part = options.part;
  }

  get #layout(): Layout {
    return this.#part.layout;
  }

  /** One file of the content, or all of it; undefined where it has no such file. Throws `wrong_state` for what is not here yet. */
  bytes(which: number | 'all'): Bytes | undefined {
    if (which !== 'all' && which >= this.#layout.files) return undefined;
    const base = which === 'all' ? 0 : this.#layout.start(which);
    return {
      size: which === 'all' ? this.#layout.size : this.#layout.fileSize(which),
      begin: async ({ start, end }) => {
        if (this.covers(base + start, base + end)) return;
        throw new Fault('wrong_state', `asking for a blob: bytes ${start} to ${end - 1} are not all here yet`);
      },
      read: (buffer, length, position) => this.read(buffer, length, base + position),
      check: async () => {}, // what was written stays as it is
      [Symbol.asyncDispose]: async () => {},
    };
  }

  /** Whether all of these bytes are written. */
  covers(start: number, end: number): boolean {
    const slice = sliceBytes(this.#content);
    for (let chunk = this.#content.chunkAt(start); this.#content.startOf(chunk) < end; chunk++) {
      if (this.#held.whole.has(chunk)) continue;
      const at = this.#content.startOf(chunk);
      const from = Math.floor(Math.max(0, start - at) / slice);
      const to = Math.ceil(Math.min(this.#content.lengthOf(chunk), end - at) / slice);
      const wanted = 2 ** to - 2 ** from;
      if ((this.#held.maskOf(chunk) & wanted) !== wanted) return false;
    }
    return true;
  }

  /** Fills `buffer`. Throws `link_closed` once the part is closed: whoever reads asks again, and gets the file. */
  read(buffer: Buffer, length: number, position: number): Promise<number> {
    const reading = this.#read(buffer, length, position).finally(() => this.#reads.delete(reading));
    this.#reads.add(reading);
    reading.catch(() => {}); // the caller hears of it
    return reading;
  }

  async #read(buffer: Buffer, length: number, position: number): Promise<number> {
    if (this.#closed) throw new Fault('link_closed', 'serving a part: it is not fetched any more');
    const read = await this.#part.read(buffer, length, position);
    if (read < length) throw new Fault('changed', 'serving a part: the file became shorter');
    return read;
  }

  /** Settles when nobody reads any more. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled([...this.#reads]);
  }
}
