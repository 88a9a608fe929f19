/** What somebody who mistyped a word probably meant. */
import leven from 'leven';

/** The most alike of the known words; undefined if none is: more than half of the letters would have to change. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const distance = (each: string): number => leven(each.toLowerCase(), word.toLowerCase());
  const [best] = [...known].sort((a, b) => distance(a) - distance(b));
  return best !== undefined && distance(best) <= Math.max(best.length, word.length) / 2 ? best : undefined;
}
