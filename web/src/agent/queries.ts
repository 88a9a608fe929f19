/** What the page asks the agent for, by name; events say when to ask again. */
import { useQuery } from '@tanstack/react-query';
import { client } from './client.ts';

export const keys = {
  status: ['status'],
  conversations: ['conversations'],
  rooms: ['rooms'],
  people: ['people'],
  files: ['files'],
  links: ['links'],
  limits: ['limits'],
  held: ['held'],
} as const;

export const useStatus = () => useQuery({ queryKey: keys.status, queryFn: () => client.status.show() });

export const useConversations = () =>
  useQuery({ queryKey: keys.conversations, queryFn: () => client.conversations.list() });

export const useRooms = () => useQuery({ queryKey: keys.rooms, queryFn: () => client.rooms.list() });

export const usePeople = () => useQuery({ queryKey: keys.people, queryFn: () => client.people.list() });

export const useFiles = () => useQuery({ queryKey: keys.files, queryFn: () => client.files.list() });

export const useLinks = () =>
  // Delays and counters change without an event.
  useQuery({ queryKey: keys.links, queryFn: () => client.links.list(), refetchInterval: 2_000 });
