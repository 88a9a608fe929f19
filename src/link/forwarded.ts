/** Who asks, where a proxy stands between: what it says of its client, and whether it may say so. [L-45] */
import type { IncomingMessage } from 'node:http';
import { BlockList, isIP } from 'node:net';
import { Fault } from '../base/fault.ts';
import { plainIp } from './address.ts';

/** The header in which a proxy says it. Only one is read: the other may be the client's own, passed on as it came. */
export type ForwardedHeader = 'x-forwarded-for' | 'forwarded';

/** Hosts that are believed: proxies on this machine, unless others are named. */
const LOOPBACK = ['127.0.0.0/8', '::1'];

export class TrustedProxies {
  readonly #list = new BlockList();
  readonly #header: ForwardedHeader;

  /** IPs, or nets such as `10.0.0.0/8`. Throws `invalid_argument`. */
  constructor(proxies: readonly string[] = LOOPBACK, header: ForwardedHeader = 'x-forwarded-for') {
    this.#header = header;
    for (const text of proxies) {
      const [ip = '', bits] = text.split('/');
      const [family, most] = isIP(ip) === 4 ? (['ipv4', 32] as const) : (['ipv6', 128] as const);
      if (isIP(ip) === 0 || (bits !== undefined && !(/^\d{1,3}$/.test(bits) && Number(bits) <= most))) {
        throw new Fault(
          'invalid_argument',
          `reading the trusted proxy "${text}": expected an IP, or a net as 10.0.0.0/8`,
        );
      }
      if (bits === undefined) this.#list.addAddress(ip, family);
      else this.#list.addSubnet(ip, Number(bits), family);
    }
  }

  has(ip: string): boolean {
    return isIP(ip) !== 0 && this.#list.check(ip, isIP(ip) === 4 ? 'ipv4' : 'ipv6');
  }

  /**
   * IP of the client: the last one named that is no trusted proxy, for what stands before it the client could have written itself;
   * the first one where all are. Undefined where nothing is said, or nothing that can be read.
   */
  clientOf(request: IncomingMessage): string | undefined {
    const text = request.headersDistinct[this.#header]?.join(',');
    if (text === undefined) return undefined;
    const named = this.#header === 'forwarded' ? forElements(text) : text.split(',');
    let client: string | undefined;
    for (const each of named.reverse()) {
      const ip = ipOf(each.trim());
      if (ip === undefined) return client; // what stands further left is behind somebody unknown
      client = ip;
      if (!this.has(ip)) break;
    }
    return client;
  }
}

/** RFC 7239, section 4: the `for` of each element. */
function forElements(text: string): string[] {
  return text.split(',').map((element) => {
    const [, quoted, token] = /(?:^|;)\s*for=(?:"([^"]*)"|([^;,\s]*))/i.exec(element) ?? [];
    return quoted ?? token ?? '';
  });
}

/** An IP, alone or with a port, IPv6 in brackets or not. */
function ipOf(text: string): string | undefined {
  const [, six] = /^\[([^\]]+)\](?::\d{1,5})?$/.exec(text) ?? [];
  const [, four] = /^(\d+\.\d+\.\d+\.\d+)(?::\d{1,5})?$/.exec(text) ?? [];
  const ip = plainIp(six ?? four ?? text);
  return isIP(ip) === 0 ? undefined : ip;
}
