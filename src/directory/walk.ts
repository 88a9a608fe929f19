/**
 * The one way from a handle to its record: made by whoever asks (iterative), or by a tracker for them (recursive). Each
 * answer is a record, a signed referral, or unknown; what is asked of whom stands in the trace. [Z-20] to [Z-28]
 */
import { deadline, sleep } from '../base/async.ts';
import type { Clock } from '../base/clock.ts';
import { FAULTS, Fault, type FaultCode, toFault } from '../base/fault.ts';
import type { At, KnownAnswer, WalkCache } from './cache.ts';
import { isWithin, type Server, zoneOf } from './delegation.ts';
import type { Entry } from './messages.ts';
import { recordHolds, renewed } from './record.ts';
import { type Checking, checkDelegation, checkParent, scopeOfAddress } from './referral.ts';
import { type Answer, MOST_HOPS, MOST_STEPS, type Question, type Step } from './zone-messages.ts';

/** Milliseconds that one server has before the next one of its zone is asked beside it. */
const HEAD_START_MS = 400;
/** Milliseconds that all servers of one zone have; the walk's own end may come sooner. [Z-22] */
const ZONE_MS = 2500;
/** Servers that one walk asks, of all zones together. [Z-22] */
const MOST_ASKED = 24;

export type Asked = { answer: Answer; address: string; how?: Step['how'] };

/** What a walk needs from whoever makes it. */
export type Walking = {
  /** Asks one server. Throws what links throw. */
  ask(server: Server, question: Question, at: At, signal: AbortSignal): Promise<Asked>;
  /** The servers that one begins with; undefined where there is none but DNS. */
  start(handle: string, signal: AbortSignal): Promise<At | undefined>;
  /** The servers of a zone that has no other way to it; undefined where DNS knows none. [Z-40] */
  discover?(zone: string, signal: AbortSignal): Promise<At | undefined>;
  cache: WalkCache;
  /** The greatest seq that was seen of a zone from a key, and that one is seen now. [Z-23] */
  seen(zone: string, by: string): number;
  saw(zone: string, by: string, seq: number): void;
  clock: Clock;
};

export type Walked = {
  entry: Entry | null;
  /** Who said so, of the servers of the handle's zone. */
  by: Server | null;
  /** Why there is no entry. */
  fault: Fault | null;
  /** Nobody who should know answers now: this is what they said last. [Z-27] */
  stale: boolean;
  /** Milliseconds for which it may be kept. */
  ttlMs: number;
  steps: Step[];
};

type Request = { handle: string; deadlineMs: number; hops?: number; signal?: AbortSignal | undefined };

/** What one zone came to. */
type Next = { answer: Answer; server: Server; to?: At };

export class Walk {
  readonly #with: Walking;
  readonly #handle: string;
  readonly #zone: string;
  readonly #steps: Step[] = [];
  readonly #visited = new Set<string>();
  #asked = 0;
  #hops: number;

  private constructor(walking: Walking, { handle, hops }: Request) {
    this.#with = walking;
    this.#handle = handle;
    this.#zone = zoneOf(handle);
    this.#hops = Math.min(hops ?? MOST_HOPS, MOST_HOPS);
  }

  /** Never throws: what went wrong is `fault`, and stands in the steps. */
  static async make(walking: Walking, request: Request): Promise<Walked> {
    using limit = deadline(request.deadlineMs, `finding "${request.handle}"`, request.signal);
    return await new Walk(walking, request).#run(limit);
  }

  async #run(signal: AbortSignal): Promise<Walked> {
    const { cache } = this.#with;
    const known = cache.answer(this.#handle);
    if (known?.isFresh) {
      this.#tell({ how: 'cache', answer: known.entry ? 'record' : 'unknown', server: known.by?.peer ?? null });
      return this.#known(known, false);
    }
    try {
      return await this.#follow(known, signal);
    } catch (error) {
      const fault = toFault(error, `finding "${this.#handle}"`);
      if (!isOutage(fault.code) || !known) {
        return { entry: null, by: null, fault, stale: false, ttlMs: 0, steps: this.#steps };
      }
      this.#tell({ how: 'cache', answer: known.entry ? 'record' : 'unknown', stale: true, detail: fault.message });
      return this.#known(known, true);
    }
  }

  /** Somebody whom nobody vouches for now is not shown as here. */
  #known({ entry, code, by, freshUntil }: KnownAnswer, stale: boolean): Walked {
    const { clock } = this.#with;
    const ttlMs = stale ? 0 : Math.max(0, freshUntil - clock.now());
    const shown = entry && stale ? { ...entry, online: false } : entry;
    return { entry: shown, by, fault: code ? this.#unknown(code) : null, stale, ttlMs, steps: this.#steps };
  }

  #unknown(code: 'unknown_handle' | 'unknown_zone'): Fault {
    const why =
      code === 'unknown_handle'
        ? 'nobody has announced this name in its zone'
        : `no tracker is known for "${this.#zone}"`;
    return new Fault(code, `finding "${this.#handle}": ${why}`);
  }

  /** The near ways first: a zone on the way that is known, where one begins, and, where these fail, what was known before. */
  async #follow(known: KnownAnswer | undefined, signal: AbortSignal): Promise<Walked> {
    const { cache, start } = this.#with;
    const near = cache.place(this.#zone, { isFresh: true });
    if (near) {
      this.#tell({ zone: near.zone, how: 'cache', answer: 'referral' });
      try {
        return await this.#from(near, known, signal);
      } catch (error) {
        cache.doubt(near.zone); // whoever refers there may refer elsewhere by now
        if (!isOutage(toFault(error).code) || signal.aborted) throw error;
      }
    }
    this.#visited.clear();
    let trouble: unknown;
    try {
      const first = await start(this.#handle, signal);
      if (first) return await this.#from(first, known, signal);
    } catch (error) {
      trouble = error;
      if (!isOutage(toFault(error).code) || signal.aborted) throw error;
    }
    const late = cache.place(this.#zone, { isFresh: false });
    if (late && late.zone !== near?.zone) {
      this.#visited.clear();
      this.#tell({ zone: late.zone, how: 'cache', answer: 'referral', stale: true });
      return await this.#from(late, known, signal);
    }
    if (trouble !== undefined) throw trouble;
    return await this.#byName(known, signal);
  }

  async #from(first: At, known: KnownAnswer | undefined, signal: AbortSignal): Promise<Walked> {
    for (let at = first; ; ) {
      // Each referral leads to a zone that was not asked yet, or nowhere. [Z-22]
      if (this.#visited.has(at.zone)) throw new Fault('bad_referral', `following "${at.zone}": it was asked already`);
      this.#visited.add(at.zone);
      if (this.#hops-- <= 0) throw new Fault('bad_referral', `finding "${this.#handle}": referred on too often`);
      const { answer, server, to } = await this.#askZone(at, known, signal);
      if (answer.kind === 'record' || answer.kind === 'unchanged') return this.#found(answer, known, server);
      if (to) {
        at = to;
        continue;
      }
      // Not below the zone that was asked last, and nothing is above that: another tree.
      if (!isWithin(this.#zone, at.zone)) return await this.#byName(known, signal);
      const { code, ttlMs } = answer.kind === 'unknown' ? answer : { code: 'unknown_zone' as const, ttlMs: 0 };
      return this.#none(code, server, ttlMs);
    }
  }

  #found(
    answer: Extract<Answer, { kind: 'record' | 'unchanged' }>,
    known: KnownAnswer | undefined,
    by: Server,
  ): Walked {
    const before = known?.entry;
    const { ttlMs } = answer;
    // `check` has seen that there is one to be renewed.
    const entry =
      answer.kind === 'record' || !before
        ? answer.kind === 'record'
          ? answer.entry
          : null
        : { ...before, record: renewed(before.record, answer.renewal), lastSeen: answer.lastSeen };
    const etag = answer.kind === 'record' ? answer.etag : known?.etag;
    this.#with.cache.keepAnswer(this.#handle, { entry, code: null, etag, by }, ttlMs);
    return { entry, by, fault: null, stale: false, ttlMs, steps: this.#steps };
  }

  #none(code: 'unknown_handle' | 'unknown_zone', by: Server | null, ttlMs: number): Walked {
    this.#with.cache.keepAnswer(this.#handle, { entry: null, code, etag: undefined, by }, ttlMs); // [Z-26]
    return { entry: null, by, fault: this.#unknown(code), stale: false, ttlMs, steps: this.#steps };
  }

  /** By what DNS says of the zone, or of one around it. [Z-40] */
  async #byName(known: KnownAnswer | undefined, signal: AbortSignal): Promise<Walked> {
    const { discover, cache } = this.#with;
    const names = namesOf(this.#zone).filter((name) => !this.#visited.has(name));
    for (const zone of discover ? names : []) {
      const at = await this.#discover(zone, signal);
      if (!at) continue;
      cache.keepPlace({ zone, until: Number.MAX_SAFE_INTEGER }, at, DNS_TTL_MS);
      return await this.#from(at, known, signal);
    }
    return this.#none('unknown_zone', null, UNKNOWN_ZONE_MS);
  }

  async #discover(zone: string, signal: AbortSignal): Promise<At | undefined> {
    const began = performance.now();
    const tell = (said: Pick<Step, 'answer'> & Partial<Step>): void =>
      this.#tell({ zone, how: 'dns', ms: performance.now() - began, ...said });
    try {
      const at = await this.#with.discover?.(zone, signal);
      tell({ answer: at ? 'referral' : 'unknown', detail: at ? zone : '' });
      return at;
    } catch (error) {
      const { code, message } = toFault(error, `asking DNS for "${zone}"`, 'timeout');
      tell({ answer: isOutage(code) ? 'failed' : 'refused', code, detail: message });
      throw new Fault(code, message);
    }
  }

  /**
   * What a zone says: of its first server that answers what may be believed; the next one is asked beside it after a
   * moment. Throws the worst that came: a lie rather than a silence.
   */
  async #askZone(at: At, known: KnownAnswer | undefined, outer: AbortSignal): Promise<Next> {
    const { cache } = this.#with;
    using limit = deadline(ZONE_MS, `asking "${at.zone}"`, outer);
    const over = new AbortController();
    const signal = AbortSignal.any([limit, over.signal]);
    const servers = cache.sorted(at.servers);
    const faults: Fault[] = [];
    const wake: { next: () => void } = { next: () => {} };
    const attempts: Promise<Next | undefined>[] = [];
    const found = Promise.withResolvers<Next>();
    try {
      for (const server of servers) {
        if (signal.aborted) break;
        const failed = new Promise<void>((resolve) => {
          wake.next = resolve;
        });
        const attempt = this.#askServer(server, at, known, signal).then(
          (next) => {
            found.resolve(next);
            return next;
          },
          (error: unknown) => {
            faults.push(toFault(error, `asking "${at.zone}"`));
            wake.next();
            return undefined;
          },
        );
        attempts.push(attempt);
        const first = await Promise.race([found.promise, failed, sleep(HEAD_START_MS, signal).catch(() => {})]);
        if (first) return first;
      }
      // All were asked: the first good answer, or none of them has one.
      const none = Promise.all(attempts).then((all) => all.find((next) => next !== undefined));
      const late = await Promise.race([found.promise, none]);
      if (late) return late;
    } finally {
      over.abort(new Fault('cancelled', 'another one answered'));
    }
    const fault = faults.find(({ code }) => !isOutage(code)) ?? faults.at(-1);
    throw fault ?? new Fault('tracker_down', `asking "${at.zone}": none of its trackers answers`);
  }

  async #askServer(server: Server, at: At, known: KnownAnswer | undefined, signal: AbortSignal): Promise<Next> {
    const { cache, ask } = this.#with;
    const told = { zone: at.zone, server: server.peer };
    if (this.#asked++ >= MOST_ASKED) {
      throw new Fault('bad_referral', `finding "${this.#handle}": over ${MOST_ASKED} trackers would have to be asked`);
    }
    const began = performance.now();
    const isFinal = at.zone === this.#zone && known?.entry;
    const question = { handle: this.#handle, as: at.zone, ...(isFinal && known.etag && { etag: known.etag }) };
    let where: { address: string | null; how: Step['how'] } = { address: server.addresses[0] ?? null, how: 'link' };
    try {
      const asked = await ask(server, question, at, signal);
      where = { address: asked.address, how: asked.how ?? 'link' };
      const next = this.#check(asked, server, at, known);
      cache.works(server.peer);
      const detail = next.to?.zone ?? (asked.answer.kind === 'unknown' ? asked.answer.code : '');
      this.#tell({ ...told, ...where, answer: asked.answer.kind, detail, ms: performance.now() - began });
      return next;
    } catch (error) {
      const fault = toFault(error, `asking "${at.zone}"`);
      if (signal.aborted && fault.code === 'cancelled') throw fault; // it lost against another one
      if (isOutage(fault.code)) cache.failed(server.peer);
      const answer = isOutage(fault.code) ? 'failed' : 'refused';
      this.#tell({ ...told, ...where, answer, code: fault.code, detail: fault.message, ms: performance.now() - began });
      throw fault;
    }
  }

  /** Throws what makes an answer one that must not be believed. */
  #check({ answer, address }: Asked, server: Server, at: At, known: KnownAnswer | undefined): Next {
    const { cache, clock, seen, saw } = this.#with;
    const checking: Checking = { at, wanted: this.#zone, now: clock.now(), scope: scopeOfAddress(address), seen };
    switch (answer.kind) {
      case 'record':
      case 'unchanged':
        this.#checkRecord(answer, at, known);
        return { answer, server };
      case 'unknown':
        return { answer, server };
      case 'referral': {
        const { delegation, ttlMs } = answer;
        const to = checkDelegation(delegation, checking);
        saw(delegation.zone, delegation.by, delegation.seq);
        cache.keepPlace(delegation, to, ttlMs);
        return { answer, server, to };
      }
      case 'parent': {
        const to = checkParent(answer.apex, checking);
        saw(at.zone, answer.apex.key, answer.apex.seq);
        return { answer, server, to };
      }
    }
  }

  /** [Z-21] */
  #checkRecord(
    answer: Extract<Answer, { kind: 'record' | 'unchanged' }>,
    at: At,
    known: KnownAnswer | undefined,
  ): void {
    const what = `finding "${this.#handle}"`;
    if (at.zone !== this.#zone) throw new Fault('bad_referral', `${what}: "${at.zone}" answers for another zone`);
    if (answer.kind === 'unchanged') {
      const before = known?.entry?.record;
      if (before && recordHolds(renewed(before, answer.renewal))) return;
      throw new Fault('bad_signature', `${what}: what is said to be unchanged is not signed by its account`);
    }
    const { record } = answer.entry;
    if (record.handle !== this.#handle) {
      throw new Fault('malformed', `${what}: the answer is about "${record.handle.slice(0, 80)}"`);
    }
    if (!recordHolds(record)) throw new Fault('bad_signature', `${what}: its account did not sign the record`);
  }

  #tell(said: Partial<Step> & Pick<Step, 'how' | 'answer'>): void {
    if (this.#steps.length >= MOST_STEPS) return;
    const { detail = '', ms = 0, ...rest } = said;
    const blank = { zone: this.#zone, server: null, address: null, code: null, stale: false };
    this.#steps.push({ ...blank, ...rest, detail: detail.slice(0, 400), ms: Math.round(ms * 100) / 100 });
  }
}

/** Milliseconds that what DNS said is taken for, and that it knows no such zone. */
const DNS_TTL_MS = 300_000;
const UNKNOWN_ZONE_MS = 10_000;
/** Zones around one for which DNS is asked: a university's faculty's laboratory's group. */
const MOST_NAMES = 5;

/** The zone, and those around it, the closest first: a country's alone serves nobody. [Z-40] */
function namesOf(zone: string): string[] {
  const names = [zone];
  for (let name = zone; name.includes('.') && names.length < MOST_NAMES; ) {
    name = name.slice(name.indexOf('.') + 1);
    if (name.includes('.')) names.push(name);
  }
  return names;
}

/** Nobody answered, as opposed to somebody who said what must not be believed. */
function isOutage(code: FaultCode): boolean {
  return FAULTS[code].retry || code === 'wrong_key' || code === 'wrong_state' || code === 'unknown_zone';
}
