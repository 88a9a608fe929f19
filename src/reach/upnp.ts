/** Port mapping by UPnP: the default router is looked for by SSDP, and asked as an Internet Gateway Device, version 1 or 2. */
import { createSocket, type Socket } from 'node:dgram';
import { request } from 'node:http';
import { isIPv4 } from 'node:net';
import { sleep } from '../base/async.ts';
import { Fault, toFault } from '../base/fault.ts';
import { scopeOf } from '../link/address.ts';
import type { Gateway } from './gateway.ts';
import { type Lease, WANTED_SECONDS, type Wish } from './lease.ts';

export type UpnpPlace = Gateway & { /** Where it is looked for; for tests. */ search?: { host: string; port: number } };

const SEARCH = { host: '239.255.255.250', port: 1900 };
/** Version 2 answers to questions for version 1, too (UPnP IGD 2.0, section 2.2). */
const DEVICE = 'urn:schemas-upnp-org:device:InternetGatewayDevice:1';
const SERVICES = ['WANIPConnection:2', 'WANIPConnection:1', 'WANPPPConnection:1'].map(
  (name) => `urn:schemas-upnp-org:service:${name}`,
);
/** Milliseconds between two questions, and how often it is asked: a packet may be lost, and an answer may wait a second. */
const SEARCH_MS = 1200;
const SEARCHES = 3;
const REQUEST_MS = 4000;
/** Bytes of a description; those of routers have less than a tenth. */
const MOST_BYTES = 256 * 1024;
const DESCRIPTION = 'NetApp';
/** Errors of WANIPConnection (section 2.5). */
const ONLY_PERMANENT = 725;
const CONFLICT = 718;
/** Outside ports that are tried where the first belongs to somebody else. */
const MOST_TRIED = 4;
const FREE_PORTS = { from: 20_000, count: 40_000 };

/** Throws `peer_unreachable` where the router offers none, `forbidden` where it refuses, `malformed` for what cannot be read. */
export async function leaseByUpnp(place: UpnpPlace, wish: Wish, signal: AbortSignal): Promise<Lease> {
  // Nobody on a public network is to be asked by multicast, and none of it is behind a router of ours. [N-60]
  if (scopeOf(place.own) === 'public') {
    throw new Fault('wrong_state', `asking for a router by UPnP: "${place.own}" is no address of a private network`);
  }
  const location = await find(place, signal);
  return await mapBy(await serviceAt(location, place, signal), place, wish, signal);
}

type Service = { url: URL; type: string };

async function find(place: UpnpPlace, signal: AbortSignal): Promise<URL> {
  const socket = createSocket('udp4');
  const { promise, resolve, reject } = Promise.withResolvers<URL>();
  const over = new AbortController();
  socket.on('error', (error) => reject(toFault(error, 'asking for a router by UPnP', 'peer_unreachable')));
  socket.on('message', (packet, { address }) => {
    const location = address === place.ip ? locationIn(packet, place) : undefined; // others may say what they like [N-61]
    if (location) resolve(location);
  });
  socket.bind(0, place.own, () => {
    search(socket, place, AbortSignal.any([signal, over.signal])).catch(reject);
  });
  try {
    return await promise;
  } finally {
    over.abort();
    socket.close();
  }
}

async function search(socket: Socket, { ip, own, search: to = SEARCH }: UpnpPlace, signal: AbortSignal): Promise<void> {
  const question = `M-SEARCH * HTTP/1.1\r\nHOST: ${SEARCH.host}:${SEARCH.port}\r\nMAN: "ssdp:discover"\r\nMX: 1\r\nST: ${DEVICE}\r\n\r\n`;
  socket.setMulticastInterface(own);
  socket.setMulticastTTL(2);
  for (let asked = 0; asked < SEARCHES; asked++) {
    socket.send(question, to.port, to.host);
    await sleep(SEARCH_MS, signal);
  }
  throw new Fault('peer_unreachable', `asking the router "${ip}" for a port by UPnP: it does not answer`);
}

/** The router sends nobody elsewhere: what it names is at its own address. */
function locationIn(packet: Buffer, place: UpnpPlace): URL | undefined {
  const [, text = ''] = /^location:\s*(\S+)\s*$/im.exec(packet.toString('latin1')) ?? [];
  return urlAt(text, place);
}

function urlAt(text: string, { ip }: Gateway, base?: URL): URL | undefined {
  if (!URL.canParse(text, base?.href)) return undefined;
  const url = new URL(text, base);
  return url.protocol === 'http:' && url.hostname === ip ? url : undefined;
}

async function serviceAt(location: URL, place: UpnpPlace, signal: AbortSignal): Promise<Service> {
  const what = `asking the router "${place.ip}" for a port by UPnP`;
  const { text } = await http(location, what, signal);
  const base = urlAt(textIn(text, 'URLBase') ?? '', place) ?? location;
  const found = [...text.matchAll(/<service>([\s\S]*?)<\/service>/g)].flatMap(([, service = '']) => {
    const type = textIn(service, 'serviceType') ?? '';
    const url = urlAt(textIn(service, 'controlURL') ?? '', place, base);
    return SERVICES.includes(type) && url ? [{ type, url }] : [];
  });
  const [best] = found.sort((a, b) => SERVICES.indexOf(a.type) - SERVICES.indexOf(b.type));
  if (best) return best;
  throw new Fault('malformed', `${what}: it describes no service that maps ports`);
}

async function mapBy(service: Service, place: UpnpPlace, wish: Wish, signal: AbortSignal): Promise<Lease> {
  const { text } = await call(service, place, 'GetExternalIPAddress', {}, signal);
  const host = textIn(text, 'NewExternalIPAddress') ?? '';
  if (!isIPv4(host))
    throw new Fault('malformed', `asking the router "${place.ip}" for its outside address: it says none`);
  let outside = wish.outside;
  let seconds = WANTED_SECONDS;
  for (let tried = 1; ; tried++) {
    try {
      await call(service, place, 'AddPortMapping', argumentsOf(place, wish.port, outside, seconds), signal);
      break;
    } catch (error) {
      const code = toFault(error).data?.upnp;
      if (code === ONLY_PERMANENT && seconds > 0) seconds = 0;
      else if (code === CONFLICT && tried < MOST_TRIED) {
        outside = FREE_PORTS.from + Math.floor(Math.random() * FREE_PORTS.count);
      } else throw error;
    }
  }
  return {
    by: 'upnp',
    outside: { host, port: outside },
    seconds: seconds === 0 ? Infinity : seconds,
    renew: (limit) => mapBy(service, place, { ...wish, outside }, limit),
    async release(limit) {
      const gone = { NewRemoteHost: '', NewExternalPort: outside, NewProtocol: 'TCP' };
      await call(service, place, 'DeletePortMapping', gone, limit);
    },
  };
}

const argumentsOf = ({ own }: Gateway, port: number, outside: number, seconds: number) => ({
  NewRemoteHost: '',
  NewExternalPort: outside,
  NewProtocol: 'TCP',
  NewInternalPort: port,
  NewInternalClient: own,
  NewEnabled: 1,
  NewPortMappingDescription: DESCRIPTION,
  NewLeaseDuration: seconds,
});

/** Throws `forbidden` with the router's own number as `data.upnp` where it refuses. */
async function call(
  { url, type }: Service,
  { ip }: Gateway,
  action: string,
  values: Record<string, string | number>,
  signal: AbortSignal,
): Promise<{ text: string }> {
  const members = Object.entries(values).map(([name, value]) => `<${name}>${value}</${name}>`);
  const body = `<?xml version="1.0"?>\r\n<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body><u:${action} xmlns:u="${type}">${members.join('')}</u:${action}></s:Body></s:Envelope>\r\n`;
  const what = `asking the router "${ip}" for "${action}"`;
  const { status, text } = await http(url, what, signal, { body, action: `"${type}#${action}"` });
  if (status === 200) return { text };
  const code = Number(textIn(text, 'errorCode'));
  const words =
    textIn(text, 'errorDescription')
      ?.replaceAll(/[^\x20-\x7e]/g, '')
      .slice(0, 100) ?? 'no reason given';
  throw new Fault('forbidden', `${what}: ${words} (${code || status})`, { data: { upnp: code } });
}

/** What stands in the first element of that name. */
function textIn(xml: string, name: string): string | undefined {
  const found = new RegExp(`<(?:\\w+:)?${name}(?:\\s[^>]*)?>([^<]*)<`).exec(xml)?.[1]?.trim();
  return found?.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&quot;', '"').replaceAll('&amp;', '&');
}

/** Follows no redirection. Throws `peer_unreachable`, `too_large`. */
async function http(
  url: URL,
  what: string,
  signal: AbortSignal,
  soap?: { body: string; action: string },
): Promise<{ status: number; text: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
  const asking = request(url, {
    method: soap ? 'POST' : 'GET',
    agent: false,
    signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_MS)]),
    headers: {
      connection: 'close',
      ...(soap && {
        'content-type': 'text/xml; charset="utf-8"',
        'content-length': Buffer.byteLength(soap.body),
        soapaction: soap.action,
      }),
    },
  });
  asking.on('error', (error) => reject(toFault(error, what, 'peer_unreachable')));
  asking.on('response', (response) => {
    const parts: Buffer[] = [];
    let bytes = 0;
    response.on('data', (part: Buffer) => {
      parts.push(part);
      bytes += part.length;
      if (bytes > MOST_BYTES)
        asking.destroy(new Fault('too_large', `${what}: its answer has more than ${MOST_BYTES} bytes`));
    });
    response.on('error', (error) => reject(toFault(error, what, 'peer_unreachable')));
    response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString() }));
  });
  asking.end(soap?.body);
  return await promise;
}
