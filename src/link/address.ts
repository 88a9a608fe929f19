/** Where somebody listens: `host:port`, with IPv6 hosts in brackets. */
import { BlockList, isIP, isIPv6 } from 'node:net';
import { z } from 'zod';
import { Fault } from '../base/fault.ts';

export type Address = { host: string; port: number };

/** Behind "%" of a link-local IPv6 address stands the interface, which means something on this machine alone. */
const form = /^(?:\[([0-9a-f:.]+(?:%[a-z0-9._-]{1,32})?)\]|([a-z0-9._-]{1,253})):(\d{1,5})$/i;

function parse(text: string): Address | undefined {
  const match = form.exec(text);
  if (!match) return undefined;
  const [, six, name, digits] = match;
  const host = six ?? name ?? '';
  const port = Number(digits);
  if (port < 1 || port > 65_535 || (six !== undefined && !isIPv6(six))) return undefined;
  return { host, port };
}

/** `text` as an address. Throws `invalid_argument` if it is none. */
export function parseAddress(text: string): Address {
  const address = parse(text);
  if (address) return address;
  throw new Fault('invalid_argument', `reading the address "${text}": expected host:port, e.g. 192.0.2.7:33357`);
}

export function formatAddress({ host, port }: Address): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}

/** An address on the wire: at most 300 characters. */
export const addressText = z
  .string()
  .max(300)
  .refine((text) => !text.includes('%') && parse(text) !== undefined, 'host:port');

/** Where a proxy answers for a tracker, with a certificate that an authority signed for `host`. */
export type ProxiedAddress = Address & { /** Empty, or such as `/netapp`. */ path: string };

const proxiedForm =
  /^wss:\/\/(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]{1,253}))(?::(\d{1,5}))?((?:\/[a-z0-9._~-]{1,64}){0,4})\/?$/i;
const HTTPS_PORT = 443;

function readProxied(text: string): ProxiedAddress | undefined {
  const [, six, name, digits, path = ''] = proxiedForm.exec(text) ?? [];
  const host = (six ?? name)?.toLowerCase();
  if (host === undefined || path.split('/').some((part) => part === '.' || part === '..')) return undefined;
  const address = parse(formatAddress({ host, port: digits === undefined ? HTTPS_PORT : Number(digits) }));
  return address && { ...address, path };
}

/** `text` as the address of a proxy. Throws `invalid_argument` if it is none. */
export function parseProxied(text: string): ProxiedAddress {
  const address = readProxied(text);
  if (address) return address;
  throw new Fault(
    'invalid_argument',
    `reading the address "${text.slice(0, 300)}": expected wss://host, wss://host:port or wss://host/path`,
  );
}

/** Written in one way only, for it is signed: small letters, always a port, no slash at the end. [L-40] */
export const formatProxied = (address: ProxiedAddress): string => `wss://${formatAddress(address)}${address.path}`;

export const isProxied = (text: string): boolean => text.startsWith('wss://');

/** Where a tracker answers: `host:port`, or behind a proxy `wss://host:port/path`; at most 300 characters. [L-40] */
export const trackerAddressText = z
  .string()
  .max(300)
  .refine(
    (text) => (isProxied(text) ? readProxied(text) : addressText.safeParse(text).data) !== undefined,
    'host:port or wss://host/path',
  );

/** An IP as sockets report it, without the IPv4-in-IPv6 prefix. */
export function plainIp(ip: string | undefined): string {
  return (ip ?? '').replace(/^::ffff:(?=\d+\.)/, '');
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addSubnet('0.0.0.0', 8, 'ipv4'); // "this host": a socket connected to it reaches the machine itself
loopback.addAddress('::1', 'ipv6');
loopback.addAddress('::', 'ipv6');

/** RFC 1918, 6598, 3927, 4193, 4291 (section 2.5.6), and what no single host answers at: multicast and reserved. */
const local = new BlockList();
for (const [net, bits] of [
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['100.64.0.0', 10],
  ['169.254.0.0', 16],
  ['224.0.0.0', 3],
] as const)
  local.addSubnet(net, bits, 'ipv4');
for (const [net, bits] of [
  ['fc00::', 7],
  ['fe80::', 10],
  ['ff00::', 8],
] as const)
  local.addSubnet(net, bits, 'ipv6');

export type Scope = 'loopback' | 'private' | 'public';

/** What kind of network an IP belongs to, however it is written (`::ffff:127.0.0.1`); a name counts as `public`. */
export function scopeOf(host: string): Scope {
  if (host.toLowerCase() === 'localhost') return 'loopback';
  const [ip = ''] = host.split('%');
  const version = isIP(ip);
  if (version === 0) return 'public';
  const family = version === 4 ? 'ipv4' : 'ipv6';
  if (loopback.check(ip, family)) return 'loopback';
  return local.check(ip, family) ? 'private' : 'public';
}
