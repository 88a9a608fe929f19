/** What is said of a node or a tracker on its network: DNS-SD records of `_netapp._tcp` (RFC 6763). [N-50] */
import { isIPv4 } from 'node:net';
import { type Answer, decode, encode, type Packet, type StringAnswer } from 'dns-packet';

/** What somebody says of themselves, before anything of it is proved. */
export type Advert = {
  /** Peer id of the node or tracker. */
  id: string;
  role: 'node' | 'tracker';
  port: number;
  /** Of a node: account id, and the handle that it goes by. */
  account?: string | undefined;
  handle?: string | undefined;
  /** Of a tracker: the zone that it serves. */
  zone?: string | undefined;
  /** Name and version of the program. */
  software: string;
};

/** One thing that a packet says of somebody; `gone`: that they are going. */
export type Said = { id: string; gone: true } | ({ gone: false; seconds: number } & Advert);

export type Heard = {
  said: Said[];
  /** The question is asked who is there; `known`: ids that the asker has heard of, with seconds left. */
  question: { known: ReadonlyMap<string, number> } | undefined;
};

const SERVICE = '_netapp._tcp.local';
const SERVICES = '_services._dns-sd._udp.local';
/** As its labels stand in a packet: what does not have it is none of ours, and is not read. */
const MARK = Buffer.from('\x07_netapp\x04_tcp\x05local', 'latin1');
/** Seconds for which an advert holds: what RFC 6762, section 10, says for records that name a host. */
export const TTL_SECONDS = 120;
/** Records that one packet may have: those of ten adverts and more. */
const MOST_RECORDS = 64;
/** Known ones that are named in a question: about as many as a packet of 1,400 bytes holds. */
const MOST_KNOWN = 16;

const VERSION = '1';
const ID = /^[a-z2-7]{52}$/;
const instanceForm = new RegExp(`^([a-z2-7]{52})\\.${SERVICE.replaceAll('.', '\\.')}$`);
const FORMS: Readonly<Record<'account' | 'handle' | 'zone' | 'sw', RegExp>> = {
  account: ID,
  handle: /^[a-z0-9][a-z0-9._-]{0,63}@[a-z0-9.-]{1,253}$/,
  zone: /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/,
  sw: /^[\x20-\x7e]{1,80}$/,
};

const instanceOf = (id: string): string => `${id}.${SERVICE}`;
const hostOf = (id: string): string => `${id}.local`;

/** All that is said of one, in one packet; with `seconds` 0: that it is going. */
export function encodeAdverts(
  adverts: readonly Advert[],
  addresses: readonly string[],
  seconds: number = TTL_SECONDS,
): Uint8Array {
  const answers = adverts.flatMap((advert): Answer[] => recordsOf(advert, addresses, seconds));
  const services: Answer[] =
    adverts.length > 0 && seconds > 0 ? [{ type: 'PTR', name: SERVICES, ttl: seconds, data: SERVICE }] : [];
  // Authoritative (RFC 6762, section 18.4).
  return encode({ type: 'response', flags: 1 << 10, answers: [...answers, ...services] });
}

function recordsOf(advert: Advert, addresses: readonly string[], ttl: number): Answer[] {
  const { id, port, role, account, handle, zone, software } = advert;
  const own = { ttl, flush: true } as const; // nobody else says anything of this name
  const said = { v: VERSION, id, role, account, handle, zone, sw: software };
  const data = Object.entries(said).flatMap(([key, value]) => (value === undefined ? [] : [`${key}=${value}`]));
  return [
    { type: 'PTR', name: SERVICE, ttl, data: instanceOf(id) },
    { type: 'SRV', name: instanceOf(id), ...own, data: { target: hostOf(id), port } },
    { type: 'TXT', name: instanceOf(id), ...own, data },
    ...addresses.map((ip): StringAnswer => ({ type: isIPv4(ip) ? 'A' : 'AAAA', name: hostOf(id), ...own, data: ip })),
  ];
}

/** Who is there? `known` is not to be said again, with the seconds for which it still holds. */
export function encodeQuestion(known: ReadonlyMap<string, number>): Uint8Array {
  const answers = [...known]
    .slice(0, MOST_KNOWN)
    .map(([id, seconds]): StringAnswer => ({ type: 'PTR', name: SERVICE, ttl: seconds, data: instanceOf(id) }));
  return encode({ type: 'query', questions: [{ type: 'PTR', name: SERVICE }], answers });
}

/** Whether a packet has to do with us at all: most of what is said on a network is of printers and screens. */
export const concernsUs = (packet: Buffer): boolean => packet.includes(MARK);

/**
 * What a packet says; undefined for one that cannot be read. Of each advert PTR, SRV and TXT must stand in this one packet
 * [N-50]; what is not of its form is left out, as if it had not been said. [N-51]
 */
export function decodePacket(packet: Buffer): Heard | undefined {
  const read = tryDecode(packet);
  if (!read) return undefined;
  const answers = [...(read.answers ?? []), ...(read.additionals ?? [])];
  if (answers.length > MOST_RECORDS || (read.questions ?? []).length > MOST_RECORDS) return undefined;
  if (read.type === 'query') return { said: [], question: questionOf(read) };
  return { said: saidIn(answers), question: undefined };
}

function tryDecode(packet: Buffer): Packet | undefined {
  try {
    return decode(packet);
  } catch {
    return undefined; // whatever it is: nobody is owed an answer to it
  }
}

function questionOf({ questions = [], answers = [] }: Packet): Heard['question'] {
  const isAsked = questions.some(({ name }) => {
    const asked = name.toLowerCase();
    return asked === SERVICE || asked === SERVICES || idOf(asked) !== undefined;
  });
  if (!isAsked) return undefined;
  const known = answers.flatMap((answer) => {
    if (answer.type !== 'PTR' || answer.name.toLowerCase() !== SERVICE) return [];
    const id = idOf(answer.data);
    return id === undefined ? [] : [[id, answer.ttl ?? 0] as const];
  });
  return { known: new Map(known) };
}

function saidIn(answers: readonly Answer[]): Said[] {
  const texts = new Map<string, Map<string, string>>();
  for (const answer of answers) {
    if (answer.type !== 'TXT') continue;
    const id = idOf(answer.name);
    if (id !== undefined && !texts.has(id)) texts.set(id, textOf(answer.data));
  }
  const said = new Map<string, Said>();
  for (const answer of answers) {
    if (answer.type !== 'SRV') continue;
    const id = idOf(answer.name);
    if (id === undefined || said.has(id)) continue;
    const seconds = Math.min(answer.ttl ?? 0, TTL_SECONDS);
    if (seconds === 0) {
      said.set(id, { id, gone: true });
      continue;
    }
    const advert = advertOf(id, answer.data.port, texts.get(id));
    if (advert) said.set(id, { gone: false, seconds, ...advert });
  }
  return [...said.values()];
}

function advertOf(id: string, port: number, text: ReadonlyMap<string, string> | undefined): Advert | undefined {
  const role = text?.get('role');
  if (!text || text.get('v') !== VERSION || text.get('id') !== id || port === 0) return undefined;
  const of = (key: keyof typeof FORMS): string | undefined => {
    const value = text.get(key);
    return value !== undefined && FORMS[key].test(value) ? value : undefined;
  };
  const [account, handle, zone, software = ''] = [of('account'), of('handle'), of('zone'), of('sw')];
  if (role === 'node' && account !== undefined && handle !== undefined) {
    return { id, role, port, account, handle, software };
  }
  return role === 'tracker' && zone !== undefined ? { id, role, port, zone, software } : undefined;
}

const idOf = (name: string): string | undefined => instanceForm.exec(name.toLowerCase())?.[1];

/** `key=value` each; of a key that stands several times the first counts (RFC 6763, section 6.4). */
function textOf(data: string | Buffer | (string | Buffer)[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const each of Array.isArray(data) ? data : [data]) {
    const [, key, value] = /^([^=]+)=(.*)$/s.exec(each.toString()) ?? [];
    if (key !== undefined && value !== undefined && !found.has(key.toLowerCase())) found.set(key.toLowerCase(), value);
  }
  return found;
}
