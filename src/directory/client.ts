/** A node's side of the directory: it announces itself to its trackers, and knows who is online and where. */
import { abortable, deadline } from '../base/async.ts';
import type { Clock } from '../base/clock.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Store } from '../base/sqlite.ts';
import { type Key, peerId } from '../link/identity.ts';
import type { Link } from '../link/link.ts';
import type { Router } from '../link/router.ts';
import { parseHandle } from './handle.ts';
import { type Hiding, MOST_HIDDEN_FROM, MOST_SHOWN_TO } from './hiding.ts';
import type { Invite } from './invite.ts';
import * as messages from './messages.ts';
import { OwnRecord } from './own.ts';
import { People, type PeopleChange, type Person } from './people.ts';
import { type PresentStatus, statusText } from './record.ts';
import { type DialTracker, type TrackerState, Upstream } from './upstream.ts';

export type { PeopleChange, Person } from './people.ts';
export type { TrackerState } from './upstream.ts';

/** Milliseconds that a question waits for a first answer of trackers that are being dialled. */
const FIRST_DIAL_MS = 3000;
/** Milliseconds from one look at who is no longer vouched for to the next. */
const SWEEP_MS = 5000;

type Wait = { signal?: AbortSignal | undefined };

export type DirectoryClientOptions = {
  /** None is a node on its own. */
  trackers: readonly Invite[];
  dial: DialTracker;
  account: Key;
  /** `name@zone`. */
  handle: string;
  /** Peer id of this node. */
  node: string;
  /** `host:port` of this node, the likeliest first; asked whenever it announces. */
  addresses: () => readonly string[];
  /** Open; its tables are made by `start`. */
  store: Store;
  clock: Clock;
  log: Log;
  /** A tracker came up, went down, took or refused the record. */
  onTrackers?: () => void;
};

export class DirectoryClient implements AsyncDisposable {
  readonly #options: DirectoryClientOptions;
  readonly #own: OwnRecord;
  readonly #zone: string;
  readonly #listeners = new Set<(change: PeopleChange) => void>();
  readonly #ready = Promise.withResolvers<void>();
  readonly #upstreams = new Map<string, Upstream>();
  #hiding: Hiding = { from: [], only: null };
  #people: People | undefined;
  #sweeper: NodeJS.Timeout | undefined;

  /** Throws `invalid_argument` for a handle that is none. */
  constructor(options: DirectoryClientOptions) {
    this.#options = options;
    const { handle, zone } = parseHandle(options.handle, '');
    this.#zone = zone;
    this.#own = new OwnRecord({ ...options, handle });
    this.#ready.promise.catch(() => {}); // whoever waits for it hears of it; nobody has to wait
  }

  /** Takes what trackers push on links that share `router`. */
  attach(router: Router): this {
    router.on(messages.changed, (change, { link }) => {
      const upstream = this.#upstreams.get(link.peer);
      if (!upstream)
        throw new Fault('forbidden', `taking "${messages.changed.name}": this link is not to a tracker of ours`);
      upstream.changed(link, change);
    });
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
    return people;
  }

  /** Starts to dial. */
  start(): void {
    const people = this.open();
    for (const invite of this.#options.trackers) this.#add(invite, people);
    if (this.#upstreams.size === 0) this.#ready.resolve();
    this.#sweeper = setInterval(() => {
      try {
        people.sweep();
      } catch (error) {
        this.#options.log.error({ err: error }, 'the directory cannot write to its store; it tries again');
      }
    }, SWEEP_MS).unref();
  }

  #add(invite: Invite, people: People): void {
    const upstream = new Upstream({
      invite,
      dial: this.#options.dial,
      own: this.#own,
      people,
      hiding: () => this.#hiding,
      log: this.#options.log,
      onChange: () => {
        this.#judge(upstream.state);
        this.#options.onTrackers?.();
      },
    });
    this.#upstreams.set(invite.peer, upstream);
    upstream.start();
  }

  /** A first record taken is `ready`. A taken name ends the wait, and so does it if no tracker is worth waiting for. */
  #judge({ announced, error }: TrackerState): void {
    if (announced) return this.#ready.resolve();
    if (!error || error.retry) return;
    const hopeless = [...this.#upstreams.values()].every(({ state }) => state.error && !state.error.retry);
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

  /** Links to the trackers that are up and have this account's own record. */
  ownLinks(): Link[] {
    return [...this.#upstreams.values()].flatMap(({ link, state }) => (link && state.announced ? link : []));
  }

  /** Where letters for an account may be left, as far as is known here, and the key to seal them to. [M-1] */
  mailbox(account: string): { sealingKey: string | null; links: Link[] } {
    const found = this.#table().mailbox(account);
    const links = found?.trackers.flatMap((tracker) => this.#upstreams.get(tracker)?.link ?? []) ?? [];
    return { sealingKey: found?.seal ?? null, links };
  }

  /** Whether a tracker that answers lists the account, and none of them says that it is online. */
  isAway(account: string): boolean {
    return this.get(account)?.status === 'offline' && this.mailbox(account).links.length > 0;
  }

  /** Peer ids of the trackers, in the order in which they were named. */
  trackers(): string[] {
    return this.#options.trackers.map(({ peer }) => peer);
  }

  /** Everybody who is known, oneself first; what the trackers pushed, or said last if they are down. */
  list(): Person[] {
    return [this.me(), ...this.#table().all()];
  }

  /** Asks each tracker for its list now (get_list). Throws `tracker_down` where there are trackers and none answers. */
  async refresh({ signal }: Wait = {}): Promise<Person[]> {
    await this.#ask('listing people', (upstream) => upstream.sync(signal), signal);
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
    if (known && people.isFresh(known.account)) return known;
    try {
      await this.#ask(`finding "${who}"`, (upstream) => upstream.find(wanted, signal), signal);
    } catch (error) {
      if (signal?.aborted) throw error;
      const last = local();
      if (last) return last;
      throw error;
    }
    const found = local();
    if (found) return found;
    throw new Fault('unknown_handle', `finding "${who}": the tracker's answer was not signed by its account`);
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
      await this.#ask(`finding "${account}"`, (upstream) => upstream.find({ account }, signal), signal);
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

  /**
   * Asks all trackers that are up; settles with the first good answer. Throws `tracker_down` if none is up, `unknown_handle`
   * if there are none at all or all say so, else what the last one threw.
   */
  async #ask(
    what: string,
    question: (upstream: Upstream) => Promise<void>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const upstreams = [...this.#upstreams.values()];
    if (upstreams.length === 0) {
      throw new Fault('unknown_handle', `${what}: this node has no tracker to ask; join one with its invite link`);
    }
    if (!upstreams.some(({ link }) => link)) {
      using limit = deadline(FIRST_DIAL_MS, what, signal);
      await abortable(Promise.all(upstreams.map(({ settled }) => settled)), limit).catch(() => {});
      if (signal?.aborted) throw toFault(signal.reason, what, 'cancelled');
    }
    const up = upstreams.filter(({ link }) => link);
    if (up.length === 0) throw this.#allDown(what, upstreams);
    try {
      await Promise.any(up.map(question));
    } catch (error) {
      const faults =
        error instanceof AggregateError ? error.errors.map((each) => toFault(each, what)) : [toFault(error)];
      throw faults.find(({ code }) => code === 'unknown_handle') ?? faults.at(-1) ?? toFault(error, what);
    }
  }

  #allDown(what: string, upstreams: readonly Upstream[]): Fault {
    const each = upstreams.map(({ state }) => `"${state.address}" (${state.error?.message ?? 'no answer yet'})`);
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
    await this.#ask(`announcing "${this.#own.handle}"`, (upstream) => upstream.announce(signal), signal);
  }

  /** Dials trackers that are down at once: the network may be back. */
  nudge(): void {
    for (const upstream of this.#upstreams.values()) upstream.nudge();
  }

  states(): TrackerState[] {
    return [...this.#upstreams.values()].map(({ state }) => state);
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
    await Promise.all([...this.#upstreams.values()].map((upstream) => upstream[Symbol.asyncDispose]()));
    this.#ready.reject(new Fault('cancelled', 'the directory was stopped'));
    this.#people?.flush();
  }
}
