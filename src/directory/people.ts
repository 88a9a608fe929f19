/**
 * Who a node knows: what its trackers told it, checked, merged, and kept for when none of them answers. No tracker is
 * trusted to say where somebody is: each record's signature is checked here, and a handle keeps its first key. [D-7] [D-8]
 */
import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { Store } from '../base/sqlite.ts';
import { parseAddress, scopeOf } from '../link/address.ts';
import { type Entry, TTL_MS } from './messages.ts';
import { type Conflict, type Kept, PeopleStore } from './people-store.ts';
import { type DirectoryRecord, type PresentStatus, recordHolds, sealOf } from './record.ts';

/** Accounts that are remembered; past it, unknown ones are not taken. */
const MOST_PEOPLE = 200_000;

/** Somebody, as one shows them. */
export type Person = {
  handle: string;
  account: string;
  node: string;
  status: PresentStatus | 'offline';
  text: string;
  /** `host:port` that this node may dial, the likeliest first. */
  addresses: string[];
  /** Unix milliseconds: now for who is online, else by the clock of the tracker that said so. */
  lastSeen: number;
  me: boolean;
  /** The handle belongs to another key by now: the user has accepted it. */
  former: boolean;
  /** One of many accounts of its node, which reads what is said to it. [D-90] */
  hosted: boolean;
};

export type PeopleChange =
  | { type: 'online' | 'offline' | 'changed'; person: Person }
  /** A tracker shows `handle` with another key than the one seen first; it was not taken. */
  | { type: 'key_changed'; handle: string; pinned: string; shown: string; tracker: string };

/** What one tracker says of one account. */
type View = Pick<Entry, 'verified' | 'near' | 'online' | 'lastSeen'> & {
  node: string;
  addresses: readonly string[];
  /** Unix milliseconds until which it counts, where nobody pushes what changes; undefined: while its tracker is up. */
  until: number | undefined;
};

type Known = {
  record: DirectoryRecord;
  /** By peer id of the tracker. */
  views: Map<string, View>;
  /** What was known of this node before any present view. */
  kept: Pick<Kept, 'addresses' | 'lastSeen'> | undefined;
  /** What listeners were told last. */
  shown: string;
  online: boolean;
};

/** What somebody at the same host may mean by an address: not another machine on the internet, which may be a victim. [D-22] */
function isNearby(address: string, observed: string | null): boolean {
  const { host } = parseAddress(address);
  return host === observed || scopeOf(host) !== 'public';
}

export class People {
  readonly #self: string;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #store: PeopleStore;
  readonly #known = new Map<string, Known>();
  #conflicts = new Map<string, Conflict>();
  /** Trackers whose link is down, and since when. Missing: up. */
  readonly #down = new Map<string, number>();
  /** Something that was said counts for a while only. */
  #passing = false;
  readonly #unsaved = new Set<Known>();
  readonly #listeners = new Set<(change: PeopleChange) => void>();

  /** `self` is the own account, which never stands among the others. */
  constructor(options: { self: string; store: Store; clock: Clock; log: Log }) {
    this.#self = options.self;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#store = new PeopleStore(options.store);
  }

  /** Reads what was kept. */
  load(): void {
    for (const { record, ...kept } of this.#store.load()) {
      const known: Known = { record, views: new Map(), kept, shown: '', online: false };
      known.shown = this.#describe(known);
      this.#known.set(record.account, known);
    }
    this.#conflicts = this.#store.conflicts();
  }

  onChange(listener: (change: PeopleChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Remembers that `handle` is this account's; the first one for good. Gives the account that it belongs to. */
  pin(handle: string, account: string): string {
    return this.#store.pin(handle, account, this.#clock.now());
  }

  /** The user's word: from now on `handle` is `account`. Gives the account that it was before. [D-57] */
  repin(handle: string, account: string): string | undefined {
    const before = this.#store.pinned(handle);
    const conflict = this.#conflicts.get(handle);
    this.#store.transaction(() => {
      this.#store.repin(handle, account, this.#clock.now());
      if (conflict) this.#store.dropConflict(handle);
      this.#store.afterCommit(() => this.#repinned(handle, account, conflict));
    });
    return before;
  }

  #repinned(handle: string, account: string, conflict: Conflict | undefined): void {
    this.#conflicts.delete(handle);
    if (conflict?.shown === account && account !== this.#self && !this.#known.has(account)) {
      const known = this.#meet(conflict.record); // known, where no tracker can be asked
      if (known) {
        known.kept = { addresses: [], lastSeen: Math.min(conflict.record.seq, this.#clock.now()) };
        this.#unsaved.add(known);
      }
    }
  }

  /** The other account that a tracker shows for a handle. [D-56] */
  conflict(handle: string): { pinned: string; shown: string; tracker: string } | undefined {
    const found = this.#conflicts.get(handle);
    return found && { pinned: this.#store.pinned(handle) ?? '', shown: found.shown, tracker: found.tracker };
  }

  #settle(handle: string): void {
    if (this.#conflicts.delete(handle)) this.#store.dropConflict(handle);
  }

  /** Whether the account went by a handle that the user has given to another key since. */
  isFormer(account: string): boolean {
    const handle = this.#known.get(account)?.record.handle;
    return handle !== undefined && this.#store.pinned(handle) !== account;
  }

  /**
   * Takes what a tracker says. `full`: who is not among the entries is not known to it. `holdsMs`: for how long that counts,
   * where the tracker will not say what changes.
   */
  take(
    tracker: string,
    page: { full: boolean; entries: readonly Entry[]; gone: readonly string[] },
    holdsMs?: number,
  ): void {
    const until = holdsMs === undefined ? undefined : this.#clock.now() + holdsMs;
    if (until !== undefined) this.#passing = true;
    const changed = new Set<Known>();
    this.#store.transaction(() => {
      for (const entry of page.entries) {
        const known = this.#takeEntry(tracker, entry, until);
        if (known) changed.add(known);
      }
    });
    const listed = page.full ? new Set(page.entries.map(({ record }) => record.account)) : undefined;
    const leaving = listed ? [...this.#known.keys()].filter((account) => !listed.has(account)) : page.gone;
    for (const account of leaving) {
      const known = this.#known.get(account);
      if (!known?.views.has(tracker)) continue;
      known.kept = this.#reach(known); // a tracker that forgets somebody does not make us forget
      known.views.delete(tracker);
      changed.add(known);
    }
    for (const known of changed) {
      this.#unsaved.add(known);
      this.#tell(known);
    }
  }

  #takeEntry(tracker: string, entry: Entry, until: number | undefined): Known | undefined {
    const { record } = entry;
    // Most of what trackers push is about where somebody was reached, with the record that was checked before.
    if (!isDeepStrictEqual(record, this.#known.get(record.account)?.record) && !recordHolds(record)) {
      this.#log.warn(
        { tracker, handle: record.handle },
        'a tracker sent a record that its account did not sign: dropped',
      );
      return undefined;
    }
    const pinned = this.pin(record.handle, record.account);
    if (pinned !== record.account) {
      this.#refuse(tracker, record, pinned);
      return undefined;
    }
    if (this.#conflicts.get(record.handle)?.tracker === tracker) this.#settle(record.handle);
    if (record.account === this.#self) return undefined;
    const known = this.#known.get(record.account) ?? this.#meet(record);
    if (!known) return undefined;
    if (record.seq > known.record.seq) {
      if (record.node !== known.record.node) known.kept = undefined;
      known.record = record;
    }
    const { verified, near, online, lastSeen, observed } = entry;
    const { node } = record;
    const addresses = record.addresses.filter((address) => isNearby(address, observed));
    known.views.set(tracker, { verified, near, online, lastSeen, node, addresses, until });
    return known;
  }

  #meet(record: DirectoryRecord): Known | undefined {
    if (this.#known.size >= MOST_PEOPLE) {
      this.#log.warn({ handle: record.handle }, `${MOST_PEOPLE} people are known: no more are taken`);
      return undefined;
    }
    const known: Known = { record, views: new Map(), kept: undefined, shown: '', online: false };
    this.#known.set(record.account, known);
    return known;
  }

  #refuse(tracker: string, record: DirectoryRecord, pinned: string): void {
    const { handle, account } = record;
    if (this.#conflicts.get(handle)?.shown === account) return;
    if (this.#conflicts.size >= MOST_PEOPLE) return;
    const conflict = { shown: account, tracker, record };
    this.#store.keepConflict(handle, conflict);
    this.#conflicts.set(handle, conflict);
    this.#log.error(
      { tracker, handle, pinned, shown: account },
      'a tracker shows a handle with another key: not taken',
    );
    this.#emit({ type: 'key_changed', handle, pinned, shown: account, tracker });
  }

  /** What the tracker said counts for one TTL more while its link is down: its restart is no news about people. */
  trackerDown(tracker: string): void {
    if (this.#down.has(tracker)) return;
    const now = this.#clock.now();
    this.#down.set(tracker, now);
    for (const known of this.#known.values()) {
      const view = known.views.get(tracker);
      if (!view?.online) continue;
      view.lastSeen = Math.max(view.lastSeen, now); // it vouched for them until now
      this.#unsaved.add(known);
    }
  }

  trackerUp(tracker: string): void {
    this.#down.delete(tracker);
  }

  /** Shows as offline whom nobody vouches for any more, and writes what changed. To be called every few seconds. */
  sweep(): void {
    if (this.#down.size > 0 || this.#passing) for (const known of this.#known.values()) this.#tell(known);
    this.flush();
  }

  flush(): void {
    this.#store.keep([...this.#unsaved].map((known) => ({ record: known.record, ...this.#reach(known) })));
    this.#unsaved.clear();
  }

  get(account: string): Person | undefined {
    const known = this.#known.get(account);
    return known && this.#show(known);
  }

  /** Accounts whose handle is of a zone that `isOwn` does not take for an own one, those seen last first. */
  foreign(isOwn: (handle: string) => boolean): Person[] {
    return [...this.#known.values()]
      .filter(({ record }) => !isOwn(record.handle))
      .map((known) => this.#show(known))
      .sort((a, b) => b.lastSeen - a.lastSeen);
  }

  byHandle(handle: string): Person | undefined {
    const account = this.#store.pinned(handle);
    const person = account === undefined ? undefined : this.get(account);
    return person?.handle === handle ? person : undefined;
  }

  /** Whether what is known can be acted on without asking again: somebody vouches for it, and it still holds. */
  isFresh(account: string): boolean {
    const known = this.#known.get(account);
    return known !== undefined && this.#isOnline(known) && known.record.until > this.#clock.now();
  }

  /** Whether the tracker has said something of the account that still counts. */
  isListed(account: string, tracker: string): boolean {
    return this.#known.get(account)?.views.has(tracker) ?? false;
  }

  /** The key to which letters for the account are sealed, and the trackers that list it. */
  mailbox(account: string): { seal: string | null; trackers: string[] } | undefined {
    const known = this.#known.get(account);
    return known && { seal: sealOf(known.record), trackers: [...known.views.keys()] };
  }

  /** Everybody, in the order of handles. */
  all(): Person[] {
    return [...this.#known.values()].map((known) => this.#show(known)).sort((a, b) => (a.handle < b.handle ? -1 : 1));
  }

  #isOnline({ record, views }: Known): boolean {
    const now = this.#clock.now();
    return [...views].some(([tracker, { online, node, until }]) => {
      const downSince = this.#down.get(tracker);
      if (!online || node !== record.node) return false;
      return until === undefined ? downSince === undefined || now - downSince < TTL_MS : now < until;
    });
  }

  /** Where it may be dialled: what trackers verified, and what is nearby where we are behind the same host. [D-22] [D-23] */
  #reach({ record, views, kept }: Known): { addresses: string[]; lastSeen: number } {
    const current = [...views.values()].filter(({ node }) => node === record.node);
    const near = current.filter((view) => view.near).flatMap(({ addresses }) => addresses);
    const verified = current.flatMap((view) => view.verified);
    const addresses = [...new Set([...near, ...verified])];
    return {
      addresses: addresses.length > 0 ? addresses : [...(kept?.addresses ?? [])],
      lastSeen: Math.max(kept?.lastSeen ?? 0, ...current.map((view) => view.lastSeen)),
    };
  }

  #show(known: Known): Person {
    const { handle, account, node, status, text } = known.record;
    const online = this.#isOnline(known);
    const { addresses, lastSeen } = this.#reach(known);
    const seen = online ? Math.max(lastSeen, this.#clock.now()) : lastSeen;
    return {
      handle,
      account,
      node,
      status: online ? status : 'offline',
      text,
      addresses,
      lastSeen: seen,
      me: false,
      former: this.isFormer(account),
      hosted: known.record.hosted === true,
    };
  }

  #describe(known: Known): string {
    const { lastSeen: _, ...rest } = this.#show(known);
    return JSON.stringify(rest);
  }

  #tell(known: Known): void {
    const description = this.#describe(known);
    if (description === known.shown) return;
    known.shown = description;
    const [was, online] = [known.online, this.#isOnline(known)];
    known.online = online;
    this.#emit({ type: was === online ? 'changed' : online ? 'online' : 'offline', person: this.#show(known) });
  }

  #emit(change: PeopleChange): void {
    for (const listener of this.#listeners) listener(change);
  }
}
