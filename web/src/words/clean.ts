/** Text that others chose, made safe to stand beside our own words: it may not pass for something else. */

// Bidirectional marks, embeddings, overrides and isolates: they reorder what surrounds them (Unicode TR 36, 3.2).
const BIDI = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;
// C0 (but newline and tab), DEL and C1; line separators.
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029]/gu;
// Whole escape sequences, so that no remains of them are left as text.
const ESCAPE = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\-_])/gu;
/** More marks than this on one letter are no language's: they climb over what stands above. */
const ZALGO = /(\p{M}{4})\p{M}+/gu;

/** May have several lines. */
export function cleanText(text: string): string {
  return text
    .replaceAll('\r\n', '\n')
    .replace(ESCAPE, '')
    .replace(CONTROL, '')
    .replace(BIDI, '')
    .replace(ZALGO, '$1')
    .toWellFormed();
}

/** One line: for names. */
export function cleanLine(text: string): string {
  return cleanText(text).replace(/\s+/gu, ' ').trim();
}
