/** The methods of a mailbox on a link: from a node to a tracker, and one notice back. */
import { z } from 'zod';
import { peerId } from '../link/identity.ts';
import { MOST_FRAME_BYTES, method, notice } from '../link/message.ts';
import { hashText } from './entry.ts';
import { envelope, hold } from './letter.ts';

/** Letters in one call, and in one page. [M-10] */
export const DEPOSIT_LETTERS = 16;
export const PAGE_LETTERS = 64;
/** Bytes of ciphertext in one call or page; in base64url they fit a frame. [M-10] */
export const CALL_BYTES = 640 * 1024;

/** Most of a megabyte takes this many milliseconds at 100 kbit/s. */
const CALL_MS = 60_000;

/** Puts letters for one account into its mailbox. Each is judged by itself, in order. */
export const deposit = method('mail.deposit', {
  params: z.object({ to: peerId, letters: z.array(envelope).min(1).max(DEPOSIT_LETTERS) }),
  result: z.object({
    results: z
      .array(
        z.union([
          z.object({ hold }),
          z.object({ refused: z.object({ code: z.string().max(80), message: z.string().max(1000) }) }),
        ]),
      )
      .max(DEPOSIT_LETTERS),
  }),
  maxBytes: MOST_FRAME_BYTES,
  timeoutMs: CALL_MS,
});

/** The asker's own letters after a place, oldest first. From then on the link is told of new ones. */
export const fetch = method('mail.fetch', {
  params: z.object({ after: z.int().min(0) }),
  result: z.object({
    letters: z.array(envelope.extend({ place: z.int().min(1), from: peerId })).max(PAGE_LETTERS),
    more: z.boolean(),
  }),
  timeoutMs: CALL_MS,
});

/** Own letters that are no longer wanted; ids that are not there are skipped. */
export const remove = method('mail.delete', {
  params: z.object({ ids: z.array(hashText).min(1).max(PAGE_LETTERS) }),
  result: z.object({ deleted: z.int().min(0) }),
});

/** A letter came for the account at the link's other end. */
export const waiting = notice('mail.waiting', { params: z.object({}) });
