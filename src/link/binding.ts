/** An account vouches for the node that hosts it, so that a link proves both keys at once. [L-12] */
import { z } from 'zod';
import { type Key, peerId, signature, verified } from './identity.ts';

export const binding = z.object({
  account: peerId,
  /** The account's label on itself, `name@zone`: a claim, which the directory confirms or not. */
  handle: z.string().max(320),
  node: peerId,
  /** Unix milliseconds until which this holds. */
  until: z.number().int(),
  sig: signature,
});

export type Binding = z.infer<typeof binding>;

/** A binding lasts 30 days and is made anew at every start. */
const BINDING_MS = 30 * 24 * 3600_000;

export function bind(account: Key, handle: string, node: string, now: number): Binding {
  const claim = { account: account.id, handle, node, until: now + BINDING_MS };
  return { ...claim, sig: account.sign('binding', claim) };
}

/** Whether the binding is the account's own, names `node`, and still holds. */
export function bindingHolds({ sig, ...claim }: Binding, node: string, now: number): boolean {
  return claim.node === node && claim.until > now && verified(claim.account, 'binding', claim, sig);
}
