/**
 * Reads pickles, protocols 0 to 5, as Python 2, Python 3 and Jython write them; data only. (docs/protocol-im.md, section 2: [P-1] to [P-4])
 *
 * A pickle is a program for a stack machine. What could name a class, call something or reach outside is refused here by its
 * opcode alone, before anything is made of it [P-2]. Each opcode is carried out when all its bytes are here, so a
 * pickle may come in pieces of any size.
 */
import { Fault } from '../base/fault.ts';
import type { ByteQueue } from './bytes.ts';

/** Tuples are arrays, too; a Python 2 `str` is text. Integers beyond 2^53 are bigints. */
export type Pickled = null | boolean | number | bigint | string | Uint8Array | Pickled[] | Map<Pickled, Pickled>;

/** What one pickle may cost. [P-3] */
export type PickleLimits = {
  /** Bytes of one pickle. */
  bytes: number;
  /** Containers within containers. */
  depth: number;
  /** Values that it stands for, each counted as often as it is shown: sharing makes a few bytes into millions. */
  values: number;
  /** Entries of the memo. */
  memo: number;
};

export const PICKLE_LIMITS: PickleLimits = { bytes: 1_048_576, depth: 32, values: 100_000, memo: 20_000 };

/** Bytes of a number written in decimal: more digits than any id or count has. */
const DIGITS_MAX = 400;
/** Digits that a double always has exactly. */
const DIGITS_EXACT = 15;
const NEWLINE = 10;
const NOTHING = Buffer.alloc(0);

const refuse = (why: string): Fault => new Fault('malformed', `reading a pickle: ${why}`);

/** How much stands behind an opcode. */
type Length =
  /** So many bytes. */
  | { fixed: number }
  /** Up to a newline. */
  | { line: number }
  /** A count of so many bytes, little-endian, then as many bytes. */
  | { counted: 1 | 4 | 8 };

type Opcode = { length: Length; run: (machine: Machine, argument: Buffer) => void };

const none = { fixed: 0 } as const;

/** A container under construction knows how deep and how large it is. */
type Extent = { depth: number; values: number; placed: boolean };

class Machine {
  readonly #limits: PickleLimits;
  readonly #extents = new Map<object, Extent>();
  readonly #memo = new Map<number, Pickled>();
  readonly #marks: number[] = [];
  readonly #stack: Pickled[] = [];
  /** Highest protocol whose opcodes were used. */
  protocol = 0;

  constructor(limits: PickleLimits) {
    this.#limits = limits;
  }

  push(value: Pickled): void {
    if (this.#stack.length >= this.#limits.values) throw refuse(`it has over ${this.#limits.values} values`);
    this.#stack.push(value);
  }

  pop(): Pickled {
    const value = this.#stack.length > (this.#marks.at(-1) ?? 0) ? this.#stack.pop() : undefined;
    if (value === undefined) throw refuse('it takes from an empty stack');
    return value;
  }

  top(): Pickled {
    const value = this.pop();
    this.#stack.push(value);
    return value;
  }

  mark(): void {
    if (this.#marks.length >= this.#limits.values) throw refuse('it has too many marks');
    this.#marks.push(this.#stack.length);
  }

  /** What was put on the stack since the last mark. */
  sinceMark(): Pickled[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw refuse('it has no mark where one is needed');
    return this.#stack.splice(mark);
  }

  /** POP takes a mark where that is on top. */
  discard(): void {
    if (this.#marks.at(-1) === this.#stack.length) this.#marks.pop();
    else this.pop();
  }

  remember(index: number): void {
    if (!this.#memo.has(index) && this.#memo.size >= this.#limits.memo) {
      throw refuse(`its memo has over ${this.#limits.memo} entries`);
    }
    this.#memo.set(index, this.top());
  }

  get memoSize(): number {
    return this.#memo.size;
  }

  recall(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) throw refuse(`entry ${index} of its memo is not set`);
    this.push(value);
  }

  /** A new container with these things in it. */
  made<T extends Pickled[] | Map<Pickled, Pickled>>(container: T, held: Iterable<Pickled>): T {
    this.#extents.set(container, { depth: 1, values: 1, placed: false });
    this.hold(container, held);
    return container;
  }

  /**
   * Counts what a container takes in. What is in a container takes in nothing more, so nothing can come to hold itself,
   * and depth and size are known without walking.
   */
  hold(container: object, held: Iterable<Pickled>): void {
    const extent = this.#extents.get(container);
    if (!extent) throw refuse('it puts something into what is no list or dict');
    for (const value of held) {
      const inner = typeof value === 'object' && value !== null ? this.#extents.get(value) : undefined;
      if (inner) inner.placed = true;
      extent.depth = Math.max(extent.depth, 1 + (inner?.depth ?? 0));
      extent.values += inner?.values ?? 1;
      if (extent.placed) throw refuse('it holds itself, or grows after it was put somewhere'); // also: value is the container
      if (extent.depth > this.#limits.depth) throw refuse(`it is over ${this.#limits.depth} levels deep`);
      if (extent.values > this.#limits.values) throw refuse(`it has over ${this.#limits.values} values`);
    }
  }

  append(items: Pickled[]): void {
    const list = this.top();
    if (!Array.isArray(list)) throw refuse('it appends to what is no list');
    this.hold(list, items);
    for (const item of items) list.push(item);
  }

  assign(items: Pickled[]): void {
    const dict = this.top();
    if (!(dict instanceof Map)) throw refuse('it sets an item of what is no dict');
    this.hold(dict, items);
    fill(dict, items);
  }

  /** What is left at STOP. */
  result(): Pickled {
    const [value, ...more] = this.#stack;
    if (value === undefined || more.length > 0 || this.#marks.length > 0)
      throw refuse('it ends with a stack that is not one value');
    return value;
  }
}

function fill(dict: Map<Pickled, Pickled>, items: Pickled[]): Map<Pickled, Pickled> {
  if (items.length % 2 !== 0) throw refuse('a dict has a key without a value');
  for (let at = 0; at < items.length; at += 2) {
    const [key, value] = [items[at], items[at + 1]];
    if (key instanceof Map) throw refuse('a dict is the key of a dict');
    if (key !== undefined && value !== undefined) dict.set(key, value);
  }
  return dict;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Text of a Python 2 `str`, which does not say its encoding: UTF-8 where that fits, else ISO 8859-1, which always does. */
function textOf(bytes: Buffer): string {
  try {
    return utf8.decode(bytes);
  } catch {
    return bytes.toString('latin1');
  }
}

const ESCAPES: Record<string, string> = { n: '\n', r: '\r', t: '\t', a: '\x07', b: '\b', f: '\f', v: '\v' };

/** Of a `repr`, what stands for itself. */
const itself = /^[\x20-\x5b\x5d-\x7e]*$/;

/** STRING: the `repr` of a Python 2 `str`. */
function unquoted(line: Buffer): string {
  const [, , inner] = /^(['"])(.*)\1$/s.exec(line.toString('latin1').trim()) ?? [];
  if (inner === undefined) throw refuse('a string is not between quotes');
  if (itself.test(inner)) return inner;
  const plain = inner.replace(
    /\\(?:x([0-9a-f]{2})|([0-7]{1,3})|([\s\S]?))/gi,
    (_, hex, octal, other: string | undefined) => {
      if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
      if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8) & 255);
      if (other === undefined || other === '' || other === 'x') throw refuse('a string ends within an escape');
      return ESCAPES[other] ?? (/['"\\]/.test(other) ? other : `\\${other}`);
    },
  );
  return textOf(Buffer.from(plain, 'latin1'));
}

/** UNICODE: ISO 8859-1, and `\u` with four or `\U` with eight digits behind an odd number of backslashes. */
function unescaped(line: Buffer): string {
  return line
    .toString('latin1')
    .replace(/(\\+)(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[uU])?/g, (whole, slashes: string, code: string | undefined) => {
      if (code === undefined || slashes.length % 2 === 0) return whole;
      const point = code.length > 1 ? Number.parseInt(code.slice(1), 16) : Number.NaN;
      if (!(point <= 0x10ffff)) throw refuse('a text has an escape that is none');
      return slashes.slice(1) + String.fromCodePoint(point);
    })
    .toWellFormed();
}

const lenient = new TextDecoder('utf-8', { ignoreBOM: true });

function decimal(line: Buffer): number | bigint {
  const text = line.toString('latin1').trim();
  if (!/^[+-]?\d+$/.test(text)) throw refuse(`"${text.slice(0, 20)}" is no whole number`);
  if (text.length <= DIGITS_EXACT) return Number(text) + 0; // there is no -0 among whole numbers
  return small(BigInt(text.replace(/^\+/, '')));
}

function index(line: Buffer): number {
  const number = decimal(line);
  if (typeof number !== 'number' || number < 0) throw refuse('a memo has no such place');
  return number;
}

const small = (number: bigint): number | bigint =>
  BigInt.asIntN(54, number) === number && Number.isSafeInteger(Number(number)) ? Number(number) : number;

/** Two's complement, little-endian. */
function long(bytes: Buffer): number | bigint {
  if (bytes.length === 0) return 0;
  const hex = Buffer.from(bytes).reverse().toString('hex');
  return small(BigInt.asIntN(8 * bytes.length, BigInt(`0x${hex}`)));
}

function float(line: Buffer): number {
  const text = line.toString('latin1').trim();
  const special = /^([+-]?)(?:(inf(?:inity)?)|nan)$/i.exec(text);
  if (special) return special[2] ? Number(`${special[1]}Infinity`) : Number.NaN;
  const number = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(number)) throw refuse(`"${text.slice(0, 20)}" is no number`);
  return number;
}

/** By code: protocol that brought it, what stands behind it, what it does. */
const OPCODES: (Opcode & { protocol: number })[] = [];

function define(protocol: number, code: string, length: Length, run: Opcode['run']): void {
  OPCODES[code.charCodeAt(0)] = { protocol, length, run };
}

const push =
  (read: (argument: Buffer) => Pickled): Opcode['run'] =>
  (machine, argument) =>
    machine.push(read(argument));

const number = { line: DIGITS_MAX } as const;
const text = { line: Number.POSITIVE_INFINITY } as const; // the pickle's own bound holds

define(
  0,
  'I',
  number,
  push((line) => {
    const written = line.toString('latin1');
    return written === '01' ? true : written === '00' ? false : decimal(line);
  }),
);
define(
  0,
  'L',
  number,
  push((line) => decimal(line.at(-1) === 0x4c ? line.subarray(0, -1) : line)),
);
define(0, 'F', number, push(float));
define(
  0,
  'N',
  none,
  push(() => null),
);
define(0, 'S', text, push(unquoted));
define(0, 'V', text, push(unescaped));
define(
  1,
  'K',
  { fixed: 1 },
  push((bytes) => bytes.readUInt8()),
);
define(
  1,
  'M',
  { fixed: 2 },
  push((bytes) => bytes.readUInt16LE()),
);
define(
  1,
  'J',
  { fixed: 4 },
  push((bytes) => bytes.readInt32LE()),
);
define(
  1,
  'G',
  { fixed: 8 },
  push((bytes) => bytes.readDoubleBE()),
);
define(1, 'U', { counted: 1 }, push(textOf));
define(1, 'T', { counted: 4 }, push(textOf));
define(
  1,
  'X',
  { counted: 4 },
  push((bytes) => lenient.decode(bytes)),
);
define(
  2,
  '\x88',
  none,
  push(() => true),
);
define(
  2,
  '\x89',
  none,
  push(() => false),
);
define(2, '\x8a', { counted: 1 }, push(long));
define(2, '\x8b', { counted: 4 }, push(long));
define(
  3,
  'C',
  { counted: 1 },
  push((bytes) => Uint8Array.from(bytes)),
);
define(
  3,
  'B',
  { counted: 4 },
  push((bytes) => Uint8Array.from(bytes)),
);
define(
  4,
  '\x8e',
  { counted: 8 },
  push((bytes) => Uint8Array.from(bytes)),
);
define(
  5,
  '\x96',
  { counted: 8 },
  push((bytes) => Uint8Array.from(bytes)),
);
define(
  4,
  '\x8c',
  { counted: 1 },
  push((bytes) => lenient.decode(bytes)),
);
define(
  4,
  '\x8d',
  { counted: 8 },
  push((bytes) => lenient.decode(bytes)),
);

define(0, '(', none, (machine) => machine.mark());
define(0, '0', none, (machine) => machine.discard());
define(0, '1', none, (machine) => void machine.sinceMark());
define(0, '2', none, (machine) => machine.push(machine.top()));

define(1, ']', none, (machine) => machine.push(machine.made([], [])));
define(0, 'l', none, (machine) => list(machine, machine.sinceMark()));
define(0, 'a', none, (machine) => {
  const item = machine.pop();
  machine.append([item]);
});
define(1, 'e', none, (machine) => machine.append(machine.sinceMark()));
define(1, ')', none, (machine) => list(machine, []));
define(0, 't', none, (machine) => list(machine, machine.sinceMark()));
for (const [code, count] of [
  ['\x85', 1],
  ['\x86', 2],
  ['\x87', 3],
] as const) {
  define(2, code, none, (machine) => list(machine, Array.from({ length: count }, () => machine.pop()).reverse()));
}
define(1, '}', none, (machine) => machine.push(machine.made(new Map(), [])));
define(0, 'd', none, (machine) => {
  const items = machine.sinceMark();
  machine.push(machine.made(fill(new Map(), items), items));
});
define(0, 's', none, (machine) => {
  const value = machine.pop();
  const key = machine.pop();
  machine.assign([key, value]);
});
define(1, 'u', none, (machine) => machine.assign(machine.sinceMark()));

define(0, 'p', number, (machine, line) => machine.remember(index(line)));
define(1, 'q', { fixed: 1 }, (machine, bytes) => machine.remember(bytes.readUInt8()));
define(1, 'r', { fixed: 4 }, (machine, bytes) => machine.remember(bytes.readUInt32LE()));
define(4, '\x94', none, (machine) => machine.remember(machine.memoSize));
define(0, 'g', number, (machine, line) => machine.recall(index(line)));
define(1, 'h', { fixed: 1 }, (machine, bytes) => machine.recall(bytes.readUInt8()));
define(1, 'j', { fixed: 4 }, (machine, bytes) => machine.recall(bytes.readUInt32LE()));

define(2, '\x80', { fixed: 1 }, (machine, bytes) => {
  machine.protocol = bytes.readUInt8();
  if (machine.protocol > 5) throw refuse(`it is of protocol ${machine.protocol}; 0 to 5 are read`);
});
// A frame only says how much to read at once.
define(4, '\x95', { fixed: 8 }, () => {});

function list(machine: Machine, items: Pickled[]): void {
  machine.push(machine.made(items, items));
}

const STOP = '.'.charCodeAt(0);

/** What would make or call something: named, so that the answer can say why. */
const DANGEROUS = new Map(
  Object.entries({
    c: 'GLOBAL',
    '\x93': 'STACK_GLOBAL',
    R: 'REDUCE',
    b: 'BUILD',
    i: 'INST',
    o: 'OBJ',
    '\x81': 'NEWOBJ',
    '\x92': 'NEWOBJ_EX',
    '\x82': 'EXT1',
    '\x83': 'EXT2',
    '\x84': 'EXT4',
    P: 'PERSID',
    Q: 'BINPERSID',
    '\x97': 'NEXT_BUFFER',
    '\x98': 'READONLY_BUFFER',
  }).map(([code, name]) => [code.charCodeAt(0), name]),
);

export class PickleDecoder {
  readonly #limits: PickleLimits;
  readonly #machine: Machine;
  #read = 0;
  /** Where no newline was found yet, so that a line that comes byte by byte is searched once. */
  #searched = 0;

  constructor(limits: PickleLimits = PICKLE_LIMITS) {
    this.#limits = limits;
    this.#machine = new Machine(limits);
  }

  /** The protocol that the pickle was written with, as far as its opcodes show. */
  get protocol(): number {
    return this.#machine.protocol;
  }

  /**
   * Takes from the queue what belongs to the pickle. Gives its value once it is whole; until then undefined: call again when
   * more has come. Faults: `malformed`.
   */
  next(queue: ByteQueue): { value: Pickled } | undefined {
    for (;;) {
      const code = queue.at(0);
      if (code === undefined) return undefined;
      if (code === STOP) {
        queue.drop(1);
        return { value: this.#machine.result() };
      }
      const opcode = OPCODES[code];
      if (!opcode) {
        const name = DANGEROUS.get(code);
        throw refuse(
          name
            ? `it uses ${name}, which could make objects or call functions; only data is read`
            : `byte ${code} is no opcode for data`,
        );
      }
      const place = this.#argument(queue, opcode.length);
      if (!place) return undefined;
      const [from, to, end] = place;
      this.#read += end;
      this.#checkSize(this.#read);
      const machine = this.#machine;
      if (machine.protocol < opcode.protocol && opcode.protocol < 2) machine.protocol = opcode.protocol;
      opcode.run(machine, from === to ? NOTHING : queue.peek(from, to));
      queue.drop(end);
      this.#searched = 0;
    }
  }

  /** Where the argument stands, and where the opcode ends; undefined where not all of it is here. */
  #argument(queue: ByteQueue, length: Length): [from: number, to: number, end: number] | undefined {
    if ('fixed' in length) {
      const end = 1 + length.fixed;
      return queue.length < end ? undefined : [1, end, end];
    }
    if ('line' in length) {
      const end = queue.indexOf(NEWLINE, Math.max(1, this.#searched));
      this.#searched = queue.length;
      const seen = end < 0 ? queue.length : end;
      if (seen - 1 > length.line) throw refuse(`a number has over ${length.line} digits`);
      this.#checkSize(this.#read + seen);
      if (end < 0) return undefined;
      return [1, queue.at(end - 1) === 13 && end > 1 ? end - 1 : end, end + 1];
    }
    const head = 1 + length.counted;
    if (queue.length < head) return undefined;
    const count = queue.peek(1, head);
    const size =
      length.counted === 1
        ? count.readUInt8()
        : length.counted === 4
          ? count.readUInt32LE()
          : Number(count.readBigUInt64LE());
    this.#checkSize(this.#read + head + size);
    return queue.length < head + size ? undefined : [head, head + size, head + size];
  }

  #checkSize(bytes: number): void {
    if (bytes > this.#limits.bytes) throw refuse(`it has over ${this.#limits.bytes} bytes`);
  }
}
