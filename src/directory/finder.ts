/** Finds people of other zones: what a walk stands on, the same at a node and at a tracker. */
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { Store } from '../base/sqlite.ts';
import type { Link } from '../link/link.ts';
import { type At, WalkCache } from './cache.ts';
import { type Apex, apexHolds, type Server } from './delegation.ts';
import { checkApex, mayDial, scopeOfAddress } from './referral.ts';
import { type Asked, Walk, type Walked } from './walk.ts';
import type { LookUpZone } from './zone-dns.ts';
import type { DialServer } from './zone-links.ts';
import { ZoneLinks } from './zone-links.ts';
import * as messages from './zone-messages.ts';
import { ZonePins } from './zone-pins.ts';

/** What DNS is asked with, and who answers at an address that it names. */
export type Names = {
  lookUp: LookUpZone;
  /** The key that answers at an address. Throws what dialling throws. */
  keyAt(address: string, signal: AbortSignal): Promise<string>;
  /** The narrowest network into which DNS may lead. [Z-42] */
  scope: At['scope'];
};

export type FinderOptions = {
  /** Open; its tables are made here. */
  store: Store;
  clock: Clock;
  dial: DialServer;
  names?: Names | undefined;
  /** Where a walk begins; undefined: nowhere but in DNS. */
  start(handle: string, signal: AbortSignal): Promise<At | undefined>;
  /** Answers in place of a link, for what is asked of oneself; a link that stands already. */
  self?: { peer: string; answer(question: messages.Question): messages.Answer | Promise<messages.Answer> };
  link?(peer: string): Link | undefined;
  /** Told of each walk that ended. */
  onWalked?(walked: Walked): void;
};

export type Wanted = { handle: string; deadlineMs: number; hops?: number; signal?: AbortSignal | undefined };

export class Finder implements AsyncDisposable {
  readonly links: ZoneLinks;
  readonly #options: FinderOptions;
  readonly #cache: WalkCache;
  readonly #pins: ZonePins;

  constructor(options: FinderOptions) {
    this.#options = options;
    this.links = new ZoneLinks({ dial: options.dial });
    this.#cache = new WalkCache(options.clock);
    this.#pins = new ZonePins(options.store);
  }

  /** The walk, from here. Never throws. */
  async find(wanted: Wanted): Promise<Walked> {
    const { clock, names, start } = this.#options;
    const walking = {
      ask: (server: Server, question: messages.Question, at: At, signal: AbortSignal) =>
        this.#ask(server, question, at, signal),
      start,
      ...(names && { discover: (zone: string, signal: AbortSignal) => this.#discover(zone, names, signal) }),
      cache: this.#cache,
      seen: (zone: string, by: string) => this.#pins.seen(zone, by),
      saw: (zone: string, by: string, seq: number) => this.#pins.saw(zone, by, seq),
      clock,
    };
    const walked = await Walk.make(walking, wanted);
    this.#options.onWalked?.(walked);
    return walked;
  }

  /** The user says which key a zone has that is found by DNS; the one that was taken for it before, if any. [Z-43] */
  acceptKey(zone: string, key: string): string | null {
    const before = this.#pins.accept(zone, key, this.#options.clock.now());
    this.#cache.forget(zone);
    return before;
  }

  /** A link to a tracker of another zone, or of the own one. Throws what dialling throws. */
  async link(server: Server, scope: At['scope'], signal?: AbortSignal): Promise<Link> {
    return this.#options.link?.(server.peer) ?? (await this.links.open(server, scope, signal));
  }

  async #ask(server: Server, question: messages.Question, at: At, signal: AbortSignal): Promise<Asked> {
    const { self } = this.#options;
    if (self && server.peer === self.peer) {
      return { answer: await self.answer(question), address: '', how: 'self' };
    }
    const link = await this.link(server, at.scope, signal);
    return { answer: await link.request(messages.ask, question, { signal }), address: link.address };
  }

  /** By SRV: whoever serves the zone there shows what its key signed. [Z-40] [Z-41] */
  async #discover(zone: string, names: Names, signal: AbortSignal): Promise<At | undefined> {
    const found = await names.lookUp(zone, signal);
    if (!found) return undefined;
    const { clock } = this.#options;
    const { scope } = names;
    const addresses = found.addresses.filter((address) => mayDial(address, scope));
    let last = new Fault('bad_referral', `finding "${zone}": DNS names addresses of a network that it may not name`);
    for (const address of addresses) {
      try {
        const peer = await names.keyAt(address, signal);
        const link = await this.link({ peer, addresses: [address] }, scope, signal);
        const { apex } = await link.request(messages.showApex, { zone }, { signal });
        const at: At = { zone, key: found.key ?? this.#pins.pinned(zone), servers: apex.trackers, scope };
        this.#checkFirst(apex, at, peer);
        this.#pins.pin(zone, apex.key, clock.now());
        this.#pins.saw(zone, apex.key, apex.seq);
        const near = scopeOfAddress(link.address);
        const servers = apex.trackers
          .map((each) => ({ ...each, addresses: each.addresses.filter((text) => mayDial(text, near)) }))
          .filter((each) => each.addresses.length > 0);
        return { ...at, key: apex.key, servers };
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        // A key that is not the known one is worse than no answer.
        if (last.code !== 'key_changed') last = error;
        if (signal.aborted) break;
      }
    }
    throw last;
  }

  /** Throws where what a zone says of itself, at first sight, cannot be. */
  #checkFirst(apex: Apex, at: At, peer: string): void {
    const now = this.#options.clock.now();
    const seen = (zone: string, by: string): number => this.#pins.seen(zone, by);
    checkApex(apex, at.zone, { at, wanted: at.zone, now, scope: at.scope, seen });
    checkNames(apex, peer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.links[Symbol.asyncDispose]();
  }
}

/** Whether the zone itself names the tracker among its own. Throws `bad_referral`. */
function checkNames(apex: Apex, peer: string): void {
  if (apex.trackers.some((each) => each.peer === peer)) return;
  throw new Fault('bad_referral', `finding "${apex.zone}": it does not name the tracker "${peer}" as one of its own`);
}

/**
 * The servers with which a node begins, of the zone of its own trackers: they say the zone's key themselves, for the user chose
 * them. Throws `bad_signature`, `bad_referral`, and what links throw.
 */
export async function ownPlace(zone: string, links: readonly Link[], signal: AbortSignal): Promise<At | undefined> {
  let last: unknown;
  for (const link of links) {
    try {
      const { apex } = await link.request(messages.showApex, { zone }, { signal });
      if (apex.zone !== zone || !apexHolds(apex)) {
        throw new Fault('bad_signature', `asking about "${zone}": the own tracker shows what its key did not sign`);
      }
      checkNames(apex, link.peer);
      const servers = links.map(({ peer, address }) => ({ peer, addresses: [address] }));
      return { zone, key: apex.key, servers, scope: 'loopback' };
    } catch (error) {
      if (error instanceof Fault && error.code === 'unknown_operation') continue; // it knows no other zones
      last = error;
    }
  }
  if (last !== undefined) throw last;
  return undefined;
}
