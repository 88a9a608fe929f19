/** The state of a room is a function of its order alone, whatever comes twice, late, forged or without authority. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Fault } from '../base/fault.ts';
import { Key } from '../link/identity.ts';
import {
  type Change,
  type ChangeType,
  creation as creationForm,
  follow,
  founded,
  gather,
  judge,
  MOST_MEMBERS,
  mayRead,
  type Ordered,
  orderedId,
  type Role,
  type RoomState,
  roomName,
  signChange,
  signCreation,
  signOrdered,
  stands,
} from './membership.ts';

const home = Key.generate();
const people = Array.from({ length: 5 }, () => Key.generate());
const [alice, bob, carol] = people as [Key, Key, Key, ...Key[]]; // five were made above
const creation = signCreation(alice, { name: 'team', home: home.id, history: 'all', at: 1000, nonce: 'n' });

type Wish = { type: ChangeType; target?: string; role?: Role; upTo?: number; base?: number };

const changeOf = (state: RoomState, author: Key, { type, target, role, upTo, base }: Wish): Change =>
  signChange(author, {
    conversation: state.id,
    type,
    target: target ?? null,
    role: role ?? null,
    upTo: upTo ?? null,
    base: base ?? state.number,
    at: 2000,
  });

const order = (state: RoomState, change: Change): Ordered =>
  signOrdered(home, {
    conversation: state.id,
    number: state.number + 1,
    prev: state.last,
    change,
    at: 3000 + state.number,
  });

const then = (state: RoomState, author: Key, wish: Wish): RoomState =>
  follow(state, order(state, changeOf(state, author, wish)));

const joined = (state: RoomState, key: Key, role: Role = 'member'): RoomState => {
  const asked = then(state, alice, { type: 'invite', target: key.id, role });
  return then(asked, key, { type: 'join' });
};

const code = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof Fault) return error.code;
  }
  return 'taken';
};

/** What a room is, without how often it changed. */
const essence = ({ members, invited, former, closed }: RoomState) => ({
  members: [...members].map(([account, { role }]) => `${account} ${role}`).sort(),
  invited: [...invited.keys()].sort(),
  former: [...former].map(([account, { upTo }]) => `${account} ${upTo}`).sort(),
  closed,
});

const wish = fc.record({
  author: fc.integer({ min: 0, max: 4 }),
  target: fc.integer({ min: 0, max: 4 }),
  type: fc.constantFrom<ChangeType>('invite', 'invite', 'join', 'join', 'decline', 'leave', 'remove', 'role', 'close'),
  role: fc.constantFrom<Role>('owner', 'moderator', 'member'),
  behind: fc.integer({ min: 0, max: 3 }),
  forged: fc.constantFrom(false, false, false, false, true),
  checked: fc.boolean(),
});

/** A tracker's order of what everybody wishes, some of it concurrent; an unchecked wish is ordered whatever it is. */
function play(wishes: readonly (typeof wish extends fc.Arbitrary<infer T> ? T : never)[]): {
  heap: Ordered[];
  states: RoomState[];
} {
  const states = [founded(creation)];
  const heap: Ordered[] = [];
  for (const { author, target, type, role, behind, forged, checked } of wishes) {
    const state = states.at(-1) ?? founded(creation);
    const key = people[author] ?? alice;
    const about = type === 'invite' || type === 'remove' || type === 'role';
    const change = changeOf(state, key, {
      type,
      ...(about && { target: people[target]?.id ?? '' }),
      ...((type === 'invite' || type === 'role') && { role }),
      ...((type === 'leave' || type === 'remove') && { upTo: target }),
      base: Math.max(0, state.number - behind),
    });
    if (checked && judge(state, change)) continue;
    const ordered = order(state, forged ? { ...change, at: change.at + 1 } : change);
    heap.push(ordered);
    states.push(follow(state, ordered));
  }
  return { heap, states };
}

test('reordered, repeated and with holes: the same state for everybody, up to the first hole [R-5]', () => {
  const property = fc.property(
    fc.array(wish, { maxLength: 15 }),
    fc.infiniteStream(fc.nat()),
    fc.nat(),
    (wishes, noise, cut) => {
      const { heap, states } = play(wishes);
      const last = states.at(-1);
      const mixed = [...heap, ...heap.slice(0, 3)]
        .map((it) => ({ it, at: noise.next().value }))
        .sort((a, b) => a.at - b.at);
      expect(
        gather(
          creation,
          mixed.map(({ it }) => it),
        ),
      ).toEqual(last);
      if (heap.length === 0) return;
      const hole = cut % heap.length;
      expect(
        gather(
          creation,
          heap.filter((_, index) => index !== hole),
        ),
      ).toEqual(states[hole]);
    },
  );
  fc.assert(property, { numRuns: 60 });
});

test('a forged or unauthorised change takes its number and changes nothing; there is always an owner [R-6] [R-8]', () => {
  const property = fc.property(fc.array(wish, { maxLength: 15 }), (wishes) => {
    const { heap, states } = play(wishes);
    for (const [index, { change }] of heap.entries()) {
      const [before, after] = [states[index] ?? founded(creation), states[index + 1] ?? founded(creation)];
      expect(after.number).toBe(before.number + 1);
      const isForged = change.at !== 2000;
      if (isForged || judge(before, change)) expect(essence(after)).toEqual(essence(before));
      else if (change.type !== 'role')
        expect(essence(after)).not.toEqual(essence({ ...before, closed: before.closed === null ? null : -1 }));
      expect([...after.members.values()].some(({ role }) => role === 'owner')).toBe(true);
      for (const account of after.members.keys()) expect(after.invited.has(account)).toBe(false);
    }
  });
  fc.assert(property, { numRuns: 60 });
});

test('removal wins over what is concurrent with it, in whichever order the tracker puts the two [R-9]', () => {
  const room = joined(joined(founded(creation), bob, 'moderator'), carol, 'moderator');
  const base = room.number;
  const removal = changeOf(room, alice, { type: 'remove', target: bob.id, upTo: 4 });
  const others = [
    changeOf(room, alice, { type: 'role', target: bob.id, role: 'member' }),
    changeOf(room, bob, { type: 'remove', target: carol.id, upTo: 0 }),
    changeOf(room, bob, { type: 'leave', upTo: 9 }),
  ];
  for (const other of others) {
    for (const pair of [
      [removal, other],
      [other, removal],
    ]) {
      const end = pair.reduce((state, change) => follow(state, order(state, change)), room);
      expect(end.members.has(bob.id)).toBe(false);
    }
  }
  // Who invites without knowing of the removal does not bring the removed one back.
  const removed = follow(room, order(room, removal));
  const blind = changeOf(removed, carol, { type: 'invite', target: bob.id, role: 'member', base });
  expect(judge(removed, blind)?.code).toBe('wrong_state');
  const knowing = changeOf(removed, carol, { type: 'invite', target: bob.id, role: 'member' });
  expect(judge(removed, knowing)).toBeUndefined();
  // And what was signed before it is of a membership that is over, also after coming back.
  const back = then(follow(removed, order(removed, knowing)), bob, { type: 'join' });
  expect(judge(back, changeOf(back, bob, { type: 'leave', upTo: 0, base }))?.code).toBe('forbidden');
});

test('entries of one who went stand up to the stated position, none after the end [R-10] [R-11]', () => {
  const room = joined(founded(creation), bob);
  const entry = { author: bob.id, seq: 3, at: 1 };
  expect(stands(founded(creation), entry)).toBe(false);
  expect(stands(room, { ...entry, seq: 99 })).toBe(true);
  const gone = then(room, alice, { type: 'remove', target: bob.id, upTo: 3 });
  expect([3, 4].map((seq) => stands(gone, { ...entry, seq }))).toEqual([true, false]);
  const asked = then(gone, alice, { type: 'invite', target: bob.id, role: 'member' });
  expect([3, 4].map((seq) => stands(asked, { ...entry, seq }))).toEqual([true, false]);
  const closed = then(room, alice, { type: 'close' });
  const end = (closed.closed ?? 0) * 1000;
  expect([end, end + 1].map((at) => stands(closed, { ...entry, at }))).toEqual([true, false]);
});

test('what a tracker cannot do: sign for another, leave one out, or give two of one number [R-5]', () => {
  const room = joined(founded(creation), bob);
  const next = order(room, changeOf(room, bob, { type: 'leave', upTo: 0 }));
  expect(code(() => follow(room, { ...next, at: next.at + 1 }))).toBe('bad_signature');
  expect(code(() => follow(founded(creation), next))).toBe('wrong_state');
  const { sig: _, ...claim } = next;
  expect(code(() => follow(room, signOrdered(home, { ...claim, prev: room.id })))).toBe('forked');
  const other = order(room, changeOf(room, alice, { type: 'close' }));
  expect(orderedId(other)).not.toBe(orderedId(next));
  const before = order(founded(creation), changeOf(founded(creation), alice, { type: 'close' }));
  const twin = order(
    founded(creation),
    changeOf(founded(creation), alice, { type: 'invite', target: bob.id, role: 'member' }),
  );
  expect(code(() => gather(creation, [before, twin]))).toBe('forked');
});

test('who may read the order; how many may be in a room; what a name may be [R-2] [R-7] [R-12]', () => {
  const room = then(founded(creation), alice, { type: 'invite', target: bob.id, role: 'member' });
  expect([alice, bob, carol].map(({ id }) => mayRead(room, id))).toEqual([true, true, false]);
  expect(mayRead(then(room, bob, { type: 'decline' }), bob.id)).toBe(true);
  const full = {
    ...room,
    invited: new Map(
      Array.from({ length: MOST_MEMBERS }, (_, n) => [`${n}`, { role: 'member' as const, by: alice.id, number: 1 }]),
    ),
  };
  expect(judge(full, changeOf(full, alice, { type: 'invite', target: carol.id, role: 'member' }))?.code).toBe(
    'too_many',
  );
  const taken = ['team', 'Ünï team 🙂', 'x'.repeat(80), 'a/b'].map((name) => roomName.safeParse(name).success);
  expect(taken).toEqual([true, true, true, true]);
  const bad = ['', ' a', 'a ', 'x'.repeat(81), 'a\nb', 'a\u202eb', '\u0007', '#a', '\ud800'];
  expect(bad.filter((name) => roomName.safeParse(name).success)).toEqual([]);
  expect(creationForm.safeParse({ ...creation, extra: 1 }).success).toBe(false);
});
