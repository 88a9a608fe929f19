/** Where a tracker saw a node’s connection come from, in words that it signed: no node can name somebody else’s address as its own. */
import { z } from 'zod';
import { addressText } from '../link/address.ts';
import { type Key, peerId, signature, verified } from '../link/identity.ts';

/** [N-31] */
export const sighting = z.object({
  /** Whose connection it was, as TLS proved it. */
  node: peerId,
  /** Who saw it. */
  tracker: peerId,
  /** Where it came from; always an IP. */
  address: addressText,
  /** When, by the tracker’s clock. */
  at: z.number().int().nonnegative(),
  sig: signature,
});
export type Sighting = z.infer<typeof sighting>;

/** Milliseconds that a sighting may be older than another of the same tracker’s and still be used beside it. */
const FRESH_MS = 60_000;

export function signSighting(key: Key, seen: { node: string; address: string; at: number }): Sighting {
  const all = { ...seen, tracker: key.id };
  return { ...all, sig: key.sign('sighting', all) };
}

/** Whether `theirs` is what the tracker that signed `mine` says of `node`, at about the same time: whose clock is right does not count. [N-32] */
export function isOf(node: string, theirs: Sighting, mine: Sighting): boolean {
  const { sig, ...said } = theirs;
  if (said.node !== node || said.tracker !== mine.tracker || Math.abs(said.at - mine.at) > FRESH_MS) return false;
  return verified(said.tracker, 'sighting', said, sig);
}
