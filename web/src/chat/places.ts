/** Where one can talk: conversations, rooms that one is asked into, and people to whom nothing was said yet. */
import type { Conversation, Message, Person, Presence, Room } from '../../../src/api/shapes.ts';

export type Place = {
  /** What operations call it: a room's conversation id, or a handle. Stays the same. */
  target: string;
  /** Name of the room, or the handle. */
  name: string;
  isRoom: boolean;
  room: Room | undefined;
  person: Person | undefined;
  status: Presence | undefined;
  /** Conversation id; undefined where nothing was said yet. */
  conversation: string | undefined;
  unread: number;
  mentions: number;
  last: Message | null;
  /** ISO time of what happened last; empty where nothing did. */
  at: string;
};

type Known = {
  me: string;
  conversations: readonly Conversation[];
  rooms: readonly Room[];
  people: readonly Person[];
};

const OPEN = ['invited', 'owner', 'moderator', 'member'];

/** Invitations, then conversations with the newest first, then people who are there, then the others. */
export function placesOf({ me, conversations, rooms, people }: Known): Place[] {
  const byHandle = new Map(people.filter(({ former }) => !former).map((person) => [person.handle, person]));
  const byId = new Map(rooms.map((room) => [room.id, room]));
  const places = new Map<string, Place>();
  for (const { id, kind, name, members, unread, mentions, last } of conversations) {
    const isRoom = kind === 'room';
    const other = members.find((handle) => handle !== me) ?? me;
    const target = isRoom ? id : other;
    const room = byId.get(id);
    const person = isRoom ? undefined : byHandle.get(other);
    places.set(target, {
      target,
      name: isRoom ? (name ?? '') : other,
      isRoom,
      room,
      person,
      status: person?.status,
      conversation: id,
      unread,
      mentions,
      last,
      at: last?.at ?? room?.at ?? '',
    });
  }
  const empty = { unread: 0, mentions: 0, last: null, at: '' };
  for (const room of rooms) {
    if (!OPEN.includes(room.standing) || places.has(room.id)) continue;
    const { id, name, at } = room;
    places.set(id, {
      ...empty,
      target: id,
      name,
      isRoom: true,
      room,
      person: undefined,
      status: undefined,
      conversation: id,
      at,
    });
  }
  for (const person of byHandle.values()) {
    const { handle, me: isMe, blocked, status } = person;
    if (isMe || blocked || places.has(handle)) continue;
    places.set(handle, {
      ...empty,
      target: handle,
      name: handle,
      isRoom: false,
      room: undefined,
      person,
      status,
      conversation: undefined,
    });
  }
  return [...places.values()].sort(
    (a, b) =>
      Number(isInvitation(b)) - Number(isInvitation(a)) ||
      b.at.localeCompare(a.at) ||
      rank(a.status) - rank(b.status) ||
      a.name.localeCompare(b.name),
  );
}

export const isInvitation = ({ room }: Place): boolean => room?.standing === 'invited';

const rank = (status: Presence | undefined): number => (status === undefined || status === 'offline' ? 1 : 0);
