/** A node's people of other zones: found by walks, and followed at their own trackers while they matter. [Z-30] */
import { abortable, deadline } from '../base/async.ts';
import type { Clock } from '../base/clock.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Store } from '../base/sqlite.ts';
import { KeptLink } from '../link/keep.ts';
import type { Link } from '../link/link.ts';
import type { Method } from '../link/message.ts';
import type { At } from './cache.ts';
import { commonLabels, isWithin, type Server, zoneOf } from './delegation.ts';
import { Finder, type Names, ownPlace } from './finder.ts';
import * as directory from './messages.ts';
import type { People } from './people.ts';
import { recordHolds } from './record.ts';
import type { Walked } from './walk.ts';
import type { DialServer } from './zone-links.ts';
import * as messages from './zone-messages.ts';

/** How somebody is looked for. */
export type Mode = 'iterative' | 'recursive';

/** Trackers of other zones that are followed at once: each costs a link. Past it the one used longest ago is let go. */
const MOST_FOLLOWED = 32;
/** Accounts that are followed at one of them. */
const MOST_ACCOUNTS = directory.MOST_WATCHED;
/** Milliseconds of a walk, and of what is left where a tracker is asked to make it after that failed. */
const WALK_MS = 8000;
const SECOND_MS = 5000;
/** Milliseconds to reach a tracker of another zone. */
const REACH_MS = 5000;

export type ElsewhereOptions = {
  people: People;
  dial: DialServer;
  names?: Names | undefined;
  /** Whether there are own trackers, up or not. */
  hasTrackers(): boolean;
  /** Links to the own trackers that are up, with the zone of each. */
  own(): { zone: string; link: Link }[];
  store: Store;
  clock: Clock;
  log: Log;
  /** A link to a tracker that is followed came up. */
  onLinks(): void;
};

type Followed = {
  server: Server;
  scope: At['scope'];
  accounts: Set<string>;
  kept: KeptLink;
  link: Link | undefined;
  up: PromiseWithResolvers<void>;
};

export class Elsewhere implements AsyncDisposable {
  readonly #options: ElsewhereOptions;
  readonly #finder: Finder;
  readonly #followed = new Map<string, Followed>();
  readonly #places = new WeakMap<Link, At>();
  #isOver = false;

  constructor(options: ElsewhereOptions) {
    this.#options = options;
    const { store, clock, dial, names, own } = options;
    this.#finder = new Finder({
      store,
      clock,
      dial,
      names,
      start: (handle, signal) => this.#start(handle, signal),
      link: (peer) => own().find(({ link }) => link.peer === peer)?.link,
    });
  }

  /** Where a walk begins: at the own trackers, those of the zone that has most in common with the one that is looked for. */
  async #start(handle: string, signal: AbortSignal): Promise<At | undefined> {
    const own = this.#options.own();
    const wanted = zoneOf(handle);
    const zone = own.map((each) => each.zone).sort((a, b) => commonLabels(b, wanted) - commonLabels(a, wanted))[0];
    if (zone === undefined) {
      if (!this.#options.hasTrackers()) return undefined;
      throw new Fault('tracker_down', `finding "${handle}": no own tracker answers; it is tried again by itself`);
    }
    const links = own.filter((each) => each.zone === zone).map(({ link }) => link);
    for (const link of links) {
      const known = this.#places.get(link);
      const servers = links.map(({ peer, address }) => ({ peer, addresses: [address] }));
      if (known) return { ...known, servers };
    }
    const place = await ownPlace(zone, links, signal);
    if (place) for (const link of links) this.#places.set(link, place);
    return place;
  }

  /**
   * Looks somebody up: by a walk of this node, or of its tracker; without `mode`, the first, and the second where that
   * reaches nobody. Never throws. Who is found is taken among the people.
   */
  async find(handle: string, options: { mode?: Mode | undefined; signal?: AbortSignal | undefined }): Promise<Walked> {
    const { mode, signal } = options;
    if (mode === 'recursive') return this.#take(await this.#ask(handle, WALK_MS, signal));
    const walked = await this.#finder.find({ handle, deadlineMs: WALK_MS, signal });
    const isUnreached = walked.fault?.retry === true || walked.stale;
    if (mode === 'iterative' || !isUnreached || signal?.aborted || this.#options.own().length === 0)
      return this.#take(walked);
    const second = await this.#ask(handle, SECOND_MS, signal);
    const best = second.fault?.retry || (second.stale && walked.stale) ? walked : second;
    return this.#take({ ...best, steps: [...walked.steps, ...second.steps].slice(0, messages.MOST_STEPS) });
  }

  acceptKey(zone: string, key: string): string | null {
    return this.#finder.acceptKey(zone, key);
  }

  /** Has an own tracker make the walk; what it gives is checked here like any answer. [Z-12] [Z-28] */
  async #ask(handle: string, deadlineMs: number, signal: AbortSignal | undefined): Promise<Walked> {
    const steps: messages.Step[] = [];
    const down = new Fault('tracker_down', `finding "${handle}": no own tracker answers; it is tried again by itself`);
    let best: Walked = { entry: null, by: null, fault: down, stale: false, ttlMs: 0, steps };
    using limit = deadline(deadlineMs, `finding "${handle}"`, signal);
    const end = performance.now() + deadlineMs;
    for (const { zone, link } of this.#options.own()) {
      const began = performance.now();
      const told = { zone, server: link.peer, address: link.address, how: 'recursive' as const };
      const tell = (answer: messages.Step['answer'], said: Fault | null, stale = false): void => {
        const ms = Math.round((performance.now() - began) * 100) / 100;
        const [code, detail] = [said?.code ?? null, said?.message.slice(0, 400) ?? ''];
        steps.push({ ...told, answer, detail, code, ms, stale });
      };
      try {
        // Less than is left: what it comes to must be here in time.
        const left = Math.max(1, Math.round((end - began) * 0.85));
        const asked = { handle, hops: messages.MOST_HOPS - 1, deadlineMs: left }; // [Z-12]
        const said = await link.request(messages.resolve, asked, { signal: limit });
        checkRecord(said.entry, handle);
        const fault = said.fault && new Fault(said.fault.code, said.fault.message);
        tell(said.entry ? 'record' : fault?.retry ? 'failed' : 'unknown', fault, said.stale);
        steps.push(...said.steps);
        const isBetter = said.entry !== null || best.entry === null;
        if (isBetter) best = { ...said, fault, steps };
        if (!said.stale && !fault?.retry) break; // else another one may know better
      } catch (error) {
        const fault = toFault(error, `finding "${handle}"`);
        tell(fault.retry ? 'failed' : 'refused', fault);
        if (!best.entry) best = { ...best, fault };
        if (limit.aborted) break;
      }
    }
    return { ...best, steps: steps.slice(0, messages.MOST_STEPS) };
  }

  /** What was found is known from now on, and followed; a stale one is not vouched for by anybody. */
  #take(walked: Walked): Walked {
    const { entry, by, stale } = walked;
    if (!entry || !by || this.#isOver) return walked;
    const { people, own } = this.#options;
    const { account } = entry.record;
    const isOwn = own().some(({ link }) => link.peer === by.peer);
    const isLive = isOwn || this.#followed.get(by.peer)?.link !== undefined;
    // What a tracker pushes is newer than what was asked for, and meant for this node.
    if (!isLive) people.take(by.peer, { full: false, entries: [entry], gone: [] }, stale ? 0 : directory.TTL_MS);
    else if (!people.isListed(account, by.peer)) people.take(by.peer, { full: false, entries: [entry], gone: [] });
    if (!isOwn) this.#follow(by, account);
    return walked;
  }

  /**
   * Asks the own tracker whose zone is closest around `zone`, as an admin of it. Throws `tracker_down`, and what the tracker
   * refuses it with. [Z-7]
   */
  async administer<P, R>(spec: Method<P, R>, params: P, zone: string | undefined, signal?: AbortSignal): Promise<R> {
    const around = this.#options
      .own()
      .filter((each) => zone === undefined || isWithin(zone, each.zone))
      .sort((a, b) => b.zone.length - a.zone.length);
    const link = (around[0] ?? this.#options.own()[0])?.link;
    if (!link)
      throw new Fault('tracker_down', 'administering zones: no own tracker answers; it is tried again by itself');
    return await link.request(spec, params, { signal });
  }

  /** The handle of an account that somebody here knows as a guest: to be looked up, for it is no more than a hint. [Z-32] */
  async handleOf(account: string, signal: AbortSignal | undefined): Promise<string | undefined> {
    const links = [...this.#options.own().map(({ link }) => link), ...this.links()];
    const asked = links.map(async (link) => (await link.request(messages.guest, { account }, { signal })).handle);
    return await Promise.any(asked).catch(() => undefined); // nobody knows
  }

  #follow(server: Server, account: string): void {
    const known = this.#followed.get(server.peer);
    if (known) {
      this.#followed.delete(server.peer);
      this.#followed.set(server.peer, known);
      if (known.accounts.has(account) || known.accounts.size >= MOST_ACCOUNTS) return;
      known.accounts.add(account);
      if (known.link) void this.#watch(known, known.link).catch(() => {}); // the link ends, and with it this
      return;
    }
    const { log } = this.#options;
    const followed: Followed = {
      server,
      scope: 'loopback', // the walk has left out what must not be dialled
      accounts: new Set([account]),
      link: undefined,
      up: Promise.withResolvers(),
      kept: new KeptLink({
        dial: (signal) => this.#finder.link(followed.server, followed.scope, signal),
        onUp: (link) => this.#up(followed, link),
        log: log.child({ tracker: server.peer.slice(0, 8) }),
      }),
    };
    this.#followed.set(server.peer, followed);
    followed.kept.start();
    for (const [oldest, other] of this.#followed) {
      if (this.#followed.size <= MOST_FOLLOWED) break;
      this.#followed.delete(oldest);
      void other.kept[Symbol.asyncDispose]();
    }
  }

  async #up(followed: Followed, link: Link): Promise<void> {
    const { people, onLinks } = this.#options;
    followed.link = link;
    people.trackerUp(link.peer);
    void link.closed.then(() => {
      if (followed.link !== link) return;
      followed.link = undefined;
      followed.up = Promise.withResolvers();
      people.trackerDown(link.peer);
    });
    await this.#watch(followed, link);
    followed.up.resolve();
    onLinks();
  }

  async #watch({ accounts }: Followed, link: Link): Promise<void> {
    await link.request(directory.watch, { accounts: [...accounts] });
  }

  /** Takes what a followed tracker pushes; false for one that is none. */
  changed(link: Link, entries: readonly directory.Entry[], gone: readonly string[]): boolean {
    const followed = this.#followed.get(link.peer);
    if (!followed) return false;
    const wanted = entries.filter(({ record }) => followed.accounts.has(record.account));
    this.#options.people.take(link.peer, { full: false, entries: wanted, gone });
    return true;
  }

  /** Links to followed trackers that are up. */
  links(): Link[] {
    return [...this.#followed.values()].flatMap(({ link }) => (link?.open ? link : []));
  }

  /** Peer ids of all that are followed. */
  peers(): string[] {
    return [...this.#followed.keys()];
  }

  /** The link to a followed tracker, waited for if it is being dialled; undefined where it does not come up. */
  async linkTo(peer: string, signal: AbortSignal | undefined): Promise<Link | undefined> {
    const followed = this.#followed.get(peer);
    if (!followed) return undefined;
    if (followed.link?.open) return followed.link;
    followed.kept.nudge();
    using limit = deadline(REACH_MS, `reaching the tracker "${peer}"`, signal);
    await abortable(followed.up.promise, limit).catch(() => {}); // it does not answer now
    return followed.link?.open ? followed.link : undefined;
  }

  /** This machine's addresses are others now, or it has slept. */
  moved(isHere: (ip: string) => boolean): void {
    for (const { kept } of this.#followed.values()) kept.moved(isHere);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await Promise.all([...this.#followed.values()].map(({ kept }) => kept[Symbol.asyncDispose]()));
    await this.#finder[Symbol.asyncDispose]();
  }
}

/** What a tracker gives is checked here like any answer. [Z-28] */
function checkRecord(entry: directory.Entry | null, handle: string): void {
  if (!entry) return;
  if (entry.record.handle !== handle) {
    throw new Fault('malformed', `finding "${handle}": the answer is about "${entry.record.handle.slice(0, 80)}"`);
  }
  if (!recordHolds(entry.record)) {
    throw new Fault('bad_signature', `finding "${handle}": its account did not sign the record`);
  }
}
