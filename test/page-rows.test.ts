/** The rows of a long conversation: worked out piece by piece, they are those of the whole. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Message } from '../src/api/shapes.ts';
import { rowsAfter, rowsOf, type Worked } from '../web/src/chat/rows.ts';

const DAY_MS = 86_400_000;

/** What rows look at of a message, and no more. */
const message = (id: number, from: string, at: number): Message =>
  ({ id: String(id), from, at: new Date(at).toISOString() }) as Message;

const talk = fc
  .array(fc.record({ from: fc.constantFrom('a', 'b'), afterMs: fc.constantFrom(0, 60_000, 10 * 60_000, DAY_MS) }), {
    minLength: 1,
    maxLength: 40,
  })
  .map((said) => {
    let at = Date.UTC(2026, 2, 1);
    return said.map(({ from, afterMs }, id) => {
      at += afterMs;
      return message(id, from, at);
    });
  });

test('older ones that come above, one stretch after the other, give the rows of all', () => {
  fc.assert(
    fc.property(talk, fc.array(fc.nat(40), { maxLength: 6 }), fc.option(fc.nat(40)), (all, cuts, mark) => {
      const unreadFrom = mark === null ? undefined : String(mark);
      let worked: Worked | undefined;
      for (const from of [...cuts.map((cut) => cut % all.length).sort((a, b) => b - a), 0]) {
        const messages = all.slice(from);
        const options = { complete: from === 0, unreadFrom };
        worked = rowsAfter(worked, messages, options);
        expect(worked.rows).toEqual(rowsOf(messages, options));
      }
    }),
  );
});

test('one that changed, came between or went away is worked out anew', () => {
  const all = Array.from({ length: 10 }, (_, id) => message(id, 'a', Date.UTC(2026, 2, 1) + id * 60_000));
  const options = { complete: false, unreadFrom: undefined };
  const worked = rowsAfter(undefined, all.slice(5), options);
  const changed = all.map((each, at) => (at === 7 ? message(7, 'b', Date.parse(each.at)) : each));
  expect(rowsAfter(worked, changed, options).rows).toEqual(rowsOf(changed, options));
  const fewer = all.slice(6);
  expect(rowsAfter(worked, fewer, options).rows).toEqual(rowsOf(fewer, options));
});

test('a hundred above a hundred thousand cost what a hundred cost', () => {
  const all = Array.from({ length: 100_100 }, (_, id) => message(id, 'a', Date.UTC(2020, 2, 1) + id * 60_000));
  const options = { complete: false, unreadFrom: undefined };
  const worked = rowsAfter(undefined, all.slice(100), options);
  const { rows } = rowsAfter(worked, all, options);
  // Those of before are the same ones, not made again.
  expect(rows.slice(101).every((row, at) => row === worked.rows[at + 1])).toBe(true);
  expect(rows).toHaveLength(100_100);
});
