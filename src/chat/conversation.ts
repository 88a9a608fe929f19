/** What a conversation is: who is in it, in which order its entries stand, and where an entry fits. Pure. */
import { canonical, hash } from '../base/encoding.ts';
import type { Entry } from './entry.ts';

export type Conversation = { id: string; kind: 'direct' | 'room'; members: readonly string[] };

/** The direct conversation of two accounts: both find the same one without asking. [C-5] */
export function direct(a: string, b: string): Conversation {
  const members = [a, b].sort();
  return { id: hash(canonical({ kind: 'direct', members })), kind: 'direct', members };
}

export type Order = { at: number; id: string };

/** The order of entries, the same on every member: by time, then by id. [C-10] */
export function compare(a: Order, b: Order): number {
  if (a.at !== b.at) return a.at - b.at;
  return a.id < b.id ? -1 : Number(a.id > b.id);
}

/** The newest entry of an author's chain. */
export type Head = { seq: number; id: string; at: number };

/**
 * - `next`: it continues the chain.
 * - `duplicate`: it is there already. [C-11]
 * - `gap`: entries before it are missing. [C-13]
 * - `before`: it stands before the part of the chain that is kept here.
 * - `fork`: its author signed another entry for a place that is taken, or continues another chain; `seq` is where. [C-12]
 * - `stale`: its time does not come after the entry before it. [C-8]
 */
export type Place = { place: 'next' | 'duplicate' | 'gap' | 'stale' | 'before' } | { place: 'fork'; seq: number };

/**
 * Where an entry fits. `there` is the id of the entry that holds its place already; `anchor`: its chain may start, or go
 * on, with it, and what is missing before it is not for this account.
 */
export function placeOf(
  entry: Entry,
  id: string,
  head: Head | undefined,
  there: string | undefined,
  anchor = false,
): Place {
  const last = head?.seq ?? 0;
  if (entry.seq <= last && there === undefined) return { place: 'before' };
  if (entry.seq <= last) return id === there ? { place: 'duplicate' } : { place: 'fork', seq: entry.seq };
  if (entry.seq > last + 1 && !anchor) return { place: 'gap' };
  if (entry.seq > last + 1) return { place: head && entry.at <= head.at ? 'stale' : 'next' };
  if (entry.prev !== (head?.id ?? null)) return { place: 'fork', seq: Math.max(last, 1) };
  return { place: head && entry.at <= head.at ? 'stale' : 'next' };
}
