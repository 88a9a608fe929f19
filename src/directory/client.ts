/** A node's side of the directory: it announces itself to its trackers, and knows who is online and where. */
import { abortable, deadline } from '../base/async.ts';
import type { Clock } from '../base/clock.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { race } from '../base/race.ts';
import type { Store } from '../base/sqlite.ts';
import { type Key, peerId } from '../link/identity.ts';
import type { Link } from '../link/link.ts';
import type { Method } from '../link/message.ts';
import type { Router } from '../link/router.ts';
import { reannounce } from './admin-wire.ts';
import { Administration } from './administration.ts';
import type { DialTracker } from './any-address.ts';
import { zoneOf } from './delegation.ts';
import { Elsewhere, type Mode } from './elsewhere.ts';
import type { Names } from './finder.ts';
import { parseHandle } from './handle.ts';
import { type Hiding, MOST_HIDDEN_FROM, MOST_SHOWN_TO } from './hiding.ts';
import type { ChosenTracker } from './invite.ts';
import * as messages from './messages.ts';
import { Nearby, nearOf } from './nearby.ts';
import { OwnRecord } from './own.ts';
import { People, type PeopleChange, type Person } from './people.ts';
import { type PresentStatus, statusText } from './record.ts';
import { Tiers, type TierTimes } from './tiers.ts';
import { type TrackerState, Upstream } from './upstream.ts';
import type { DialServer } from './zone-links.ts';
import type { Step } from './zone-messages.ts';

export type { PeopleChange, Person } from './people.ts';
export type { TrackerState } from './upstream.ts';

/** Milliseconds that a question waits for a first answer of trackers that are being dialled. */
const FIRST_DIAL_MS = 3000;
/**
 * Milliseconds after which an answer is late, and the next tracker is asked too: three times what the one that was asked usually
 * takes, within bounds.
 */
const LATE_ROUND_TRIPS = 3;
const LATE_MS = { least: 30, most: 500, unknown: 150 };
/** Milliseconds from one look at who is no longer vouched for to the next. */
const SWEEP_MS = 5000;
/** Milliseconds that a tracker has to take the record when it is joined. */
const JOIN_MS = 8000;
/** People of other zones who are looked for when the node starts, those seen last. */
const MOST_FOLLOWED_AT_START = 200;

type Wait = { signal?: AbortSignal | undefined };

export type DirectoryClientOptions = {
  /** None is a node on its own. */
  trackers: readonly ChosenTracker[];
  dial: DialTracker;
  account: Key;
  /** `name@zone`. */
  handle: string;
  /** Peer id of this node. */
  node: string;
  /** `host:port` of this node, the likeliest first; asked whenever it announces. */
  addresses: () => readonly string[];
  /** How trackers of other zones are dialled, and which DNS names them; undefined: nobody is looked for there. */
  zones?: { dial: DialServer; names?: Names | undefined } | undefined;
  /** Open; its tables are made by `start`. */
  store: Store;
  clock: Clock;
  log: Log;
  /** A tracker came up, went down, took or refused the record. */
  onTrackers?: () => void;
  /** Whether a tracker must stay linked also while those of a better tier are used; default: none. */
  needed?: (peer: string) => boolean;
  /** For tests. */
  tierTimes?: TierTimes | undefined;
  /** An admin of the zone has renamed the own account. */
  onRenamed?: (handle: string) => void;
  /** The handles of those who say a name on this network. */
  neighboursOf?: (name: string) => readonly string[];
  /** Meets somebody without any tracker, and says who that is; undefined: nobody here goes by that. [N-57] */
  meetNearby?: (
    wanted: { account: string } | { name: string; key: string | undefined },
    options: Wait,
  ) => Promise<string | undefined>;
};

export class DirectoryClient implements AsyncDisposable {
  readonly #options: DirectoryClientOptions;
  readonly #own: OwnRecord;
  #zone: string;
  /** The trackers of this node, in the order in which they were named. */
  #chosen: readonly ChosenTracker[];
  /** What an admin of the zone may ask of its trackers. */
  readonly administration: Administration;
  /** People met by their link alone. */
  readonly nearby: Nearby;
  readonly #listeners = new Set<(change: PeopleChange) => void>();
  readonly #ready = Promise.withResolvers<void>();
  readonly #upstreams = new Map<string, Upstream>();
  /** Who waits for what comes of a tracker that is joined now. */
  readonly #joining = new Set<() => void>();
  #tiers: Tiers | undefined;
  #hiding: Hiding = { from: [], only: null };
  #people: People | undefined;
  #elsewhere: Elsewhere | undefined;
  #sweeper: NodeJS.Timeout | undefined;

  /** Throws `invalid_argument` for a handle that is none. */
  constructor(options: DirectoryClientOptions) {
    this.#options = options;
    const { handle, zone } = parseHandle(options.handle, '');
    this.#zone = zone;
    this.#chosen = options.trackers;
    this.#own = new OwnRecord({ ...options, handle });
    this.#own.onRename = (renamed) => {
      this.#people?.repin(renamed, this.#own.account.id);
      options.onRenamed?.(renamed);
    };
    this.administration = new Administration({
      trackers: () => [...this.#upstreams.values()],
      zone: () => this.#zone,
    });
    this.nearby = new Nearby({ own: this.#own, people: () => this.#table(), log: options.log });
    this.#ready.promise.catch(() => {}); // whoever waits for it hears of it; nobody has to wait
  }

  /** Takes what trackers push on links that share `router`. */
  attach(router: Router): this {
    this.nearby.attach(router);
    router.on(messages.changed, (change, { link }) => {
      const upstream = this.#upstreams.get(link.peer);
      if (!upstream && this.#elsewhere?.changed(link, change.entries, change.gone)) return;
      if (!upstream)
        throw new Fault('forbidden', `taking "${messages.changed.name}": this link is not to a tracker of ours`);
      upstream.changed(link, change);
    });
    // Of a link that is not to a tracker of ours it is of no interest.
    router.on(messages.moving, (notice, { link }) => this.#upstreams.get(link.peer)?.moving(link, notice));
    // What is refused shows in the tracker's state.
    router.on(
      reannounce,
      (_params, { link }) =>
        void this.#upstreams
          .get(link.peer)
          ?.announce()
          .catch(() => {}),
    );
    return this;
  }

  /** Reads what is known from before. */
  open(): People {
    if (this.#people) return this.#people;
    const { store, clock, log } = this.#options;
    const people = new People({ self: this.#own.account.id, store, clock, log });
    people.load();
    people.repin(this.#own.handle, this.#own.account.id);
    people.onChange((change) => {
      for (const listener of this.#listeners) listener(change);
    });
    this.#people = people;
    const { zones, onTrackers } = this.#options;
    if (zones) {
      const own = (): { zone: string; link: Link }[] =>
        [...new Set([...(this.#tiers?.ranked() ?? []), ...this.#upstreams.values()])].flatMap(({ link, invite }) =>
          link ? { zone: invite.zone, link } : [],
        );
      const hasTrackers = (): boolean => this.#chosen.length > 0;
      const onLinks = (): void => onTrackers?.();
      this.#elsewhere = new Elsewhere({ ...zones, people, own, hasTrackers, store, clock, log, onLinks });
    }
    return people;
  }

  /** Starts to dial. */
  start(): void {
    const people = this.open();
    for (const chosen of this.#chosen) this.#add(chosen, people, this.#own);
    if (this.#chosen.length === 0) this.#ready.resolve();
    this.#use();
    this.#sweeper = setInterval(() => {
      try {
        people.sweep();
      } catch (error) {
        this.#options.log.error({ err: error }, 'the directory cannot write to its store; it tries again');
      }
    }, SWEEP_MS).unref();
  }

  /** The trackers as they are now, in tiers. */
  #use(): void {
    const before = this.#tiers;
    const upstreams = this.#chosen.flatMap(({ peer }) => this.#upstreams.get(peer) ?? []);
    this.#tiers = new Tiers({
      upstreams,
      needed: this.#options.needed ?? (() => false),
      onMove: () => this.#options.onTrackers?.(),
      log: this.#options.log,
      times: this.#options.tierTimes,
    });
    void before?.[Symbol.asyncDispose]();
    if (upstreams.length > 1) for (const upstream of upstreams) upstream.accompanied();
    this.#tiers.start();
    this.#options.onTrackers?.();
  }

  /**
   * One more tracker, or, with `instead`, this one in place of all others; the own account goes by `handle` then. Settles once
   * the tracker has taken the record; where it does not, nothing has changed. Throws its refusal (`name_taken`, `not_invited`,
   * `unknown_zone`, ...), `exists`, `tracker_down`.
   */
  async join(
    chosen: ChosenTracker,
    { handle: wanted, instead, signal }: Wait & { handle: string; instead: boolean },
  ): Promise<void> {
    const people = this.#table();
    const { handle, zone } = parseHandle(wanted, chosen.zone);
    const what = `joining the tracker of "${chosen.zone}"`;
    if (this.#upstreams.has(chosen.peer)) throw new Fault('exists', `${what}: this node announces to it already`);
    const isMove = handle !== this.#own.handle;
    const trial = this.#add(chosen, people, isMove ? this.#own.as(handle) : this.#own);
    try {
      await this.#taken(what, trial, signal);
    } catch (error) {
      await this.#drop(trial);
      throw error;
    }
    if (instead) {
      const others = [...this.#upstreams.values()].filter((upstream) => upstream !== trial);
      await Promise.all(others.map((upstream) => this.#drop(upstream)));
    }
    this.#chosen = instead ? [chosen] : [...this.#chosen, chosen];
    if (isMove) {
      await this.#drop(trial); // it knows the account by a record that nobody renews
      this.#zone = zone;
      this.#own.rename(handle);
      this.#add(chosen, people, this.#own);
    }
    this.#ready.resolve();
    this.#use();
  }

  /** Announces to it no more. Throws `unknown_id`, and `wrong_state` for the only one. */
  async leave(peer: string): Promise<void> {
    const upstream = this.#upstreams.get(peer);
    if (!upstream) throw new Fault('unknown_id', `leaving the tracker "${peer}": it is none of this node's`);
    if (this.#chosen.length === 1) {
      throw new Fault(
        'wrong_state',
        `leaving the tracker of "${upstream.invite.zone}": it is the only one; join another`,
      );
    }
    this.#chosen = this.#chosen.filter((each) => each.peer !== peer);
    await this.#drop(upstream);
    this.#use();
  }

  async #drop(upstream: Upstream): Promise<void> {
    this.#upstreams.delete(upstream.invite.peer);
    await upstream[Symbol.asyncDispose]();
  }

  /** Dials a tracker that is not in use yet, and waits until it has the record. */
  async #taken(what: string, upstream: Upstream, signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const down = (): Fault => {
      const { address, error } = upstream.state;
      const why = error?.message ?? 'no answer';
      return new Fault(
        'tracker_down',
        `${what} at "${address}": ${why}; see that it runs and that this machine reaches it`,
      );
    };
    const look = (): void => {
      const { announced, error, state } = upstream.state;
      if (announced) resolve();
      else if (error && !error.retry) reject(error);
      else if (error && state === 'down') reject(down());
    };
    this.#joining.add(look);
    using limit = deadline(JOIN_MS, what, signal);
    try {
      upstream.stand('serve');
      look();
      await abortable(promise, limit);
    } catch (error) {
      throw limit.aborted && !signal?.aborted ? down() : error;
    } finally {
      this.#joining.delete(look);
    }
  }

  /** The trackers as the next start is to be given them. */
  get chosen(): readonly ChosenTracker[] {
    return this.#chosen;
  }

  #add(chosen: ChosenTracker, people: People, own: OwnRecord): Upstream {
    const { tier = 1, ...invite } = chosen;
    const upstream: Upstream = new Upstream({
      invite,
      tier,
      dial: this.#options.dial,
      own,
      people,
      hiding: () => this.#hiding,
      isAlone: () => this.#chosen.length === 1,
      hasOthers: () => [...this.#upstreams.values()].some((other) => other !== upstream && other.lives),
      log: this.#options.log,
      onChange: () => {
        for (const look of this.#joining) look();
        if (this.#chosen.includes(chosen)) this.#judge(upstream.state);
        this.#tiers?.changed();
        this.#options.onTrackers?.();
      },
    });
    this.#upstreams.set(invite.peer, upstream);
    return upstream;
  }

  /** A first record taken is `ready`. A taken name ends the wait, and so does it if no tracker is worth waiting for. */
  #judge({ announced, error }: TrackerState): void {
    if (announced) return this.#ready.resolve();
    if (!error || error.retry) return;
    const hopeless = [...this.#upstreams.values()].every(
      ({ state, isServing }) => !isServing || (state.error && !state.error.retry),
    );
    if (error.code === 'name_taken' || hopeless) this.#ready.reject(error);
  }

  #table(): People {
    if (this.#people) return this.#people;
    throw new Fault('wrong_state', 'asking the directory: it has not been started');
  }

  /**
   * Settles when a tracker has taken the record; at once without trackers. Rejects with `name_taken`, `unknown_zone`,
   * `wrong_key` or whatever else will not mend by itself; with `signal`'s reason if all trackers stay down.
   */
  ready({ signal }: Wait = {}): Promise<void> {
    return abortable(this.#ready.promise, signal);
  }

  /** `name@zone` of this node's account, as a tracker of the zone knows it. */
  get handle(): string {
    return this.#own.handle;
  }

  /** This node's own account. */
  me(): Person {
    const { handle, account, node, status, text, addresses } = this.#own;
    // To the minute: a list in which nothing else changed stays the same, for those who ask whether it did.
    const lastSeen = Math.floor(this.#own.now() / 60_000) * 60_000;
    return {
      handle,
      account: account.id,
      node,
      status,
      text,
      addresses,
      lastSeen,
      me: true,
      former: false,
      hosted: false,
    };
  }

  /** Somebody by account id, as far as is known here; asks nobody. */
  get(account: string): Person | undefined {
    return account === this.#own.account.id ? this.me() : this.#table().get(account);
  }

  /** Links to the trackers that are up. */
  links(): Link[] {
    return [...this.#upstreams.values()].flatMap(({ link }) => link ?? []);
  }

  /** Links to the trackers that have this account's own record, or had it and may hold letters. */
  ownLinks(): Link[] {
    return [...this.#upstreams.values()].flatMap(({ link, state, isServing }) =>
      link && (state.announced || !isServing) ? link : [],
    );
  }

  /** Where letters for an account may be left, as far as is known here, and the key to seal them to. [M-1] */
  mailbox(account: string): { sealingKey: string | null; links: Link[] } {
    const found = this.#table().mailbox(account);
    const listing = found?.trackers.flatMap((tracker) => this.#upstreams.get(tracker) ?? []) ?? [];
    // One that is used, or was last: there the recipient looks first.
    const sorted = [...listing].sort((a, b) => Number(b.lives) - Number(a.lives) || a.tier - b.tier);
    const foreign = this.#elsewhere?.links().filter(({ peer }) => found?.trackers.includes(peer)) ?? [];
    return { sealingKey: found?.seal ?? null, links: [...sorted.flatMap(({ link }) => link ?? []), ...foreign] };
  }

  /** As `mailbox`; for somebody of another zone its trackers are looked for and dialled where no link stands. [Z-31] */
  async mailboxOf(account: string, wait: Wait = {}): Promise<{ sealingKey: string | null; links: Link[] }> {
    const found = this.mailbox(account);
    const person = this.get(account);
    if (found.links.length > 0 || !person || this.#isOwnZone(person.handle)) return found;
    await this.#walk(person.handle, wait).catch(() => {}); // whoever was known before may be there still
    for (const tracker of this.#table().mailbox(account)?.trackers ?? []) {
      const link = await this.#elsewhere?.linkTo(tracker, wait.signal);
      if (link) return { ...this.mailbox(account), links: [link] };
    }
    return this.mailbox(account);
  }

  /** Links to trackers at which the account is, the likeliest first, as for its letters: also to one of another zone. */
  async trackersOf(account: string, wait: Wait = {}): Promise<Link[]> {
    return (await this.mailboxOf(account, wait)).links;
  }

  /** Where this node has dialled the tracker at the other end of `link`, and of which zone that is. */
  placeOf(link: Link): { address: string; zone: string | undefined } {
    const upstream = this.#upstreams.get(link.peer);
    if (upstream?.link !== link) return { address: link.address, zone: undefined };
    return { address: upstream.state.address, zone: upstream.invite.zone };
  }

  /** Whether this is a link to a tracker to which this node announces itself. */
  isOwnTracker(link: Link): boolean {
    return this.#upstreams.get(link.peer)?.link === link;
  }

  /** Whether a tracker that answers lists the account, and none of them says that it is online. */
  isAway(account: string): boolean {
    return this.get(account)?.status === 'offline' && this.mailbox(account).links.length > 0;
  }

  /**
   * Peer ids of the trackers, those of the first tier first, in the order in which they were named; then of those of other
   * zones that are followed.
   */
  trackers(): string[] {
    const own = [...this.#chosen].sort((a, b) => (a.tier ?? 1) - (b.tier ?? 1));
    return [...own.map(({ peer }) => peer), ...(this.#elsewhere?.peers() ?? [])];
  }

  /** The token of the invite to a tracker, where that has one. */
  tokenOf(tracker: string): string | undefined {
    return this.#chosen.find(({ peer }) => peer === tracker)?.token;
  }

  /** Links to trackers of other zones that are followed and up. */
  foreignLinks(): Link[] {
    return this.#elsewhere?.links() ?? [];
  }

  /** Everybody who is known, oneself first; what the trackers pushed, or said last if they are down. */
  list(): Person[] {
    return [this.me(), ...this.#table().all()];
  }

  /** Asks each tracker for its list now (get_list). Throws `tracker_down` where there are trackers and none answers. */
  async refresh({ signal }: Wait = {}): Promise<Person[]> {
    await this.#askAll('listing people', (upstream) => upstream.sync(signal), signal);
    return this.list();
  }

  /**
   * A person by handle or account id, also one who is offline. A handle without `@zone` is one of the own zone. Throws
   * `unknown_handle`, `key_changed`, `tracker_down` (somebody not known here, and no tracker to ask), `invalid_argument`.
   */
  async find(who: string, { signal }: Wait = {}): Promise<Person> {
    const people = this.#table();
    const wanted = this.#wanted(who);
    const local = (): Person | undefined => {
      if ('account' in wanted) return people.get(wanted.account);
      this.#refuseChanged(wanted.handle);
      return people.byHandle(wanted.handle);
    };
    if ('account' in wanted ? wanted.account === this.#own.account.id : wanted.handle === this.#own.handle) {
      return this.me();
    }
    const known = local();
    if (known && (people.isFresh(known.account) || nearOf(known.handle))) return known;
    const near = 'handle' in wanted && !this.#isServed(wanted.handle) ? nearOf(wanted.handle) : undefined;
    if (near) return await this.#findNearby(who, near, { signal });
    const elsewhere = await this.#handleElsewhere(wanted, known, signal);
    const met = known ? undefined : local();
    if (met) return met; // an own tracker was asked just now
    try {
      if (elsewhere !== undefined) await this.#walk(elsewhere, { signal });
      else await this.#askOne(`finding "${who}"`, wanted, signal);
    } catch (error) {
      if (signal?.aborted) throw error;
      const last = local() ?? ('account' in wanted ? await this.#metNearby(wanted, { signal }) : undefined);
      if (last) return last;
      throw 'handle' in wanted ? this.#withNeighbour(error, wanted.handle) : error;
    }
    const found = local();
    if (found) return found;
    throw new Fault('unknown_handle', `finding "${who}": the tracker's answer was not signed by its account`);
  }

  async #metNearby(
    wanted: { account: string } | { name: string; key: string | undefined },
    wait: Wait,
  ): Promise<Person | undefined> {
    const account = await this.#options.meetNearby?.(wanted, wait);
    return account === undefined ? undefined : this.#table().get(account);
  }

  /** Whoever does not find somebody may mean one who is near, and whom nobody vouches for. */
  #withNeighbour(error: unknown, handle: string): unknown {
    const { code, message, data } = toFault(error);
    const [near] = this.#options.neighboursOf?.(handle.slice(0, handle.indexOf('@'))) ?? [];
    if (code !== 'unknown_handle' || near === undefined) return error;
    return new Fault(code, `${message}; on this network somebody says that name: if you mean them, "${near}"`, {
      data,
    });
  }

  /** Throws `unknown_handle`, and what meeting them throws. */
  async #findNearby(who: string, near: { name: string; key: string | undefined }, wait: Wait): Promise<Person> {
    const met = await this.#metNearby(near, wait);
    if (met) return met;
    throw new Fault(
      'unknown_handle',
      `finding "${who}": nobody on this network goes by this name; "netapp lan" shows who is there`,
    );
  }

  /**
   * As `find`, by the walk that `mode` names whatever is known, also in the own zone; with what was asked of whom. Throws as
   * `find` does; `data.trace` has the steps then.
   */
  async trace(
    who: string,
    { mode, signal }: Wait & { mode?: Mode | undefined } = {},
  ): Promise<{ person: Person; stale: boolean; steps: Step[] }> {
    const { handle } = parseHandle(who, this.#zone);
    if (!this.#elsewhere) throw new Fault('wrong_state', `finding "${who}": this node knows of no other zones`);
    await this.#firstTracker(`finding "${who}"`, signal).catch(() => {}); // DNS may still know
    const { stale, steps } = await this.#walk(handle, { mode, signal });
    this.#refuseChanged(handle);
    const person = handle === this.#own.handle ? this.me() : this.#table().byHandle(handle);
    if (person) return { person, stale, steps };
    throw new Fault('unknown_handle', `finding "${who}": the tracker's answer was not signed by its account`);
  }

  async #walk(handle: string, options: Wait & { mode?: Mode | undefined }): Promise<{ stale: boolean; steps: Step[] }> {
    const walked = await this.#elsewhere?.find(handle, options);
    if (!walked) throw new Fault('unknown_zone', `finding "${handle}": this node knows of no other zones`);
    const { fault, stale, steps } = walked;
    if (!fault) return { stale, steps };
    throw new Fault(fault.code, fault.message, { data: { ...fault.data, trace: steps } });
  }

  /** The user says which key a zone of another tree has; the one that was taken for it before, if any. Durable. [Z-43] */
  acceptZoneKey(zone: string, key: string): string | null {
    if (this.#elsewhere) return this.#elsewhere.acceptKey(zone, key);
    throw new Fault('wrong_state', `accepting the key of "${zone}": this node knows of no other zones`);
  }

  /** Asks the own tracker that governs `zone`, as an admin. Throws `tracker_down`, and what the tracker refuses it with. [Z-7] */
  async administer<P, R>(spec: Method<P, R>, params: P, zone?: string, { signal }: Wait = {}): Promise<R> {
    await this.#firstTracker('administering zones', signal);
    if (this.#elsewhere) return await this.#elsewhere.administer(spec, params, zone, signal);
    throw new Fault('wrong_state', 'administering zones: this node knows of no other zones');
  }

  /** The zones of the own trackers: whoever is of one of these is asked for there. */
  #isOwnZone(handle: string): boolean {
    return this.#chosen.length === 0 || this.#isServed(handle) || nearOf(handle) !== undefined;
  }

  #isServed(handle: string): boolean {
    const zone = zoneOf(handle);
    return this.#chosen.some((invite) => invite.zone === zone);
  }

  /** Whether somebody is known to be of a zone that no own tracker serves. */
  isForeign(account: string): boolean {
    const handle = this.#people?.get(account)?.handle;
    return handle !== undefined && !this.#isOwnZone(handle);
  }

  /** By which handle to walk to another zone; undefined: it is one of the own zones, or nobody knows. */
  async #handleElsewhere(
    wanted: { handle: string } | { account: string },
    known: Person | undefined,
    signal: AbortSignal | undefined,
  ): Promise<string | undefined> {
    if (!this.#elsewhere) return undefined;
    const handle = 'handle' in wanted ? wanted.handle : known?.handle;
    if (handle !== undefined) return this.#isOwnZone(handle) ? undefined : handle;
    if (!('account' in wanted)) return undefined;
    const isHere = await this.#askOne('finding an account', wanted, signal).then(
      () => true,
      () => false,
    );
    return isHere ? undefined : await this.#elsewhere.handleOf(wanted.account, signal);
  }

  /**
   * Learns who an account is by the handle that it says itself, where no own tracker knows it: its zone must say the same.
   * Never throws. [Z-31]
   */
  async meet(account: string, handle: string, wait: Wait = {}): Promise<void> {
    const text = handle.trim().toLowerCase();
    if (this.get(account) || !this.#elsewhere) return;
    try {
      const wanted = parseHandle(text, this.#zone);
      if (this.#isOwnZone(wanted.handle)) return;
      await this.#walk(wanted.handle, wait);
    } catch (error) {
      this.#options.log.info({ err: error, account }, 'the zone of somebody who says a handle does not confirm it');
    }
  }

  /** Looks again for those of other zones who are known, so that it shows when they come and go. Never throws. */
  async followKnown(signal: AbortSignal): Promise<void> {
    const all = this.#table()
      .foreign((handle) => this.#isOwnZone(handle))
      .slice(0, MOST_FOLLOWED_AT_START);
    for (const { handle } of all) {
      if (signal.aborted) return;
      await this.#walk(handle, { signal }).catch(() => {}); // looked for again when somebody wants them
    }
  }

  #wanted(who: string): { handle: string } | { account: string } {
    const text = who.trim();
    if (peerId.safeParse(text).success) return { account: text };
    return { handle: parseHandle(text, this.#zone).handle };
  }

  #refuseChanged(handle: string): void {
    const conflict = this.#table().conflict(handle);
    if (!conflict) return;
    throw new Fault(
      'key_changed',
      `finding "${handle}": a tracker shows another key for it than the one first seen here; ask the person, by another way, whether the key "${conflict.shown}" is theirs; if so: netapp people accept-key ${handle} --key ${conflict.shown}`,
      { data: conflict },
    );
  }

  /** A person by handle or account id as far as is known here, whatever key a tracker shows by now; asks nobody. */
  known(who: string): Person | undefined {
    const wanted = this.#wanted(who);
    if ('account' in wanted) return this.get(wanted.account);
    return wanted.handle === this.#own.handle ? this.me() : this.#table().byHandle(wanted.handle);
  }

  /** The key that a tracker shows for the handle, and that the user has not accepted. */
  conflict(handle: string): { pinned: string; shown: string; tracker: string } | undefined {
    return this.#table().conflict(handle);
  }

  /**
   * The user has made sure of it: from now on the handle is `account`, which must be the key that a tracker shows. Gives
   * the account that it was before. Throws `wrong_state` (no other key is shown), `wrong_key` (another one is). [D-57]
   */
  accept(who: string, account: string): { handle: string; before: string } {
    const { handle } = parseHandle(who, this.#zone);
    const conflict = this.conflict(handle);
    if (!conflict) {
      throw new Fault(
        'wrong_state',
        `accepting a key of "${handle}": no tracker shows another key for it than the known one`,
      );
    }
    if (conflict.shown !== account) {
      throw new Fault(
        'wrong_key',
        `accepting the key "${account}" of "${handle}": the tracker shows "${conflict.shown}"; ask the person again which one is theirs`,
      );
    }
    this.#table().repin(handle, account);
    return { handle, before: conflict.pinned };
  }

  /** Asks the trackers anew for somebody who is known; does nothing where none answers. */
  async renewed(account: string, { signal }: Wait = {}): Promise<void> {
    try {
      await this.#askOne(`finding "${account}"`, { account }, signal);
    } catch (error) {
      this.#options.log.info({ err: error, account }, 'nobody says where this account is');
    }
  }

  /**
   * From whom this account hides from now on: to them it is offline. Settles when every tracker that is up keeps it; the
   * others are told before they get the record again. Throws `too_many`. [D-50]
   */
  async hide(hiding: Hiding, { signal }: Wait = {}): Promise<void> {
    if (hiding.from.length > MOST_HIDDEN_FROM) {
      throw new Fault('too_many', `hiding from ${hiding.from.length} people: at most ${MOST_HIDDEN_FROM}`);
    }
    // Whoever is past the bound sees this account as offline: an error on the quiet side.
    this.#hiding = { from: hiding.from, only: hiding.only?.slice(0, MOST_SHOWN_TO) ?? null };
    const up = [...this.#upstreams.values()].filter(({ link }) => link);
    await Promise.all(up.map((upstream) => upstream.hideNow(signal)));
  }

  /** Trackers that may be asked, the fastest first; waits a while for one where none answers now. Throws `tracker_down`. */
  async #answering(what: string, zone: string | undefined, signal: AbortSignal | undefined): Promise<Upstream[]> {
    const all = [...this.#upstreams.values()];
    if (all.length === 0) {
      throw new Fault('unknown_handle', `${what}: this node has no tracker to ask; join one with its invite link`);
    }
    await this.#firstTracker(what, signal);
    const ranked = this.#tiers?.ranked(zone) ?? [];
    if (ranked.length === 0) throw this.#allDown(what, all);
    return ranked;
  }

  /** Asks the fastest, and the next beside it where that is late or does not know. Throws `unknown_handle`, `tracker_down`. [D-71] */
  async #askOne(
    what: string,
    wanted: { handle: string } | { account: string },
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const zone = 'handle' in wanted ? parseHandle(wanted.handle, '').zone : undefined;
    const upstreams = await this.#answering(what, zone, signal);
    const end = await race(
      upstreams.map((upstream) => ({
        headStartMs: lateAfter(upstream.rttMs),
        attempt: (limit) => upstream.find(wanted, limit),
      })),
      { signal },
    );
    if ('faults' in end) throw told(what, end.faults);
  }

  /**
   * Asks all trackers that are used; settles with the first good answer. Throws `tracker_down` if none is up, `unknown_handle`
   * if there are none at all or all say so, else what the last one threw.
   */
  async #askAll(
    what: string,
    question: (upstream: Upstream) => Promise<void>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const upstreams = await this.#answering(what, undefined, signal);
    try {
      await Promise.any(upstreams.map(question));
    } catch (error) {
      const faults = error instanceof AggregateError ? error.errors : [error];
      throw told(
        what,
        faults.map((each) => toFault(each, what)),
      );
    }
  }

  /** Waits for trackers that are being dialled for the first time. Throws where `signal` ends it. */
  async #firstTracker(what: string, signal: AbortSignal | undefined): Promise<void> {
    if (this.#tiers?.ranked().length) return;
    using limit = deadline(FIRST_DIAL_MS, what, signal);
    await this.#tiers?.answers(limit).catch(() => {});
    if (signal?.aborted) throw toFault(signal.reason, what, 'cancelled');
  }

  #allDown(what: string, upstreams: readonly Upstream[]): Fault {
    const each = upstreams
      .filter(({ isServing }) => isServing)
      .map(({ state }) => `"${state.address}" (${state.error?.message ?? 'no answer yet'})`);
    return new Fault(
      'tracker_down',
      `${what}: no tracker answers: ${each.join(', ')}; it is tried again by itself; see that the tracker runs and that this machine reaches it`,
    );
  }

  /** Where an account may be dialled, the likeliest first; empty if nobody knows. */
  addressesOf(account: string): string[] {
    return this.#table().get(account)?.addresses ?? [];
  }

  /**
   * How this person presents themself from now on. Trackers that are down hear of it when they are back. Throws
   * `invalid_argument`, or what the only tracker refuses it with.
   */
  async setStatus(status: PresentStatus, text: string, { signal }: Wait = {}): Promise<void> {
    this.present(status, text);
    if ([...this.#upstreams.values()].some(({ link }) => link)) await this.announceNow({ signal });
  }

  /** As `setStatus`, said with the next announce: what holds from the start on. Throws `invalid_argument`. */
  present(status: PresentStatus, text: string): void {
    const parsed = statusText.safeParse(text);
    if (!parsed.success) {
      throw new Fault(
        'invalid_argument',
        `setting the status: expected ${parsed.error.issues[0]?.message ?? 'one line'}`,
      );
    }
    this.#own.status = status;
    this.#own.text = text;
  }

  /** Says the own record to all trackers (send_info); settles when one has taken it. Throws `tracker_down` or its refusal. */
  async announceNow({ signal }: Wait = {}): Promise<void> {
    if (this.#upstreams.size === 0) return;
    await this.#askAll(`announcing "${this.#own.handle}"`, (upstream) => upstream.announce(signal), signal);
  }

  /** Dials trackers that are down at once: the network may be back. */
  nudge(): void {
    for (const upstream of this.#upstreams.values()) upstream.nudge();
  }

  /** This machine's addresses are others now, or it has slept: trackers are told, and asked whether they are there. [N-74] */
  moved(isHere: (ip: string) => boolean): void {
    for (const upstream of this.#upstreams.values()) upstream.moved(isHere);
    this.#elsewhere?.moved(isHere);
  }

  /** Each tracker, whether it is used, and why. */
  states(): (TrackerState & { used: boolean; why: string })[] {
    const used = this.#tiers?.used ?? [];
    return [...this.#upstreams.values()].map((upstream) => ({
      ...upstream.state,
      used: used.includes(upstream),
      why: this.#tiers?.why(upstream) ?? 'not started',
    }));
  }

  /** Somebody came, went, or changed. The result ends it. */
  onChange(listener: (change: PeopleChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Says goodbye to all trackers, so that nobody waits for the grace to see it. */
  async goodbye(): Promise<void> {
    await Promise.all([...this.#upstreams.values()].map((upstream) => upstream.goodbye()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#sweeper);
    await this.goodbye();
    await this.#tiers?.[Symbol.asyncDispose]();
    await this.#elsewhere?.[Symbol.asyncDispose]();
    await Promise.all([...this.#upstreams.values()].map((upstream) => upstream[Symbol.asyncDispose]()));
    this.#ready.reject(new Fault('cancelled', 'the directory was stopped'));
    this.#people?.flush();
  }
}

const lateAfter = (rttMs: number | null): number =>
  rttMs === null ? LATE_MS.unknown : Math.min(Math.max(rttMs * LATE_ROUND_TRIPS, LATE_MS.least), LATE_MS.most);

/** Of what several trackers said, what counts: that nobody is known by this name, else the last word. */
const told = (what: string, faults: readonly Fault[]): Fault =>
  faults.find(({ code }) => code === 'unknown_handle') ??
  faults.at(-1) ??
  new Fault('tracker_down', `${what}: no answer`);
