import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Pickled } from './pickle.ts';
import { pickle } from './pickle-encode.ts';
import { CommandReader, type Said } from './reader.ts';

const latin = (text: string): Buffer => Buffer.from(text, 'latin1');
const code = (expected: string) => expect.objectContaining({ code: expected });

function all(reader: CommandReader): Said[] {
  const said: Said[] = [];
  for (let next = reader.next(); next; next = reader.next()) said.push(next);
  return said;
}

function read(...pieces: (string | Uint8Array)[]): Said[] {
  const reader = new CommandReader();
  return pieces.flatMap((piece) => {
    reader.push(typeof piece === 'string' ? latin(piece) : piece);
    return all(reader);
  });
}
const brief = (said: Said[]): unknown[] =>
  said.map(({ word, argument }) => (argument === undefined ? word : [word, argument]));

const REGISTER = "REGISTER (lp0\nS'bob'\np1\naS'online'\np2\na.";

test('messages follow each other with nothing between, in one segment or byte by byte [P-20]', () => {
  const stream = `${REGISTER}LIST_CONVERSATIONSJOIN (lp0\nI3\na.LEAVE [3]\nSTATUS \x80\x02]q\x00U\x04awayq\x01a.LIST_CONVERSATIONSGOODBYE`;
  const expected = [
    ['REGISTER', ['bob', 'online']],
    'LIST_CONVERSATIONS',
    ['JOIN', [3]],
    ['LEAVE', [3]],
    ['STATUS', ['away']],
    'LIST_CONVERSATIONS',
    'GOODBYE',
  ];
  expect(brief(read(stream))).toEqual(expected);
  expect(brief(read(...stream.split('').map(latin)))).toEqual(expected);
  expect(brief(read(` \r\n${stream.replace('LIST', '\nLIST')}`))).toEqual(expected);
});

test('any commands, cut anywhere, are the same commands [P-20]', () => {
  const command = fc.record({
    word: fc.constantFrom('REGISTER', 'STATUS', 'INVITE', 'SEND_MESSAGE', 'JOIN', 'LEAVE'),
    argument: fc.array(fc.oneof(fc.string({ unit: 'grapheme' }), fc.integer(), fc.constant(null)), { maxLength: 4 }),
    protocol: fc.integer({ min: -1, max: 5 }),
  });
  fc.assert(
    fc.property(fc.array(command, { maxLength: 6 }), fc.array(fc.nat(2000), { maxLength: 10 }), (commands, cuts) => {
      const stream = Buffer.concat(
        commands.flatMap(({ word, argument, protocol }) => [
          latin(`${word} `),
          protocol < 0 ? Buffer.from(JSON.stringify(argument)) : pickle(argument as Pickled, protocol),
        ]),
      );
      const places = [0, ...cuts.filter((at) => at < stream.length).sort((a, b) => a - b), stream.length];
      const pieces = places.slice(1).map((end, n) => stream.subarray(places[n], end));
      expect(brief(read(...pieces))).toEqual(commands.map(({ word, argument }) => [word, argument]));
    }),
    { numRuns: 300 },
  );
});

test('what most say is read as everything else is: whole at once, or byte by byte [P-20]', () => {
  const line = fc.string({
    unit: fc.constantFrom("'", '"', '\\', 'a', ' ', '\t', '\r', '~', '\x7f', 'p', '0', '\xe9'),
    maxLength: 9,
  });
  const message = fc.record({
    list: fc.constantFrom('l', 'lp0\n', 'lp12345\n', 'lp20000\n'),
    number: fc.constantFrom('1', '3', '00', '01', '007', '-1', '999999999', '9999999999', 'x'),
    quote: fc.constantFrom("S'", 'S"', 'V', "S '", "V'"),
    line,
    end: fc.constantFrom("'\n", '"\n', '\n', "'\r\n", "' \n"),
    memo: fc.constantFrom('', 'p1\n', 'p0\n', 'p-1\n'),
    rest: fc.constantFrom('a.', 'a.', '.', 'aI1\na.', 'a'),
  });
  const told = (...pieces: string[]): unknown => {
    try {
      return read(...pieces);
    } catch (error) {
      return String(error);
    }
  };
  let plain = 0;
  fc.assert(
    fc.property(message, ({ list, number, quote, line, end, memo, rest }) => {
      const stream = `SEND_MESSAGE (${list}I${number}\na${quote}${line}${end}${memo}${rest}`;
      const whole = told(`${stream}GOODBYE`);
      expect(whole).toEqual(told(...`${stream}GOODBYE`));
      if (Array.isArray(whole) && whole.length === 2) plain += 1;
    }),
    { numRuns: 3000 },
  );
  expect(plain).toBeGreaterThan(100);
});

test('it is told how the client writes [P-23]', () => {
  const dialects = read("STATUS S'a'\n.", 'STATUS ["a"]', 'STATUS \x80\x02U\x01a.', 'STATUS U\x01a.').map(
    ({ dialect }) => dialect,
  );
  expect(dialects).toEqual([
    { form: 'pickle', protocol: 0 },
    { form: 'json' },
    { form: 'pickle', protocol: 2 },
    { form: 'pickle', protocol: 1 },
  ]);
});

test('a single value stands for a list of it [P-24]', () => {
  expect(brief(read('JOIN I3\n.', "STATUS S'away'\n.", 'STATUS "gone"'))).toEqual([
    ['JOIN', [3]],
    ['STATUS', ['away']],
    ['STATUS', ['gone']],
  ]);
});

test('an argument that nobody asked for is left aside; one that is missing is an error of the command alone [P-21]', () => {
  expect(brief(read('GOODBYE (lp0\n.LIST_CONVERSATIONS [] LIST_CONVERSATIONS {"a":1}LEAVE'))).toEqual([
    'GOODBYE',
    'LIST_CONVERSATIONS',
    'LIST_CONVERSATIONS',
  ]);
  expect(brief(read(`JOIN\n${REGISTER}`))).toEqual(['JOIN', ['REGISTER', ['bob', 'online']]]);
  expect(brief(read(`JOIN \n${REGISTER}`))).toEqual(['JOIN', ['REGISTER', ['bob', 'online']]]);
});

test('nothing more comes: what stands there is given up, and the next is read [P-21]', () => {
  const reader = new CommandReader();
  for (const [text, word, known] of [
    ['JOIN', 'JOIN', true],
    ['JOIN ', 'JOIN', true],
    ['HELLO', 'HELLO', false],
    ['REGIS', 'REGIS', false],
  ] as const) {
    reader.push(latin(text));
    expect(reader.next()).toBeUndefined();
    expect(reader.waits).toBe(true);
    expect(reader.giveUp()).toMatchObject({ word, known, argument: undefined });
    expect(reader.waits).toBe(false);
    expect(reader.giveUp()).toBeUndefined();
  }
  reader.push(latin('REGISTER (lp0\n'));
  expect([reader.next(), reader.waits, reader.giveUp()]).toEqual([undefined, false, undefined]);
  reader.push(latin("S'bob'\na."));
  expect(brief(all(reader))).toEqual([['REGISTER', ['bob']]]);
});

test('an unknown word is said to be one, with what follows it left aside [P-22]', () => {
  expect(read(`MAKE_COFFEE (lp0\nI1\na.${REGISTER}`).map(({ word, known }) => [word, known])).toEqual([
    ['MAKE_COFFEE', false],
    ['REGISTER', true],
  ]);
});

test.each([
  'GET / HTTP/1.1\r\n'.replace('GET ', '/'),
  '\x16\x03\x01\x02',
  `${'A'.repeat(40)} `,
  'JOIN [1}',
  'JOIN \xfe',
])('garbage %j is the end [P-22] [P-4]', (text) => {
  expect(() => read(text)).toThrow(code('malformed'));
});

test('no bytes do more than be refused', () => {
  const parts = fc.constantFrom(
    'REGISTER',
    'JOIN',
    ' ',
    '(',
    'lp0\n',
    'I1\n',
    'a',
    '.',
    '[',
    ']',
    '"',
    '\\',
    '\n',
    '{}',
    '\x80',
    'GOODBYE',
  );
  fc.assert(
    fc.property(fc.array(parts, { maxLength: 30 }), fc.uint8Array({ maxLength: 20 }), (words, tail) => {
      try {
        read(words.join(''), tail);
      } catch (error) {
        expect(error).toEqual(code('malformed'));
      }
    }),
    { numRuns: 20_000 },
  );
});
