import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Store } from '../base/sqlite.ts';
import { mentionsIn } from './mention.ts';
import { fold, matchOf, snippet, wordsIn } from './search.ts';

/** Whether a search for `query` finds `text`, by the index as chat makes it. */
function finds(text: string, query: string): boolean {
  using store = new Store(':memory:');
  store
    .prepare("CREATE VIRTUAL TABLE s USING fts5 (text, content = '', contentless_delete = 1, tokenize = 'ascii')")
    .run();
  store.prepare('INSERT INTO s (rowid, text) VALUES (1, ?)').run(fold(text));
  return store.prepare('SELECT rowid FROM s WHERE s MATCH ?').get(matchOf(wordsIn(query))) !== undefined;
}

const marked = (text: string, query: string): string =>
  snippet(text, wordsIn(query))
    .map((part) => (part.hit ? `[${part.text}]` : part.text))
    .join('');

test.each([
  ['See you in Đà Nẵng', 'da nang', 'See you in [Đà] [Nẵng]'],
  ['Straße nach Łódź', 'strasse lodz', '[Straße] nach [Łódź]'],
  ['the meeting is at ten', 'meet', 'the [meeting] is at ten'],
  ['file-name.txt is here', 'file-name', '[file-name].txt is here'],
  ['明日の会議は三時です', '会議', '明日の[会議]は三時です'],
  ['👍🏽 great', 'great', '👍🏽 [great]'],
  ['café', 'CAFÉ', '[café]'],
  ['AND OR NOT "quoted" NEAR(x)', 'NOT "quoted', 'AND OR [NOT] "[quoted]" NEAR(x)'],
])('"%s" is found by "%s", and marked', (text, query, shown) => {
  expect(finds(text, query)).toBe(true);
  expect(marked(text, query)).toBe(shown);
});

test('every word must be there, and a word from its beginning', () => {
  expect(finds('see you at three', 'you four')).toBe(false);
  expect(finds('see you at three', 'hree')).toBe(false);
});

test('no input is a syntax error, and a text is found by each of its own words', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'grapheme', maxLength: 60 }),
      fc.string({ unit: 'binary', maxLength: 30 }),
      (text, odd) => {
        if (wordsIn(odd).length > 0) expect(typeof finds(text, odd)).toBe('boolean');
        const words = wordsIn(text);
        if (words.length > 0) expect(finds(text, text)).toBe(true);
      },
    ),
    { numRuns: 300 },
  );
});

test('a snippet of a long text is short, shows the hit, and takes no character apart', () => {
  const text = `${'🙂 word '.repeat(100)}needle${' more 🙂'.repeat(100)}`;
  const shown = marked(text, 'needle');
  expect(shown).toContain('[needle]');
  expect(shown.length).toBeLessThan(200);
  expect(shown.isWellFormed()).toBe(true);
});

test.each([
  ['hi @bob', ['bob@lab', 'bob@other']],
  ['hi @bob@lab.', ['bob@lab']],
  ['@Bob, @ANN!', ['bob@lab', 'ann.b@lab', 'bob@other'].filter((handle) => handle.startsWith('bob'))],
  ['@ann.b.', ['ann.b@lab']],
  ['write to me@bob or x@bob@lab', []],
  ['@bobby @@bob', []],
  ['no one', []],
])('"%s" names %j [H-6]', (text, named) => {
  expect(mentionsIn(text, ['bob@lab', 'ann.b@lab', 'bob@other']).sort()).toEqual([...named].sort());
});
