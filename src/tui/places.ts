/** Where one can talk: conversations, rooms that one is asked into, and people to whom nothing was said yet. */
import type { Conversation, Person, Presence, Room } from '../api/shapes.ts';

export type Place = {
  /** What operations call it: a room's conversation id, or a handle. Stays the same. */
  target: string;
  title: string;
  room: Room | undefined;
  status: Presence | undefined;
  /** Conversation id; undefined where nothing was said yet. */
  conversation: string | undefined;
  unread: number;
  mentions: number;
  /** ISO time of the last message; empty without one. */
  at: string;
};

/** Conversations with the newest first, then people who are there, then the others. */
export function placesOf(known: {
  me: string;
  conversations: readonly Conversation[];
  rooms: readonly Room[];
  people: readonly Person[];
}): Place[] {
  const people = new Map(known.people.map((person) => [person.handle, person]));
  const rooms = new Map(known.rooms.map((room) => [room.id, room]));
  const places = new Map<string, Place>();
  for (const { id, kind, name, members, unread, mentions, last } of known.conversations) {
    const other = members.find((handle) => handle !== known.me) ?? known.me;
    const target = kind === 'room' ? id : other;
    places.set(target, {
      target,
      title: kind === 'room' ? `#${name}` : other,
      room: rooms.get(id),
      status: people.get(target)?.status,
      conversation: id,
      unread,
      mentions,
      at: last?.at ?? rooms.get(id)?.at ?? '',
    });
  }
  const empty = { conversation: undefined, unread: 0, mentions: 0, at: '', room: undefined, status: undefined };
  for (const room of known.rooms) {
    const open = ['invited', 'owner', 'moderator', 'member'].includes(room.standing);
    if (open && !places.has(room.id)) {
      places.set(room.id, {
        ...empty,
        target: room.id,
        title: `#${room.name}`,
        room,
        conversation: room.id,
        at: room.at,
      });
    }
  }
  for (const { handle, me, blocked, former, status } of known.people) {
    if (me || blocked || former || places.has(handle)) continue;
    places.set(handle, { ...empty, target: handle, title: handle, status });
  }
  return [...places.values()].sort(
    (a, b) => b.at.localeCompare(a.at) || rank(a.status) - rank(b.status) || a.title.localeCompare(b.title),
  );
}

const rank = (status: Presence | undefined): number => (status === undefined || status === 'offline' ? 1 : 0);
