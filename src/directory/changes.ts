/** Rows in the order in which they changed, so that what is new since a version costs what is new and not what there is. */
import type { LiveRow } from './row.ts';

/** Changes that are remembered; who asks from before has all rows looked at. */
const MOST_CHANGES = 100_000;

export class Changes {
  /** Those that changed again stand there twice. */
  readonly #rows: LiveRow[] = [];
  /** The version of each; they grow, with gaps where a version was something else. */
  readonly #at: number[] = [];
  /** What changed after this version is here, all of it. */
  #from = 0;

  /**
   * The row changed with this version. One that comes after a later one, as many do where a table is read that others share, ends what
   * could be said of before.
   */
  add(row: LiveRow, version: number): void {
    const last = this.#at.at(-1) ?? this.#from;
    if (version < last) {
      this.#rows.length = 0;
      this.#at.length = 0;
      this.#from = last;
      return;
    }
    this.#rows.push(row);
    this.#at.push(version);
    if (this.#rows.length <= 2 * MOST_CHANGES) return;
    this.#rows.splice(0, MOST_CHANGES);
    this.#from = this.#at.splice(0, MOST_CHANGES).at(-1) ?? this.#from;
  }

  /** All that changed after a version, each once; undefined where that is not known any more. */
  after(version: number): Set<LiveRow> | undefined {
    if (version < this.#from) return undefined;
    let [low, high] = [0, this.#at.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#at[middle] ?? 0) <= version) low = middle + 1;
      else high = middle;
    }
    return new Set(this.#rows.slice(low));
  }
}
