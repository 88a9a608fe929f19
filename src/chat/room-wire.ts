/** The methods of rooms: between a node and the home tracker, and between two members. */
import { z } from 'zod';
import { peerId } from '../link/identity.ts';
import { method, notice } from '../link/message.ts';
import { hashText } from './entry.ts';
import { change, creation, ordered } from './membership.ts';

/** Ordered changes in one answer or call: about 1 KiB each. */
export const LOG_PAGE = 200;
const LOG_BYTES = 512 * 1024;
export const MINE_PAGE = 500;

/** Registers a room with its home tracker; again and again is the same as once. */
export const createRoom = method('rooms.create', {
  params: z.object({ creation }),
  result: z.object({ number: z.int().min(0) }),
});

/** Has a change ordered; one that was ordered before is answered with its place. */
export const changeRoom = method('rooms.change', {
  params: z.object({ change }),
  result: z.object({ ordered }),
});

/** The order after number `after`. */
export const roomLog = method('rooms.log', {
  params: z.object({ conversation: hashText, after: z.int().min(0) }),
  result: z.object({ creation, ordered: z.array(ordered).max(LOG_PAGE), number: z.int().min(0) }),
});

/** How far the order of a room is. */
const place = z.object({ conversation: hashText, number: z.int().min(0), last: hashText });

/** The rooms that the asker may read, in the order of their ids. `next`: where the next page starts. */
export const myRooms = method('rooms.mine', {
  params: z.object({ after: hashText.nullable() }),
  result: z.object({ rooms: z.array(place).max(MINE_PAGE), next: hashText.nullable() }),
});

/** A part of the order, given to one who lacks it: it proves itself, so anybody may. `number`: how far it is there now. */
export const giveOrder = method('rooms.give', {
  params: z.object({ creation, ordered: z.array(ordered).max(LOG_PAGE) }),
  result: z.object({ number: z.int().min(0) }),
  maxBytes: LOG_BYTES,
});

/** A change was ordered: from the tracker, to those who may read it. */
export const orderedNotice = notice('rooms.ordered', { params: z.object({ home: peerId, ordered }) });
