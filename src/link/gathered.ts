/** What is said in one tick, on its way into frames: in order, and several in one where the other side takes that. [L-35] */
import { BATCH_BYTES } from './message.ts';

/** UTF-16 code units that are never more than `BATCH_BYTES` in UTF-8, brackets and commas included. */
const MOST_UNITS = Math.floor(BATCH_BYTES / 3) - 2;

export class Gathered {
  #most = 1;
  #frames: string[] = [];
  /** The messages of the last frame, joined by commas; it still grows. */
  #open = '';
  #count = 0;
  #units = 0;

  /** UTF-16 code units that wait. */
  get units(): number {
    return this.#units;
  }

  get most(): number {
    return this.#most;
  }

  /** Messages that may share a frame from now on; at first each has its own. */
  share(most: number): void {
    this.#shut();
    this.#most = most;
  }

  add(text: string): void {
    this.#units += text.length;
    const isAlone = !text.startsWith('{'); // a frame of a channel, which is no message [L-62]
    const isFull = this.#count >= this.#most || this.#open.length + text.length >= MOST_UNITS;
    if (this.#count > 0 && (isAlone || isFull)) this.#shut();
    this.#open = this.#count === 0 ? text : `${this.#open},${text}`;
    this.#count += 1;
    if (isAlone) this.#shut();
  }

  #shut(): void {
    if (this.#count > 0) this.#frames.push(this.#count === 1 ? this.#open : `[${this.#open}]`);
    this.#open = '';
    this.#count = 0;
  }

  /** All of it, as frames. */
  take(): string[] {
    this.#shut();
    const frames = this.#frames;
    this.#frames = [];
    this.#units = 0;
    return frames;
  }
}
