/** Who is called by name in a text: `@bob`, or `@bob@lab` where two are called bob. Pure. [H-6] */

// The same characters as in a handle; an "@" inside of a word (an e-mail address) calls nobody.
const CALL = /(?<![\p{L}\p{N}@._-])@([a-z0-9][a-z0-9._-]*)(?:@([a-z0-9][a-z0-9.-]*))?/giu;

/** Those of `handles` that the text names, in the order of `handles`. */
export function mentionsIn(text: string, handles: readonly string[]): string[] {
  if (!text.includes('@')) return [];
  const called = new Set<string>();
  for (const [, name = '', zone] of text.toLowerCase().matchAll(CALL)) {
    const whole = zone === undefined ? name : `${name}@${zone}`;
    called.add(whole);
    called.add(whole.replace(/[._-]+$/, '')); // the full stop after it ends a sentence
  }
  return handles.filter((handle) => called.has(handle) || called.has(handle.split('@')[0] ?? ''));
}
