/** Makes text that others wrote safe to print: it may neither steer the terminal nor pass for something else. */
import { stripVTControlCharacters } from 'node:util';

// Bidirectional marks, embeddings, overrides and isolates: they reorder what surrounds them (Unicode TR 36, 3.2).
const BIDI = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;
// C0 (but newline and tab), DEL and C1, which some terminals obey as escape sequences; line separators.
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029]/gu;

/** Keeps line breaks: for text that may have several lines, which the caller indents. */
export function cleanText(text: string): string {
  return stripVTControlCharacters(text.replaceAll('\r\n', '\n')).replace(BIDI, '').replace(CONTROL, '').toWellFormed();
}

/** One line: line breaks and tabs become spaces. */
export function cleanLine(text: string): string {
  return cleanText(text).replace(/\s+/gu, ' ').trim();
}

/** JSON in one line that a terminal too only shows: what JSON leaves as it is but terminals may obey is escaped. */
export function jsonLine(value: unknown): string {
  const escaped = (char: string) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(value ?? null)
    .replace(CONTROL, escaped)
    .replace(BIDI, escaped);
}
