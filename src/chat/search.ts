/** Words that are looked for, and where they stand in a text: folded alike, so that capitals and diacritics do not matter. Pure. */

/** Scripts that set no space between words: each of their characters is a word of its own here. */
const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}]/u;

/** Letters that Unicode does not take apart, and people still type without their stroke or joined. */
const UNDONE: Readonly<Record<string, string>> = {
  đ: 'd',
  ð: 'd',
  ł: 'l',
  ø: 'o',
  ħ: 'h',
  ı: 'i',
  ß: 'ss',
  æ: 'ae',
  œ: 'oe',
};

function foldOne(char: string): string {
  const plain = char.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase().replace(/\p{M}/gu, '');
  const undone = [...plain]
    .map((letter) => UNDONE[letter] ?? letter)
    .join('')
    .replace(/[^\p{L}\p{N}]+/gu, ' ');
  return UNSPACED.test(char) ? ` ${undone} ` : undone;
}

/** A text as it is indexed: letters and digits, all else spaces; each character by itself, so that every place in it leads back to one in the text. */
export function fold(text: string): string {
  return /^[\x20-\x7e\n]*$/.test(text) ? text.toLowerCase() : Array.from(text, foldOne).join('');
}

/** What is looked for: runs of letters and digits, each run a phrase whose last word may go on. */
export function wordsIn(query: string): string[] {
  return query
    .split(/\s+/u)
    .map((word) =>
      fold(word)
        .replace(/[^\p{L}\p{N}]+/gu, ' ')
        .trim(),
    )
    .filter((word) => word !== '');
}

/** The same as an FTS5 query: quoted, so that nothing in it is syntax. */
export const matchOf = (words: readonly string[]): string => words.map((word) => `"${word}"*`).join(' ');

export type Part = { text: string; hit: boolean };

/** Characters around the first hit that a snippet shows. */
const BEFORE = 40;
const SNIPPET = 160;

/** The piece of a text where the words stand, cut into what is a hit and what is not. */
export function snippet(text: string, words: readonly string[]): Part[] {
  const hits = hitsIn(text, words);
  const first = hits[0]?.from ?? 0;
  const from = first > BEFORE ? boundary(text, first - BEFORE) : 0;
  const to = from + SNIPPET < text.length ? boundary(text, from + SNIPPET) : text.length;
  const parts: Part[] = [];
  const add = (start: number, end: number, hit: boolean): void => {
    if (end > start) parts.push({ text: text.slice(start, end), hit });
  };
  let at = from;
  if (from > 0) parts.push({ text: '…', hit: false });
  for (const hit of hits) {
    if (hit.from < at || hit.from >= to) continue;
    add(at, hit.from, false);
    at = Math.min(hit.to, to);
    add(hit.from, at, true);
  }
  add(at, to, false);
  if (to < text.length) parts.push({ text: '…', hit: false });
  return parts;
}

/** Not between the halves of a surrogate pair. */
const boundary = (text: string, at: number): number => (/[\udc00-\udfff]/.test(text[at] ?? '') ? at - 1 : at);

function hitsIn(text: string, words: readonly string[]): { from: number; to: number }[] {
  let folded = '';
  // For each unit of `folded`, where in `text` the character begins and ends that it comes from.
  const [starts, ends]: [number[], number[]] = [[], []];
  let at = 0;
  for (const char of text) {
    const piece = foldOne(char);
    at += char.length;
    for (let unit = 0; unit < piece.length; unit++) {
      starts.push(at - char.length);
      ends.push(at);
    }
    if (piece === '' && ends.length > 0) ends[ends.length - 1] = at; // a mark belongs to the letter before it
    folded += piece;
  }
  const hits = words.flatMap((word) => {
    const pattern = new RegExp(`(?<![\\p{L}\\p{N}])${word.replaceAll(' ', '[^\\p{L}\\p{N}]+')}[\\p{L}\\p{N}]*`, 'gu');
    return [...folded.matchAll(pattern)].map((match) => {
      const end = match.index + match[0].length;
      return { from: starts[match.index] ?? 0, to: ends[end - 1] ?? text.length };
    });
  });
  return hits.sort((a, b) => a.from - b.from || b.to - a.to);
}
