/** Makes `rooms.json`, the test vectors of rooms for any language: `node test/vectors/make-rooms.ts > test/vectors/rooms.json`. */
import { canonical } from '../../src/base/encoding.ts';
import {
  type Change,
  type Creation,
  changeId,
  follow,
  founded,
  type Ordered,
  orderedId,
  type RoomState,
  roomId,
  signChange,
  signCreation,
  signOrdered,
} from '../../src/chat/membership.ts';
import type { Key } from '../../src/link/identity.ts';
import { keyFromSeed } from './make-chat.ts';

export type RoomVectors = {
  about: string;
  keys: { name: string; seed: string; id: string }[];
  creation: { signed: string; id: string; creation: Creation };
  /** The order, with who is in the room after each; `effect` is false where a change may not be made. */
  order: {
    what: string;
    signed: string;
    change: string;
    id: string;
    effect: boolean;
    ordered: Ordered;
    after: Shown;
  }[];
  /** What a reader who holds `order` refuses, with the code. */
  refused: { what: string; code: string; ordered: Ordered }[];
};

type Shown = { members: Record<string, string>; invited: string[]; upTo: Record<string, number>; closed: boolean };

export function shown({ members, invited, former, closed }: RoomState): Shown {
  return {
    members: Object.fromEntries([...members].map(([account, { role }]) => [account, role])),
    invited: [...invited.keys()],
    upTo: Object.fromEntries([...former].map(([account, { upTo }]) => [account, upTo])),
    closed: closed !== null,
  };
}

const AT = 1_767_225_600_000;

export function roomVectors(): RoomVectors {
  const keys = ['alice', 'bob', 'carol', 'tracker'].map((name, index) => {
    const seed = `0${index + 1}`.repeat(32);
    return { name, seed, key: keyFromSeed(seed) };
  });
  const [alice, bob, carol, home] = keys.map(({ key }) => key) as [Key, Key, Key, Key]; // four were named
  const creation = signCreation(alice, {
    name: 'Zoë’s team',
    home: home.id,
    history: { last: 50 },
    at: AT,
    nonce: 'n1',
  });
  const base = { conversation: roomId(creation), target: null, role: null, upTo: null };
  let state = founded(creation);
  const order: RoomVectors['order'] = [];
  const next = (change: Change, prev = state.last): Ordered =>
    signOrdered(home, {
      conversation: state.id,
      number: state.number + 1,
      prev,
      change,
      at: AT + 1000 * (state.number + 1),
    });
  const put = (what: string, author: Key, it: Partial<Change> & { type: Change['type'] }): void => {
    const change = signChange(author, { ...base, base: state.number, at: AT + 500, ...it });
    const ordered = next(change);
    const before = JSON.stringify(shown(state));
    state = follow(state, ordered);
    const { sig: _, ...claim } = ordered;
    const signed = `netapp.1 order\n${canonical(claim)}`;
    const after = shown(state);
    const effect = JSON.stringify(after) !== before;
    order.push({ what, signed, change: changeId(change), id: orderedId(ordered), effect, ordered, after });
  };
  put('alice invites bob', alice, { type: 'invite', target: bob.id, role: 'moderator' });
  put('bob joins', bob, { type: 'join' });
  put('bob invites carol', bob, { type: 'invite', target: carol.id, role: 'member' });
  put('carol joins', carol, { type: 'join' });
  put('carol, a member, may not remove bob', carol, { type: 'remove', target: bob.id, upTo: 0 });
  put('alice removes bob', alice, { type: 'remove', target: bob.id, upTo: 7 });
  put('bob removed carol meanwhile: too late', bob, { type: 'remove', target: carol.id, upTo: 0, base: 5 });
  put('carol makes herself an owner: she may not', carol, { type: 'role', target: carol.id, role: 'owner' });
  put('alice, the last owner, may not leave', alice, { type: 'leave', upTo: 3 });

  const close = signChange(alice, { ...base, base: state.number, at: AT + 500, type: 'close' });
  const good = next(close);
  const { sig: _, ...claim } = creation;
  return {
    about:
      'See docs/protocol-rooms.md. Made by test/vectors/make-rooms.ts; keys are Ed25519 seeds in hex, for tests only.',
    keys: keys.map(({ name, seed, key }) => ({ name, seed, id: key.id })),
    creation: { signed: `netapp.1 room\n${canonical(claim)}`, id: roomId(creation), creation },
    order,
    refused: [
      { what: 'a signature of nobody', code: 'bad_signature', ordered: { ...good, at: good.at + 1 } },
      { what: 'another one before it', code: 'forked', ordered: next(close, state.id) },
      { what: 'a number too far', code: 'wrong_state', ordered: { ...good, number: good.number + 1 } },
    ],
  };
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(roomVectors(), null, 2)}\n`);
