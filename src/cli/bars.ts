/** A bar for each transfer on a terminal, redrawn in place; what has ended becomes a line that stays. */
import type { FileInfo } from '../api/shapes.ts';
import { progressLine } from './progress.ts';
import type { Term } from './term.ts';

const ENDS = new Set<FileInfo['state']>(['done', 'declined', 'cancelled', 'failed']);

export class Bars {
  readonly #term: Term;
  readonly #bars = new Map<string, string>();

  constructor(term: Term) {
    this.#term = term;
  }

  async show(f: FileInfo): Promise<void> {
    const line = progressLine(f);
    if (ENDS.has(f.state)) {
      this.#bars.delete(f.id);
      await this.#term.line(line);
    } else {
      this.#bars.set(f.id, line);
    }
    this.#term.block([...this.#bars.values()]);
  }

  end(): void {
    this.#term.clear();
  }
}
