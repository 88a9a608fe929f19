/**
 * Requests as most programs write them, read as bytes: `{"jsonrpc":"2.0","id":1,"method":"…","params":{"…":"…"}}`, all of one method,
 * whose one param is ASCII without escapes. Whatever else is in a frame, all of it goes the long way: no refusal is worded here.
 */
import { BATCH_BYTES, MOST_BATCH } from './message.ts';

const ascii = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'));

const HEAD = ascii('{"jsonrpc":"2.0","id":');
const END = ascii('"}}');
/** Digits of an id that is a safe integer, whichever they are. */
const MOST_DIGITS = 15;
const [QUOTE, BACKSLASH, COMMA, OPEN, SHUT, ZERO, NINE, SPACE, TILDE] = [34, 92, 44, 91, 93, 48, 57, 32, 126];

/** What stands between id and value. */
export const plainMiddle = (method: string, param: string): Uint8Array =>
  ascii(`,"method":${JSON.stringify(method)},"params":{${JSON.stringify(param)}:"`);

/** Made once and read into again and again. */
export class PlainRequests {
  count = 0;
  /** Where the digits of each id begin and end. */
  readonly idFrom = new Int32Array(MOST_BATCH);
  readonly idTo = new Int32Array(MOST_BATCH);
  /** Where each value begins and ends. */
  readonly from = new Int32Array(MOST_BATCH);
  readonly to = new Int32Array(MOST_BATCH);

  /** Whether all of the frame is that. */
  read(frame: Uint8Array, middle: Uint8Array, takesSeveral: boolean): boolean {
    this.count = 0;
    const { length } = frame;
    if (length > BATCH_BYTES || length < HEAD.length) return false;
    if (frame[0] !== OPEN) return this.#one(frame, 0, middle) === length;
    if (!takesSeveral) return false;
    for (let at = 1; ; at += 1) {
      if (this.count === MOST_BATCH) return false;
      at = this.#one(frame, at, middle);
      if (at < 0) return false;
      if (frame[at] === SHUT) return at + 1 === length;
      if (frame[at] !== COMMA) return false;
    }
  }

  /** Where the request that begins at `at` ends; -1 where none does. */
  #one(frame: Uint8Array, at: number, middle: Uint8Array): number {
    if (!stands(HEAD, frame, at)) return -1;
    const idFrom = at + HEAD.length;
    let idTo = idFrom;
    for (let digit = frame[idTo] ?? 0; digit >= ZERO && digit <= NINE; digit = frame[idTo] ?? 0) idTo += 1;
    const digits = idTo - idFrom;
    if (digits === 0 || digits > MOST_DIGITS || (digits > 1 && frame[idFrom] === ZERO)) return -1;
    if (!stands(middle, frame, idTo)) return -1;
    const from = idTo + middle.length;
    let to = from;
    for (let unit = frame[to] ?? 0; unit !== QUOTE; unit = frame[to] ?? 0) {
      if (unit < SPACE || unit > TILDE || unit === BACKSLASH) return -1;
      to += 1;
    }
    if (!stands(END, frame, to)) return -1;
    const n = this.count++;
    this.idFrom[n] = idFrom;
    this.idTo[n] = idTo;
    this.from[n] = from;
    this.to[n] = to;
    return to + END.length;
  }
}

function stands(what: Uint8Array, frame: Uint8Array, at: number): boolean {
  if (at + what.length > frame.length) return false;
  for (let n = 0; n < what.length; n++) if (what[n] !== frame[at + n]) return false;
  return true;
}
