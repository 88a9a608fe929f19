/** What lets a newcomer into a zone that takes them by invite alone: signed, for so many of them, until then. */
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { canonical, fromBase64url, toBase32, toBase64url } from '../base/encoding.ts';
import { type Key, peerId, signature, verified } from '../link/identity.ts';
import { zone } from './handle.ts';

/** Newcomers that one invite may let in. */
export const MOST_USES = 10_000;
/** Milliseconds that an invite may hold: a year. */
export const MOST_INVITE_MS = 366 * 24 * 3600_000;
/** Characters of the text that an invite link carries. */
const MOST_INVITATION_CHARACTERS = 1024;
const ID_BYTES = 16;

export const invitationId = z.string().regex(/^[a-z2-7]{26}$/);

const invitation = z.strictObject({
  /** Random, so that no two are the same. */
  id: invitationId,
  zone,
  uses: z.number().int().min(1).max(MOST_USES),
  /** Unix milliseconds. */
  until: z.number().int(),
  /** Who signed: a tracker of the zone, or one of its admins. */
  by: peerId,
  sig: signature,
});

export type Invitation = z.infer<typeof invitation>;

/** As the parameter `token` of an invite link carries it. */
export const invitationText = z
  .string()
  .max(MOST_INVITATION_CHARACTERS)
  .regex(/^[A-Za-z0-9_-]+$/);

export function signInvitation(key: Key, claim: { zone: string; uses: number; until: number }): Invitation {
  const { zone, uses, until } = claim;
  const said = { id: toBase32(randomBytes(ID_BYTES)), zone, uses, until, by: key.id };
  return { ...said, sig: key.sign('invitation', said) };
}

export const encodeInvitation = (given: Invitation): string => toBase64url(Buffer.from(canonical(given)));

/** Undefined for what is none, or is not signed by whom it names. */
export function readInvitation(text: string): Invitation | undefined {
  const bytes = invitationText.safeParse(text).success ? fromBase64url(text) : undefined;
  const parsed = invitation.safeParse(bytes && parseJson(Buffer.from(bytes).toString()));
  if (!parsed.success) return undefined;
  const { sig, ...said } = parsed.data;
  return verified(said.by, 'invitation', said, sig) ? parsed.data : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
