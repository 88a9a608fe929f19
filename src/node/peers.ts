/** The node's links to other nodes: one for each account, dialled when wanted, shared by all that is said on it. */

import type { OnReadOpts } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { abortable } from '../base/async.ts';
import { Fault, toFault } from '../base/fault.ts';
import { addressText } from '../link/address.ts';
import { openChannel } from '../link/channel.ts';
import { keyAt } from '../link/dial.ts';
import { PROBE_MS } from '../link/keep.ts';
import type { Ending, Link } from '../link/link.ts';
import { retire } from '../link/retire.ts';
import { isBetter, type Rung } from '../link/rung.ts';
import { type AscentPace, Ascents, type Tried } from '../reach/ascents.ts';
import { type Climbed, climb, type Failure, type Way } from '../reach/ladder.ts';
import { winsOver } from '../reach/rivals.ts';
import { type Tried as Surveyed, survey } from '../reach/survey.ts';
import { Bulks } from './bulks.ts';
import { Ways, type WaysOptions } from './ways.ts';

/** Where an account's node is: the key that must answer there, and the addresses to try. */
export type Whereabouts = { node: string; addresses: readonly string[] };

export type PeersOptions = WaysOptions & {
  /** Accounts with which no link and no connection is kept. [D-60] */
  blocked?(account: string): boolean;
  /** Asks the directory; throws its faults. */
  locate(account: string, options: { signal?: AbortSignal | undefined }): Promise<Whereabouts>;
  /** A link to the node that channels can go over; default: one that is there, or is dialled. */
  carrier?(to: Whereabouts, options: { signal: AbortSignal; account: string }): Promise<Link>;
  /** Told of each link to an account that is now the one to use; `before`: the open one whose place it takes. */
  onUp(link: Link, account: string, before: Link | undefined): void;
  onDown(link: Link, account: string): void;
  /** For tests. */
  pace?: Partial<AscentPace> | undefined;
  quiet?: typeof QUIET | undefined;
};

export type BulkOptions = {
  signal?: AbortSignal | undefined;
  onread?: OnReadOpts;
  /** Only by ways that are nearer than this. */
  than?: Rung | undefined;
  /** Told, maybe again and again, while a nearer way may be had than the one that was gone. [N-78] */
  onBetter?: (() => void) | undefined;
};

/** Why the nearer ways to the other end of a link are not used, and when they were tried last (Unix ms). */
export type Missed = { failures: readonly Failure[]; at: number };

/** How a link came about. */
type Stand = { label: string; missed: Missed };

/** Milliseconds for which a link that died in silence is looked for again. */
const LOST_MS = 10 * 60_000;
/** Links to other nodes at once; past it the one that was silent longest is closed. */
const MOST_LINKS = 2000;

/**
 * Milliseconds without a byte on all connections to an account until its link is asked for a sign of life, and for which it has
 * time to give one: it may lie behind much else. [N-76]
 */
const QUIET = { afterMs: 4000, patienceMs: 5000 };

export class Peers {
  readonly #options: PeersOptions;
  readonly #ways: Ways;
  readonly #links = new Map<string, Link>();
  readonly #dialling = new Map<string, Promise<Link>>();
  /** Links that are no channels, by node: over them go the channels to whom else it hosts. */
  readonly #carriers = new Map<string, Link>();
  readonly #climbing = new Map<string, Promise<Link>>();
  readonly #stands = new WeakMap<Link, Stand>();
  /** Accounts whose link died in silence, until when they are looked for (by `performance.now()`). */
  readonly #lost = new Map<string, number>();
  /** Addresses that an account with a link was last said to have. */
  readonly #heard = new Map<string, string>();
  readonly #ascents: Ascents;
  readonly #bulks: Bulks;
  /** All links that are no channels, those that retire too; and the bytes of those that ended. */
  readonly #counted = new Set<Link>();
  #past = { sent: 0, received: 0 };
  readonly #stop = new AbortController();

  constructor(options: PeersOptions) {
    this.#options = options;
    this.#ways = new Ways(options, (node) => this.#carriers.get(node)?.open ?? false);
    const { pace, log } = options;
    this.#ascents = new Ascents({ attempt: (who, signal) => this.#ascend(who, signal), pace, most: MOST_LINKS, log });
    const { quiet = QUIET } = options;
    this.#bulks = new Bulks({
      rungOf: (account) => this.#openLink(account)?.rung,
      // A router in between may have forgotten all of them, and the link with them.
      onQuiet: (account) => void this.#openLink(account)?.probe(quiet.patienceMs),
      quietMs: quiet.afterMs,
      pace,
      log,
    });
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
    const link = this.#openLink(account);
    if (link && !link.carrier?.retiring) return link;
    // All who want the account wait for one dial; one of them giving up does not end it for the others.
    let dialling = this.#dialling.get(account);
    if (!dialling) {
      dialling = this.#dial(account).finally(() => this.#dialling.delete(account));
      this.#dialling.set(account, dialling);
      dialling.catch(() => {}); // each waiter hears of it
    }
    return abortable(dialling, options.signal);
  }

  #openLink(account: string): Link | undefined {
    const link = this.#links.get(account);
    return link?.open ? link : undefined;
  }

  /** Why the nearer ways to the other end are not used. [N-79] */
  missed(link: Link): Missed | undefined {
    const missed = this.#stands.get(link)?.missed;
    return missed && { ...missed, failures: missed.failures.filter(({ rung }) => isBetter(rung, link.rung)) };
  }

  /** Bytes of all links so far. */
  get traffic(): { sent: number; received: number } {
    let { sent, received } = this.#past;
    for (const link of this.#counted) {
      sent += link.sentBytes;
      received += link.receivedBytes;
    }
    return { sent, received };
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
    this.#forget(account);
    this.#links.get(account)?.close();
    this.#bulks.end(account);
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
    return await abortable(this.#climbTo({ account, node, addresses }), signal);
  }

  /** A new link to a node, by whichever way comes about first; those who want one share it. */
  #climbTo(to: Whereabouts & { account: string }): Promise<Link> {
    const { node } = to;
    let climbing = this.#climbing.get(node);
    if (!climbing) {
      climbing = this.#climb(this.#ways.links(to)).finally(() => this.#climbing.delete(node));
      this.#climbing.set(node, climbing);
      climbing.catch(() => {}); // each waiter hears of it
    }
    return climbing;
  }

  async #climb(ways: readonly Way<Link>[], failures: Failure[] = []): Promise<Link> {
    const climbed = await climb({
      ways,
      failures,
      signal: this.#stop.signal,
      discard: (late) => late.close(),
      better: (nearer) => void this.#reached(nearer),
    });
    return this.#reached(climbed);
  }

  #reached({ won, label, failures }: Climbed<Link>): Link {
    this.#stands.set(won, { label, missed: { failures, at: this.#options.clock.now() } });
    return this.take(won) ?? won;
  }

  /** Tries the ways to an account that are nearer than its link, or all where that has died. [N-73] */
  async #ascend(account: string, signal: AbortSignal): Promise<Tried> {
    const link = this.#openLink(account);
    if (!link) {
      if ((this.#lost.get(account) ?? 0) < performance.now()) {
        this.#lost.delete(account);
        return 'over';
      }
      await this.reach(account, { signal });
      return 'again'; // for ways that are nearer yet
    }
    if (link.carrier || link.rung === 'local') return 'over';
    const { node, addresses } = await this.#options.locate(account, { signal });
    if (node !== link.peer) return 'again';
    const ways = this.#ways.links({ account, node, addresses }).filter(({ rung }) => isBetter(rung, link.rung));
    if (ways.length === 0) return 'again'; // its record may name others some day
    const failures: Failure[] = [];
    try {
      await this.#climb(ways, failures);
    } finally {
      const stand = this.#stands.get(link);
      const missed = { failures, at: this.#options.clock.now() };
      this.#stands.set(link, { label: stand?.label ?? link.address, missed });
    }
    return 'again';
  }

  /** What a tracker says of an account: where its addresses are others, its link may be dead, or a nearer way open. [N-73] */
  heard(account: string, addresses: readonly string[]): void {
    if (this.#lost.has(account)) this.#ascents.wake(account);
    const link = this.#openLink(account);
    if (!link || link.carrier) return;
    const text = addresses.toSorted().join();
    if (this.#heard.get(account) === text) return;
    this.#heard.set(account, text);
    this.#ascents.wake(account);
    void link.probe(PROBE_MS); // whose end is heard of
  }

  /**
   * This machine's addresses are others now, or it has slept: every link is asked for a sign of life, and those that went out from
   * an address which is gone are dialled anew meanwhile. [N-75] [N-76]
   */
  moved(isHere: (ip: string) => boolean): void {
    this.#bulks.moved(isHere);
    for (const link of this.#counted) void link.probe(PROBE_MS);
    for (const [account, link] of [...this.#links]) {
      if (link.carrier || !link.open) continue;
      if (link.localIp !== undefined && !isHere(link.localIp)) void this.#redial(account, link);
    }
    this.#ascents.wake();
  }

  async #redial(account: string, link: Link): Promise<void> {
    try {
      const { node, addresses } = await this.#options.locate(account, { signal: this.#stop.signal });
      if (node === link.peer) await this.#climbTo({ account, node, addresses });
    } catch (error) {
      const { code, message } = toFault(error, 'dialling anew');
      this.#options.log.info(
        { code, reason: message },
        'a peer is not reached from the new address; it is tried again',
      );
    }
  }

  /** Every way to the account's node, each tried now to its end, and ended where it came about. Throws the directory's faults. */
  async survey(account: string, options: { signal?: AbortSignal | undefined } = {}): Promise<Surveyed[]> {
    this.#refuseBlocked(account);
    const { node, addresses } = await this.#options.locate(account, options);
    // Both keys are proved, and nothing is said: what carries that carries all else.
    return await survey(this.#ways.bulks({ account, node, addresses }, undefined), {
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
    const link = await this.#ways.link(address, expect, signal);
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
    this.#stands.set(link, { label: address, missed: { failures: [], at: this.#options.clock.now() } });
    return this.take(link) ?? link;
  }

  /** A connection for bytes alone, so that a file never delays a message. The caller ends it. [L-5] */
  async bulk(account: string, options: BulkOptions = {}): Promise<TLSSocket> {
    this.#refuseBlocked(account, 'peer_unreachable');
    const { node, addresses } = await this.#options.locate(account, options);
    const { signal, onread, than, onBetter } = options;
    const near = this.#openLink(account);
    const stand = near?.peer === node ? this.#stands.get(near) : undefined;
    // Where a link stands already is where a second connection is most likely to come about.
    const isThere = stand !== undefined && near?.dialled === true && !near.carrier && isAddress(stand.label);
    const known = isThere ? [...addresses, stand.label] : addresses;
    const ways = this.#ways.bulks({ account, node, addresses: known }, onread);
    const { won: socket } = await climb({
      ways: than === undefined ? ways : ways.filter(({ rung }) => isBetter(rung, than)),
      first: stand?.label,
      signal,
      discard: (late) => late.destroy(),
    });
    this.#bulks.add(account, socket, onBetter);
    return socket;
  }

  /**
   * Takes a greeted link, dialled by either side, and says which link is the account's now; undefined for a link without
   * an account. Of several, both nodes keep the same one. [L-30] [N-72]
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
    const { clock, identity } = this.#options;
    if (present === link) return link;
    if (!link.carrier) this.#count(link);
    if (present && !winsOver(link, present, { self: identity.id, now: clock.now() })) {
      void retire(link);
      return present;
    }
    const before = present?.open ? present : undefined;
    this.#links.set(account, link);
    if (!link.carrier) this.#carry(link);
    if (present) void retire(present);
    void link.closed.then((ending) => this.#drop(link, account, ending));
    this.#bound();
    this.#lost.delete(account);
    if (link.carrier || link.rung === 'local') this.#ascents.remove(account);
    else this.#ascents.add(account);
    this.#bulks.rungChanged(account);
    this.#options.onUp(link, account, before);
    return link;
  }

  #count(link: Link): void {
    this.#counted.add(link);
    void link.closed.then(() => {
      this.#counted.delete(link);
      this.#past.sent += link.sentBytes;
      this.#past.received += link.receivedBytes;
    });
  }

  #carry(link: Link): void {
    this.#carriers.set(link.peer, link);
    void link.closed.then(() => {
      if (this.#carriers.get(link.peer) === link) this.#carriers.delete(link.peer);
    });
  }

  #drop(link: Link, account: string, ending: Ending): void {
    if (this.#links.get(account) !== link) return;
    this.#links.delete(account);
    this.#forget(account);
    this.#options.onDown(link, account);
    if (ending.code !== 'timeout' || link.carrier || this.#stop.signal.aborted) return;
    // Nobody said goodbye: the other side is most likely there still, somewhere else.
    this.#lost.set(account, performance.now() + LOST_MS);
    this.#ascents.add(account, { now: true });
    void this.#bulks.doubt(account);
  }

  #forget(account: string): void {
    this.#lost.delete(account);
    this.#heard.delete(account);
    this.#ascents.remove(account);
  }

  #bound(): void {
    if (this.#links.size <= MOST_LINKS) return;
    const [oldest] = this.#links.values();
    oldest?.close(
      new Fault('too_many', `this node keeps ${MOST_LINKS} links; dial again when there is something to say`),
    );
  }

  /** Whether there is no link or connection, and none on its way. */
  get isQuiet(): boolean {
    return [this.#links, this.#dialling, this.#carriers, this.#climbing, this.#bulks].every(({ size }) => size === 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Fault('cancelled', 'the node is stopping'));
    this.#ascents[Symbol.dispose]();
    this.#bulks[Symbol.dispose]();
    const links = [...this.#links.values(), ...this.#counted];
    for (const link of links) link.close();
    await Promise.all(links.map((link) => link.closed));
  }
}

const isAddress = (label: string): boolean => addressText.safeParse(label).success;
