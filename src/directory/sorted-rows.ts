/** Rows in the order of account ids, so that a page of a list costs what stands in it and not what there is. */
import type { LiveRow } from './row.ts';

/** Newcomers that stand beside the others until all are put in one order: then that costs each of them next to nothing. */
const MOST_FRESH = 1024;

export class SortedRows {
  #rows: LiveRow[] = [];
  /** In order, too. */
  #fresh: LiveRow[] = [];

  /** Each account once. */
  add(row: LiveRow): void {
    const last = this.#rows.at(-1);
    if (!last || last.account < row.account) {
      this.#rows.push(row); // as when a store is read, which has them in order
      return;
    }
    this.#fresh.splice(firstBehind(this.#fresh, row.account), 0, row);
    if (this.#fresh.length < MOST_FRESH) return;
    this.#rows = [...this.after(undefined)];
    this.#fresh = [];
  }

  keep(wanted: (row: LiveRow) => boolean): void {
    this.#rows = this.#rows.filter(wanted);
    this.#fresh = this.#fresh.filter(wanted);
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
        yield old;
      } else if (young) {
        next += 1;
        yield young;
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
