/** Ids as people write them: whole, or the beginning, as far as it is nobody else's. */
import { Fault } from './fault.ts';

/** Characters of an id that stand for the whole: fewer are more likely a slip than meant. */
const PREFIX_MIN = 6;
/** Ids that a refusal names, where several begin so. */
const NAMED = 5;

/**
 * The one id that `text` means. `known`: whether it is one; `beginning`: at most `most` ids that begin with it. Throws
 * `unknown_id` where none or several fit.
 */
export function idOf(
  what: string,
  text: string,
  ids: { known(id: string): boolean; beginning(text: string, most: number): string[] },
): string {
  if (ids.known(text)) return text;
  const looking = `looking for the ${what} "${text}"`;
  if (text.length < PREFIX_MIN) {
    throw new Fault('unknown_id', `${looking}: there is none; give at least ${PREFIX_MIN} characters of its id`);
  }
  const found = ids.beginning(text, NAMED + 1);
  const [one, another] = found;
  if (one === undefined) throw new Fault('unknown_id', `${looking}: there is none`);
  if (another === undefined) return one;
  const more = found.length > NAMED ? ', and more' : '';
  throw new Fault('unknown_id', `${looking}: several begin so; say which: ${found.slice(0, NAMED).join(', ')}${more}`);
}
