import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ByteQueue } from './bytes.ts';
import { PICKLE_LIMITS, PickleDecoder, type Pickled, type PickleLimits } from './pickle.ts';
import { pickle } from './pickle-encode.ts';

const code = (expected: string) => expect.objectContaining({ code: expected });
const latin = (text: string): Buffer => Buffer.from(text, 'latin1');

/** Reads one pickle that comes in these pieces; what is left over comes back, too. */
function read(pieces: Uint8Array[], limits: PickleLimits = PICKLE_LIMITS) {
  const queue = new ByteQueue();
  const decoder = new PickleDecoder(limits);
  let found: { value: Pickled } | undefined;
  for (const piece of pieces) {
    queue.push(piece);
    found ??= decoder.next(queue);
  }
  return { value: found?.value, rest: queue.peek(0, queue.length).toString('latin1'), protocol: decoder.protocol };
}

const one = (text: string, limits?: PickleLimits): Pickled | undefined => read([latin(text)], limits).value;

/** The same bytes, cut where `cuts` say. */
function cut(bytes: Uint8Array, cuts: number[]): Uint8Array[] {
  const places = [0, ...cuts.map((share) => Math.floor(share * bytes.length)).sort((a, b) => a - b), bytes.length];
  return places.slice(1).map((end, n) => bytes.subarray(places[n], end));
}

const { value: anyValue } = fc.letrec<{ value: Pickled }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger(),
    fc.bigInt({ min: -(2n ** 300n), max: 2n ** 300n }).filter((n) => !Number.isSafeInteger(Number(n))),
    fc.double().filter((n) => !Number.isInteger(n) || Object.is(n, -0)),
    fc.string({ unit: 'binary' }),
    fc.string({ unit: 'binary-ascii', maxLength: 400 }),
    fc.array(tie('value'), { maxLength: 6 }),
    fc
      .array(fc.tuple(fc.string({ unit: 'grapheme' }), tie('value')), { maxLength: 6 })
      .map((entries) => new Map<Pickled, Pickled>(entries)),
  ),
}));

test('what is written is read again, by every protocol, in any pieces, and nothing behind it is touched [P-1] [P-10]', () => {
  fc.assert(
    fc.property(
      anyValue,
      fc.integer({ min: 0, max: 5 }),
      fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 8 }),
      (value, protocol, cuts) => {
        const { value: back, rest } = read(cut(Buffer.concat([pickle(value, protocol), latin('STATUS')]), cuts));
        expect(back).toEqual(value);
        expect(rest).toBe('STATUS');
      },
    ),
    { numRuns: 300 },
  );
});

test('bytes are bytes where the protocol has them', () => {
  const bytes = Uint8Array.from({ length: 300 }, (_, n) => n & 255);
  for (const protocol of [3, 4, 5]) expect(one(pickle(bytes, protocol).toString('latin1'))).toEqual(bytes);
});

test.each<[string, Pickled]>([
  ["(lp0\nS'bob'\np1\naS'online'\np2\na.", ['bob', 'online']],
  ["(S'a'\nI1\nt.", ['a', 1]],
  ['(lp0\nVgr\\u00fc\\u00df \\U0001f642 \\\\u0041 \\u005cu0041\np1\na.', ['grüß 🙂 \\\\u0041 \\u0041']],
  ["S'gr\\xc3\\xbc\\xc3\\x9f'\n.", 'grüß'],
  ["S'gr\\xfc\\xdf'\n.", 'grüß'],
  [`S"it's\\n\\101"\n.`, "it's\nA"],
  ['I01\n.', true],
  ['I00\n.', false],
  ['I-7\r\n.', -7],
  ['L12345678901234567890L\n.', 12345678901234567890n],
  ['F-inf\n.', Number.NEGATIVE_INFINITY],
  ['\x80\x02]q\x00(U\x03bobq\x01U\x06onlineq\x02e.', ['bob', 'online']],
  ['\x80\x02\x8a\x01\xff.', -1],
  ['\x80\x02\x8a\x00.', 0],
  ['\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00]\x94(\x8c\x03bob\x94h\x01e.', ['bob', 'bob']],
  [
    '}q\x00(U\x01aK\x01U\x01bK\x02u.',
    new Map([
      ['a', 1],
      ['b', 2],
    ]),
  ],
  ["(dp0\nS'a'\nI1\ns.", new Map([['a', 1]])],
  ['(I1\n0I2\n1I3\n.', 3],
])('%j', (text, value) => {
  expect(one(text)).toEqual(value);
  expect(read([...latin(text)].map((byte) => Uint8Array.of(byte))).value).toEqual(value);
});

test.each([
  ["cos\nsystem\n(S'true'\ntR.", 'GLOBAL'],
  ['\x80\x04\x8c\x02os\x8c\x06system\x93.', 'STACK_GLOBAL'],
  ['(ios\nsystem\n.', 'INST'],
  ['(]o.', 'OBJ'],
  ['])R.', 'REDUCE'],
  [']}b.', 'BUILD'],
  ['\x80\x02])\x81.', 'NEWOBJ'],
  ['\x80\x04])}\x92.', 'NEWOBJ_EX'],
  ['\x82\x01.', 'EXT1'],
  ['\x83\x01\x00.', 'EXT2'],
  ['\x84\x01\x00\x00\x00.', 'EXT4'],
  ['Pid\n.', 'PERSID'],
  [']Q.', 'BINPERSID'],
  ['\x97.', 'NEXT_BUFFER'],
])('%j is refused by name, before anything is made [P-2]', (text, name) => {
  expect(() => one(text)).toThrow(code('malformed'));
  expect(() => one(text)).toThrow(name);
});

test.each([
  ['.', 'nothing'],
  ['I1\nI2\n.', 'two values'],
  ['(.', 'a mark'],
  ['0.', 'an empty stack'],
  ['t.', 'no mark'],
  ['g5\n.', 'an empty place'],
  ['I1\nI2\na.', 'appending to a number'],
  ["(S'a'\nd.", 'a key without a value'],
  ['}}I1\ns.', 'a dict as key'],
  ['Ione\n.', 'no number'],
  ['F1e\n.', 'no float'],
  [`I${'1'.repeat(500)}\n.`, 'too many digits'],
  [`I${'1'.repeat(500)}`, 'too many digits without an end'],
  ['Sbob\n.', 'no quotes'],
  ["S'\\x4'\n.", 'half an escape'],
  ['V\\u12\n.', 'half a \\u'],
  ['\x80\x06N.', 'protocol 6'],
  ['[1, 2]', 'JSON'],
  ['\xff', 'no opcode'],
  [']q\x00h\x00a.', 'a list in itself'],
  [']q\x00]q\x01h\x00ah\x00h\x01a.', 'lists in each other'],
  ['}q\x00K\x01h\x00s.', 'a dict in itself'],
  [`${']'.repeat(40)}${'a'.repeat(39)}.`, 'too deep'],
  ['T\xff\xff\xff\x7f', 'two gigabytes'],
  ['\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\xff', 'more than there is'],
  ['N'.repeat(100_001), 'too many values'],
  ['('.repeat(100_001), 'too many marks'],
])('%# %j is refused [P-3]', (text) => {
  expect(() => one(text)).toThrow(code('malformed'));
});

test('sharing a few bytes into millions of values is refused by what they stand for [P-3]', () => {
  let bomb = ']q\x00(NNNNNNNNNNe';
  for (let n = 1; n < 20; n++) bomb += `]q${String.fromCharCode(n)}(${`h${String.fromCharCode(n - 1)}`.repeat(10)}e`;
  expect(() => one(`${bomb}.`)).toThrow(/values/);
});

test('a memo is bounded, a pickle is bounded, also where it never ends [P-3]', () => {
  const limits = { bytes: 1000, depth: 4, values: 100, memo: 3 };
  expect(() => one('Nq\x000Nq\x010Nq\x020Nq\x03.', limits)).toThrow(/memo/);
  expect(() => one(`S'${'x'.repeat(1200)}`, limits)).toThrow(/bytes/);
  expect(() => one('N0'.repeat(600), limits)).toThrow(/bytes/);
});

test('a long string that comes byte by byte is not looked through again for each byte', () => {
  const queue = new ByteQueue();
  const decoder = new PickleDecoder();
  const bytes = latin(`S'${'x'.repeat(500_000)}'\n.`);
  let value: Pickled | undefined;
  for (const byte of bytes) {
    queue.push(Uint8Array.of(byte));
    value = decoder.next(queue)?.value;
  }
  expect(value).toHaveLength(500_000);
});

test('no bytes do more than be refused', () => {
  const opcodes = fc.constantFrom(
    ...'.()]}lartdsue012NIJKLMFGSVTUXCBghjpqr\x80\x85\x86\x87\x88\x89\x8a\x8c\x94\x95'.split(''),
  );
  const soup = fc.array(fc.oneof(opcodes, fc.constantFrom('0\n', "'a'\n", '\x01', '\x00', '\x01a')), { maxLength: 60 });
  fc.assert(
    fc.property(soup, fc.uint8Array({ maxLength: 40 }), (parts, tail) => {
      try {
        read([latin(parts.join('')), tail]);
      } catch (error) {
        expect(error).toEqual(code('malformed'));
      }
    }),
    { numRuns: 20_000 },
  );
});
