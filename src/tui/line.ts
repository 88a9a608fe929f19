/** The line that somebody writes: its text, the cursor in it, and what was written before. */

/** Lines that can be called back. */
const HISTORY = 200;

const graphemes = new Intl.Segmenter();
const words = new Intl.Segmenter(undefined, { granularity: 'word' });

export class Line {
  text = '';
  /** In UTF-16 units, always between two characters as people see them. */
  cursor = 0;
  readonly #history: string[] = [];
  #back = 0;
  #draft = '';

  set(text: string): void {
    this.text = text;
    this.cursor = text.length;
  }

  insert(text: string): void {
    this.text = this.text.slice(0, this.cursor) + text + this.text.slice(this.cursor);
    this.cursor += text.length;
  }

  left(): void {
    this.cursor = this.#before();
  }

  right(): void {
    this.cursor = this.#after();
  }

  home(): void {
    this.cursor = this.text.lastIndexOf('\n', this.cursor - 1) + 1;
  }

  end(): void {
    const next = this.text.indexOf('\n', this.cursor);
    this.cursor = next < 0 ? this.text.length : next;
  }

  backspace(): void {
    this.#cut(this.#before(), this.cursor);
  }

  delete(): void {
    this.#cut(this.cursor, this.#after());
  }

  /** The word before the cursor, and what stands between. */
  deleteWord(): void {
    const before = [...words.segment(this.text.slice(0, this.cursor))];
    const word = before.findLast(({ isWordLike }) => isWordLike);
    this.#cut(word?.index ?? 0, this.cursor);
  }

  deleteToStart(): void {
    this.#cut(0, this.cursor);
  }

  /** Empties it, and keeps it to be called back; gives what it was. */
  take(): string {
    const { text } = this;
    if (text.trim() !== '' && this.#history.at(-1) !== text) this.#history.push(text);
    if (this.#history.length > HISTORY) this.#history.shift();
    this.#back = 0;
    this.set('');
    return text;
  }

  older(): void {
    if (this.#back === this.#history.length) return;
    if (this.#back === 0) this.#draft = this.text;
    this.#back += 1;
    this.set(this.#history.at(-this.#back) ?? '');
  }

  newer(): void {
    if (this.#back === 0) return;
    this.#back -= 1;
    this.set(this.#back === 0 ? this.#draft : (this.#history.at(-this.#back) ?? ''));
  }

  #cut(from: number, to: number): void {
    this.text = this.text.slice(0, from) + this.text.slice(to);
    this.cursor = from;
  }

  #before(): number {
    return [...graphemes.segment(this.text.slice(0, this.cursor))].at(-1)?.index ?? 0;
  }

  #after(): number {
    const [next] = graphemes.segment(this.text.slice(this.cursor));
    return this.cursor + (next?.segment.length ?? 0);
  }
}
