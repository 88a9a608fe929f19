/** What zones sign about each other: who serves a zone, what is above it, and to whom a zone below it was given. [Z-2] [Z-3] */
import { z } from 'zod';
import { addressText } from '../link/address.ts';
import { type Key, peerId, signature, verified } from '../link/identity.ts';
import { zone } from './handle.ts';
import { MOST_ADDRESSES } from './record.ts';

/** Trackers that one statement may name. */
export const MOST_TRACKERS = 8;
/** Milliseconds that a statement holds when it is signed; it is signed anew after a third of that. [Z-4] */
export const STATEMENT_MS = 7 * 24 * 3600_000;
/** Milliseconds into the future that a statement may hold at most: a longer one could never be taken back. [Z-4] */
export const MOST_STATEMENT_MS = 31 * 24 * 3600_000;

/** A tracker, as others find it. */
export const server = z.object({
  peer: peerId,
  /** `host:port` each, the likeliest first. */
  addresses: z.array(addressText).min(1).max(MOST_ADDRESSES),
});
export type Server = z.infer<typeof server>;

const servers = z.array(server).min(1).max(MOST_TRACKERS);
const millis = z.number().int().nonnegative();

/** Where a zone is: its key, and who serves it. */
const place = z.object({ zone, key: peerId, trackers: servers });

/** A zone about itself, signed by its key. Fields of later versions are kept, for they are signed too. [Z-2] */
export const apex = z.looseObject({
  zone,
  key: peerId,
  trackers: servers,
  /** The zone above that delegated it; null for one that nobody did. */
  parent: place.nullable(),
  seq: millis,
  until: millis,
  sig: signature,
});
export type Apex = z.infer<typeof apex>;

/** A zone about one below it, signed by the key of the upper one, `by`. [Z-3] */
export const delegation = z.looseObject({
  parent: zone,
  by: peerId,
  zone,
  key: peerId,
  trackers: servers,
  seq: millis,
  until: millis,
  sig: signature,
});
export type Delegation = z.infer<typeof delegation>;

export function signApex(key: Key, said: Pick<Apex, 'zone' | 'trackers' | 'parent' | 'seq' | 'until'>): Apex {
  const whole = { ...said, key: key.id };
  return { ...whole, sig: key.sign('apex', whole) };
}

export const apexHolds = ({ sig, ...said }: Apex): boolean => verified(said.key, 'apex', said, sig);

export function signDelegation(
  by: Key,
  said: Pick<Delegation, 'parent' | 'zone' | 'key' | 'trackers' | 'seq' | 'until'>,
): Delegation {
  const whole = { ...said, by: by.id };
  return { ...whole, sig: by.sign('delegation', whole) };
}

export const delegationHolds = ({ sig, ...said }: Delegation): boolean => verified(said.by, 'delegation', said, sig);

/** Whether `inner` is strictly below `outer`: `lab1.cse.hcmut` is below `cse.hcmut` and `hcmut`. */
export const isBelow = (inner: string, outer: string): boolean => inner.endsWith(`.${outer}`);

/** Whether `zone` is `outer` or below it. */
export const isWithin = (zone: string, outer: string): boolean => zone === outer || isBelow(zone, outer);

/** Labels that two zones have in common at their ends. */
export function commonLabels(a: string, b: string): number {
  const [left, right] = [a.split('.').reverse(), b.split('.').reverse()];
  const differs = left.findIndex((label, at) => label !== right[at]);
  return differs < 0 ? left.length : differs;
}

export const zoneOf = (handle: string): string => handle.slice(handle.indexOf('@') + 1);
