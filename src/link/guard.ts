/** How much one address and one key may ask of a listener, so that a flood from one costs the others nothing. to */
import { isIPv6 } from 'node:net';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { Rate } from '../base/rate.ts';
import { scopeOf } from './address.ts';

/** Each is a number at once or in a minute; 0: no bound. */
export type Limits = {
  /** Connections at once from one address. */
  connectionsPerAddress: number;
  /** New connections in a minute from one address: each costs a TLS handshake, about a millisecond. */
  handshakesPerAddress: number;
  /** Plain HTTP requests in a minute from one address. */
  requestsPerAddress: number;
  /** Links at once of one node key; a node that hosts many accounts has one for each. */
  linksPerKey: number;
  /** Frames that ask for something, in a minute, on all links of one node key. */
  requestsPerKey: number;
  /** Whether this machine's own addresses are counted too: a proxy in front of the tracker comes from there with everybody. */
  loopback: boolean;
};

/** A thousand people behind one router come back at once without one refused. */
const LIMITS: Limits = {
  connectionsPerAddress: 1000,
  handshakesPerAddress: 1200,
  requestsPerAddress: 1200,
  linksPerKey: 1000,
  requestsPerKey: 60_000,
  loopback: false,
};

/** What was refused, by the limit that refused it; `late`: a connection whose handshake would have come too late. */
export type Refusals = Record<'connections' | 'handshakes' | 'late' | 'requests' | 'links' | 'calls', number>;

/** Addresses and keys that are remembered; past it, those that were quiet longest are forgotten. */
const MOST_REMEMBERED = 100_000;
/** Refused requests in a row after which a link is ended: who does not hear "wait" is not answered any more. */
const MOST_IN_VAIN = 1000;

type Caller = { open: number; handshakes: Rate | undefined; requests: Rate | undefined };
type Holder = { open: number; calls: Rate | undefined; inVain: number };

export class Guard {
  readonly refused: Refusals = { connections: 0, handshakes: 0, late: 0, requests: 0, links: 0, calls: 0 };
  readonly #clock: Clock;
  readonly #callers = new Map<string, Caller>();
  readonly #holders = new Map<string, Holder>();
  #limits: Limits;
  /** By their number in a minute; there are three at a time. */
  readonly #rates = new Map<number, ConstructorParameters<typeof Rate>[0]>();

  constructor(options: { limits?: Partial<Limits> | undefined; clock: Clock }) {
    this.#limits = { ...LIMITS, ...options.limits };
    this.#clock = options.clock;
  }

  /** Others from now on; what stands already stays. */
  set limits(limits: Partial<Limits>) {
    this.#limits = { ...LIMITS, ...limits };
    this.#rates.clear();
    for (const caller of this.#callers.values()) [caller.handshakes, caller.requests] = [undefined, undefined];
    for (const holder of this.#holders.values()) holder.calls = undefined;
  }

  /** A connection from `ip`, before its handshake; undefined where it is one too many. The result ends it. */
  connect(ip: string): (() => void) | undefined {
    const caller = this.#callerAt(ip);
    if (!caller) return () => {};
    const { connectionsPerAddress, handshakesPerAddress } = this.#limits;
    if (connectionsPerAddress > 0 && caller.open >= connectionsPerAddress) {
      this.refused.connections += 1;
      return undefined;
    }
    caller.handshakes ??= this.#rate(handshakesPerAddress);
    if (handshakesPerAddress > 0 && !caller.handshakes.take()) {
      this.refused.handshakes += 1;
      return undefined;
    }
    caller.open += 1;
    let open = true;
    return () => {
      if (open) caller.open -= 1;
      open = false;
    };
  }

  /** A plain HTTP request. Throws `too_many` with `data.retryAfterMs`. */
  request(ip: string): void {
    const caller = this.#callerAt(ip);
    const { requestsPerAddress } = this.#limits;
    if (!caller || requestsPerAddress === 0) return;
    caller.requests ??= this.#rate(requestsPerAddress);
    if (caller.requests.take()) return;
    this.refused.requests += 1;
    throw tooMany(`asking from "${networkOf(ip)}": at most ${requestsPerAddress} requests a minute`, caller.requests);
  }

  /** A link of the node key `peer`. Throws `too_many`. The result ends it. */
  link(peer: string): () => void {
    const holder = this.#holderOf(peer);
    const { linksPerKey } = this.#limits;
    if (linksPerKey > 0 && holder.open >= linksPerKey) {
      this.refused.links += 1;
      throw new Fault('too_many', `opening a link: this key has ${linksPerKey} links already`, {
        data: { retryAfterMs: 60_000 },
      });
    }
    holder.open += 1;
    let open = true;
    return () => {
      if (open) holder.open -= 1;
      open = false;
    };
  }

  /** A request or notice on a link, however many share a frame. Throws `too_many` with `data.retryAfterMs`; ends a link that goes on so. */
  call(link: { readonly peer: string; close(fault: Fault): void }): void {
    const { requestsPerKey } = this.#limits;
    if (requestsPerKey === 0) return;
    const holder = this.#holderOf(link.peer);
    holder.calls ??= this.#rate(requestsPerKey);
    if (holder.calls.take()) {
      holder.inVain = 0;
      return;
    }
    this.refused.calls += 1;
    const fault = tooMany(`calling: at most ${requestsPerKey} requests a minute for one key`, holder.calls);
    if (++holder.inVain >= MOST_IN_VAIN) {
      holder.inVain = 0;
      link.close(fault);
    }
    throw fault;
  }

  /** As so many of `call`, all or none: false where that would refuse one of them. */
  calls(link: { readonly peer: string }, many: number): boolean {
    const { requestsPerKey } = this.#limits;
    if (requestsPerKey === 0) return true;
    const holder = this.#holderOf(link.peer);
    holder.calls ??= this.#rate(requestsPerKey);
    if (!holder.calls.take(many)) return false;
    holder.inVain = 0;
    return true;
  }

  #callerAt(ip: string): Caller | undefined {
    if (!this.#limits.loopback && scopeOf(ip) === 'loopback') return undefined;
    return known(this.#callers, networkOf(ip), () => ({ open: 0, handshakes: undefined, requests: undefined }));
  }

  #holderOf(peer: string): Holder {
    return known(this.#holders, peer, () => ({ open: 0, calls: undefined, inVain: 0 }));
  }

  #rate(perMinute: number): Rate {
    let options = this.#rates.get(perMinute);
    if (!options) {
      options = { burst: perMinute, perSecond: perMinute / 60, clock: this.#clock };
      this.#rates.set(perMinute, options);
    }
    return new Rate(options);
  }
}

function known<T extends { open: number }>(map: Map<string, T>, key: string, make: () => T): T {
  const found = map.get(key);
  if (found) return found;
  if (map.size >= MOST_REMEMBERED) forgetQuiet(map);
  const made = make();
  map.set(key, made);
  return made;
}

/** The eldest tenth of those that have nothing open; who is forgotten starts with a full measure, so it is not done for each. */
function forgetQuiet(map: Map<string, { open: number }>): void {
  let left = MOST_REMEMBERED / 10;
  for (const [key, { open }] of map) {
    if (open > 0) continue;
    map.delete(key);
    if (--left === 0) return;
  }
}

const tooMany = (what: string, rate: Rate): Fault => {
  const retryAfterMs = rate.waitMs;
  return new Fault('too_many', `${what}; wait ${Math.ceil(retryAfterMs / 1000)} s`, { data: { retryAfterMs } });
};

/** What one subscriber has: an IPv4 address, or the /64 of an IPv6 one. */
export function networkOf(ip: string): string {
  if (!isIPv6(ip)) return ip;
  const [head = '', tail] = ip.toLowerCase().replace(/%.*$/, '').split('::');
  const groupsOf = (text: string): string[] =>
    text === '' ? [] : text.split(':').flatMap((group) => (group.includes('.') ? ['v4', 'v4'] : [group]));
  const [before, after] = [groupsOf(head), groupsOf(tail ?? '')];
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length);
  const all = [...before, ...Array<string>(zeros).fill('0'), ...after];
  return `${all
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':')}::/64`;
}
