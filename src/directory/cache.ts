/** What a walk remembers: answers and the way to zones, each for its time; what is over is kept for when nobody answers. [Z-25] to [Z-27] */
import type { Clock } from '../base/clock.ts';
import { type Delegation, isWithin, type Server, zoneOf } from './delegation.ts';
import type { Entry } from './messages.ts';

/** Whom to ask for a zone: as its servers, whose word counts by `key`. */
export type At = {
  zone: string;
  /** The zone's key; undefined: not known yet. */
  key: string | undefined;
  servers: readonly Server[];
  /** The kind of network that whoever referred here was reached in. [Z-24] */
  scope: 'loopback' | 'private' | 'public';
};

export type KnownAnswer = {
  entry: Entry | null;
  code: 'unknown_handle' | 'unknown_zone' | null;
  etag: string | undefined;
  /** Who said it. */
  by: Server | null;
  /** Milliseconds by the clock. */
  freshUntil: number;
};

type KnownPlace = { at: At; freshUntil: number; until: number };

const MOST_ANSWERS = 20_000;
const MOST_PLACES = 5000;
const MOST_FAILED = 1000;
/** Milliseconds for which an answer may be shown, as stale, after its time, while nobody answers. [Z-27] */
const STALE_MS = 24 * 3600_000;
/** Milliseconds that anybody's word is taken for, whatever they say. [Z-25] */
const MOST_TTL_MS = { record: 60_000, unknown: 30_000, place: 3600_000 };
/** Milliseconds for which who did not answer is asked last. */
const FAILED_MS = 10_000;

export class WalkCache {
  readonly #clock: Clock;
  readonly #answers = new Map<string, KnownAnswer>();
  readonly #places = new Map<string, KnownPlace>();
  readonly #failed = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** What is known of a handle, and whether that still counts without asking. */
  answer(handle: string): (KnownAnswer & { isFresh: boolean }) | undefined {
    const known = this.#answers.get(handle);
    const now = this.#clock.now();
    if (!known || known.freshUntil + STALE_MS < now) return undefined;
    return { ...known, isFresh: known.freshUntil > now };
  }

  keepAnswer(handle: string, known: Omit<KnownAnswer, 'freshUntil'>, ttlMs: number): void {
    const most = known.entry ? MOST_TTL_MS.record : MOST_TTL_MS.unknown;
    put(this.#answers, handle, { ...known, freshUntil: this.#clock.now() + Math.min(ttlMs, most) }, MOST_ANSWERS);
  }

  /** The place closest around `zone` that is known; `isFresh` false: also one that should be asked for again. */
  place(zone: string, options: { isFresh: boolean }): At | undefined {
    const now = this.#clock.now();
    for (let name = zone; ; name = name.slice(name.indexOf('.') + 1)) {
      const known = this.#places.get(name);
      if (known && known.until > now && (known.freshUntil > now || !options.isFresh) && isWithin(zone, name)) {
        return known.at;
      }
      if (!name.includes('.')) return undefined;
    }
  }

  keepPlace({ zone, until }: Pick<Delegation, 'zone' | 'until'>, at: At, ttlMs: number): void {
    const freshUntil = this.#clock.now() + Math.min(ttlMs, MOST_TTL_MS.place);
    put(this.#places, zone, { at, freshUntil, until }, MOST_PLACES);
  }

  /** A place that did not answer, or lied, is to be asked for again. */
  doubt(zone: string): void {
    const known = this.#places.get(zone);
    if (known) this.#places.set(zone, { ...known, freshUntil: 0 });
  }

  /** What is known of a zone, its people and those below it is asked for anew. */
  forget(zone: string): void {
    for (const name of [...this.#places.keys()]) if (isWithin(name, zone)) this.#places.delete(name);
    for (const handle of [...this.#answers.keys()]) if (isWithin(zoneOf(handle), zone)) this.#answers.delete(handle);
  }

  failed(peer: string): void {
    put(this.#failed, peer, this.#clock.now() + FAILED_MS, MOST_FAILED);
  }

  works(peer: string): void {
    this.#failed.delete(peer);
  }

  /** Those that answered last time first. */
  sorted(servers: readonly Server[]): Server[] {
    const now = this.#clock.now();
    const bad = (each: Server): number => Number((this.#failed.get(each.peer) ?? 0) > now);
    return [...servers].sort((a, b) => bad(a) - bad(b));
  }
}

/** Puts last what was put now; past the bound the oldest goes. */
function put<T>(map: Map<string, T>, key: string, value: T, most: number): void {
  map.delete(key);
  map.set(key, value);
  for (const oldest of map.keys()) {
    if (map.size <= most) break;
    map.delete(oldest);
  }
}
