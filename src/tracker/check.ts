/** How a tracker dials an announced address back: a handshake with its own key, and nothing after it. */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { abortable } from '../base/async.ts';
import type { Check } from '../directory/dialback.ts';
import { formatAddress, parseAddress, scopeOf } from '../link/address.ts';
import type { Identity } from '../link/certificate.ts';
import { dial } from '../link/dial.ts';

const resolveName = async (name: string): Promise<string> => (await lookup(name)).address;

/**
 * Hangs up once the other key is proved. A name must lead to a public address: it was let through as one, and must not be
 * a way into the tracker's own network. The address that was looked at is the one that is dialled. [D-21]
 */
export function checkWith(identity: Identity, resolve: (name: string) => Promise<string> = resolveName): Check {
  return async (address, node, signal, may) => {
    const { host, port } = parseAddress(address);
    const isName = isIP(host) === 0;
    const ip = isName ? await abortable(resolve(host), signal) : host;
    if (isName && (scopeOf(ip) !== 'public' || !may(ip))) return false;
    const socket = await dial({ address: formatAddress({ host: ip, port }), expect: node, identity, signal });
    socket.destroy();
    return true;
  };
}
