/** From the bytes of a connection to commands with their arguments. (docs/protocol-im.md, [P-20] to [P-24]) */
import { Fault } from '../base/fault.ts';
import { ByteQueue } from './bytes.ts';
import { JsonDecoder } from './json.ts';
import { PICKLE_LIMITS, PickleDecoder, type Pickled, type PickleLimits } from './pickle.ts';

/** The client's commands, and whether they have an argument. */
const COMMANDS = new Map([
  ['REGISTER', true],
  ['STATUS', true],
  ['INVITE', true],
  ['LIST_CONVERSATIONS', false],
  ['JOIN', true],
  ['SEND_MESSAGE', true],
  ['LEAVE', true],
  ['GOODBYE', false],
]);
const BARE = [...COMMANDS].filter(([, hasArgument]) => !hasArgument).map(([word]) => word);

/** Letters of a word: nearly twice the longest. What is longer is garbage [P-22]. */
const WORD_MAX = 32;

/** How a client writes, so that it is answered likewise [P-23]. */
type Dialect = { form: 'json' } | { form: 'pickle'; protocol: number };

export type Said = {
  word: string;
  known: boolean;
  /** A list, also where a single value stood for it [P-24]. Undefined where none came. */
  argument: Pickled[] | undefined;
  /** How the argument was written. */
  dialect: Dialect | undefined;
};

const SPACE = 0x20;
const isBlank = (byte: number): boolean => byte === SPACE || (byte >= 9 && byte <= 13);
const isLetter = (byte: number): boolean =>
  (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a) || byte === 0x5f;
const isJson = (byte: number): boolean => byte === 0x5b || byte === 0x7b || byte === 0x22;
/** What an argument begins with that nobody asked for: a list, a tuple, a dict or a protocol's number. No word begins so. */
const isContainer = (byte: number): boolean => isJson(byte) || '(])}\x80'.includes(String.fromCharCode(byte));

type Open = {
  word: string;
  known: boolean;
  /** It needs its argument; else one that comes is left aside. */
  asked: boolean;
  decoder: Decoder | undefined;
};
type Decoder = { next(queue: ByteQueue): { value: unknown } | undefined };

export class CommandReader {
  readonly #queue = new ByteQueue();
  readonly #limits: PickleLimits;
  /** A word whose argument has not come whole. */
  #open: Open | undefined;

  constructor(limits: PickleLimits = PICKLE_LIMITS) {
    this.#limits = limits;
  }

  /** Keeps `bytes` until `next` has given all that is whole in them: they must not change until then. */
  push(bytes: Uint8Array): void {
    this.#queue.push(bytes);
  }

  /** Bytes that came and belong to no command that was given yet. */
  get held(): number {
    return this.#queue.length;
  }

  /** What is here may be all: after half a second of silence `giveUp` says so [P-21]. */
  get waits(): boolean {
    const open = this.#open;
    if (!open) return this.#queue.length > 0;
    return open.asked && open.decoder === undefined && this.#queue.length <= 1;
  }

  /** The command that stands there without an end or an argument: a known one that has none, or an unknown word. */
  giveUp(): Said | undefined {
    if (!this.waits) return undefined;
    const { word, known } = this.#open ?? { word: this.#queue.peek(0, WORD_MAX).toString('latin1'), known: false };
    this.#queue.drop(this.#queue.length);
    this.#open = undefined;
    return { word, known, argument: undefined, dialect: undefined };
  }

  /** The next command that is here whole. Faults: `malformed`; nothing can be read after it. */
  next(): Said | undefined {
    if (!this.#open) {
      const short = this.#short();
      if (short) return short;
    }
    for (;;) {
      const open = this.#open;
      const step = open ? this.#argument(open) : this.#word();
      if (step === 'more') {
        this.#queue.own();
        return undefined;
      }
      if (step !== 'again') return step;
    }
  }

  /** As the steps below would give it, at a fourth of their cost. */
  #short(): Said | undefined {
    const found = SHORT.exec(this.#queue.peek(0, SHORT_BYTES).toString('latin1'));
    if (!found || found[0].length > this.#limits.bytes) return undefined;
    this.#queue.drop(found[0].length);
    return { ...SAID_SHORTLY, argument: [Number(found[1]), found[3] ?? found[4] ?? ''] };
  }

  #word(): Said | 'more' | 'again' {
    const queue = this.#queue;
    let first = queue.at(0);
    while (first !== undefined && isBlank(first)) {
      queue.drop(1);
      first = queue.at(0);
    }
    if (first === undefined) return 'more';
    if (!isLetter(first))
      throw new Fault('malformed', `reading a command: byte ${first} stands where a word must stand`);
    let length = 0;
    for (let byte = first as number | undefined; byte !== undefined && isLetter(byte); byte = queue.at(length))
      length += 1;
    const run = queue.peek(0, Math.min(length, WORD_MAX + 1)).toString('latin1');
    const bare = COMMANDS.has(run) ? undefined : BARE.find((word) => run.startsWith(word));
    const word = bare ?? run;
    if (word.length > WORD_MAX) throw new Fault('malformed', `reading a command: "${word}…" is longer than any`);
    const hasArgument = COMMANDS.get(word);
    // An unknown word, or a known one with the next behind it, may still be going on.
    if (hasArgument === undefined && queue.at(length) === undefined) return 'more';
    queue.drop(word.length);
    const known = hasArgument !== undefined;
    const said = { word, known, argument: undefined, dialect: undefined };
    if (hasArgument === true) {
      this.#open = { word, known, asked: true, decoder: undefined };
      return 'again';
    }
    this.#open = { word, known, asked: false, decoder: undefined };
    return said;
  }

  #argument(open: Open): Said | 'more' | 'again' {
    const queue = this.#queue;
    if (!open.decoder) {
      const [space, first] = [queue.at(0), queue.at(1)];
      const hasNone = space !== undefined && space !== SPACE;
      if (hasNone || (first !== undefined && !this.#begins(open, first))) {
        this.#open = undefined;
        return open.asked ? { word: open.word, known: open.known, argument: undefined, dialect: undefined } : 'again';
      }
      if (first === undefined) return 'more';
      queue.drop(1);
      open.decoder = isJson(first) ? new JsonDecoder(this.#limits.bytes) : new PickleDecoder(this.#limits);
    }
    const { decoder } = open;
    const found = decoder.next(queue);
    if (!found) return 'more';
    this.#open = undefined;
    if (!open.asked) return 'again';
    const json = !(decoder instanceof PickleDecoder);
    return {
      word: open.word,
      known: open.known,
      argument: listOf(json ? fromJson(found.value) : (found.value as Pickled)), // as a PickleDecoder says
      dialect: json ? { form: 'json' } : { form: 'pickle', protocol: decoder.protocol },
    };
  }

  #begins(open: { asked: boolean }, byte: number): boolean {
    return open.asked ? !isBlank(byte) : isContainer(byte);
  }
}

/** Of a short message, whole. */
const SHORT_BYTES = 512;
/**
 * What most is: something short is said, in protocol 0, whose texts have nothing in them that is written another way. Of whole numbers, `00` and `01` are
 * truth values, and left to the decoder.
 */
const SHORT =
  /^SEND_MESSAGE \(l(?:p\d{1,4}\n)?I([1-9]\d{0,8})\na(?:S(['"])([ -[\]-~]*)\2|V([ -[\]-~]*))\n(?:p\d{1,4}\n)?a\./;
const SAID_SHORTLY = { word: 'SEND_MESSAGE', known: true, dialect: { form: 'pickle', protocol: 0 } } as const;

const listOf = (value: Pickled): Pickled[] => (Array.isArray(value) ? value : [value]);

function fromJson(value: unknown): Pickled {
  if (Array.isArray(value)) return value.map(fromJson);
  if (typeof value === 'object' && value !== null)
    return new Map(Object.entries(value).map(([key, held]) => [key, fromJson(held)]));
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : null;
}
