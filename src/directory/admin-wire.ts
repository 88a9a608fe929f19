/** What an admin's node and a tracker say to each other about a zone and its handles. */
import { z } from 'zod';
import { peerId } from '../link/identity.ts';
import { method, notice } from '../link/message.ts';
import { handle, zone } from './handle.ts';
import { invitationText, MOST_INVITE_MS, MOST_USES } from './invitation.ts';
import { POLICIES } from './joining.ts';

/** Handles on one page: at most 700 bytes each, so that a page is far from the bound of a frame. */
export const PAGE_HANDLES = 500;

/** Without `policy`, it is only asked for. */
export const policy = method('zones.policy', {
  params: z.object({ zone, policy: z.enum(POLICIES).optional() }),
  result: z.object({ zone, policy: z.enum(POLICIES) }),
});

export const invite = method('zones.invite', {
  params: z.object({
    zone,
    uses: z.number().int().min(1).max(MOST_USES),
    ttlMs: z.number().int().min(1000).max(MOST_INVITE_MS),
  }),
  result: z.object({ invite: z.string().max(8192), uses: z.number().int(), until: z.number().int() }),
});

/** `token`: that of the invite link. */
export const uninvite = method('zones.uninvite', {
  params: z.object({ zone, token: invitationText }),
  result: z.object({ zone, until: z.number().int() }),
});

const row = z.object({
  handle,
  account: peerId,
  /** Unix milliseconds, by the tracker's clock. */
  since: z.number().int(),
  state: z.enum(['bound', 'revoked', 'renamed']),
  /** What it was renamed to. */
  to: handle.nullable(),
  online: z.boolean(),
  /** Unix milliseconds; null: its account has not announced by this name, or not for long. */
  lastSeen: z.number().int().nullable(),
});

export type HandleEntry = z.infer<typeof row>;

/** In the order of handles; `after` is the `next` of the page before. */
export const list = method('handles.list', {
  params: z.object({ zone, after: handle.optional() }),
  result: z.object({ handles: z.array(row).max(PAGE_HANDLES), next: handle.nullable() }),
});

export const revoke = method('handles.revoke', { params: z.object({ handle }), result: z.object({ handle: row }) });

export const rename = method('handles.rename', {
  params: z.object({ handle, to: handle }),
  result: z.object({ handle: row }),
});

export const free = method('handles.free', { params: z.object({ handle }), result: z.object({}) });

/** What was announced on this link holds no more: the node announces again, and hears why. */
export const reannounce = notice('directory.reannounce', { params: z.object({}) });
