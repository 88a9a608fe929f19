import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RUNGS } from '../link/rung.ts';
import { type Rival, winsOver } from './rivals.ts';

const way = (rung: (typeof RUNGS)[number], instead = false): Rival['way'] => ({ rung, instead });
const a = (dialled: boolean, over: Partial<Rival> = {}): Rival => ({
  open: true,
  peer: 'b',
  dialled,
  since: 0,
  way: undefined,
  ...over,
});
const at = { self: 'a', now: 1000 };

test('of two links that were dialled at once, the one that the lower node id dialled [L-30]', () => {
  expect(winsOver(a(true), a(false), at)).toBe(true);
  expect(winsOver(a(false), a(true), at)).toBe(false);
  expect(winsOver(a(true, { way: way('lan') }), a(false, { way: way('lan') }), at)).toBe(true);
});

test('the one on the nearer rung, and before that the one that was dialled instead of another [N-72]', () => {
  expect(winsOver(a(false, { way: way('lan') }), a(true, { way: way('relay') }), at)).toBe(true);
  expect(winsOver(a(true, { way: way('relay') }), a(false, { way: way('lan') }), at)).toBe(false);
  expect(winsOver(a(false, { way: way('relay', true) }), a(true, { way: way('lan') }), at)).toBe(true);
});

test('a link that has stood for long, or has ended, gives way to whatever comes: its other side has it no more [N-72]', () => {
  const settled = { ...at, now: 20_000 };
  expect(winsOver(a(false, { way: way('relay') }), a(true, { way: way('lan') }), settled)).toBe(true);
  expect(winsOver(a(false), a(true, { open: false }), at)).toBe(true);
  expect(winsOver(a(false), a(true), settled)).toBe(false); // a node of an earlier version goes by its id alone
});

test('both nodes keep the same one of any two links, in whichever order they come about [N-72]', () => {
  const link = fc.record({
    byA: fc.boolean(),
    rung: fc.constantFrom(...RUNGS),
    instead: fc.boolean(),
  });
  fc.assert(
    fc.property(link, link, fc.boolean(), fc.boolean(), (one, other, orderA, orderB) => {
      fc.pre(one.byA !== other.byA); // of two that one node dialled, it says itself which it wants
      const seen = (self: 'a' | 'b', each: typeof one): Rival => ({
        open: true,
        peer: self === 'a' ? 'b' : 'a',
        dialled: each.byA === (self === 'a'),
        since: 0,
        way: { rung: each.rung, instead: each.instead },
      });
      const kept = (self: 'a' | 'b', isInOrder: boolean): unknown => {
        const [first, second] = isInOrder ? [one, other] : [other, one];
        return winsOver(seen(self, second), seen(self, first), { self, now: 1 }) ? second : first;
      };
      expect(kept('a', orderA)).toBe(kept('b', orderB));
    }),
  );
});
