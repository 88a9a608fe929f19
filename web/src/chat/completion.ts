/** What may follow what was written so far: names after an at sign, emoji after a colon. */
import { cleanLine } from '../words/clean.ts';
import { showName } from '../words/show.ts';
import { emojiFor } from './emoji.ts';

export type Completion = { insert: string; shown: string; under: string };

/** Shown at once. */
const MOST = 6;

const OPEN = /(?:^|[\s(])([@:])([\p{L}\p{N}._-]*)$/u;
/** A colon stands in many places: only with so many letters after it is an emoji meant. */
const EMOJI_LETTERS = 2;

/** `before`: the text up to the caret. */
export function completionsFor(before: string, handles: readonly string[], me: string): Completion[] {
  const [, sign, word = ''] = OPEN.exec(before) ?? [];
  if (sign === '@') {
    const wanted = word.toLowerCase();
    const fitting = handles.filter((handle) => handle.startsWith(wanted));
    // A name that is whole already is not in the way of sending.
    if (fitting.length === 1 && [fitting[0], fitting[0]?.split('@')[0]].includes(wanted)) return [];
    return fitting.slice(0, MOST).map((handle) => ({
      insert: `@${showName(handle, me)} `,
      shown: `@${showName(handle, me)}`,
      under: cleanLine(handle),
    }));
  }
  if (sign === ':' && word.length >= EMOJI_LETTERS) {
    return emojiFor(word)
      .slice(0, MOST)
      .map(([emoji, names]) => ({ insert: `${emoji} `, shown: emoji, under: names }));
  }
  return [];
}

/** The text with the word before the caret completed, and where the caret is then. */
export function completed(text: string, caret: number, insert: string): { text: string; caret: number } {
  const before = text.slice(0, caret);
  const [, sign = '', word = ''] = OPEN.exec(before) ?? [];
  const start = caret - sign.length - word.length;
  return { text: text.slice(0, start) + insert + text.slice(caret), caret: start + insert.length };
}
