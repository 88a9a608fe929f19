/** Arguments as clients of any age send them: text as bytes, numbers as text, one value for a list. */
import { Fault } from '../base/fault.ts';
import type { Pickled } from './pickle.ts';

export type Arguments = readonly Pickled[] | undefined;

/** A text; a number where somebody's name or words look like one. */
export function textOf(value: Pickled | undefined): string | undefined {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'bigint') return String(value);
  return value instanceof Uint8Array ? Buffer.from(value).toString() : undefined;
}

/** A conversation's number, also where it came as text. */
function numberOf(value: Pickled | undefined): number | undefined {
  const number = typeof value === 'string' && /^\s*\d{1,15}\s*$/.test(value) ? Number(value) : value;
  if (typeof number === 'bigint') return Number.MAX_SAFE_INTEGER; // a whole number, and nobody's
  return typeof number === 'number' && Number.isSafeInteger(number) ? number : undefined;
}

/** Throws `invalid_argument`: what the command needs, so that whoever writes a client can mend it. */
export function wantText(given: Arguments, place: number, word: string, form: string): string {
  const text = textOf(given?.[place]);
  if (text !== undefined) return text;
  throw new Fault('invalid_argument', `${word} without what it needs: send ${word} ${form}`);
}

/** As `wantText`, for a conversation's number. */
export function wantNumber(given: Arguments, word: string, form: string): number {
  const number = numberOf(given?.[0]);
  if (number !== undefined) return number;
  throw new Fault('invalid_argument', `${word} without what it needs: send ${word} ${form}, convID a whole number`);
}
