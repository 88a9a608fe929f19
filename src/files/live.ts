/** A part that is being fetched, as others read it: only what is there, and never after it was closed. [F-40] */
import { Fault } from '../base/fault.ts';
import type { Content } from './content.ts';
import { type Held, sliceBytes } from './held.ts';
import type { PartFile } from './part.ts';

export class LivePart {
  readonly #content: Content;
  readonly #held: Held;
  readonly #part: Pick<PartFile, 'read'>;
  readonly #reads = new Set<Promise<void>>();
  #closed = false;

  constructor(options: { content: Content; held: Held; part: Pick<PartFile, 'read'> }) {
    this.#content = options.content;
    this.#held = options.held;
    this.#part = options.part;
  }

  /** Bytes of the whole. */
  get bytes(): number {
    return this.#content.bytes;
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
  read(buffer: Buffer, length: number, position: number): Promise<void> {
    const reading = this.#read(buffer, length, position).finally(() => this.#reads.delete(reading));
    this.#reads.add(reading);
    reading.catch(() => {}); // the caller hears of it
    return reading;
  }

  async #read(buffer: Buffer, length: number, position: number): Promise<void> {
    if (this.#closed) throw new Fault('link_closed', 'serving a part: it is not fetched any more');
    const read = await this.#part.read(buffer, length, position);
    if (read < length) throw new Fault('changed', 'serving a part: the file became shorter');
  }

  /** What was written stays as it is. */
  async check(): Promise<void> {}

  /** Settles when nobody reads any more. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled([...this.#reads]);
  }
}
