/** A link that leads to a tracker: its key and where it answers, so that first contact is pinned already. [D-40] */
import { Fault } from '../base/fault.ts';
import { addressText, formatProxied, isProxied, parseProxied, trackerAddressText } from '../link/address.ts';
import { peerId } from '../link/identity.ts';
import { zone } from './handle.ts';
import { invitationText } from './invitation.ts';
import { MOST_ADDRESSES } from './record.ts';

export type Invite = {
  /** Peer id of the tracker. */
  peer: string;
  /** 1 to 8 of `host:port`, the likeliest first; then those of proxies, `wss://host:port/path`. */
  addresses: string[];
  zone: string;
  /** What lets a newcomer in where the zone takes them by invite alone. [A-10] */
  token?: string | undefined;
};

/** A tracker that a user chose, and how much it is wanted: those of tier 1 first, the next while none of them answers. [D-70] */
export type ChosenTracker = Invite & { tier?: number | undefined };

const form = /^netapp:\/\/([^@/?#]*)@([^@/?#]*)\/?(?:\?([^#]*))?$/i;

/**
 * `netapp://<peer-id>@host:port/?zone=lab&addr=host2:port2&wss=proxy:443/path`; without a direct address, nothing stands behind
 * the "@".
 */
export function formatInvite({ peer, addresses, zone, token }: Invite): string {
  const [first, ...others] = addresses.filter((text) => !isProxied(text));
  const proxied = addresses.filter(isProxied).map((text) => formatProxied(parseProxied(text)).slice('wss://'.length));
  const parameters = [
    `zone=${zone}`,
    ...others.map((text) => `addr=${text}`),
    ...proxied.map((text) => `wss=${text}`),
    ...(token ? [`token=${token}`] : []),
  ];
  return `netapp://${peer}@${first ?? ''}/?${parameters.join('&')}`;
}

/** Reads an invite link; parameters that it does not know are skipped. Throws `bad_invite` that says what is wrong. */
export function parseInvite(text: string): Invite {
  const bad = (why: string): Fault =>
    new Fault('bad_invite', `reading the invite "${text.trim().slice(0, 200)}": ${why}; ask for it again`);
  const match = form.exec(text.trim());
  if (!match) throw bad('expected netapp://<peer-id>@host:port/?zone=<zone>');
  const [, peer = '', host = '', query = ''] = match;
  if (!peerId.safeParse(peer).success) throw bad('what stands before "@" is not a whole peer id of 52 characters');
  const parameters = new URLSearchParams(query);
  const proxied = parameters.getAll('wss').map((text) => `wss://${text}`);
  const direct = [...(host === '' && proxied.length > 0 ? [] : [host]), ...parameters.getAll('addr')];
  const wrong = direct.find((address) => !addressText.safeParse(address).success);
  if (wrong !== undefined) throw bad(`"${wrong.slice(0, 80)}" is not host:port`);
  const wrongProxy = proxied.find((address) => !trackerAddressText.safeParse(address).success);
  if (wrongProxy !== undefined) throw bad(`"${wrongProxy.slice(0, 80)}" is not wss://host:port/path`);
  const addresses = [...direct, ...proxied.map((text) => formatProxied(parseProxied(text)))];
  if (addresses.length > MOST_ADDRESSES) throw bad(`it names ${addresses.length} addresses, at most ${MOST_ADDRESSES}`);
  const named = zone.safeParse(parameters.get('zone') ?? '');
  if (!named.success) throw bad('it names no zone, or one that is not of its form');
  const token = parameters.get('token') ?? undefined;
  if (token !== undefined && !invitationText.safeParse(token).success) throw bad('its token is not whole');
  return { peer, addresses, zone: named.data, ...(token !== undefined && { token }) };
}

const MOST_TIERS = 9;
const tierForm = new RegExp(`^([1-${MOST_TIERS}]):(?!\\d+$)(.+)$`, 's');

/** `2:INVITE` is an invite of tier 2; without a number it is of tier 1. `2:22236` is an address. */
export function splitTier(text: string): { tier: number; text: string } {
  const [, tier, rest] = tierForm.exec(text.trim()) ?? [];
  return rest === undefined ? { tier: 1, text } : { tier: Number(tier), text: rest };
}

/** As `splitTier` reads it. */
export const formatChosen = (chosen: ChosenTracker): string =>
  `${chosen.tier === undefined || chosen.tier === 1 ? '' : `${chosen.tier}:`}${formatInvite(chosen)}`;
