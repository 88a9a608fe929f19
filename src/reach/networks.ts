/** The networks that this machine stands in, one for each interface over which multicast can be said and heard. */
import { BlockList, isIPv6 } from 'node:net';
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';

export type Network = {
  /** Of the interface: `eth0`. */
  name: string;
  /** What stands behind "%" in a link-local address: the name, on Windows a number. */
  zone: string;
  /** Of the interface, from which is sent. */
  ipv4: string | undefined;
  /** A link-local one, with its zone, and another: whoever has none of the same prefix hears the first alone. */
  ipv6: readonly string[];
  /** All its addresses, IPv4 first; link-local ones without their zone. */
  addresses: readonly string[];
  /** What is on the same link. */
  contains(ip: string): boolean;
};

/** A machine with containers has interfaces by the hundred; those with an IPv4 address come first. */
const MOST_NETWORKS = 16;

const isLinkLocal = (ip: string): boolean => /^fe[89ab]/i.test(ip);

/** `host`: IP that is listened at, so that only what reaches it counts; undefined: all. Loopback is no network. */
export function networks(host?: string | undefined): Network[] {
  return networksOf(networkInterfaces(), host);
}

function networksOf(interfaces: NodeJS.Dict<NetworkInterfaceInfo[]>, host?: string | undefined): Network[] {
  const found = Object.entries(interfaces).flatMap(([name, all = []]) => {
    const usable = all.filter(({ internal, address }) => !internal && isHeardAt(address, host));
    return usable.length > 0 ? [networkOf(name, usable)] : [];
  });
  return found.sort((a, b) => Number(b.ipv4 !== undefined) - Number(a.ipv4 !== undefined)).slice(0, MOST_NETWORKS);
}

function isHeardAt(address: string, host: string | undefined): boolean {
  if (host === undefined || host === '::') return true;
  return host === '0.0.0.0' ? !isIPv6(address) : host === address;
}

export function networkOf(name: string, infos: readonly NetworkInterfaceInfo[]): Network {
  const onLink = new BlockList();
  for (const { cidr, address, family } of infos) {
    const bits = Number(cidr?.split('/')[1]);
    if (Number.isInteger(bits)) onLink.addSubnet(address, bits, family === 'IPv4' ? 'ipv4' : 'ipv6');
  }
  const of = (family: string): string[] => infos.filter((info) => info.family === family).map(({ address }) => address);
  const six = of('IPv6');
  const linkLocal = six.find(isLinkLocal);
  const scope = infos.find(({ address }) => isLinkLocal(address))?.scopeid;
  const zone = process.platform === 'win32' ? String(scope ?? 0) : name;
  return {
    name,
    zone,
    ipv4: of('IPv4')[0],
    ipv6: [
      ...six.filter((ip) => !isLinkLocal(ip)).slice(0, 1),
      ...(linkLocal === undefined ? [] : [`${linkLocal}%${zone}`]),
    ],
    addresses: [...of('IPv4'), ...six],
    contains: (ip) => onLink.check(ip, isIPv6(ip) ? 'ipv6' : 'ipv4'),
  };
}
