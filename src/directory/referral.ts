/** Whether what a tracker answered may be followed: signed by whom it must be, leading nearer, and to where the asker may dial. [Z-20] to [Z-24] */

import { isIP } from 'node:net';
import { Fault, type FaultCode } from '../base/fault.ts';
import { parseAddress, scopeOf } from '../link/address.ts';
import type { At } from './cache.ts';
import {
  type Apex,
  apexHolds,
  type Delegation,
  delegationHolds,
  isBelow,
  isWithin,
  MOST_STATEMENT_MS,
  type Server,
} from './delegation.ts';

/** What the check of a referral needs to know beside it. */
export type Checking = {
  /** Who was asked. */
  at: At;
  /** The zone that is looked for. */
  wanted: string;
  /** Unix milliseconds. */
  now: number;
  /** The kind of network in which who answered was reached. */
  scope: At['scope'];
  /** The greatest seq of a statement that was seen about `zone` from this key. */
  seen(zone: string, by: string): number;
};

function refuse(code: FaultCode, { at }: Checking, why: string): never {
  throw new Fault(code, `following "${at.zone}": ${why}`);
}

/** The zone below to which the answer refers. Throws `bad_signature`, `bad_referral`. */
export function checkDelegation(said: Delegation, checking: Checking): At {
  const { at, wanted } = checking;
  const name = said.zone.slice(0, 80);
  // [Z-20]
  if (said.parent !== at.zone || !isBelow(said.zone, at.zone)) {
    refuse('bad_referral', checking, `it refers to "${name}", which is not below it`);
  }
  if (!isWithin(wanted, said.zone)) refuse('bad_referral', checking, `it refers to "${name}" for "${wanted}"`);
  if (said.by !== at.key || !delegationHolds(said)) {
    refuse('bad_signature', checking, `the delegation of "${name}" is not signed by its key`);
  }
  checkTime(said, said.by, checking);
  return { zone: said.zone, key: said.key, ...reachable(said.trackers, checking) };
}

/** The zone above to which the answer refers. Throws `bad_signature`, `bad_referral`. */
export function checkParent(said: Apex, checking: Checking): At {
  const { at, wanted } = checking;
  checkApex(said, at.zone, checking);
  const { parent } = said;
  if (!parent || !isBelow(at.zone, parent.zone)) {
    refuse('bad_referral', checking, 'it refers upwards to no zone above it');
  }
  if (isWithin(wanted, at.zone))
    refuse('bad_referral', checking, `it refers upwards for "${wanted}", which is below it`);
  return { zone: parent.zone, key: parent.key, ...reachable(parent.trackers, checking) };
}

/** Throws `bad_signature`, `bad_referral`, and `key_changed` where another key than the known one signed it. */
export function checkApex(said: Apex, zone: string, checking: Checking): void {
  const { at } = checking;
  if (said.zone !== zone) refuse('bad_referral', checking, `it speaks of "${said.zone.slice(0, 80)}"`);
  if (at.key !== undefined && said.key !== at.key) {
    refuse('key_changed', checking, `the zone "${zone}" is shown with the key "${said.key}" instead of "${at.key}"`);
  }
  if (!apexHolds(said))
    refuse('bad_signature', checking, `what the zone "${zone}" says of itself is not signed by its key`);
  checkTime(said, said.key, checking);
}

/** Throws `bad_referral`, and `tracker_down` where a newer statement was seen. [Z-4] [Z-23] */
function checkTime(said: { zone: string; seq: number; until: number }, by: string, checking: Checking): void {
  const { now, seen } = checking;
  if (said.until <= now) refuse('bad_referral', checking, 'what it shows was true until a time that is over');
  if (said.until > now + MOST_STATEMENT_MS) refuse('bad_referral', checking, 'what it shows would hold for too long');
  // A copy may be behind what the zone's own tracker has signed since: that is no lie, and passes.
  const last = seen(said.zone, by);
  if (said.seq < last)
    refuse(
      'tracker_down',
      checking,
      `what it shows is older (${said.seq}) than what was seen (${last}); ask again soon`,
    );
}

/** The servers as far as the asker may dial them. Throws `bad_referral` where none is left. [Z-24] */
function reachable(servers: readonly Server[], checking: Checking): Pick<At, 'servers' | 'scope'> {
  const { scope } = checking;
  const left = servers
    .map(({ peer, addresses }) => ({ peer, addresses: addresses.filter((address) => mayDial(address, scope)) }))
    .filter(({ addresses }) => addresses.length > 0);
  if (left.length === 0)
    refuse('bad_referral', checking, `it refers to addresses of a network that it is not in itself`);
  return { servers: left, scope };
}

const WIDTH: Record<At['scope'], number> = { loopback: 0, private: 1, public: 2 };

/** Who was reached in a wide network may not send anybody into a narrower one. A name is looked at when it is dialled. */
export function mayDial(address: string, scope: At['scope']): boolean {
  return WIDTH[scopeOf(parseAddress(address).host)] >= WIDTH[scope];
}

/** The kind of network that an address is in; of a link that is in no network, the narrowest. */
export function scopeOfAddress(address: string): At['scope'] {
  try {
    const { host } = parseAddress(address);
    return isIP(host) === 0 && host !== 'localhost' ? 'public' : scopeOf(host);
  } catch {
    return 'loopback';
  }
}
