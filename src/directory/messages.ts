/** What a node and a tracker say to each other about who is online and where. [D-10] to [D-19] */
import { z } from 'zod';
import { addressText } from '../link/address.ts';
import { peerId } from '../link/identity.ts';
import { method, notice } from '../link/message.ts';
import { handle, zone } from './handle.ts';
import { MOST_HIDDEN_FROM, MOST_SHOWN_TO } from './hiding.ts';
import { invitationText } from './invitation.ts';
import { MOST_ADDRESSES, record, renewal } from './record.ts';

/** Milliseconds that a record holds after its last renewal, unless the tracker says otherwise. */
export const TTL_MS = 90_000;

/** Bytes of entries in one page: half of the largest frame, so that what surrounds them never matters. [D-16] */
export const PAGE_BYTES = 512 * 1024;

/** Bytes of an announce: a record of 8 addresses and 200 characters is at most 4 KiB, and later fields need room. */
const ANNOUNCE_BYTES = 8 * 1024;

/** Milliseconds that a tracker may tell a node to wait before it goes elsewhere: an hour. */
const MOST_MOVING_MS = 3600_000;

/** A version of a tracker's list, `<epoch>-<counter>`: to be kept and sent back, not to be understood. [D-15] */
const version = z.string().regex(/^\d{1,16}-\d{1,16}$/);

/**
 * Milliseconds over which the tracker wants its nodes to spread when they come back after they all lost their links: grows with their
 * number. A node caps what it is told by `MOST_RETURN_MS`. [D-75]
 */
const returnWithinMs = z.number().int().min(0).optional();

/** A tracker with more nodes than come back in two minutes is more than one machine's. */
export const MOST_RETURN_MS = 120_000;

/** What a tracker tells one asker of one account. */
export const entry = z.object({
  record,
  /** Addresses at which the tracker reached the node and found its key: the only ones that a stranger may dial. [D-22] */
  verified: z.array(addressText).max(MOST_ADDRESSES),
  /** The host that the tracker sees the node at, where the asker may know it. [D-23] */
  observed: z.string().max(300).nullable(),
  /** The tracker sees asker and node at the same host: the asker may dial all addresses of the record. [D-23] */
  near: z.boolean(),
  online: z.boolean(),
  /** Unix milliseconds, by the tracker's clock, at which it last heard of the node. */
  lastSeen: z.number().int(),
});

export type Entry = z.infer<typeof entry>;

/** Accounts that may be watched by name on one link. */
export const MOST_WATCHED = 500;

/** Account ids that left the list for good. */
const gone = z.array(peerId);

/** A record, taken into the list: the textbook's send_info and add_list. */
export const announce = method('directory.announce', {
  params: z.object({
    record,
    /** The one of the invite by which the node joined; looked at where a handle is to be bound. */
    token: invitationText.optional(),
  }),
  result: z.object({
    version,
    /** Milliseconds until the record is dropped if nothing renews it. */
    ttlMs: z.number().int().positive(),
    /** The host that this link comes from. */
    observed: z.string().max(300),
    /** Addresses that answered the tracker's dial-back so far. */
    checked: z.array(addressText).max(MOST_ADDRESSES),
    /** Zones that the tracker serves. */
    zones: z.array(zone),
    returnWithinMs,
  }),
  maxBytes: ANNOUNCE_BYTES,
});

/** The announced record, said again: the heartbeat. */
export const renew = method('directory.renew', {
  params: renewal,
  result: z.object({ version, ttlMs: z.number().int().positive(), returnWithinMs }),
});

/** The announcer is leaving: offline at once, without the grace that a cut gets. [D-19] */
export const goodbye = method('directory.goodbye', { params: z.object({}), result: z.object({}) });

/** From whom the announcer hides; all of it each time, before the first announce of a link. [D-50] */
export const hide = method('directory.hide', {
  params: z.object({
    from: z.array(peerId).max(MOST_HIDDEN_FROM),
    /** Those who alone may see it; null: all but `from`. */
    only: z.array(peerId).max(MOST_SHOWN_TO).nullable(),
  }),
  result: z.object({}),
  maxBytes: 1024 * 1024,
});

const page = z.object({
  version,
  /** True: this is everybody, and who is not in its pages is unknown to the tracker. False: what changed. */
  full: z.boolean(),
  entries: z.array(entry),
  gone,
});

/** The textbook's get_list. `after` is the `next` of the page before. */
export const list = method('directory.list', {
  params: z.object({ since: version.optional(), after: peerId.optional() }),
  result: page.extend({ next: peerId.nullable() }),
});

/** Exactly one of the two. */
export const find = method('directory.find', {
  params: z.union([z.strictObject({ handle }), z.strictObject({ account: peerId })]),
  result: z.object({ entry }),
});

/**
 * From now on, and from `since` on, changes are pushed as `directory.changed`, until the link ends. The first of them may
 * come before the answer. [D-17]
 */
export const watch = method('directory.watch', {
  params: z.object({
    since: version.optional(),
    /** These alone, of which what is known is pushed at once; takes the place of who was named on this link before. [Z-30] */
    accounts: z.array(peerId).min(1).max(MOST_WATCHED).optional(),
  }),
  result: z.object({ version }),
});

/** `more`: pages of the same change follow, and `version` counts only with the last of them. */
export const changed = notice('directory.changed', {
  params: z.object({ version, entries: z.array(entry), gone, more: z.boolean() }),
  maxBytes: 1024 * 1024,
});

/**
 * The tracker is about to stop: go after `afterMs`, which differs from link to link; what is left at `until` is ended. `to`: where
 * else a tracker with the same key answers.
 */
export const moving = notice('tracker.moving', {
  params: z.object({
    afterMs: z.number().int().min(0).max(MOST_MOVING_MS),
    /** Unix milliseconds, by the tracker's clock. */
    until: z.number().int(),
    to: z.array(addressText).max(MOST_ADDRESSES),
  }),
});

export type Page = z.infer<typeof list.result>;
