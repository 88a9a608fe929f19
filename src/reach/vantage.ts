/** The trackers from which a node lets itself be seen, for as long as it makes a hole with somebody. */
import { Fault, toFault } from '../base/fault.ts';
import { isProxied } from '../link/address.ts';
import type { Identity } from '../link/certificate.ts';
import type { Link } from '../link/link.ts';
import { type NatMapping, type NatReport, natKind } from './nat.ts';
import { Outlook } from './outlook.ts';
import type { Sighting } from './sighting.ts';

export type VantageOptions = {
  identity: Identity;
  /** Links to trackers at which the account is, the likeliest first. */
  trackersOf(account: string, wait: { signal?: AbortSignal | undefined }): Promise<readonly Link[]>;
  /** Links to trackers to which this node announces itself: these it believes. */
  own(): readonly Link[];
};

/** Milliseconds that what is known of the NAT here counts. */
const KNOWN_MS = 5 * 60_000;
/** Trackers that are asked before one gives up. */
const MOST_ASKED = 3;

export class Vantage {
  readonly #options: VantageOptions;
  #measured: { at: number; report: Promise<NatReport> } | undefined;
  /** What kind of NAT is here, as far as it has been found out. */
  nat: NatMapping = 'unknown';

  constructor(options: VantageOptions) {
    this.#options = options;
  }

  /** How this node looks to a tracker of the account. Throws `peer_unreachable` with what each said. */
  async towards(account: string, signal: AbortSignal): Promise<Outlook> {
    const links = await this.#options.trackersOf(account, { signal });
    // One that sees where a connection comes from, before one that has a proxy see it.
    const inOrder = [...links].sort((a, b) => Number(isProxied(a.address)) - Number(isProxied(b.address)));
    const reasons: string[] = [];
    for (const link of inOrder.slice(0, MOST_ASKED)) {
      try {
        return await this.#look(link, signal);
      } catch (error) {
        if (signal.aborted) throw error;
        reasons.push(toFault(error).message);
      }
    }
    throw new Fault('peer_unreachable', reasons.join('; ') || 'making a hole: no tracker of theirs is linked now');
  }

  /** How it looks to the tracker that the other side was seen by. Throws `forbidden` for a tracker that is none of ours. */
  async beside([theirs]: readonly Sighting[], signal: AbortSignal): Promise<Outlook> {
    const link = this.#options.own().find(({ peer }) => peer === theirs?.tracker);
    if (link) return await this.#look(link, signal);
    throw new Fault('forbidden', 'making a hole: the other side was seen by no tracker of ours');
  }

  async #look({ peer, address }: Link, signal: AbortSignal): Promise<Outlook> {
    const { identity } = this.#options;
    const outlook = await Outlook.take({ tracker: { peer, address }, identity, signal });
    void this.natBehind(outlook);
    return outlook;
  }

  /** What kind of NAT is here: asked of the STUN server seldom, for it says why a hole did not come about. */
  async natBehind({ stun }: Outlook): Promise<NatMapping> {
    if (stun && (!this.#measured || performance.now() - this.#measured.at > KNOWN_MS)) {
      this.#measured = { at: performance.now(), report: natKind({ servers: [stun] }) };
    }
    this.nat = (await this.#measured?.report)?.kind ?? 'unknown';
    return this.nat;
  }
}

/** Why it is no wonder that no hole came about, as the end of a sentence; empty where it is one. [N-38] */
export function becauseOf(here: NatMapping, there: NatMapping): string {
  const sides = [here === HARD && 'here', there === HARD && 'there'].filter((side) => side !== false);
  if (sides.length === 0) return '';
  return `; the NAT ${sides.join(' and the one ')} gives each destination another port, so that none can be told beforehand`;
}

const HARD: NatMapping = 'address-and-port-dependent';
