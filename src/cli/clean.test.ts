import { expect, test } from 'vitest';
import { cleanLine, cleanText, jsonLine } from './clean.ts';

test.each([
  ['colour and title sequences', '\u001b[31mred\u001b]0;title\u0007!', 'red!'],
  ['8-bit control sequences', 'a\u009b31mb', 'ab'],
  ['a carriage return that would overwrite', 'name\rroot', 'nameroot'],
  ['backspaces', 'safe\b\b\b\bevil', 'safeevil'],
  ['reversal of a file name', 'gpj.\u202eexe.pdf', 'gpj.exe.pdf'],
  ['isolates', '\u2066a\u2069', 'a'],
  ['lone surrogates', 'a\ud800b', 'a\ufffdb'],
])('%s are taken out', (_name, dirty, clean) => {
  expect(cleanLine(dirty)).toBe(clean);
});

test('letters of all scripts and joined emoji stay', () => {
  expect(cleanLine('Đặng שלום 👩‍💻')).toBe('Đặng שלום 👩‍💻');
});

test('line breaks stay only where several lines may be', () => {
  expect(cleanText('a\r\nb')).toBe('a\nb');
  expect(cleanLine('a\nb\tc')).toBe('a b c');
});

test('JSON is safe to show, and loses nothing', () => {
  const value = { text: 'a\u001b[31m\u009b2J\u202egnp\u2028\u007f é', none: null };
  expect(jsonLine(value)).toMatch(/^[ -~é]+$/);
  expect(JSON.parse(jsonLine(value))).toEqual(value);
  expect(jsonLine(undefined)).toBe('null');
});
