/** A signed statement: this account is reachable at this node, at these addresses, with this status, until then. [D-2] */
import { z } from 'zod';
import { addressText } from '../link/address.ts';
import { type Key, peerId, signature, verified } from '../link/identity.ts';
import { isSealingKey } from '../link/seal.ts';
import { handle } from './handle.ts';

/** Addresses that a record may name: a few interfaces, two families, a mapped port. */
export const MOST_ADDRESSES = 8;
/** UTF-16 code units of a person's own words beside the status. */
const MOST_TEXT = 200;

/** How somebody who is here presents themself. */
const status = z.enum(['online', 'away', 'busy']);
export type PresentStatus = z.infer<typeof status>;

/** Control characters, and those that turn the direction of what follows: shown in a terminal or a list they deceive. */
const unsafe = /[\p{Cc}\u2028\u2029\u202A-\u202E\u2066-\u2069]/u;

/** A person's own words: one line, at most 200 UTF-16 code units, nothing that deceives a terminal. [D-3] */
export const statusText = z
  .string()
  .max(MOST_TEXT)
  .refine((text) => !unsafe.test(text) && text.isWellFormed(), 'one line without control characters');

/** Unix milliseconds, or a number that grows as they do. */
const millis = z.number().int().nonnegative();

/** Fields of later versions are kept, for the signature stands over them too. */
export const record = z.looseObject({
  handle,
  account: peerId,
  node: peerId,
  /** `host:port` each, at most 8. */
  addresses: z.array(addressText).max(MOST_ADDRESSES),
  status,
  text: statusText,
  /** The account is one of many on its node, which reads what is said to it: its key is not the user's alone. [D-90] */
  hosted: z.literal(true).optional(),
  /** Grows with each statement; Unix milliseconds at the time of signing, or the last one plus 1. [D-4] */
  seq: millis,
  /** Unix milliseconds until which it holds. */
  until: millis,
  sig: signature,
});

export type DirectoryRecord = z.infer<typeof record>;
/** What an account says about itself, before it is signed. */
export type Claim = Pick<
  DirectoryRecord,
  'handle' | 'node' | 'addresses' | 'status' | 'text' | 'hosted' | 'seq' | 'until'
> & {
  /** The key to which letters for the account are sealed. [M-1] */
  seal?: string | undefined;
};

/** The key to which letters for the record's account are sealed; null where it says none that can be used. [M-1] */
export const sealOf = ({ seal }: DirectoryRecord): string | null => (isSealingKey(seal) ? seal : null);

/** A record of `account`'s own, signed. */
export function signRecord(account: Key, claim: Claim): DirectoryRecord {
  const said = { ...claim, account: account.id };
  return { ...said, sig: account.sign('record', said) };
}

/** Whether the account itself said this. [D-2] */
export function recordHolds({ sig, ...said }: DirectoryRecord): boolean {
  return verified(said.account, 'record', said, sig);
}

/** What `renew` sends: the same record said again, with a later seq and until. */
export const renewal = z.object({ seq: millis, until: millis, sig: signature });
export type Renewal = z.infer<typeof renewal>;

/** `old`, said again as `renewal` signs it. */
export function renewed(old: DirectoryRecord, renewal: Renewal): DirectoryRecord {
  return { ...old, ...renewal };
}
