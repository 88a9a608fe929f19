import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Key } from '../link/identity.ts';
import { compare, direct, type Head, placeOf } from './conversation.ts';
import { type Entry, entryId, signEntry } from './entry.ts';
import { aheadFrom, checkClock, tick } from './hlc.ts';

const [alice, bob] = [Key.generate(), Key.generate()];
const { id: conversation } = direct(alice.id, bob.id);

type Named = { entry: Entry; id: string; at: number };

function write(author: Key, before: Named[], at: number, text: string): Named {
  const own = before.filter(({ entry }) => entry.author === author.id).at(-1);
  const entry = signEntry(author, {
    conversation,
    author: author.id,
    seq: (own?.entry.seq ?? 0) + 1,
    prev: own?.id ?? null,
    at: tick(at, before.at(-1)?.at),
    kind: 'text',
    body: { text },
  });
  return { entry, id: entryId(entry), at: entry.at };
}

/** What a member holds who is given these entries, again and again until nothing more fits. */
function hold(given: readonly Named[]): { order: string[]; forks: number } {
  const chains = new Map<string, Named[]>();
  let forks = 0;
  for (let before = -1, held = 0; held !== before; ) {
    before = held;
    for (const named of given) {
      const chain = chains.get(named.entry.author) ?? [];
      chains.set(named.entry.author, chain);
      const last = chain.at(-1);
      const head: Head | undefined = last && { seq: last.entry.seq, id: last.id, at: last.at };
      const { place } = placeOf(named.entry, named.id, head, chain[named.entry.seq - 1]?.id);
      if (place === 'next') chain.push(named);
      if (place === 'fork') forks += 1;
    }
    held = [...chains.values()].reduce((sum, chain) => sum + chain.length, 0);
  }
  const all = [...chains.values()].flat().sort(compare);
  return { order: all.map(({ id }) => id), forks };
}

test('every member finds the same order, however entries arrive and however often [C-10] [C-11]', () => {
  const turns = fc.array(fc.record({ who: fc.boolean(), ms: fc.nat(3), text: fc.string() }), {
    minLength: 1,
    maxLength: 12,
  });
  const property = fc.property(turns, fc.infiniteStream(fc.nat()), (said, chance) => {
    const history: Named[] = [];
    for (const { who, ms, text } of said) history.push(write(who ? alice : bob, history, 1000 + ms, text));
    const shuffled = [...history, ...history]
      .map((named) => ({ named, key: chance.next().value ?? 0 }))
      .sort((a, b) => a.key - b.key)
      .map(({ named }) => named);
    const held = hold(shuffled);
    expect(held).toEqual({ order: history.map(({ id }) => id), forks: 0 });
  });
  fc.assert(property, { numRuns: 60 });
});

test('both accounts find the same direct conversation, and another pair finds another [C-5]', () => {
  expect(direct(alice.id, bob.id)).toEqual(direct(bob.id, alice.id));
  expect(direct(alice.id, Key.generate().id).id).not.toBe(conversation);
});

test('an entry stands where its number and its hash say, or nowhere [C-4] [C-8] [C-12] [C-13]', () => {
  const one = write(alice, [], 1000, 'one');
  const two = write(alice, [one], 1000, 'two');
  const head = { seq: 1, id: one.id, at: one.at };
  const other = write(alice, [], 1000, 'another one');
  const onOther = write(alice, [other], 1000, 'two on another');
  const early = signEntry(alice, { ...two.entry, at: one.at });
  const three = write(alice, [one, two], 1000, 'three');
  expect(placeOf(one.entry, one.id, undefined, undefined)).toEqual({ place: 'next' });
  expect(placeOf(two.entry, two.id, head, undefined)).toEqual({ place: 'next' });
  expect(placeOf(one.entry, one.id, head, one.id)).toEqual({ place: 'duplicate' });
  expect(placeOf(other.entry, other.id, head, one.id)).toEqual({ place: 'fork', seq: 1 });
  expect(placeOf(onOther.entry, onOther.id, head, undefined)).toEqual({ place: 'fork', seq: 1 });
  expect(placeOf(three.entry, three.id, head, undefined)).toEqual({ place: 'gap' });
  expect(placeOf(early, entryId(early), head, undefined)).toEqual({ place: 'stale' });
});

test('a clock never repeats, never goes back, and is believed for five minutes [C-8] [C-9]', () => {
  expect(tick(1000, undefined)).toBe(1_000_000);
  expect(tick(1000, 1_000_000)).toBe(1_000_001);
  expect(tick(1000, 5_000_000)).toBe(5_000_001);
  const now = 1_000_000;
  checkClock(aheadFrom(now) - 1, now);
  expect(() => checkClock(aheadFrom(now), now)).toThrow(expect.objectContaining({ code: 'clock_ahead', retry: true }));
});
