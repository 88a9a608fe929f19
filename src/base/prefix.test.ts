import { expect, test } from 'vitest';
import { idOf } from './prefix.ts';

const all = ['abcdefgh', 'abcdefgi', ...Array.from({ length: 9 }, (_, n) => `zzzzzz${n}`), 'short'];
const ids = {
  known: (id: string) => all.includes(id),
  beginning: (text: string, most: number) => all.filter((id) => id.startsWith(text)).slice(0, most),
};

test('an id is meant by itself, however short, and by a beginning that is no other’s', () => {
  expect(idOf('file', 'short', ids)).toBe('short');
  expect(idOf('file', 'abcdefgh', ids)).toBe('abcdefgh');
  expect(idOf('file', 'zzzzzz8', ids)).toBe('zzzzzz8');
});

test.each([
  ['abcdefg', 'looking for the file "abcdefg": several begin so; say which: abcdefgh, abcdefgi'],
  ['zzzzzz', /several begin so; say which: (zzzzzz\d, ){4}zzzzzz4, and more$/],
  ['abcde', 'looking for the file "abcde": there is none; give at least 6 characters of its id'],
  ['nothing', 'looking for the file "nothing": there is none'],
])('"%s" means none: it says why', (text, message) => {
  const expected = expect.objectContaining({ code: 'unknown_id', message: expect.stringMatching(message) });
  expect(() => idOf('file', text, ids)).toThrow(expected);
});
