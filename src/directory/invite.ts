/** A link that leads to a tracker: its key and where it answers, so that first contact is pinned already. [D-40] */
import { Fault } from '../base/fault.ts';
import { addressText } from '../link/address.ts';
import { peerId } from '../link/identity.ts';
import { zone } from './handle.ts';
import { invitationText } from './invitation.ts';
import { MOST_ADDRESSES } from './record.ts';

export type Invite = {
  /** Peer id of the tracker. */
  peer: string;
  /** 1 to 8 of `host:port`, the likeliest first. */
  addresses: string[];
  zone: string;
  /** What lets a newcomer in where the zone takes them by invite alone. */
  token?: string | undefined;
};

const form = /^netapp:\/\/([^@/?#]*)@([^@/?#]*)\/?(?:\?([^#]*))?$/i;

/** `netapp://<peer-id>@host:port/?zone=lab&addr=host2:port2`. */
export function formatInvite({ peer, addresses, zone, token }: Invite): string {
  const [first, ...others] = addresses;
  const parameters = [`zone=${zone}`, ...others.map((text) => `addr=${text}`), ...(token ? [`token=${token}`] : [])];
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
  const addresses = [host, ...parameters.getAll('addr')];
  const wrong = addresses.find((address) => !addressText.safeParse(address).success);
  if (wrong !== undefined) throw bad(`"${wrong.slice(0, 80)}" is not host:port`);
  if (addresses.length > MOST_ADDRESSES) throw bad(`it names ${addresses.length} addresses, at most ${MOST_ADDRESSES}`);
  const named = zone.safeParse(parameters.get('zone') ?? '');
  if (!named.success) throw bad('it names no zone, or one that is not of its form');
  const token = parameters.get('token') ?? undefined;
  if (token !== undefined && !invitationText.safeParse(token).success) throw bad('its token is not whole');
  return { peer, addresses, zone: named.data, ...(token !== undefined && { token }) };
}
