/** What the server says, written once for each way in which clients write: [P-10], [P-23]. */
import type { Pickled } from './pickle.ts';
import { pickle, pickleText } from './pickle-encode.ts';

/** How a client writes: a protocol of pickles, 0 to 5, or JSON. */
export type Form = 0 | 1 | 2 | 3 | 4 | 5 | 6;

export const JSON_FORM = 6;
/** What every Python reads: for clients that have sent no argument yet. */
export const FIRST_FORM = 0;

export type Word = 'ONLINE_USERS' | 'INVITATION' | 'CONVERSATIONS' | 'MESSAGE' | 'ERROR';

/** One message to clients, in as many forms as it is asked for. */
export class Notice {
  readonly #word: Word;
  readonly #argument: Pickled;
  readonly #forms: (Buffer | undefined)[] = [];

  constructor(word: Word, argument: Pickled) {
    this.#word = word;
    this.#argument = argument;
  }

  /** The whole message. The same buffer each time: it must not be changed. */
  in(form: Form): Buffer {
    const made = this.#forms[form];
    if (made) return made;
    const bytes = write(this.#word, this.#argument, form);
    this.#forms[form] = bytes;
    return bytes;
  }

  /** Several, one behind the other. */
  static together(notices: readonly Notice[], form: Form): Buffer {
    const [one] = notices;
    if (one && notices.length === 1) return one.in(form);
    if (form !== 0) return Buffer.concat(notices.map((notice) => notice.in(form)));
    // The form of most: put together as text it is copied once.
    return Buffer.from(notices.map((notice) => pickleText(notice.#argument, `${notice.#word} `)).join(''), 'latin1');
  }
}

function write(word: Word, argument: Pickled, form: Form): Buffer {
  if (form === JSON_FORM) return Buffer.from(`${word} ${JSON.stringify(toJson(argument))}\n`);
  return pickle(argument, form, `${word} `);
}

/** Keys of JSON objects are text: a conversation's number, too. */
function toJson(value: Pickled): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, held]) => [String(key), toJson(held)]));
  if (Array.isArray(value)) return value.map(toJson);
  if (typeof value === 'bigint') return value.toString();
  return value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : value;
}
