import { expect, test } from 'vitest';
import { Line } from './line.ts';

test('the cursor goes and deletes by what people see as characters', () => {
  const line = new Line();
  line.insert('a👩‍👩‍👧e\u0301');
  line.left();
  line.left();
  expect(line.cursor).toBe(1);
  line.delete();
  expect(line.text).toBe('ae\u0301');
  line.right();
  line.backspace();
  expect([line.text, line.cursor]).toEqual(['a', 1]);
  line.left();
  line.left();
  line.backspace();
  expect([line.text, line.cursor]).toEqual(['a', 0]);
});

test('words and beginnings are deleted; home and end stay in their row', () => {
  const line = new Line();
  line.set('first row\nsee you, Bob! ');
  line.deleteWord();
  expect(line.text).toBe('first row\nsee you, ');
  line.home();
  expect(line.cursor).toBe('first row\n'.length);
  line.insert('> ');
  line.end();
  expect(line.text.slice(0, line.cursor)).toBe('first row\n> see you, ');
  line.deleteToStart();
  expect(line.text).toBe('');
  line.deleteWord();
  expect(line.text).toBe('');
});

test('what was written can be called back, and what is under way is not lost', () => {
  const line = new Line();
  for (const text of ['one', 'two', 'two', '  ']) {
    line.set(text);
    expect(line.take()).toBe(text);
  }
  line.set('under way');
  line.older();
  expect(line.text).toBe('two');
  line.older();
  line.older();
  expect(line.text).toBe('one');
  line.newer();
  line.newer();
  line.newer();
  expect(line.text).toBe('under way');
});
