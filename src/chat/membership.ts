/** Who is in a room: signed changes, the order that its home tracker gives them, and what follows from both. Pure. */
import { z } from 'zod';
import { canonical, hash } from '../base/encoding.ts';
import { Fault, type FaultCode } from '../base/fault.ts';
import { type Key, peerId, signature, verified } from '../link/identity.ts';
import { hashText } from './entry.ts';

/** Members and invited people of one room: what the fan-out to each of them is measured for. */
export const MOST_MEMBERS = 1000;
/** Ordered changes of one room, ever: each member keeps them all, 60 MB at the most. */
const MOST_CHANGES = 100_000;
const NAME_CHARACTERS = 80;
const MOST_LAST = 10_000;

// Controls, line ends, and characters that turn the direction of what stands beside them.
const unsafe = /[\p{Cc}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;

function isName(text: string): boolean {
  const fits = text.length > 0 && [...text].length <= NAME_CHARACTERS && text.trim() === text;
  return fits && text.isWellFormed() && !unsafe.test(text) && !text.startsWith('#');
}

/** What people call a room. Two rooms may have the same name; the id tells them apart. */
export const roomName = z
  .string()
  .refine(isName, 'a name of 1 to 80 characters on one line, without a "#" or a space at its start');

/** What somebody who joins gets of what was said before. */
export const history = z.union([z.enum(['none', 'all']), z.strictObject({ last: z.int().min(1).max(MOST_LAST) })]);

export type History = z.infer<typeof history>;

const roleName = z.enum(['owner', 'moderator', 'member']);

export type Role = z.infer<typeof roleName>;

/** Unix milliseconds, to the end of the year 9999. */
const time = z.int().min(0).max(253_402_300_799_999);

/** The entry whose id names a room. */
export const creation = z.strictObject({
  kind: z.literal('room'),
  name: roomName,
  /** Account id of the first owner. */
  creator: peerId,
  /** Peer id of the tracker that orders the room's changes. */
  home: peerId,
  history,
  at: time,
  /** Any text: so that two rooms made in one millisecond are two. */
  nonce: z.string().min(1).max(64),
  sig: signature,
});

export type Creation = z.infer<typeof creation>;

const changeType = z.enum(['invite', 'join', 'decline', 'leave', 'remove', 'role', 'close']);

export type ChangeType = z.infer<typeof changeType>;

/** A change of membership, signed by the one who makes it. */
export const change = z.strictObject({
  conversation: hashText,
  author: peerId,
  type: changeType,
  /** Whom it is about, where that is not the author. */
  target: peerId.nullable(),
  /** The role that is given: by `invite` and `role`. */
  role: roleName.nullable(),
  /** Number of the last ordered change that the author knew: what came after is concurrent. */
  base: z.int().min(0),
  /** Of `leave` and `remove`: the highest position of who goes that stands; later entries of theirs never count. */
  upTo: z.int().min(0).nullable(),
  at: time,
  sig: signature,
});

export type Change = z.infer<typeof change>;

/** A change with its place in the room's order, signed by the home tracker. */
export const ordered = z.strictObject({
  conversation: hashText,
  /** From 1 without a hole. */
  number: z.int().min(1),
  /** Id of the ordered change before it; of the first: the conversation's id. */
  prev: hashText,
  change,
  /** By the tracker's clock; never before the one of the change before it. */
  at: time,
  sig: signature,
});

export type Ordered = z.infer<typeof ordered>;

const idOf = ({ sig: _, ...unsigned }: { sig?: string }): string => hash(canonical(unsigned));

export const roomId = (it: Creation): string => idOf(it);
export const changeId = (it: Change): string => idOf(it);
export const orderedId = (it: Ordered): string => idOf(it);

export function signCreation(key: Key, it: Omit<Creation, 'sig' | 'creator' | 'kind'>): Creation {
  const whole = { ...it, kind: 'room' as const, creator: key.id };
  return { ...whole, sig: key.sign('room', whole) };
}

export function creationVerified({ sig, ...claim }: Creation): boolean {
  return verified(claim.creator, 'room', claim, sig);
}

export function signChange(key: Key, it: Omit<Change, 'sig' | 'author'>): Change {
  const whole = { ...it, author: key.id };
  return { ...whole, sig: key.sign('membership', whole) };
}

export function changeVerified({ sig, ...claim }: Change): boolean {
  return verified(claim.author, 'membership', claim, sig);
}

export function signOrdered(home: Key, it: Omit<Ordered, 'sig'>): Ordered {
  return { ...it, sig: home.sign('order', it) };
}

export function orderedVerified({ sig, ...claim }: Ordered, home: string): boolean {
  return verified(home, 'order', claim, sig);
}

type Member = {
  role: Role;
  /** Numbers of the first join ever, and of the present one; 0 for the creator. */
  first: number;
  joined: number;
  /** Unix ms of the present join, by the tracker's clock. */
  joinedAt: number;
};

type Invited = { role: Role; by: string; number: number };

/** Somebody who left, was removed, or did not join. `first`: null for one who never was a member. */
type Former = { first: number | null; upTo: number; left: number; type: 'leave' | 'remove' | 'decline' };

/** Entries after position `upTo` of a time up to `until`, in Unix ms. */
type Lapse = { upTo: number; until: number };

/** What a room is after `number` ordered changes. Never changed: each change makes a new one. */
export type RoomState = {
  readonly id: string;
  readonly creation: Creation;
  readonly number: number;
  /** Id of the last ordered change; of none: the conversation's id. */
  readonly last: string;
  /** Unix ms of the last ordered change. */
  readonly at: number;
  readonly members: ReadonlyMap<string, Member>;
  readonly invited: ReadonlyMap<string, Invited>;
  /** One who was a member before and is invited again stands here too: what they wrote is bounded until they join. */
  readonly former: ReadonlyMap<string, Former>;
  /** Of those who went and came back: what they wrote between, as far as it did not stand then, never will. */
  readonly lapses: ReadonlyMap<string, readonly Lapse[]>;
  /** Unix ms at which it was closed. */
  readonly closed: number | null;
};

/** The room before the first change: its creator alone, as owner. */
export function founded(it: Creation): RoomState {
  const id = roomId(it);
  const creator: Member = { role: 'owner', first: 0, joined: 0, joinedAt: it.at };
  return {
    id,
    creation: it,
    number: 0,
    last: id,
    at: it.at,
    members: new Map([[it.creator, creator]]),
    invited: new Map(),
    former: new Map(),
    lapses: new Map(),
    closed: null,
  };
}

/** Everybody of whom entries may stand: members, and who was one. */
export function authorsOf(state: RoomState): readonly string[] {
  const known = authors.get(state);
  if (known) return known;
  const { members, former } = state;
  const gone = [...former].filter(([account, { first }]) => first !== null && !members.has(account));
  const found = [...members.keys(), ...gone.map(([account]) => account)];
  authors.set(state, found);
  return found;
}

/** Asked for with each receipt; a state is never changed. */
const authors = new WeakMap<RoomState, readonly string[]>();

/** Whether an author's entry counts: of a member all, of one who went those up to `upTo`; none after the end. */
export function stands(state: RoomState, entry: { author: string; seq: number; at: number }): boolean {
  if (state.closed !== null && entry.at > state.closed * 1000) return false;
  const lapses = state.lapses.get(entry.author) ?? [];
  if (lapses.some(({ upTo, until }) => entry.seq > upTo && entry.at <= until * 1000)) return false;
  if (state.members.has(entry.author)) return true;
  const former = state.former.get(entry.author);
  return former?.first != null && entry.seq <= former.upTo;
}

/** Whether somebody may read the order of changes: members, invited people, and those who were either. */
export function mayRead({ members, invited, former }: RoomState, account: string): boolean {
  return members.has(account) || invited.has(account) || former.has(account);
}

/** Whether somebody may take back what others wrote. */
export function mayModerate({ members }: RoomState, account: string): boolean {
  const role = members.get(account)?.role;
  return role === 'owner' || role === 'moderator';
}

/** Whether the members of a change are those that its type wants. */
function formHolds({ type, target, role, upTo }: Change): boolean {
  const wantsTarget = type === 'invite' || type === 'remove' || type === 'role';
  const wantsRole = type === 'invite' || type === 'role';
  const wantsUpTo = type === 'leave' || type === 'remove';
  return (target !== null) === wantsTarget && (role !== null) === wantsRole && (upTo !== null) === wantsUpTo;
}

const owners = (state: RoomState): number => [...state.members.values()].filter(({ role }) => role === 'owner').length;

/**
 * Why a change may not be made in this state, or undefined where it may. The tracker asks before it orders, members
 * before they sign and again before they believe. Looks at no signature.
 */
export function judge(state: RoomState, it: Change): Fault | undefined {
  const refuse = (code: FaultCode, why: string): Fault =>
    new Fault(code, `changing the room "${state.creation.name}" (${it.type}): ${why}`);
  if (!formHolds(it) || it.conversation !== state.id) return refuse('invalid_argument', 'it is not of its form');
  if (it.base > state.number) {
    return refuse('wrong_state', `it builds on change ${it.base}, of ${state.number} that are known here`);
  }
  if (state.number >= MOST_CHANGES) return refuse('too_many', `it has had ${MOST_CHANGES} changes; make a new room`);
  if (state.closed !== null) return refuse('wrong_state', 'it is closed');
  if (it.type === 'join' || it.type === 'decline') return judgeAnswer(state, it, refuse);

  const author = state.members.get(it.author);
  if (!author) return refuse('forbidden', 'its author is no member');
  // What was signed before its author was removed and came back is of a membership that is over.
  if (it.base < author.joined) return refuse('forbidden', 'its author signed it before joining');
  if (it.type === 'leave' || it.type === 'close') return judgeOwn(state, it, author, refuse);
  return judgeAbout(state, it, author, refuse);
}

type Refuse = (code: FaultCode, why: string) => Fault;

function judgeAnswer(state: RoomState, it: Change, refuse: Refuse): Fault | undefined {
  if (state.members.has(it.author)) return refuse('exists', 'you are a member already');
  const invited = state.invited.get(it.author);
  if (!invited) return refuse('forbidden', 'there is no invitation, or no longer');
  if (it.base < invited.number) return refuse('forbidden', 'it answers an earlier invitation');
  return undefined;
}

function judgeOwn(state: RoomState, it: Change, author: Member, refuse: Refuse): Fault | undefined {
  if (it.type === 'close') return author.role === 'owner' ? undefined : refuse('forbidden', 'only an owner may');
  if (author.role !== 'owner' || owners(state) > 1) return undefined;
  return refuse('wrong_state', 'its last owner may not leave; make somebody else an owner first, or close it');
}

function judgeAbout(state: RoomState, it: Change, author: Member, refuse: Refuse): Fault | undefined {
  const target = it.target ?? '';
  const member = state.members.get(target);
  if (author.role === 'member') return refuse('forbidden', 'only owners and moderators may');
  // Whoever invites or promotes without knowing that the person went meanwhile does not bring them back.
  const went = state.former.get(target)?.left ?? 0;
  if (it.type === 'invite') {
    if (member || state.invited.has(target)) return refuse('exists', 'they are a member or invited already');
    if (it.role !== 'member' && author.role !== 'owner')
      return refuse('forbidden', `only an owner may invite a ${it.role}`);
    if (it.base < went) return refuse('wrong_state', 'they went or were removed meanwhile; invite them anew');
    if (state.members.size + state.invited.size < MOST_MEMBERS) return undefined;
    return refuse('too_many', `it has ${MOST_MEMBERS} members and invited people, which is the most`);
  }
  if (it.type === 'role') {
    if (author.role !== 'owner') return refuse('forbidden', 'only an owner may');
    if (!member || it.base < member.joined) return refuse('wrong_state', 'they are no member, or went meanwhile');
    const demotes = member.role === 'owner' && it.role !== 'owner';
    return demotes && owners(state) === 1
      ? refuse('wrong_state', 'it needs an owner; make another one first')
      : undefined;
  }
  if (target === it.author) return refuse('invalid_argument', 'it removes its own author: leave instead');
  if (!member && !state.invited.has(target)) return refuse('wrong_state', 'they are neither a member nor invited');
  if (member?.role === 'owner' && author.role !== 'owner')
    return refuse('forbidden', 'only an owner may remove an owner');
  return undefined;
}

/** The state after an ordered change, whose signatures hold. One that may not be made takes its number and does nothing. */
export function step(state: RoomState, it: Ordered): RoomState {
  const next = { ...state, number: it.number, last: orderedId(it), at: it.at };
  return judge(state, it.change) ? next : { ...next, ...effect(state, it) };
}

function lapsed({ lapses }: RoomState, account: string, upTo: number, until: number): Pick<RoomState, 'lapses'> {
  return { lapses: new Map(lapses).set(account, [...(lapses.get(account) ?? []), { upTo, until }]) };
}

function effect(state: RoomState, { number, at, change: it }: Ordered): Partial<RoomState> {
  const { author, type } = it;
  const target = it.target ?? author;
  const [members, invited, former] = [new Map(state.members), new Map(state.invited), new Map(state.former)];
  const before = former.get(target);
  const member = members.get(target);
  switch (type) {
    case 'close':
      return { closed: at };
    case 'invite':
      invited.set(target, { role: it.role ?? 'member', by: author, number });
      return { invited };
    case 'join':
      members.set(target, {
        role: invited.get(target)?.role ?? 'member',
        first: before?.first ?? number,
        joined: number,
        joinedAt: at,
      });
      invited.delete(target);
      former.delete(target);
      return { members, invited, former, ...(before?.first != null && lapsed(state, target, before.upTo, at)) };
    case 'role':
      if (member) members.set(target, { ...member, role: it.role ?? member.role });
      return { members };
    default: {
      const upTo = member ? (it.upTo ?? 0) : (before?.upTo ?? 0);
      former.set(target, { first: member?.first ?? before?.first ?? null, upTo, left: number, type });
      members.delete(target);
      invited.delete(target);
      return { members, invited, former };
    }
  }
}

/**
 * Takes the next ordered change, as far as its tracker can be trusted with it: place and signature. One whose author did
 * not sign it takes its number and does nothing: `signed` says which. Throws `forked`, `bad_signature`, `wrong_state` (it does not come next).
 */
export function followed(state: RoomState, it: Ordered): { state: RoomState; signed: boolean } {
  const what = `taking change ${it.number} of the room "${state.creation.name}"`;
  if (it.conversation !== state.id || it.number !== state.number + 1) {
    throw new Fault('wrong_state', `${what}: change ${state.number + 1} comes next`);
  }
  if (!orderedVerified(it, state.creation.home)) {
    throw new Fault('bad_signature', `${what}: the room’s home tracker did not sign it`);
  }
  if (it.prev !== state.last)
    throw new Fault('forked', `${what}: it does not follow change ${state.number} as known here`);
  if (it.at < state.at && state.number > 0)
    throw new Fault('malformed', `${what}: its time is before the one before it`);
  if (changeVerified(it.change)) return { state: step(state, it), signed: true };
  return { state: { ...state, number: it.number, last: orderedId(it), at: it.at }, signed: false };
}

/** The state alone that `followed` gives. */
export const follow = (state: RoomState, it: Ordered): RoomState => followed(state, it).state;

/**
 * The state that a heap of ordered changes gives, in whatever order and however often each is there: up to the first that
 * is missing. Throws `forked` where the tracker signed two for one number.
 */
export function gather(it: Creation, heap: readonly Ordered[]): RoomState {
  const sorted = heap.filter((each) => orderedVerified(each, it.home)).sort((a, b) => a.number - b.number);
  let state = founded(it);
  for (const [index, each] of sorted.entries()) {
    const before = sorted[index - 1];
    if (before?.number === each.number) {
      if (orderedId(before) !== orderedId(each)) throw forked(state, each.number);
      continue;
    }
    if (each.number !== state.number + 1) break;
    state = follow(state, each);
  }
  return state;
}

export function forked({ creation: { name } }: RoomState, number: number): Fault {
  return new Fault(
    'forked',
    `ordering the room "${name}": its home tracker signed two changes for number ${number}; membership stays as it was before`,
  );
}
