/** What the command line writes on: data on stdout, messages and progress on stderr. */
import type { Writable } from 'node:stream';
import { styleText } from 'node:util';
import { cleanLine } from './clean.ts';

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

/** A stream, as the process gives it; `isTTY`, `columns` and `rows` stand on terminals only. */
export type Stream = Writable & { isTTY?: boolean; columns?: number; rows?: number };

/** A text of ours, already free of what others wrote, perhaps with colours; width in characters. */
export type Cell = { text: string; style?: Style | undefined } | string;

export class Term {
  readonly isTerminal: boolean;
  readonly #stream: Stream;
  readonly #colours: boolean;
  readonly #gone: AbortSignal;
  readonly #quiet: boolean;
  #transient = false;
  /** Lines of a block above the one where the cursor stands. */
  #above = 0;

  /** `gone` aborts when nobody reads the stream any more; nothing is written then. `quiet`: nothing is written at all. */
  constructor(stream: Stream, options: { env: NodeJS.ProcessEnv; gone: AbortSignal; quiet?: boolean }) {
    const { env, gone, quiet = false } = options;
    this.#stream = stream;
    this.#gone = gone;
    this.#quiet = quiet;
    this.isTerminal = stream.isTTY === true;
    // https://no-color.org: any value that is not empty.
    this.#colours = this.isTerminal && !env.NO_COLOR && env.TERM !== 'dumb';
  }

  get columns(): number {
    return this.#stream.columns ?? 80;
  }

  style(text: string, style: Style | undefined): string {
    return style && this.#colours ? styleText(style, text, { validateStream: false }) : text;
  }

  /** Waits while the reader is slow. */
  async line(text: string): Promise<void> {
    this.clear();
    await this.#write(`${text}\n`);
  }

  /** A line that the next one replaces; nothing where there is no terminal. */
  transient(text: string): void {
    if (!this.isTerminal || this.#quiet || this.#gone.aborted) return;
    this.#stream.write(`\r\u001b[2K${text.slice(0, this.columns - 1)}`);
    this.#transient = true;
  }

  /** Lines that the next ones replace, as many as there are; nothing where there is no terminal. */
  block(lines: readonly string[]): void {
    if (!this.isTerminal || this.#gone.aborted) return;
    this.clear();
    const shown = lines.slice(0, Math.max(1, (this.#stream.rows ?? 24) - 1));
    this.#stream.write(shown.map((text) => text.slice(0, this.columns - 1)).join('\n'));
    this.#above = Math.max(0, shown.length - 1);
    this.#transient = shown.length > 0;
  }

  clear(): void {
    if (!this.#transient || this.#gone.aborted) return;
    this.#stream.write(
      `\r${this.#above > 0 ? `\u001b[${this.#above}A` : ''}\u001b[2K${this.#above > 0 ? '\u001b[J' : ''}`,
    );
    this.#transient = false;
    this.#above = 0;
  }

  /** Columns as wide as their widest cell. Everything is cleaned of what could steer the terminal. */
  async table(head: readonly string[], rows: readonly (readonly Cell[])[]): Promise<void> {
    const clean = rows.map((row) => row.map((cell) => cleanLine(typeof cell === 'string' ? cell : cell.text)));
    const widths = head.map((title, i) => Math.max(width(title), ...clean.map((row) => width(row[i] ?? ''))));
    const line = (cells: readonly string[], styleOf: (i: number) => Style | undefined) =>
      cells
        .map((text, i) => {
          const last = i === cells.length - 1;
          return this.style(text, styleOf(i)) + (last ? '' : ' '.repeat((widths[i] ?? 0) - width(text) + 2));
        })
        .join('')
        .trimEnd();
    await this.line(line(head, () => 'dim'));
    for (const [n, row] of clean.entries()) {
      await this.line(
        line(row, (i) => {
          const cell = rows[n]?.[i];
          return typeof cell === 'object' ? cell.style : undefined;
        }),
      );
    }
  }

  async #write(text: string): Promise<void> {
    if (this.#quiet || this.#gone.aborted || this.#stream.write(text)) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#stream.once('drain', resolve);
    this.#gone.addEventListener('abort', () => resolve(), { once: true });
    await promise;
  }
}

function width(text: string): number {
  return [...text].length;
}
