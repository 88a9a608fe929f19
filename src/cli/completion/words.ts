/** A command line that is still being written, cut into words as a POSIX shell cuts it. */

type Quote = '' | "'" | '"';

export type Written = {
  /** The whole words, without their quotes. The first one is the program. */
  words: string[];
  /** The word at the cursor, without its quotes; empty after a space. */
  current: string;
  /** The same as it was written. */
  raw: string;
  /** The quote that stands open at the cursor. */
  quote: Quote;
};

export function cutWords(line: string): Written {
  const words: string[] = [];
  let current = '';
  let raw = '';
  let quote: Quote = '';
  for (let at = 0; at < line.length; at += 1) {
    const char = line[at] ?? '';
    if (quote === '' && /\s/.test(char)) {
      if (raw !== '') words.push(current);
      current = '';
      raw = '';
      continue;
    }
    raw += char;
    if (quote === '' && (char === "'" || char === '"')) quote = char;
    else if (char === quote) quote = '';
    else if (char === '\\' && escapes(quote, line[at + 1])) {
      at += 1;
      current += line[at];
      raw += line[at];
    } else current += char;
  }
  return { words, current, raw, quote };
}

function escapes(quote: Quote, next: string | undefined): boolean {
  if (next === undefined || quote === "'") return false;
  return quote === '' || '"\\$`'.includes(next);
}

/** A value as bash must be given it in place of what was written; undefined where the open quote cannot hold it. */
export function quoted(value: string, quote: Quote): string | undefined {
  if (quote === "'") return value.includes("'") ? undefined : value;
  // Between double quotes, bash looks at "!" and keeps the backslash before it.
  if (quote === '"') return value.includes('!') ? undefined : value.replaceAll(/["\\$`]/g, '\\$&');
  return value.replaceAll(/[^\p{L}\p{N}@%+=:,./_-]/gu, '\\$&');
}

/**
 * How much of a word stands before what readline replaces: it takes some characters, such as `=`, as ends of words where no
 * quote is open. Before `@`, which may begin the name of a host, the word ends too.
 */
export function beforeBreak({ raw, quote }: Written, breaks: string): number {
  if (quote !== '') return raw.lastIndexOf(quote) + 1;
  for (let at = raw.length - 1; at >= 0; at -= 1) {
    const char = raw[at] ?? '';
    if (raw[at - 1] !== '\\' && !/[\s'"\\]/.test(char) && breaks.includes(char)) return char === '@' ? at : at + 1;
  }
  return 0;
}
