import { useMemo } from 'react';
import { useConversations, usePeople, useRooms } from '../agent/queries.ts';
import { useMe } from '../shell/agent.tsx';
import { type Place, placesOf } from './places.ts';

export function usePlaces(): Place[] {
  const me = useMe();
  const { data: conversations = [] } = useConversations();
  const { data: rooms = [] } = useRooms();
  const { data: people = [] } = usePeople();
  return useMemo(() => placesOf({ me, conversations, rooms, people }), [me, conversations, rooms, people]);
}
