import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Key } from '../link/identity.ts';
import { compare, safetyOf } from './safety.ts';

const vector = JSON.parse(readFileSync(new URL('../../test/vectors/safety.json', import.meta.url), 'utf8'));
const [a, b] = vector.accounts;

test('the test vector: the same for both, whoever asks [D-58] [D-59]', () => {
  const { number, words, uri } = vector;
  expect(safetyOf(a, b)).toEqual({ number, words, uri });
  expect(safetyOf(b, a)).toEqual({ number, words, uri });
  expect(number).toMatch(/^(\d{5} ){11}\d{5}$/);
  expect(words.split(' ')).toHaveLength(16);
  const digest = createHash('sha512').update(vector.hashed).digest();
  expect(number.slice(0, 5)).toBe(String(digest.readUIntBE(0, 5) % 100_000).padStart(5, '0'));
});

test('another key gives another number, in every form', () => {
  const [one, other] = [safetyOf(a, b), safetyOf(a, Key.generate().id)];
  expect(other.number).not.toBe(one.number);
  expect(other.words).not.toBe(one.words);
  expect(other.uri).not.toBe(one.uri);
});

test('what the other side shows is compared in any form, however it was typed', () => {
  const safety = safetyOf(a, b);
  expect(compare(safety, safety.number)).toBe('number');
  expect(compare(safety, safety.number.replaceAll(' ', ''))).toBe('number');
  expect(compare(safety, ` ${safety.number.replaceAll(' ', '-')}\n`)).toBe('number');
  expect(compare(safety, safety.words.toUpperCase().replaceAll(' ', '  '))).toBe('words');
  expect(compare(safety, safety.uri)).toBe('uri');
});

test('another pair’s is wrong_key in every form, and what is none of them is invalid_argument', () => {
  const [safety, other] = [safetyOf(a, b), safetyOf(a, Key.generate().id)];
  for (const shown of [other.number, other.words, other.uri]) {
    expect(() => compare(safety, shown)).toThrow(expect.objectContaining({ code: 'wrong_key' }));
  }
  for (const shown of [
    '',
    'yes',
    '12345',
    safety.number.slice(1),
    `${safety.uri}/`,
    safety.words.replace(/ \w+$/, ''),
  ]) {
    expect(() => compare(safety, shown)).toThrow(expect.objectContaining({ code: 'invalid_argument' }));
  }
});
