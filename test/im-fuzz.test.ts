/**
 * A million inputs for the decoder: real pickles and commands, mutated. Whatever comes, it is read or refused as `malformed`, within bounds
 * of time and memory. The same inputs each time: a failure prints the one that made it.
 */
import { expect, test } from 'vitest';
import { Fault } from '../src/base/fault.ts';
import { ByteQueue } from '../src/im/bytes.ts';
import { PICKLE_LIMITS, PickleDecoder, type Pickled } from '../src/im/pickle.ts';
import { pickle } from '../src/im/pickle-encode.ts';
import { CommandReader } from '../src/im/reader.ts';

const INPUTS = 1_000_000;
/** Milliseconds that one input of some hundred bytes may take: far more than any needs, far less than a hang. */
const HANG_MS = 2000;
/** Bytes of objects that may be there more at the end: a leak of one byte for each input would be as much. */
const GROWTH = 64 * 1024 * 1024;

/** xorshift32: quick, and the same everywhere. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const values: Pickled[] = [
  null,
  true,
  ['bob', 'online'],
  [3, "a text with \\ and ' and ünï 🙂"],
  ['x'.repeat(300)],
  new Map<Pickled, Pickled>([
    ['alice', 'busy'],
    [1, ['a', 'b']],
  ]),
  [-1, 255, 65_536, 2 ** 31, 2n ** 70n, 1.5, Number.NaN],
  [[[[[]]]], new Uint8Array([0, 255, 10])],
];
const corpus: Buffer[] = [
  ...values.flatMap((value) => [0, 1, 2, 3, 4, 5].map((protocol) => pickle(value, protocol))),
  // As Python itself writes them: memo, marks, frames, what would run code.
  ...[
    "(lp0\nI3\naS'text'\np1\na.",
    "(dp0\nS'a'\np1\n(lp2\nVb\\u00fc\np3\nasg1\nL5L\ns.",
    '\x80\x02]q\x00(K\x01U\x01aq\x01h\x01e.',
    '\x80\x04\x95\x10\0\0\0\0\0\0\0]\x94(K\x03\x8c\x05hello\x94e.',
    '\x80\x05C\x03abc\x94.',
    "cos\nsystem\n(S'true'\ntR.",
    '\x80\x02c__builtin__\neval\nq\x00.',
    '(((((((lllllll.',
    ']2a.',
    '}(K\x01K\x02u.',
    'F1e400\n.',
    'L9999999999999999999999L\n.',
    'T\xff\xff\xff\x7f',
    '\x8e\xff\xff\xff\xff\xff\xff\xff\xff',
    'p4294967295\n',
  ].map((text) => Buffer.from(text, 'latin1')),
];
/** What stands between: a mutation that puts an opcode somewhere gets further than one that puts any byte. */
const OPCODES = Buffer.from(
  '(.0123FIJKLMNPQRSTUVX]}abcdeghijlopqrstu\x80\x81\x82\x83\x84\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\x97\x98)BCG\n',
  'latin1',
);

function mutate(random: (below: number) => number): Buffer {
  const pick = (): Buffer => corpus[random(corpus.length)] ?? Buffer.alloc(0);
  let bytes = Buffer.from(pick());
  for (let times = 1 + random(4); times > 0; times--) {
    const at = random(bytes.length + 1);
    const byte = (random(2) === 0 ? OPCODES[random(OPCODES.length)] : random(256)) ?? 0;
    switch (random(6)) {
      case 0:
        if (at < bytes.length) bytes[at] = byte;
        break;
      case 1:
        bytes = Buffer.concat([bytes.subarray(0, at), Buffer.of(byte), bytes.subarray(at)]);
        break;
      case 2:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random(8))]);
        break;
      case 3: {
        const other = pick();
        bytes = Buffer.concat([bytes.subarray(0, at), other.subarray(random(other.length))]);
        break;
      }
      case 4: {
        const again = bytes.subarray(at, at + random(12));
        bytes = Buffer.concat([
          bytes.subarray(0, at),
          ...Array.from({ length: 1 + random(40) }, () => again),
          bytes.subarray(at),
        ]);
        break;
      }
      default:
        if (at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
    }
    if (bytes.length > 4096) bytes = bytes.subarray(0, 4096);
  }
  return bytes;
}

/** Depth and number of what was read; more than the bounds would be a hole. */
function extent(value: Pickled, depth = 0): { depth: number; values: number } {
  if (depth > PICKLE_LIMITS.depth) return { depth, values: 1 };
  const held = Array.isArray(value) ? value : value instanceof Map ? [...value].flat() : [];
  let [deepest, values] = [depth, 1];
  for (const each of held) {
    const inner = extent(each, depth + (Array.isArray(each) || each instanceof Map ? 1 : 0));
    deepest = Math.max(deepest, inner.depth);
    values += inner.values;
  }
  return { depth: deepest, values };
}

function check(bytes: Buffer, read: () => void): void {
  const at = performance.now();
  try {
    read();
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== 'malformed')
      throw new Error(`not refused as it must be: ${bytes.toString('hex')}`, { cause: error });
  }
  const took = performance.now() - at;
  if (took > HANG_MS) throw new Error(`${took} ms for ${bytes.toString('hex')}`);
}

test('a million inputs: no crash, no hang, no growth [P-1] [P-2] [P-3] [P-4]', { timeout: 300_000 }, () => {
  const random = randomOf(0x9e3779b9);
  const before = process.memoryUsage().heapUsed;
  let [read, whole] = [0, 0];
  for (let n = 0; n < INPUTS; n++) {
    const bytes = mutate(random);
    const pieces = random(4) === 0 ? random(bytes.length + 1) : bytes.length;
    read += 1;
    if (n % 4 === 3) {
      // As an argument on a connection, with another command behind it.
      check(bytes, () => {
        const reader = new CommandReader();
        reader.push(Buffer.concat([Buffer.from('STATUS '), bytes.subarray(0, pieces)]));
        for (let said = reader.next(); said; said = reader.next()) whole += 1;
        reader.push(Buffer.concat([bytes.subarray(pieces), Buffer.from('GOODBYE')]));
        for (let said = reader.next(); said; said = reader.next()) whole += 1;
      });
    } else {
      check(bytes, () => {
        const queue = new ByteQueue();
        const decoder = new PickleDecoder();
        queue.push(bytes.subarray(0, pieces));
        let found = decoder.next(queue);
        if (!found && pieces < bytes.length) {
          queue.push(bytes.subarray(pieces));
          found = decoder.next(queue);
        }
        if (!found) return;
        whole += 1;
        const { depth, values } = extent(found.value);
        if (depth > PICKLE_LIMITS.depth || values > PICKLE_LIMITS.values)
          throw new Error(`over its bounds: ${depth} deep, ${values} values`);
      });
    }
  }
  expect(read).toBe(INPUTS);
  expect(whole).toBeGreaterThan(INPUTS / 20); // the mutations still leave some that can be read
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(GROWTH);
});
