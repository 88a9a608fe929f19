/** Rows in the order of account ids, so that a page of a list costs what stands in it and not what there is. */
import type { LiveRow } from './row.ts';

/** Newcomers, and those who left, that stand beside the others until all are put in one order: then that costs each next to nothing. */
const MOST_BESIDE = 1024;

export class SortedRows {
  #rows: LiveRow[] = [];
  /** In order, too. */
  #fresh: LiveRow[] = [];
  /** Those among both that left. */
  readonly #left = new Set<LiveRow>();

  /** Each account once, until it is removed. */
  add(row: LiveRow): void {
    const last = this.#rows.at(-1);
    if (!last || last.account < row.account) {
      this.#rows.push(row); // as when a store is read, which has them in order
      return;
    }
    this.#fresh.splice(firstBehind(this.#fresh, row.account), 0, row);
    if (this.#fresh.length >= MOST_BESIDE) this.#settle();
  }

  /** A row that was added. */
  remove(row: LiveRow): void {
    this.#left.add(row);
    if (this.#left.size >= MOST_BESIDE) this.#settle();
  }

  #settle(): void {
    this.#rows = [...this.after(undefined)];
    this.#fresh = [];
    this.#left.clear();
  }

  /** All behind an account id, or all. To be read in one go. */
  *after(account: string | undefined): Generator<LiveRow> {
    const [rows, fresh] = [this.#rows, this.#fresh];
    let at = account === undefined ? 0 : firstBehind(rows, account);
    let next = account === undefined ? 0 : firstBehind(fresh, account);
    for (;;) {
      const [old, young] = [rows[at], fresh[next]];
      if (old && (!young || old.account < young.account)) {
        at += 1;
        if (!this.#left.has(old)) yield old;
      } else if (young) {
        next += 1;
        if (!this.#left.has(young)) yield young;
      } else {
        return;
      }
    }
  }
}

function firstBehind(rows: readonly LiveRow[], account: string): number {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((rows[middle]?.account ?? '') <= account) low = middle + 1;
    else high = middle;
  }
  return low;
}
