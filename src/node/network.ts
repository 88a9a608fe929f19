/** How this node stands in its networks, and by which ways it gets to somebody: looked at when a person asks. */
import { type Interface, interfaceIps, interfaces } from '../base/interfaces.ts';
import type { ChatService } from '../chat/service.ts';
import type { DirectoryClient } from '../directory/client.ts';
import type { FileService } from '../files/service.ts';
import { isProxied, parseAddress, type Scope, scopeOf } from '../link/address.ts';
import type { Link } from '../link/link.ts';
import type { Hearing } from '../reach/hearing.ts';
import type { NatReport } from '../reach/nat.ts';
import type { Tried } from '../reach/survey.ts';
import type { Peers } from './peers.ts';

type Wait = { signal?: AbortSignal | undefined };

/** How a tracker sees this node. */
export type Seen = {
  peer: string;
  zone: string;
  address: string;
  /** Null: it is not up. */
  observed: string | null;
  scope: Scope | null;
  /** Addresses at which it has dialled this node back. [D-20] */
  reached: readonly string[];
  error: string | null;
};

export type NetworkFacts = {
  interfaces: Interface[];
  listening: readonly string[];
  trackers: Seen[];
  multicast: Hearing[];
  nat: NatReport;
};

export type PeerFacts = {
  link: Link | undefined;
  ways: Tried[];
  waiting: { queued: number; held: number; files: number };
};

/** Whether the address is one of this machine's own: what a tracker there sees says nothing of the way from elsewhere. */
function isHere(address: string): boolean {
  return !isProxied(address) && interfaceIps().includes(parseAddress(address).host);
}

export type NetworkDeskOptions = {
  directory: DirectoryClient;
  peers: Peers;
  chat: ChatService;
  files: FileService;
  /** `host:port` at which others may try this node. */
  addresses(): readonly string[];
  /** Whether multicast is heard on the networks in which it listens; none where it does not look there at all. */
  hear(wait: Wait): Promise<Hearing[]>;
  /** The kind of NAT between here and the trackers. */
  nat(wait: Wait): Promise<NatReport>;
};

/** States of files that are not at their end. */
const MOVING: ReadonlySet<string> = new Set(['accepted', 'fetching', 'serving', 'preparing']);

export class NetworkDesk {
  readonly #options: NetworkDeskOptions;

  constructor(options: NetworkDeskOptions) {
    this.#options = options;
  }

  async check(wait: Wait): Promise<NetworkFacts> {
    const { hear, nat, addresses } = this.#options;
    const asked = [interfaces(), this.#seen(wait), hear(wait), nat(wait)] as const;
    const [all, trackers, multicast, kind] = await Promise.all(asked);
    return { interfaces: all, listening: addresses(), trackers, multicast, nat: kind };
  }

  /** Announces anew, for which trackers dial back what they have not dialled lately. [N-90] */
  async #seen(wait: Wait): Promise<Seen[]> {
    const { directory } = this.#options;
    await directory.announceNow(wait).catch((error: unknown) => {
      if (wait.signal?.aborted) throw error; // else each tracker's own state says what is wrong with it
    });
    return directory
      .states()
      .filter(({ used }) => used)
      .map(({ peer, zone, address, observed, checked, error }) => ({
        peer,
        zone,
        address,
        observed,
        scope: observed === null ? null : isHere(address) ? 'loopback' : scopeOf(observed),
        reached: checked,
        error: error?.message ?? null,
      }));
  }

  /** Throws the directory's faults, and `wrong_state` for somebody who is blocked. */
  async peer(account: string, wait: Wait): Promise<PeerFacts> {
    const { peers, chat, files } = this.#options;
    const ways = await peers.survey(account, wait);
    const under = files.list().filter(({ peer, state }) => peer === account && MOVING.has(state));
    return {
      link: peers.links.get(account),
      ways,
      waiting: { ...chat.waitingFor(account), files: under.length },
    };
  }
}
