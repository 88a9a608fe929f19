/** Where somebody listens: `host:port`, with IPv6 hosts in brackets. */
import { isIP, isIPv6 } from 'node:net';
import { z } from 'zod';
import { Fault } from '../base/fault.ts';

export type Address = { host: string; port: number };

const form = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]{1,253})):(\d{1,5})$/i;

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
  .refine((text) => parse(text) !== undefined, 'host:port');

/** An IP as sockets report it, without the IPv4-in-IPv6 prefix. */
export function plainIp(ip: string | undefined): string {
  return (ip ?? '').replace(/^::ffff:(?=\d+\.)/, '');
}

/** What kind of network an IP belongs to; a name counts as `public`. */
export function scopeOf(host: string): 'loopback' | 'private' | 'public' {
  if (host === 'localhost' || host === '::1' || /^127\./.test(host)) return 'loopback';
  if (isIP(host) === 0) return 'public';
  // RFC 1918, RFC 6598, RFC 3927, RFC 4193, RFC 4291 section 2.5.6
  const isPrivate =
    /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|169\.254\.|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.)/.test(host) ||
    /^(f[cd][0-9a-f]{2}|fe[89ab][0-9a-f]):/i.test(host);
  return isPrivate ? 'private' : 'public';
}
