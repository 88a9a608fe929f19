/** Who else is on this node's networks: heard of by multicast, and met when the user wants them. [N-50] to [N-58] */
import { deadline } from '../base/async.ts';
import type { Clock } from '../base/clock.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { DirectoryClient } from '../directory/client.ts';
import { parseHandle } from '../directory/handle.ts';
import { formatInvite } from '../directory/invite.ts';
import { nearHandle, nearOf } from '../directory/nearby.ts';
import type { Link } from '../link/link.ts';
import { type Advert, type Found, Lan, type LanState } from '../reach/lan.ts';
import type { Peers } from './peers.ts';

type Wait = { signal?: AbortSignal | undefined };
type Wanted = { account: string } | { name: string; key: string | undefined };

export type NeighboursOptions = {
  directory: DirectoryClient;
  peers: Peers;
  /** Whether multicast is spoken and heard at all. */
  on: boolean;
  /** IP that the node listens at. */
  host: string | undefined;
  adverts: () => readonly Advert[];
  /** Somebody who is known has been heard of: what waits for them may go now. */
  heard(account: string): void;
  clock: Clock;
  log: Log;
};

/** Milliseconds that somebody who is linked has to say who they are. */
const MEET_MS = 2000;
/** Nodes that are dialled for one wanted account: where several claim it, all but one are wrong. [N-55] */
const MOST_TRIED = 4;
/** Milliseconds from one word that a person is here to the next: what is heard may be anybody's. */
const TOLD_MS = 10_000;
const MOST_TOLD = 1000;

export class Neighbours implements AsyncDisposable {
  readonly #options: NeighboursOptions;
  readonly #lan: Lan | undefined;
  readonly #told = new Map<string, number>();
  readonly #listeners = new Set<(found: Found) => void>();

  constructor(options: NeighboursOptions) {
    this.#options = options;
    const { on, host, adverts, clock, log } = options;
    this.#lan = on ? new Lan({ adverts, host, clock, log, onFound: (found) => this.#found(found) }) : undefined;
  }

  async start(): Promise<void> {
    await this.#lan?.start();
  }

  /** Told of everybody who is heard of from now on. The result ends it. */
  onFound(listener: (found: Found) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #found(found: Found): void {
    for (const listener of this.#listeners) listener(found);
    const { account } = found;
    if (account === undefined || !this.#options.directory.get(account)) return;
    const now = performance.now();
    if (now - (this.#told.get(account) ?? -Infinity) < TOLD_MS) return;
    if (this.#told.size >= MOST_TOLD) this.#told.clear();
    this.#told.set(account, now);
    this.#options.heard(account);
  }

  /** Everybody who was heard of; nobody where multicast is off. */
  found(): Found[] {
    return this.#lan?.found() ?? [];
  }

  /** Undefined where multicast is off. */
  get state(): LanState | undefined {
    return this.#lan?.state;
  }

  /** What this node says of itself has changed. */
  changed(): void {
    this.#lan?.changed();
  }

  /** Everybody who was heard of. Throws `wrong_state` where multicast is off. */
  list() {
    if (!this.#lan) {
      throw new Fault(
        'wrong_state',
        'listing who is on this network: looking there is off; start the node with --lan on',
      );
    }
    const { directory } = this.#options;
    const joined = new Set(directory.chosen.map(({ peer }) => peer));
    return this.#lan.found().map((found) => ({
      ...found,
      handle: this.#handleOf(found),
      known: found.account === undefined ? joined.has(found.id) : directory.get(found.account) !== undefined,
      invite: inviteOf(found),
    }));
  }

  /** By which one can speak to them: as they are known, else by the name that they claim and their key. */
  #handleOf({ account, handle = '' }: Found): string | null {
    if (account === undefined) return null;
    return this.#options.directory.get(account)?.handle ?? nearHandle(parseHandle(handle, '').name, account);
  }

  /** The handles of those who say a name here. */
  named(name: string): string[] {
    const accounts = this.#nodes().flatMap(({ handle, account }) =>
      account !== undefined && handle?.startsWith(`${name}@`) ? [account] : [],
    );
    return [...new Set(accounts)].map((account) => nearHandle(name, account));
  }

  /** The nodes that say that they host an account, those heard first first. */
  of(account: string): Found[] {
    return this.#nodes().filter((found) => found.account === account);
  }

  #nodes(): Found[] {
    return this.found().filter(({ role }) => role === 'node');
  }

  /**
   * The account that is wanted, met by a link: the one there is, or a new one to whom was heard of. Undefined where nobody says
   * that it is them. Throws `invalid_argument` where several do, and what the last dial threw. [N-57]
   */
  async meet(wanted: Wanted, wait: Wait): Promise<string | undefined> {
    const account = 'account' in wanted ? wanted.account : this.#named(wanted);
    if (account === undefined) return undefined;
    if (this.#options.directory.get(account)) return account;
    const link = this.#options.peers.links.get(account);
    if (link?.open && (await this.metBy(link, wait))) return account;
    let last: Fault | undefined;
    for (const { id, addresses } of this.of(account).slice(0, MOST_TRIED)) {
      try {
        const dialled = await this.#dial({ id, addresses, account }, wait);
        if (await this.metBy(dialled, wait)) return account;
      } catch (error) {
        last = toFault(error, `reaching "${account}"`, 'peer_unreachable');
      }
    }
    if (last) throw last;
    return undefined;
  }

  async #dial({ id, addresses, account }: { id: string; addresses: string[]; account: string }, { signal }: Wait) {
    using limit = deadline(MEET_MS * MOST_TRIED, `reaching "${account}"`, signal);
    const link = await this.#options.peers.carrier({ node: id, addresses }, { account, signal: limit });
    if (link.account?.account === account) return link;
    throw new Fault('wrong_key', `reaching "${account}": the node "${id}", which says that it hosts it, does not`);
  }

  /** Whoever was met before by this name, else the only one who claims it now. */
  #named({ name, key }: { name: string; key: string | undefined }): string | undefined {
    const { directory } = this.#options;
    const fits = (handle: string): boolean => handle.slice(0, handle.indexOf('@')) === name;
    const met = directory.list().filter(({ handle, me }) => !me && nearOf(handle)?.name === name);
    const claimed = this.#nodes().filter(({ handle = '' }) => fits(handle));
    const of = (accounts: readonly (string | undefined)[]): string[] =>
      [...new Set(accounts)].flatMap((each) => (each?.startsWith(key ?? '') ? [each] : []));
    const known = of(met.map(({ account }) => account));
    const all = known.length > 0 ? known : of(claimed.map(({ account }) => account));
    if (all.length < 2) return all[0];
    const handles = all.slice(0, MOST_TRIED).map((account) => nearHandle(name, account));
    throw new Fault(
      'invalid_argument',
      `finding "${name}@local": ${all.length} people here go by this name: ${handles.join(', ')}; say which one`,
    );
  }

  /** Learns whose link it is where no tracker has said so. */
  async metBy(link: Link, { signal }: Wait = {}): Promise<boolean> {
    using limit = deadline(MEET_MS, 'meeting somebody', signal);
    return (await this.#options.directory.nearby.meet(link, limit)) !== undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lan?.[Symbol.asyncDispose]();
  }
}

/** To join a tracker; null for a node, and where it was heard at addresses that mean something on this machine alone. */
function inviteOf({ role, id, addresses, zone }: Found): string | null {
  const named = addresses.filter((address) => !address.includes('%'));
  if (role !== 'tracker' || zone === undefined || named.length === 0) return null;
  return formatInvite({ peer: id, addresses: named, zone });
}
