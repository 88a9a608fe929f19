/** One tracker as a node sees it: a link that is kept, on which it announces, renews, lists and watches. */
import type { z } from 'zod';
import { abortable } from '../base/async.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { KeptLink } from '../link/keep.ts';
import type { Link } from '../link/link.ts';
import { Announcer } from './announcer.ts';
import type { Hiding } from './hiding.ts';
import { formatInvite, type Invite } from './invite.ts';
import * as messages from './messages.ts';
import type { OwnRecord } from './own.ts';
import type { People } from './people.ts';

/** Dials one address of a tracker and gives a greeted link to the key `expect`. */
export type DialTracker = (address: string, expect: string, signal: AbortSignal) => Promise<Link>;

/** One tracker, for status displays. */
export type TrackerState = {
  peer: string;
  /** Address of the link, or the first of the invite. */
  address: string;
  zone: string;
  invite: string;
  state: 'up' | 'connecting' | 'down';
  /** Why it is down, or why it does not take our record. */
  error: Fault | null;
  /** Whether it has our present record. */
  announced: boolean;
  /** Host that it sees us at. */
  observed: string | null;
  /** Addresses of ours that answered its dial-back. */
  checked: string[];
};

/** Pages of one list: 200,000 people at 1 KiB each. A tracker that goes on after that lies. */
const MOST_PAGES = 400;
const MOST_SYNCS = 3;
/** Changes that wait for the list before them. */
const MOST_LATE = 1000;

type Changed = z.infer<typeof messages.changed.params>;

export class Upstream implements AsyncDisposable {
  readonly invite: Invite;
  readonly #dial: DialTracker;
  readonly #people: People;
  readonly #hiding: () => Hiding;
  readonly #log: Log;
  readonly #onChange: () => void;
  readonly #kept: KeptLink;
  readonly #announcer: Announcer;
  readonly #settled = Promise.withResolvers<void>();
  #link: Link | undefined;
  #version: string | undefined;
  #syncing: { link: Link; done: Promise<void> } | undefined;
  #late: Changed[] | undefined;

  constructor(options: {
    invite: Invite;
    dial: DialTracker;
    own: OwnRecord;
    people: People;
    /** From whom the own account hides; asked whenever the tracker is to be told. */
    hiding: () => Hiding;
    log: Log;
    /** Something in `state` changed. */
    onChange(): void;
  }) {
    this.invite = options.invite;
    this.#dial = options.dial;
    this.#people = options.people;
    this.#hiding = options.hiding;
    this.#log = options.log.child({ tracker: options.invite.peer.slice(0, 8) });
    this.#onChange = options.onChange;
    this.#announcer = new Announcer({
      own: options.own,
      token: options.invite.token,
      log: this.#log,
      onChange: this.#onChange,
    });
    this.#people.trackerDown(this.invite.peer);
    this.#kept = new KeptLink({
      dial: (signal) => this.#dialAny(signal),
      onUp: (link) => this.#up(link),
      onChange: ({ state }) => {
        if (state === 'down') this.#settled.resolve();
        this.#onChange();
      },
      log: this.#log,
    });
  }

  start(): void {
    this.#kept.start();
  }

  /** Dials now if it is down: the network may be back. */
  nudge(): void {
    this.#kept.nudge();
  }

  /** The link, while it is open. */
  get link(): Link | undefined {
    return this.#link?.open ? this.#link : undefined;
  }

  /** Settles when the first dial came to an end, good or bad, and a good one has its list. */
  get settled(): Promise<void> {
    return this.#settled.promise;
  }

  get state(): TrackerState {
    const { peer, addresses, zone } = this.invite;
    const kept = this.#kept.state;
    return {
      peer,
      address: this.link?.address ?? addresses[0] ?? '',
      zone,
      invite: formatInvite({ ...this.invite, token: undefined }), // that was for this node alone
      state: kept.state,
      error: this.#announcer.refused ?? (kept.state === 'down' ? kept.fault : null),
      announced: this.link !== undefined && this.#announcer.isCurrent,
      observed: this.#announcer.observed,
      checked: [...this.#announcer.checked],
    };
  }

  /** Tries each address in turn. Throws the last one's fault; a wrong key anywhere is told before the rest. */
  async #dialAny(signal: AbortSignal): Promise<Link> {
    const faults: Fault[] = [];
    for (const address of this.invite.addresses) {
      try {
        return await this.#dial(address, this.invite.peer, signal);
      } catch (error) {
        faults.push(toFault(error, `dialling the tracker at "${address}"`, 'peer_unreachable'));
        if (signal.aborted) break;
      }
    }
    throw (
      faults.find(({ code }) => code === 'wrong_key') ?? faults.at(-1) ?? new Fault('cancelled', 'dialling stopped')
    );
  }

  async #up(link: Link): Promise<void> {
    this.#link = link;
    this.#people.trackerUp(this.invite.peer);
    void link.closed.then(() => {
      if (this.#link !== link) return;
      this.#link = undefined;
      this.#people.trackerDown(this.invite.peer);
      this.#onChange();
    });
    // Before the record: nobody is to see, even for a moment, what is hidden from them. [D-52]
    await this.hide();
    // Side by side: a record that is refused is no reason not to see who else is here.
    void this.#announcer
      .begin(link)
      .catch((error: unknown) => this.#log.debug({ err: error }, 'the first announce failed'));
    await this.sync();
    this.#settled.resolve();
  }

  /** Says from whom the own account hides. Throws what links throw; a tracker that knows no hiding is told nothing. */
  async hide(signal?: AbortSignal): Promise<void> {
    const { from, only } = this.#hiding();
    try {
      await this.#open().request(messages.hide, { from: [...from], only: only && [...only] }, { signal });
    } catch (error) {
      const fault = toFault(error, 'hiding');
      if (fault.code !== 'unknown_operation') throw fault;
      if (from.length > 0 || only)
        this.#log.error('this tracker is too old to hide anything: it shows you to everybody');
    }
  }

  /** As `hide`; where that fails the link is made anew, for it is said before all else on each. */
  async hideNow(signal?: AbortSignal): Promise<void> {
    const link = this.#open();
    try {
      await this.hide(signal);
    } catch (error) {
      const fault = toFault(error, 'hiding');
      this.#log.warn(
        { code: fault.code, reason: fault.message },
        'a tracker was not told what to hide; it is tried again',
      );
      link.close(fault);
    }
  }

  #open(): Link {
    if (this.link) return this.link;
    throw new Fault('tracker_down', `asking the tracker of "${this.invite.zone}": it does not answer`);
  }

  /** Brings the list up to date and watches it from there; those who ask meanwhile share it. Throws what links throw. */
  sync(signal?: AbortSignal): Promise<void> {
    const link = this.#open();
    if (this.#syncing?.link !== link) {
      const done = this.#sync(link).finally(() => {
        if (this.#syncing?.done === done) this.#syncing = undefined;
      });
      this.#syncing = { link, done };
    }
    return abortable(this.#syncing.done, signal);
  }

  async #sync(link: Link): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      await this.#list(link);
      try {
        await link.request(messages.watch, { since: this.#version });
        return;
      } catch (error) {
        // More than a page changed while it listed.
        if (toFault(error).code !== 'wrong_state' || attempt >= MOST_SYNCS) throw error;
      }
    }
  }

  /** All pages first, then all at once: half a list would show half of the people as gone. [D-16] */
  async #list(link: Link): Promise<void> {
    const since = this.#version;
    const late: Changed[] = [];
    this.#late = late;
    try {
      const first = await link.request(messages.list, { since });
      const entries = [...first.entries];
      let next = first.next;
      for (let pages = 1; next !== null; pages++) {
        if (pages >= MOST_PAGES) throw new Fault('too_large', `listing: over ${MOST_PAGES} pages`);
        const page = await link.request(messages.list, { since, after: next });
        if (page.full !== first.full) throw new Fault('wrong_state', 'listing: the tracker started anew meanwhile');
        entries.push(...page.entries);
        next = page.next;
      }
      if (this.#link !== link) throw new Fault('link_closed', 'listing: the link ended');
      this.#people.take(this.invite.peer, { full: first.full, entries, gone: first.gone });
      this.#version = first.version;
    } finally {
      if (this.#late === late) this.#late = undefined;
    }
    for (const change of late) this.changed(link, change);
  }

  /** Takes `directory.changed` from a link; one that is not the present link's comes too late to matter. */
  changed(link: Link, change: Changed): void {
    if (this.#link !== link) return;
    if (this.#late) {
      // What is pushed while a list is on its way is newer than the list: it must not be overwritten by it.
      if (this.#late.length >= MOST_LATE)
        link.close(new Fault('queue_full', `listing: ${MOST_LATE} changes came meanwhile`));
      else this.#late.push(change);
      return;
    }
    const { version, entries, gone, more } = change;
    this.#people.take(this.invite.peer, { full: false, entries, gone });
    if (!more) this.#version = version;
  }

  /** Asks for one account; what comes is checked and taken like all else. Throws `unknown_handle` and what links throw. */
  async find(wanted: { handle: string } | { account: string }, signal: AbortSignal | undefined): Promise<void> {
    const { entry } = await this.#open().request(messages.find, wanted, { signal });
    this.#people.take(this.invite.peer, { full: false, entries: [entry], gone: [] });
  }

  /** Says the own record now. Throws the fault with which the tracker refused it. */
  announce(signal?: AbortSignal): Promise<void> {
    return this.#announcer.announce(this.#open(), signal);
  }

  /** Tells the tracker that this node leaves. */
  async goodbye(): Promise<void> {
    await this.#announcer.goodbye(this.link);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#announcer[Symbol.dispose]();
    await this.#kept[Symbol.asyncDispose]();
    this.#settled.resolve();
  }
}
