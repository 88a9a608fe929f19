import { expect, test } from 'vitest';
import { beforeBreak, cutWords, quoted } from './words.ts';

test.each([
  ['netapp say b', ['netapp', 'say'], 'b', ''],
  ['netapp say ', ['netapp', 'say'], '', ''],
  ["netapp  say '#my te", ['netapp', 'say'], '#my te', "'"],
  ['netapp say "a\\"b', ['netapp', 'say'], 'a"b', '"'],
  ["a 'b c'd\\ e f", ['a', 'b cd e'], 'f', ''],
  ['a \\', ['a'], '\\', ''],
  ["a ''", ['a'], '', ''],
  ['', [], '', ''],
])('cuts %j', (line, words, current, quote) => {
  expect(cutWords(line)).toMatchObject({ words, current, quote });
});

test('what is quoted is one word again, and the value', () => {
  for (const value of ['bob@lab', '#team', "it's", 'a b', '$(x)', '`x`', '~', 'ünï', '!!', 'a\\b', '"']) {
    expect(cutWords(`netapp ${quoted(value, '')}`).current).toBe(value);
    if (!value.includes('!')) expect(cutWords(`netapp "${quoted(value, '"')}`).current).toBe(value);
    if (!value.includes("'")) expect(cutWords(`netapp '${quoted(value, "'")}`).current).toBe(value);
  }
  expect([quoted("it's", "'"), quoted('oh!', '"')]).toEqual([undefined, undefined]);
});

test('what readline replaces begins behind its breaks, but with an @ in front', () => {
  const breaks = ' \t\n"\'@><=;|&(:';
  const from = (word: string) => word.slice(beforeBreak(cutWords(`x ${word}`), breaks));
  expect(['--a=b', 'bob@l', 'a:b', 'a\\:b', '#te', "'a:b"].map(from)).toEqual(['b', '@l', 'b', 'a\\:b', '#te', 'a:b']);
});
