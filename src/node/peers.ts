/** The node's links to other nodes: one for each account, dialled when wanted, shared by all that is said on it. */

import type { OnReadOpts } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { abortable } from '../base/async.ts';
import type { Clock } from '../base/clock.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Identity } from '../link/certificate.ts';
import { openChannel } from '../link/channel.ts';
import { type DialOptions, dial, dialLink, keyAt } from '../link/dial.ts';
import type { HelloInfo } from '../link/hello.ts';
import type { Link } from '../link/link.ts';
import type { Router } from '../link/router.ts';
import { climb, type Way, waysTo } from '../reach/ladder.ts';
import { survey, type Tried } from '../reach/survey.ts';

/** Where an account's node is: the key that must answer there, and the addresses to try. */
export type Whereabouts = { node: string; addresses: readonly string[] };

export type PeersOptions = {
  identity: Identity;
  router: Router;
  self: () => HelloInfo;
  clock: Clock;
  log: Log;
  /** Accounts with which no link and no connection is kept. [D-60] */
  blocked?(account: string): boolean;
  /** Asks the directory; throws its faults. */
  locate(account: string, options: { signal?: AbortSignal | undefined }): Promise<Whereabouts>;
  /** Ways to a node that are no addresses: the streams that they give carry TLS to it. */
  detours?(to: { account: string; node: string }): Way<Duplex>[];
  /** A link to the node that channels can go over; default: one that is there, or is dialled. */
  carrier?(to: Whereabouts, options: { signal: AbortSignal; account: string }): Promise<Link>;
  /** Told of each link to an account that is now the one to use. */
  onUp(link: Link, account: string): void;
  onDown(link: Link, account: string): void;
};

type Over = NonNullable<DialOptions['over']>;

/** Milliseconds that a link which lost against a better one has to finish what is under way on it. */
const RETIRE_MS = 5000;
/** Links to other nodes at once; past it the one that was silent longest is closed. */
const MOST_LINKS = 2000;

export class Peers {
  readonly #options: PeersOptions;
  readonly #links = new Map<string, Link>();
  readonly #dialling = new Map<string, Promise<Link>>();
  /** Links that are no channels, by node: over them go the channels to whom else it hosts. */
  readonly #carriers = new Map<string, Link>();
  readonly #climbing = new Map<string, Promise<Link>>();
  readonly #bulks = new Map<string, Set<TLSSocket>>();
  readonly #stop = new AbortController();

  constructor(options: PeersOptions) {
    this.#options = options;
  }

  /** Links in use, by account. */
  get links(): ReadonlyMap<string, Link> {
    return this.#links;
  }

  /**
   * A link to the node that hosts `account`: the one there is, or a new one. Throws the directory's faults,
   * `peer_unreachable`, or `wrong_key`.
   */
  async reach(account: string, options: { signal?: AbortSignal | undefined } = {}): Promise<Link> {
    this.#refuseBlocked(account);
    const link = this.#links.get(account);
    if (link?.open) return link;
    // All who want the account wait for one dial; one of them giving up does not end it for the others.
    let dialling = this.#dialling.get(account);
    if (!dialling) {
      dialling = this.#dial(account).finally(() => this.#dialling.delete(account));
      this.#dialling.set(account, dialling);
      dialling.catch(() => {}); // each waiter hears of it
    }
    return abortable(dialling, options.signal);
  }

  /** `code` says whether whoever wants it gives up, or waits until the user lets the account in again. */
  #refuseBlocked(account: string, code: 'wrong_state' | 'peer_unreachable' = 'wrong_state'): void {
    if (!this.#options.blocked?.(account)) return;
    throw new Fault(
      code,
      `reaching "${account}": you have blocked this account; let it in again first, with "netapp people unblock"`,
    );
  }

  /** Ends every link and connection with the account, with the goodbye of a node that stops. */
  part(account: string): void {
    this.#links.get(account)?.close();
    for (const socket of this.#bulks.get(account) ?? []) socket.destroy();
  }

  async #dial(account: string): Promise<Link> {
    const signal = this.#stop.signal;
    const to = await this.#options.locate(account, { signal });
    const link = await (this.#options.carrier?.(to, { signal, account }) ?? this.carrier(to, { signal, account }));
    // A node that hosts many answers for one of them, and speaks for the others on channels.
    if (!this.#options.carrier && link.account?.account === account) return this.take(link) ?? link;
    return await this.#open(account, link, signal);
  }

  async #open(account: string, carrier: Link, signal: AbortSignal): Promise<Link> {
    const { router, self, clock, log } = this.#options;
    try {
      const link = await openChannel(carrier, { to: account, router, self, clock, log, signal });
      if (link.account?.account === account) return this.take(link) ?? link;
      link.close();
    } catch (error) {
      const { code } = toFault(error);
      if (code !== 'unknown_operation' && code !== 'unknown_id') throw error;
    }
    throw new Fault('wrong_key', `reaching "${account}": its node hosts another account now`);
  }

  /** A link of this node to another one, for whichever accounts: the one there is, or a new one. */
  async carrier(
    { node, addresses }: Whereabouts,
    { signal, account }: { signal: AbortSignal; account: string },
  ): Promise<Link> {
    const known = this.#carriers.get(node);
    if (known?.open) return known;
    let climbing = this.#climbing.get(node);
    if (!climbing) {
      climbing = climb({
        ways: [
          ...waysTo(addresses, (address, ends) => this.#dialAt(address, node, ends)),
          ...this.#detours({ account, node }, (over, address, ends) => this.#dialAt(address, node, ends, over)),
        ],
        signal: this.#stop.signal,
        discard: (late) => late.close(),
      })
        .then(({ won }) => this.take(won) ?? won)
        .finally(() => this.#climbing.delete(node));
      this.#climbing.set(node, climbing);
      climbing.catch(() => {}); // each waiter hears of it
    }
    return await abortable(climbing, signal);
  }

  #dialAt(address: string, expect: string, signal: AbortSignal, over?: Over): Promise<Link> {
    const { identity, router, self, clock, log } = this.#options;
    return dialLink({ address, expect, identity, router, self, clock, log, signal, over });
  }

  /** The detours to a node, each with what is made of its stream. */
  #detours<T>(
    to: { account: string; node: string },
    make: (over: Over, label: string, signal: AbortSignal) => Promise<T>,
  ): Way<T>[] {
    return (this.#options.detours?.(to) ?? []).map((way) => ({
      ...way,
      attempt: async (signal) => make({ stream: await way.attempt(signal), rung: way.rung }, way.label, signal),
    }));
  }

  /** Every way to the account's node, each tried now to its end, and ended where it came about. Throws the directory's faults. */
  async survey(account: string, options: { signal?: AbortSignal | undefined } = {}): Promise<Tried[]> {
    this.#refuseBlocked(account);
    const { node, addresses } = await this.#options.locate(account, options);
    const { identity } = this.#options;
    // Both keys are proved, and nothing is said: what carries that carries all else.
    const make = (address: string, signal: AbortSignal, over?: Over): Promise<TLSSocket> =>
      dial({ address, expect: node, identity, signal, over });
    const detours = this.#detours({ account, node }, (over, label, signal) => make(label, signal, over));
    return await survey([...waysTo(addresses, make), ...detours], {
      signal: options.signal ? AbortSignal.any([options.signal, this.#stop.signal]) : this.#stop.signal,
      discard: (socket) => socket.destroy(),
    });
  }

  /** Links to a node at an address that the user names, and to whichever key answers there where none is named. */
  async connect(
    address: string,
    node: string | undefined,
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<Link> {
    const signal = options.signal ? AbortSignal.any([options.signal, this.#stop.signal]) : this.#stop.signal;
    const expect = node ?? (await keyAt({ address, identity: this.#options.identity, signal }));
    const link = await this.#dialAt(address, expect, signal);
    if (link.remote.role !== 'node' || !link.account) {
      link.close();
      throw new Fault(
        'invalid_argument',
        `connecting to "${address}": there is a ${link.remote.role}, not somebody’s node`,
      );
    }
    const account = link.account.account;
    if (this.#options.blocked?.(account)) {
      link.close();
      this.#refuseBlocked(account);
    }
    return this.take(link) ?? link;
  }

  /** A connection for bytes alone, so that a file never delays a message. The caller ends it. [L-5] */
  async bulk(
    account: string,
    options: { signal?: AbortSignal | undefined; onread?: OnReadOpts } = {},
  ): Promise<TLSSocket> {
    this.#refuseBlocked(account, 'peer_unreachable');
    const { node, addresses } = await this.#options.locate(account, options);
    const { identity } = this.#options;
    const near = this.#links.get(account);
    // Where a link stands already is where a second connection is most likely to come about.
    const isThere = near?.dialled && near.peer === node && near.rung !== 'punched' && near.rung !== 'relay';
    const make = (address: string, signal: AbortSignal, over?: Over): Promise<TLSSocket> =>
      dial({ address, expect: node, identity, signal, over, ...(options.onread && { onread: options.onread }) });
    const { won: socket } = await climb({
      ways: [
        ...waysTo(isThere ? [near.address, ...addresses] : addresses, make),
        ...this.#detours({ account, node }, (over, label, signal) => make(label, signal, over)),
      ],
      signal: options.signal,
      discard: (late) => late.destroy(),
    });
    const bulks = this.#bulks.get(account) ?? new Set();
    this.#bulks.set(account, bulks.add(socket));
    socket.once('close', () => {
      bulks.delete(socket);
      if (bulks.size === 0 && this.#bulks.get(account) === bulks) this.#bulks.delete(account);
    });
    return socket;
  }

  /**
   * Takes a greeted link, dialled by either side, and says which link is the account's now; undefined for a link without
   * an account. When two nodes dial each other at once, both keep the link that the lower node id dialled. [L-30]
   */
  take(link: Link): Link | undefined {
    const account = link.account?.account;
    if (account === undefined) return undefined;
    if (this.#stop.signal.aborted) {
      link.close(); // it came while the node stops: nobody listens any more
      return undefined;
    }
    if (this.#options.blocked?.(account)) {
      link.close(); // blocked while it was greeted
      return undefined;
    }
    if (link.peer === this.#options.identity.id && !link.carrier) {
      // To this very node, for accounts that it hosts beside its own: only channels are used of it.
      if (link.dialled) this.#carry(link);
      return link;
    }
    const present = this.#links.get(account);
    if (present?.open && present.peer === link.peer && present.dialled !== link.dialled && this.#isPreferred(present)) {
      retire(link);
      return present;
    }
    this.#links.set(account, link);
    if (!link.carrier) this.#carry(link);
    if (present) retire(present);
    void link.closed.then(() => this.#drop(link, account));
    this.#bound();
    this.#options.onUp(link, account);
    return link;
  }

  #carry(link: Link): void {
    this.#carriers.set(link.peer, link);
    void link.closed.then(() => {
      if (this.#carriers.get(link.peer) === link) this.#carriers.delete(link.peer);
    });
  }

  /** Whether a link was dialled by the side with the lower node id. */
  #isPreferred(link: Link): boolean {
    return link.dialled === this.#options.identity.id < link.peer;
  }

  #drop(link: Link, account: string): void {
    if (this.#links.get(account) !== link) return;
    this.#links.delete(account);
    this.#options.onDown(link, account);
  }

  #bound(): void {
    if (this.#links.size <= MOST_LINKS) return;
    const [oldest] = this.#links.values();
    oldest?.close(
      new Fault('too_many', `this node keeps ${MOST_LINKS} links; dial again when there is something to say`),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Fault('cancelled', 'the node is stopping'));
    const links = [...this.#links.values()];
    for (const link of links) link.close();
    await Promise.all(links.map((link) => link.closed));
  }
}

function retire(link: Link): void {
  const timer = setTimeout(() => link.close(), RETIRE_MS);
  timer.unref();
  void link.closed.then(() => clearTimeout(timer));
}
