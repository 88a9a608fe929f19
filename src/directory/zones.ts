/**
 * What a tracker knows of zones: those that it serves, what is above them, and to whom zones below were given. Pure but for
 * its store; the links that bring and take statements are the zone keeper's.
 */
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { Store } from '../base/sqlite.ts';
import type { Key } from '../link/identity.ts';
import {
  type Apex,
  apexHolds,
  commonLabels,
  type Delegation,
  delegationHolds,
  isBelow,
  isWithin,
  MOST_STATEMENT_MS,
  MOST_TRACKERS,
  type Server,
  STATEMENT_MS,
  signApex,
  signDelegation,
  zoneOf,
} from './delegation.ts';
import type { Invite } from './invite.ts';
import { MOST_ADDRESSES } from './record.ts';
import type { FactChange, SharedZones } from './shared-zones.ts';
import { type Answer, MOST_DELEGATED, type ZoneLine } from './zone-messages.ts';
import { type ZoneFacts, ZoneStore } from './zone-store.ts';

/** Milliseconds that what is said of zones, and that nobody is known by a name, may be kept by others. [Z-25] */
export type Times = { referralMs: number; unknownMs: number };
const TIMES: Times = { referralMs: 300_000, unknownMs: 10_000 };
/** Statements in one page for a further tracker. */
const COPY_PAGE = 100;
/** Lines in one page for an admin: each at most 5 KiB. */
const LIST_PAGE = 100;

/** Under which it stands where a cluster is reached; no zone has this name. */
const REACH = '_';
/** Milliseconds after which a process says again where it is reached, and after which one that did not is left out. */
const REACH_AGAIN_MS = 24 * 3600_000;
const REACHED_MS = 7 * 24 * 3600_000;

/** A zone that is served here: with its key, or, with `primary`, for the tracker that has it. */
export type Served = { zone: string; parent?: Invite | undefined; primary?: Invite | undefined };

/** There is news of a zone: for those of the linked trackers that `concerns` names. */
export type Changed = (zone: string, concerns: (peer: string) => boolean) => void;

export class Zones {
  readonly #key: Key;
  readonly #clock: Clock;
  readonly #times: Times;
  readonly #facts: ZoneFacts;
  readonly #served: ReadonlyMap<string, Served>;
  readonly #addresses: () => readonly string[];
  readonly #changed: Changed;

  /**
   * `store` is open, and read here. `shared`: what the processes of a cluster know, in place of it. `addresses`: where this
   * tracker is reached; `changed`: others are to be told.
   */
  constructor(options: {
    key: Key;
    served: readonly Served[];
    addresses: () => readonly string[];
    changed?: Changed;
    store: Store;
    shared?: SharedZones | undefined;
    clock: Clock;
    times?: Times | undefined;
  }) {
    this.#key = options.key;
    this.#clock = options.clock;
    this.#times = options.times ?? TIMES;
    const { shared } = options;
    this.#facts = shared ?? new ZoneStore(options.store);
    shared?.serve(
      (zone) => this.#refresh(zone),
      (changes) => this.#tellOf(changes),
    );
    this.#served = new Map(options.served.map((each) => [each.zone, each]));
    this.#addresses = options.addresses;
    this.#changed = options.changed ?? (() => {});
  }

  /** Does what changes something here: at once, or once a cluster agreed upon it. Throws what `work` does, and `tracker_down`. */
  write<T>(work: () => T): T | Promise<T> {
    return this.#facts.write(work);
  }

  get served(): readonly Served[] {
    return [...this.#served.values()];
  }

  serves(zone: string): boolean {
    return this.#served.has(zone);
  }

  /** Whether this tracker has the zone's key. [Z-1] */
  #isPrimary(zone: string): boolean {
    return this.#served.has(zone) && this.#served.get(zone)?.primary === undefined;
  }

  get self(): Server {
    return { peer: this.#key.id, addresses: this.#reached() };
  }

  /** Where this tracker is reached: in a cluster at each of its processes that said so lately. [K-15] */
  #reached(): string[] {
    const said = this.#facts.isShared ? (this.#facts.get('reach', REACH) ?? []) : [];
    return said.length > 0 ? said.map(({ address }) => address) : [...this.#addresses()];
  }

  /** In a cluster: says where this process is reached. To be called at its start and about once a day, within `write`. */
  reach(): void {
    const now = this.#clock.now();
    const known = this.#facts.get('reach', REACH) ?? [];
    const own = this.#addresses();
    const isDue = (at: number): boolean => now - at > REACH_AGAIN_MS;
    const lately = known.filter(({ address, at }) => own.includes(address) || now - at < REACHED_MS);
    const fresh = own.filter((address) => !known.some((each) => each.address === address));
    if (fresh.length === 0 && !known.some(({ address, at }) => own.includes(address) && isDue(at))) return;
    const all = [
      ...lately.map(({ address, at }) => ({ address, at: own.includes(address) ? now : at })),
      ...fresh.map((address) => ({ address, at: now })),
    ];
    const newest = all.toSorted((a, b) => b.at - a.at).slice(0, MOST_ADDRESSES);
    this.#facts.put(
      'reach',
      REACH,
      all.filter((each) => newest.includes(each)),
    );
  }

  /** Signs what is missing of a zone whose key is here; to be called within `write`. */
  #refresh(zone: string): void {
    if (!this.#isPrimary(zone)) return;
    this.apex(zone);
    for (const as of this.#served.keys()) if (isBelow(zone, as)) this.#ownBelow(as, zone);
  }

  /** Signs what is missing of all; each settles once a cluster agreed upon it. */
  async refresh(): Promise<void> {
    await this.write(() => this.reach());
    for (const zone of this.#served.keys()) await this.write(() => this.#refresh(zone));
  }

  /** The zone served here from which a walk to `handle` begins: one around it, else the one that has most in common with it. */
  startFor(handle: string): string | undefined {
    const wanted = zoneOf(handle);
    const all = [...this.#served.keys()];
    const around = all.filter((zone) => isWithin(wanted, zone)).sort((a, b) => b.length - a.length);
    return around[0] ?? all.sort((a, b) => commonLabels(b, wanted) - commonLabels(a, wanted))[0];
  }

  /**
   * What the zone says of itself: signed here when something changed or a third of its time is over, else as it was copied.
   * Throws `unknown_zone`, and `wrong_state` where this tracker has not heard from the one with its key yet. [Z-2]
   */
  apex(zone: string): Apex {
    if (!this.serves(zone)) throw new Fault('unknown_zone', `asking about "${zone}": this tracker does not serve it`);
    const known = this.#facts.get('apex', zone);
    if (!this.#isPrimary(zone)) {
      if (known) return known;
      throw new Fault('wrong_state', `asking about "${zone}": the tracker that has its key has not answered yet`);
    }
    const now = this.#clock.now();
    const trackers = [this.self, ...(this.#facts.get('servers', zone) ?? [])];
    const above = this.#facts.get('parent', zone)?.apex;
    const parent = above ? { zone: above.zone, key: above.key, trackers: above.trackers } : null;
    const isCurrent =
      known?.key === this.#key.id &&
      JSON.stringify([known.trackers, known.parent]) === JSON.stringify([trackers, parent]) &&
      isYoung(known.until, now);
    if (isCurrent) return known;
    if (!this.#facts.isWritable) {
      this.#facts.want(zone);
      if (known) return known;
      throw new Fault(
        'tracker_down',
        `asking about "${zone}": its cluster has yet to agree upon what it says of itself`,
      );
    }
    const seq = Math.max(now, (known?.seq ?? 0) + 1);
    const fresh = signApex(this.#key, { zone, trackers, parent, seq, until: now + STATEMENT_MS });
    this.#facts.put('apex', zone, fresh);
    return fresh;
  }

  /** To whom a zone was given that is below `as` and is, or is above, `wanted`; the closest one. */
  #delegationFor(as: string, wanted: string): Delegation | undefined {
    const now = this.#clock.now();
    for (let zone = wanted; isBelow(zone, as); zone = zone.slice(zone.indexOf('.') + 1)) {
      const given = this.#facts.get('grant', zone)?.delegation ?? this.#facts.get('copied', zone);
      const found = given ?? this.#ownBelow(as, zone);
      if (found?.parent === as && found.until > now) return found;
    }
    return undefined;
  }

  /** Where this tracker has the keys of both, the upper one gives the lower one to it. */
  #ownBelow(as: string, zone: string): Delegation | undefined {
    if (!this.#isPrimary(as) || !this.#isPrimary(zone)) return undefined;
    const known = this.#facts.get('own', zone);
    const { trackers, key, seq } = this.apex(zone);
    const now = this.#clock.now();
    const isOfNow = known?.parent === as && known.by === this.#key.id;
    if (isOfNow && known.seq >= seq && isYoung(known.until, now)) return known;
    if (!this.#facts.isWritable) {
      this.#facts.want(zone);
      return known;
    }
    const after = Math.max(now, seq, (known?.seq ?? 0) + 1);
    const said = { parent: as, zone, key, trackers, seq: after, until: now + STATEMENT_MS };
    const fresh = signDelegation(this.#key, said);
    this.#facts.put('own', zone, fresh);
    return fresh;
  }

  /** Where to ask on, for somebody whose zone is not `as`; undefined: ask the table here. Throws `unknown_zone`. [Z-10] */
  route(as: string, handle: string): Answer | undefined {
    const wanted = zoneOf(handle);
    const { referralMs: ttlMs, unknownMs } = this.#times;
    if (!this.serves(as)) throw new Fault('unknown_zone', `finding "${handle}": this tracker does not serve "${as}"`);
    if (wanted === as) return undefined;
    const unknown: Answer = { kind: 'unknown', code: 'unknown_zone', ttlMs: unknownMs };
    if (isBelow(wanted, as)) {
      const delegation = this.#delegationFor(as, wanted);
      return delegation ? { kind: 'referral', delegation, ttlMs } : unknown;
    }
    const apex = this.apex(as);
    return apex.parent ? { kind: 'parent', apex, ttlMs } : unknown;
  }

  /**
   * Gives a zone below one that has its key here to the tracker `to`; or, where the zone itself has its key here, names `to` as a
   * further tracker of it. Throws `unknown_zone`, `exists`, `too_many`, `invalid_argument`. [Z-7]
   */
  delegate(zone: string, to: Server): ZoneLine {
    const what = `delegating "${zone}"`;
    if (this.#isPrimary(zone)) return this.#addServer(zone, to);
    const parent = this.upper(zone);
    const grants = this.#facts.all('grant');
    const known = grants.get(zone)?.delegation;
    if (known && known.key !== to.peer) {
      throw new Fault(
        'exists',
        `${what}: it belongs to the key "${known.key}"; revoke that first: netapp zones revoke ${zone}`,
      );
    }
    if (!known && grants.size >= MOST_DELEGATED) {
      throw new Fault('too_many', `${what}: this tracker delegates ${MOST_DELEGATED} zones already`);
    }
    this.#grant(parent, zone, { key: to.peer, trackers: [to], seen: grants.get(zone)?.seen ?? null });
    this.#tellFellows(parent, to.peer);
    return this.line(zone);
  }

  #grant(
    parent: string,
    zone: string,
    to: { key: string; trackers: readonly Server[]; seen: number | null },
  ): Delegation {
    const now = this.#clock.now();
    const seq = Math.max(now, (this.#facts.get('grant', zone)?.delegation.seq ?? 0) + 1);
    const said = { parent, zone, key: to.key, trackers: [...to.trackers], seq, until: now + STATEMENT_MS };
    const delegation = signDelegation(this.#key, said);
    this.#facts.put('grant', zone, { delegation, seen: to.seen });
    return delegation;
  }

  #addServer(zone: string, to: Server): ZoneLine {
    const what = `naming a further tracker of "${zone}"`;
    if (to.peer === this.#key.id) throw new Fault('invalid_argument', `${what}: this is the tracker itself`);
    const others = (this.#facts.get('servers', zone) ?? []).filter(({ peer }) => peer !== to.peer);
    if (others.length + 2 > MOST_TRACKERS) throw new Fault('too_many', `${what}: it has ${MOST_TRACKERS} already`);
    this.#setServers(zone, [...others, to]);
    return this.#serverLine(zone, to);
  }

  #setServers(zone: string, servers: Server[]): void {
    const before = this.#facts.get('servers', zone) ?? [];
    this.#facts.put('servers', zone, servers);
    this.#tellAll(zone, before);
  }

  /** The zone with its key here that is closest above `zone`. Throws `unknown_zone`. */
  upper(zone: string): string {
    const above = [...this.#served.keys()].filter((each) => this.#isPrimary(each) && isBelow(zone, each));
    const [closest] = above.sort((a, b) => b.length - a.length);
    if (closest !== undefined) return closest;
    const own = [...this.#served.keys()].filter((each) => this.#isPrimary(each)).join(', ') || 'none';
    throw new Fault('unknown_zone', `looking for the zone above "${zone}": this tracker has the keys of ${own} alone`);
  }

  /** Takes a zone back, or the word that `peer` serves it too. What was signed holds no longer here. Throws `unknown_zone`. */
  revoke(zone: string, peer?: string): ZoneLine {
    if (this.#isPrimary(zone)) {
      const servers = this.#facts.get('servers', zone) ?? [];
      const gone = servers.find((each) => each.peer === peer);
      if (!gone) {
        throw new Fault(
          'unknown_zone',
          `revoking "${zone}": it is served here; name with --peer which further tracker of it`,
        );
      }
      const line = this.#serverLine(zone, gone);
      this.#setServers(
        zone,
        servers.filter((each) => each !== gone),
      );
      return line;
    }
    const grant = this.#facts.get('grant', zone);
    if (!grant) throw new Fault('unknown_zone', `revoking "${zone}": it is not delegated here`);
    const line = this.line(zone);
    this.#facts.drop('grant', zone);
    this.#tellFellows(grant.delegation.parent, line.key);
    return line;
  }

  line(zone: string): ZoneLine {
    const grant = this.#facts.get('grant', zone);
    if (!grant) throw new Fault('unknown_zone', `showing "${zone}": it is not delegated here`);
    const { key, trackers, until } = grant.delegation;
    return { zone, kind: 'delegated', key, trackers, until, seen: grant.seen };
  }

  #serverLine(zone: string, to: Server): ZoneLine {
    return { zone, kind: 'server', key: to.peer, trackers: [to], until: null, seen: null };
  }

  /** What is served and delegated here, in the order of zones. */
  lines(after: string | undefined): { zones: ZoneLine[]; next: string | null } {
    const served = [...this.#served.keys()];
    const names = [...new Set([...served, ...this.#facts.all('grant').keys()])]
      .sort()
      .filter((zone) => after === undefined || zone > after);
    const page = names.slice(0, LIST_PAGE);
    const zones = page.flatMap((zone): ZoneLine[] => {
      if (!served.includes(zone)) return [this.line(zone)];
      const known = this.#isPrimary(zone) ? this.apex(zone) : this.#facts.get('apex', zone);
      const key = known?.key ?? this.#served.get(zone)?.primary?.peer ?? this.#key.id;
      const own: ZoneLine = {
        zone,
        kind: 'served',
        key,
        trackers: known?.trackers ?? [this.self],
        until: this.#facts.get('parent', zone)?.delegation.until ?? null,
        seen: null,
      };
      return [own, ...(this.#facts.get('servers', zone) ?? []).map((each) => this.#serverLine(zone, each))];
    });
    return { zones, next: names.length > page.length ? (page.at(-1) ?? null) : null };
  }

  /**
   * A zone below proves its key: its delegation is signed anew, for whoever it says serves it. Throws `unknown_zone`,
   * `forbidden` (another key), `bad_signature`, `wrong_state` (an older word than before). [Z-5]
   */
  attach(said: Apex, peer: string): { delegation: Delegation; apex: Apex } {
    const { zone } = said;
    const what = `attaching "${zone}"`;
    const grant = this.#facts.get('grant', zone);
    if (!grant)
      throw new Fault('unknown_zone', `${what}: it is not delegated here; ask for: netapp zones delegate ${zone}`);
    if (grant.delegation.key !== peer || said.key !== peer) {
      throw new Fault('forbidden', `${what}: it was given to another key than the one at this link's end`);
    }
    if (!apexHolds(said)) throw new Fault('bad_signature', `${what}: its key did not sign this`);
    const now = this.#clock.now();
    if (said.until <= now) throw new Fault('wrong_state', `${what}: what it says of itself is no longer true`);
    const { parent, trackers, until } = grant.delegation;
    // In a cluster each text stays: who comes again soon, as to each process, is given what was signed for it.
    const isSame = grant.seen !== null && JSON.stringify(trackers) === JSON.stringify(said.trackers);
    if (this.#facts.isShared && isSame && isYoung(until, now)) {
      return { delegation: grant.delegation, apex: this.apex(parent) };
    }
    const delegation = this.#grant(parent, zone, { key: peer, trackers: said.trackers, seen: now });
    this.#tellFellows(parent);
    return { delegation, apex: this.apex(parent) };
  }

  /** Who answers for the zone too, and `peer`, whom it concerns. */
  #tellFellows(zone: string, peer?: string): void {
    if (this.#facts.isShared) return; // each process tells, once it is agreed upon
    const servers = this.#facts.get('servers', zone) ?? [];
    this.#changed(zone, (each) => each === peer || servers.some((server) => server.peer === each));
  }

  /** Who answers for the zone too, or did, and those to whom zones below were given. */
  #tellAll(zone: string, before: readonly Server[] = []): void {
    if (this.#facts.isShared) return;
    this.#tellNow(zone, before);
  }

  #tellNow(zone: string, before: readonly Server[]): void {
    const servers = [...before, ...(this.#facts.get('servers', zone) ?? [])].map(({ peer }) => peer);
    const below = [...this.#facts.all('grant').values()].filter(({ delegation }) => delegation.parent === zone);
    const told = new Set([...servers, ...below.map(({ delegation }) => delegation.key)]);
    this.#changed(zone, (peer) => told.has(peer));
  }

  /** What the cluster agreed upon is told by each process to those that are linked with it. [K-14] */
  #tellOf(changes: readonly FactChange[]): void {
    for (const change of changes) {
      const { kind, zone } = change;
      if (kind === 'reach') for (const each of this.#served.keys()) this.#facts.want(each);
      if (kind === 'parent') this.#facts.want(zone);
      if (kind === 'servers') {
        this.#facts.want(zone);
        this.#tellNow(zone, change.before ?? []);
      }
      // A renewal alone is no news to those who are named in it.
      if (kind === 'apex' && sayOf(change.before) !== sayOf(change.now)) this.#tellNow(zone, []);
      if (kind === 'grant') {
        const { before, now } = change;
        const parent = (now ?? before)?.delegation.parent ?? zone;
        const fellows = (this.#facts.get('servers', parent) ?? []).map(({ peer }) => peer);
        // It proved its key itself: nothing is new to it.
        const attached = before && now && before.delegation.key === now.delegation.key && before.seen !== now.seen;
        const told = new Set([...fellows, ...(attached ? [] : [before?.delegation.key, now?.delegation.key])]);
        this.#changed(parent, (peer) => told.has(peer));
      }
    }
  }

  /** All that a further tracker needs to answer for the zone, in pages. Throws `forbidden`, `unknown_zone`. [Z-6] */
  copyFor(
    zone: string,
    peer: string,
    after: string | undefined,
  ): { apex: Apex; delegations: Delegation[]; next: string | null } {
    if (!this.#isPrimary(zone)) throw new Fault('unknown_zone', `copying "${zone}": its key is not here`);
    if (!this.#facts.get('servers', zone)?.some((each) => each.peer === peer)) {
      throw new Fault(
        'forbidden',
        `copying "${zone}": "${peer}" is no tracker of it; ask for: netapp zones delegate ${zone}`,
      );
    }
    const own = [...this.#served.keys()]
      .flatMap((each) => this.#ownBelow(zone, each) ?? [])
      .filter((each) => isBelow(each.zone, zone));
    const all = [...[...this.#facts.all('grant').values()].map(({ delegation }) => delegation), ...own]
      .filter(({ parent, zone: below }) => parent === zone && (after === undefined || below > after))
      .sort((a, b) => (a.zone < b.zone ? -1 : 1));
    const page = all.slice(0, COPY_PAGE);
    return {
      apex: this.apex(zone),
      delegations: page,
      next: all.length > page.length ? (page.at(-1)?.zone ?? null) : null,
    };
  }

  /** Takes what the zone above signed. Throws `bad_signature`, `bad_referral`. */
  takeParent(zone: string, given: { delegation: Delegation; apex: Apex }): void {
    const { delegation, apex } = given;
    const what = `attaching "${zone}" to "${apex.zone}"`;
    if (!apexHolds(apex) || delegation.by !== apex.key || !delegationHolds(delegation)) {
      throw new Fault('bad_signature', `${what}: the zone above did not sign this`);
    }
    const now = this.#clock.now();
    const fits = delegation.zone === zone && delegation.key === this.#key.id && delegation.parent === apex.zone;
    if (!fits || !isBelow(zone, apex.zone) || delegation.until <= now || delegation.until > now + MOST_STATEMENT_MS) {
      throw new Fault('bad_referral', `${what}: what it signed is for another zone, key or time`);
    }
    const known = this.#facts.get('parent', zone)?.delegation;
    // Another process of the cluster was given a newer one meanwhile.
    if (this.#facts.isShared && known?.by === delegation.by && known.seq >= delegation.seq) return;
    this.#facts.put('parent', zone, given);
    const before = this.#facts.get('apex', zone)?.seq;
    if (this.apex(zone).seq !== before) this.#tellAll(zone);
  }

  /** The zone above does not know this one any more. */
  dropParent(zone: string): void {
    if (!this.#facts.get('parent', zone)) return;
    this.#facts.drop('parent', zone);
    this.#tellAll(zone);
  }

  /** When what the zone above signed should be signed anew, in Unix milliseconds; 0: now. [Z-4] */
  renewAt(zone: string): number {
    const until = this.#facts.get('parent', zone)?.delegation.until;
    return until === undefined ? 0 : until - (STATEMENT_MS * 2) / 3;
  }

  get isShared(): boolean {
    return this.#facts.isShared;
  }

  /** Whether the zone above has signed lately for those who serve this one now: in a cluster another process may have seen to it. */
  isAttached(zone: string): boolean {
    const named = this.#facts.get('parent', zone)?.delegation.trackers;
    const isCurrent = JSON.stringify(named) === JSON.stringify(this.apex(zone).trackers);
    return isCurrent && this.renewAt(zone) > this.#clock.now();
  }

  /** Takes what the tracker with the zone's key says. Throws `bad_signature`, `wrong_state` for an older word. [Z-6] */
  takeCopy(zone: string, key: string, said: Apex, delegations: readonly Delegation[]): void {
    const what = `copying "${zone}"`;
    const fits = said.zone === zone && said.key === key;
    const below = (each: Delegation): boolean => each.parent === zone && each.by === key && isBelow(each.zone, zone);
    if (!fits || !apexHolds(said) || !delegations.every((each) => below(each) && delegationHolds(each))) {
      throw new Fault('bad_signature', `${what}: the zone's key did not sign this`);
    }
    const known = this.#facts.get('apex', zone);
    if (known?.key === key && known.seq > said.seq) {
      throw new Fault('wrong_state', `${what}: this is older than what is known`);
    }
    const facts = this.#facts;
    facts.transaction(() => {
      facts.put('apex', zone, said);
      for (const [name, { parent }] of [...facts.all('copied')]) {
        if (parent === zone && !delegations.some((each) => each.zone === name)) facts.drop('copied', name);
      }
      for (const each of delegations) facts.put('copied', each.zone, each);
    });
  }
}

/** What a statement says, whenever it was signed. */
const sayOf = (apex: Apex | undefined): string => JSON.stringify([apex?.trackers, apex?.parent]);

const isYoung = (until: number, now: number): boolean => until - now > (STATEMENT_MS * 2) / 3;
