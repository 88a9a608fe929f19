/** How trackers of other zones are dialled: a name is looked at before it is followed. [Z-24] [Z-42] */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { abortable } from '../base/async.ts';
import { Fault } from '../base/fault.ts';
import { formatAddress, parseAddress } from '../link/address.ts';
import type { Identity } from '../link/certificate.ts';
import { dialLink, keyAt, type LinkDialOptions } from '../link/dial.ts';
import type { At } from './cache.ts';
import type { Names } from './finder.ts';
import { mayDial, scopeOfAddress } from './referral.ts';
import { lookUpWith } from './zone-dns.ts';
import type { DialServer } from './zone-links.ts';

const resolveName = async (name: string): Promise<string> => (await lookup(name)).address;

/** The address that is looked at is the one that is dialled: a name must lead to where its referrer may lead. */
export function dialZonesWith(
  options: Omit<LinkDialOptions, 'address' | 'expect' | 'signal'>,
  resolve: (name: string) => Promise<string> = resolveName,
): DialServer {
  return async (address, expect, scope, signal) => {
    const { host, port } = parseAddress(address);
    const ip = isIP(host) === 0 ? await abortable(resolve(host), signal) : host;
    const found = formatAddress({ host: ip, port });
    if (!mayDial(found, scope)) {
      throw new Fault(
        'bad_referral',
        `dialling "${address}": it leads to "${ip}", a network that whoever named it is not in`,
      );
    }
    return await dialLink({ ...options, address: found, expect, signal });
  };
}

/** DNS for zones out in the world; `dns` null: it is not asked. */
export function namesWith(options: {
  dns: readonly string[] | null | undefined;
  identity: Identity;
}): Names | undefined {
  const { dns, identity } = options;
  if (dns === null) return undefined;
  return {
    lookUp: lookUpWith(dns),
    keyAt: (address, signal) => keyAt({ address, identity, signal }),
    scope: scopeOfDns(dns ?? []),
  };
}

/** A server that the user named may name what is in its own network; what the machine asks by itself, the world alone. [Z-42] */
function scopeOfDns(servers: readonly string[]): At['scope'] {
  const scopes = servers.map((text) =>
    scopeOfAddress(/:\d+$/.test(text) && text.split(':').length === 2 ? text : formatAddress({ host: text, port: 53 })),
  );
  if (scopes.length === 0 || scopes.includes('public')) return 'public';
  return scopes.includes('private') ? 'private' : 'loopback';
}
