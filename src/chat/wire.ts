/** The methods of chat on a link. */
import { z } from 'zod';
import { peerId } from '../link/identity.ts';
import { method, notice } from '../link/message.ts';
import { hashText, position } from './entry.ts';
import { receipt } from './receipt.ts';

/** Entries, and bytes of their JSON, in one call. [C-17] */
export const DELIVER_ENTRIES = 250;
export const DELIVER_BYTES = 512 * 1024;

/** Calls of chat that a link may make: this many at once, and this many each second after. [C-19] */
export const CALLS_BURST = 1000;
export const CALLS_PER_SECOND = 250;

/** Half a megabyte takes this many milliseconds at 70 kbit/s; a dead link is noticed by its keep-alive before that. */
const DELIVER_MS = 60_000;

/** Receipts of one conversation in one greeting. */
export const RECEIPTS = 512;

/** Conversations in one greeting. */
export const STANDINGS = 64;

/** Why an entry was not taken. `retry`: it may be taken later as it is. */
const refusal = z.object({
  /** Place of the entry in the call. */
  index: z.int().min(0),
  /** A fault code. */
  code: z.string().max(80),
  message: z.string().max(1000),
  retry: z.boolean(),
});

/** Gives entries; anybody who is a member may give anybody's. */
export const deliver = method('chat.deliver', {
  // Each entry is read by itself, so that a bad one does not take the others down with it.
  params: z.object({ entries: z.array(z.unknown()).min(1).max(DELIVER_ENTRIES) }),
  result: z.object({
    /** For each author of whom entries were here already or are now, up to which. */
    receipts: z.array(receipt).max(DELIVER_ENTRIES),
    /** Where entries before the given ones are missing: how far the chain is here (0: nothing). */
    have: z.array(z.object({ conversation: hashText, author: peerId, seq: z.int().min(0) })).max(DELIVER_ENTRIES),
    refused: z.array(refusal).max(DELIVER_ENTRIES),
  }),
  maxBytes: DELIVER_BYTES + 1024,
  timeoutMs: DELIVER_MS,
});

export type Deliver = z.infer<typeof deliver.result>;

/** What one side has of a conversation, and what it vouches for. */
const standing = z.object({
  id: hashText,
  /** An author who is not named: nothing. */
  have: z.array(z.object({ author: peerId, seq: position })).max(2048),
  receipts: z.array(receipt).max(RECEIPTS),
  /** Of a room: how far its order is known. */
  order: z.object({ number: z.int().min(0), last: hashText }).optional(),
});

export type Standing = z.infer<typeof standing>;

/** Both sides say what they have; the answer leaves out conversations that the two do not share. */
const standings = z.object({
  conversations: z.array(standing).max(STANDINGS),
  /** True: more conversations follow in another call. */
  more: z.boolean().optional(),
});

export const sync = method('chat.sync', { params: standings, result: standings, maxBytes: DELIVER_BYTES });

/** Its sender writes something, or has stopped. Kept nowhere; an `on` is over after 10 s. [H-7] */
export const typingNotice = notice('chat.typing', {
  params: z.object({ conversation: hashText, on: z.boolean() }),
});

/** New receipts, as they are made. */
export const receiptNotice = notice('chat.receipt', {
  params: z.object({ receipts: z.array(receipt).min(1).max(64) }),
});
