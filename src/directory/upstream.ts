/** One tracker as a node sees it: a link that is kept, on which it announces, renews, lists and watches. */
import type { z } from 'zod';
import { abortable } from '../base/async.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { KeptLink } from '../link/keep.ts';
import type { Link } from '../link/link.ts';
import { Announcer } from './announcer.ts';
import { AnyAddress, type DialTracker } from './any-address.ts';
import { Heartbeat } from './heartbeat.ts';
import type { Hiding } from './hiding.ts';
import { formatInvite, type Invite } from './invite.ts';
import * as messages from './messages.ts';
import type { OwnRecord } from './own.ts';
import { paceOf } from './pace.ts';
import type { People } from './people.ts';

/** One tracker, for status displays. */
export type TrackerState = {
  peer: string;
  /** Address of the link, or the first of the invite. */
  address: string;
  zone: string;
  invite: string;
  tier: number;
  /** `rest`: it is not needed now, and not dialled. */
  state: 'up' | 'connecting' | 'down' | 'rest';
  /** Why it is down, or why it does not take our record. */
  error: Fault | null;
  /** Whether it has our present record. */
  announced: boolean;
  /** Milliseconds that an answer of it takes. */
  rttMs: number | null;
  /** Host that it sees us at. */
  observed: string | null;
  /** Addresses of ours that answered its dial-back. */
  checked: string[];
};

/** What a tracker is for now: `serve`: told and asked. `visit`: linked, for what was left there. `rest`: nothing. */
export type Standing = 'serve' | 'visit' | 'rest';

/** Milliseconds until a tracker that is silent, or going, is tried once more at its other addresses. */
const ELSEWHERE_MS = 3000;
/** How much of the known round trip a new one changes: an eighth, as in TCP (RFC 6298). */
const NEW_RTT = 1 / 8;

/** Pages of one list: 200,000 people at 1 KiB each. A tracker that goes on after that lies. */
const MOST_PAGES = 400;
const MOST_SYNCS = 3;
/** Changes that wait for the list before them. */
const MOST_LATE = 1000;

type Changed = z.infer<typeof messages.changed.params>;

export class Upstream implements AsyncDisposable {
  readonly invite: Invite;
  readonly tier: number;
  readonly #any: AnyAddress;
  readonly #people: People;
  readonly #hiding: () => Hiding;
  readonly #log: Log;
  readonly #onChange: () => void;
  readonly #isAlone: () => boolean;
  readonly #hasOthers: () => boolean;
  readonly #announcer: Announcer;
  readonly #heartbeat: Heartbeat;
  #kept: KeptLink | undefined;
  #ended: Promise<unknown> = Promise.resolve();
  #standing: Standing = 'rest';
  #link: Link | undefined;
  /** What the last dial came to, since the last link. */
  #fault: Fault | undefined;
  /** The link that is to be left, because its tracker is about to stop. */
  #leaving: Link | undefined;
  #elsewhere: NodeJS.Timeout | undefined;
  #rttMs: number | null = null;
  #version: string | undefined;
  #syncing: { link: Link; done: Promise<void> } | undefined;
  #late: Changed[] | undefined;

  constructor(options: {
    invite: Invite;
    /** Lower is better. */
    tier: number;
    dial: DialTracker;
    own: OwnRecord;
    people: People;
    /** From whom the own account hides; asked whenever the tracker is to be told. */
    hiding: () => Hiding;
    /** Whether there is no other tracker. */
    isAlone: () => boolean;
    /** Whether another tracker answers. */
    hasOthers: () => boolean;
    log: Log;
    /** Something in `state` changed. */
    onChange(): void;
  }) {
    this.invite = options.invite;
    this.tier = options.tier;
    this.#any = new AnyAddress(options.invite, options.dial);
    this.#people = options.people;
    this.#hiding = options.hiding;
    this.#isAlone = options.isAlone;
    this.#hasOthers = options.hasOthers;
    this.#log = options.log.child({ tracker: options.invite.peer.slice(0, 8) });
    this.#onChange = options.onChange;
    this.#announcer = new Announcer({
      own: options.own,
      token: options.invite.token,
      log: this.#log,
      onChange: this.#onChange,
    });
    this.#heartbeat = new Heartbeat({
      link: () => this.link,
      isWanted: () => this.#standing === 'serve' && this.#hasFallback(),
      onChange: () => {
        if (this.#heartbeat.isSilent) this.#goElsewhere();
        this.#onChange();
      },
    });
    this.#people.trackerDown(this.invite.peer);
  }

  /** Whether there is anywhere to turn to should this link be of no use. */
  #hasFallback(): boolean {
    return !this.#isAlone() || (this.#link !== undefined && this.#any.others(this.#link).length > 0);
  }

  /** Takes it into use, or out of it; what it was told is taken back. */
  stand(next: Standing): void {
    const before = this.#standing;
    if (next === before) return;
    this.#standing = next;
    const { link } = this;
    if (next === 'rest') this.#rest();
    else if (before === 'rest') this.#begin();
    else if (link) {
      this.#up(link).catch((error: unknown) => link.close(toFault(error, 'setting up a link')));
    }
    this.#onChange();
  }

  #begin(): void {
    this.#fault = undefined;
    if (!this.#isAlone() || this.invite.addresses.length > 1) this.#heartbeat.start();
    this.#kept = new KeptLink({
      dial: (signal, instead) => this.#any.dial(signal, instead),
      onUp: (link) => this.#up(link),
      onChange: (kept) => {
        if (kept.state === 'down' && !this.#wasUp) this.#fault = kept.fault;
        if (kept.state === 'up') this.#fault = undefined;
        if (kept.state !== 'connecting') this.#wasUp = kept.state === 'up';
        this.#onChange();
      },
      pace: ({ silent }) =>
        paceOf({ hasOthers: this.#hasOthers(), returnWithinMs: this.#announcer.returnWithinMs, silent }),
      log: this.#log,
    });
    this.#kept.start();
  }

  #wasUp = false;

  /** There is another tracker now. */
  accompanied(): void {
    if (this.#standing !== 'rest') this.#heartbeat.start();
  }

  #rest(): void {
    const [kept, { link }] = [this.#kept, this];
    this.#kept = undefined;
    this.#heartbeat[Symbol.dispose]();
    clearTimeout(this.#elsewhere);
    const ended = this.#announcer.goodbye(link).then(() => kept?.[Symbol.asyncDispose]());
    this.#ended = Promise.all([this.#ended, ended]);
  }

  /** Dials now if it is down: the network may be back. */
  nudge(): void {
    this.#kept?.nudge();
  }

  /** The link, while it is open. */
  get link(): Link | undefined {
    return this.#link?.open ? this.#link : undefined;
  }

  get isServing(): boolean {
    return this.#standing === 'serve';
  }

  /** Whether it answers, and takes records: what it says may be relied on now. */
  get lives(): boolean {
    const isUp = this.isServing && this.link !== undefined && this.#kept?.state.state === 'up';
    return isUp && !this.#heartbeat.isSilent && !this.isLeaving && !this.#announcer.waiting;
  }

  /** Whether it was tried, and is of no use now. */
  get isDown(): boolean {
    if (this.#standing !== 'serve') return false;
    if (this.lives) return false;
    if (!this.link) return this.#fault !== undefined;
    // Its other addresses are tried first.
    if (this.#heartbeat.isSilent || this.isLeaving)
      return this.#link === undefined || this.#any.others(this.#link).length === 0;
    return this.#announcer.waiting !== undefined;
  }

  get isLeaving(): boolean {
    return this.#leaving !== undefined && this.#leaving === this.link;
  }

  /** Milliseconds that an answer takes, as far as is known. */
  get rttMs(): number | null {
    return this.#rttMs ?? this.link?.rttMs ?? null;
  }

  /** What is wrong with it, in words. */
  get trouble(): string | undefined {
    if (this.#standing === 'rest') return undefined;
    if (this.isLeaving) return 'it is about to stop, and sends its nodes elsewhere';
    if (this.#heartbeat.isSilent) return `no sign of life for ${this.#heartbeat.silentMs} ms`;
    const fault = this.link ? this.#announcer.waiting : (this.#fault ?? undefined);
    return fault && `${this.link ? 'does not take the record now' : 'does not answer'}: ${fault.message}`;
  }

  get state(): TrackerState {
    const { peer, addresses, zone } = this.invite;
    const kept = this.#kept?.state;
    const { link } = this;
    const down = kept?.state === 'down' ? kept.fault : null;
    const announced = link !== undefined && this.#announcer.isCurrent;
    return {
      peer,
      address: link ? this.#any.addressOf(link) : (addresses[0] ?? ''),
      zone,
      invite: formatInvite({ ...this.invite, token: undefined }), // that was for this node alone
      tier: this.tier,
      // It has the record and is waited for no more, though its list may be on its way.
      state: announced && kept?.state === 'connecting' ? 'up' : (kept?.state ?? 'rest'),
      error: this.#announcer.refused ?? this.#announcer.waiting ?? down,
      announced,
      rttMs: this.rttMs,
      observed: this.#announcer.observed,
      checked: [...this.#announcer.checked],
    };
  }

  async #up(link: Link): Promise<void> {
    const before = this.#link;
    this.#link = link;
    void link.closed.then(() => {
      if (this.#link !== link) return;
      this.#link = undefined;
      this.#people.trackerDown(this.invite.peer);
      this.#onChange();
    });
    if (this.#standing === 'visit') return;
    this.#people.trackerUp(this.invite.peer);
    try {
      // Before the record: nobody is to see, even for a moment, what is hidden from them. [D-52]
      await this.hide();
      // Side by side: a record that is refused is no reason not to see who else is here.
      void this.#announcer
        .begin(link)
        .catch((error: unknown) => this.#log.debug({ err: error }, 'the first announce failed'));
      await this.sync();
    } catch (error) {
      if (before?.open && before !== link && this.#link === link) {
        this.#link = before; // it was to be exchanged, and is better than none
        void this.#announcer.begin(before).catch(() => {}); // which logs, and tries again
      }
      throw error;
    }
  }

  /** The tracker is about to stop: its other addresses are tried, and the link is let go of when one of them is there. */
  moving(link: Link, { afterMs, to }: { afterMs: number; to: readonly string[] }): void {
    if (this.#link !== link) return;
    this.#any.name(to);
    clearTimeout(this.#elsewhere);
    this.#elsewhere = setTimeout(() => {
      if (this.#link !== link || !link.open) return;
      this.#leaving = link;
      this.#log.info({ address: this.#any.addressOf(link) }, 'a tracker is about to stop: another is looked for');
      this.#goElsewhere();
      this.#onChange();
    }, afterMs).unref();
  }

  /** This machine's addresses are others now, or it has slept. [N-74] [N-75] */
  moved(isHere: (ip: string) => boolean): void {
    this.#kept?.moved(isHere);
    const { link } = this;
    if (!link || this.#standing !== 'serve' || this.#announcer.isCurrent) return;
    this.#announcer.announce(link).catch((error: unknown) => {
      this.#log.debug({ err: error }, 'the record with other addresses was not taken; it is said again');
    });
  }

  /** Another link to the same tracker, by another address, while this one stands. */
  #goElsewhere(): void {
    const link = this.#link;
    clearTimeout(this.#elsewhere);
    if (!link?.open || this.#any.others(link).length === 0) return;
    if (this.#kept?.state.state !== 'up') {
      if (!this.#heartbeat.isSilent) return;
      this.#any.avoid(link); // it fell silent before it was of any use: nothing is lost with it
      link.close(new Fault('timeout', 'the tracker gives no sign of life'));
      return;
    }
    void this.#kept?.replace().then((isReplaced) => {
      if (isReplaced || this.#link !== link || !link.open) return;
      if (!this.#heartbeat.isSilent && !this.isLeaving) return;
      this.#elsewhere = setTimeout(() => this.#goElsewhere(), ELSEWHERE_MS * (0.5 + Math.random())).unref();
    });
  }

  /** Ends the link of a tracker that is about to stop; it is dialled again at leisure. */
  letGo(): void {
    this.link?.close();
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
    const began = performance.now();
    const { entry } = await this.#open().request(messages.find, wanted, { signal });
    const tookMs = performance.now() - began;
    this.#rttMs = this.#rttMs === null ? tookMs : this.#rttMs + (tookMs - this.#rttMs) * NEW_RTT;
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
    if (this.#standing !== 'rest') {
      this.#standing = 'rest';
      this.#rest();
    }
    await this.#ended;
  }
}
