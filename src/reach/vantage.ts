/** The trackers from which a node lets itself be seen, for as long as it makes a hole with somebody. */
import { Fault, toFault } from '../base/fault.ts';
import { isProxied } from '../link/address.ts';
import type { Identity } from '../link/certificate.ts';
import type { Link } from '../link/link.ts';
import { Outlook } from './outlook.ts';
import type { Sighting } from './sighting.ts';

export type VantageOptions = {
  identity: Identity;
  /** Links to trackers at which the account is, the likeliest first. */
  trackersOf(account: string, wait: { signal?: AbortSignal | undefined }): Promise<readonly Link[]>;
  /** Links to trackers to which this node announces itself: these it believes. */
  own(): readonly Link[];
};

/** Trackers that are asked before one gives up. */
const MOST_ASKED = 3;

export class Vantage {
  readonly #options: VantageOptions;

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
    return await Outlook.take({ tracker: { peer, address }, identity: this.#options.identity, signal });
  }
}
