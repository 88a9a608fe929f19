/**
 * What a node that has all of a content shows to those who fetch it: to each other slices, until each slice went out once,
 * so that what it sends is never what another could have sent. Pure: time is passed in. [F-43]
 */
import { type Held, type Shape, slicesOf } from './held.ts';
import { slicesIn } from './picker.ts';

/** Slices that one who fetches is shown ahead of those that have come: at first, at least, and at most. */
const FIRST_AHEAD = 4;
const LEAST_AHEAD = 3;
const MOST_AHEAD = 256;
/** Milliseconds from showing to coming under which more is shown ahead, and over which less. */
const QUICK_MS = 160;
const SLOW_MS = 400;
/** What one was shown and has not got is shown to another too, once it took so many times as long as others do; at least. */
const LATE_TIMES = 2;
const LATE_MS = 200;
/** Milliseconds after which one who fetches alone is shown all. */
const ALONE_MS = 250;

type Fetcher = {
  held: Held;
  since: number;
  ahead: number;
  all: boolean;
  /** When each slice was shown that has not come yet, by chunk and slice. */
  shown: Map<string, number>;
};

/** What to show to whom: all, or slices by chunk. */
export type Showing = 'all' | Map<number, number>;

export class Seeding {
  readonly #shape: Shape;
  readonly #fetchers = new Map<string, Fetcher>();
  /** Slices that were shown to somebody who is here, by chunk. */
  readonly #shown = new Map<number, number>();
  /** Milliseconds from showing to coming, by the last ones that came. */
  #usualMs = 500;
  /** No chunk before it has a slice that is nobody's. */
  #cursor = 0;

  constructor(shape: Shape) {
    this.#shape = shape;
  }

  /** `isOnly`: nobody else can come to fetch it. */
  add(name: string, held: Held, now: number, isOnly: boolean): void {
    this.remove(name);
    this.#fetchers.set(name, { held, since: now, ahead: FIRST_AHEAD, all: isOnly, shown: new Map() });
  }

  remove(name: string): void {
    if (!this.#fetchers.delete(name)) return;
    this.#cursor = 0;
    this.#shown.clear();
    for (const { shown } of this.#fetchers.values()) for (const key of shown.keys()) this.#mark(key);
  }

  #mark(key: string): void {
    const [chunk = 0, slice = 0] = key.split('.').map(Number);
    this.#shown.set(chunk, (this.#shown.get(chunk) ?? 0) | (1 << slice));
  }

  isShownAll(name: string): boolean {
    return this.#fetchers.get(name)?.all ?? false;
  }

  /** One who fetches has said what came. */
  came(name: string, now: number): void {
    const fetcher = this.#fetchers.get(name);
    if (!fetcher) return;
    for (const [key, at] of fetcher.shown) {
      const [chunk = 0, slice = 0] = key.split('.').map(Number);
      if ((fetcher.held.maskOf(chunk) & (1 << slice)) === 0) continue;
      fetcher.shown.delete(key);
      const took = now - at;
      this.#usualMs = this.#usualMs * 0.9 + took * 0.1;
      if (took < QUICK_MS) fetcher.ahead = Math.min(MOST_AHEAD, fetcher.ahead + 1);
      else if (took > SLOW_MS) fetcher.ahead = Math.max(LEAST_AHEAD, fetcher.ahead - 1);
    }
  }

  /** What each is to be shown now. */
  show(now: number): Map<string, Showing> {
    const showings = new Map<string, Showing>();
    for (const [name, fetcher] of this.#fetchers) {
      if (fetcher.all) continue;
      if (this.#fetchers.size === 1 && now - fetcher.since >= ALONE_MS) {
        fetcher.all = true;
        showings.set(name, 'all');
      }
    }
    // In turns, so that none is shown all that there is to show.
    for (let isMore = true; isMore; ) {
      isMore = false;
      for (const [name, fetcher] of this.#fetchers) {
        if (fetcher.all || fetcher.shown.size >= fetcher.ahead) continue;
        const found = this.#nobodys(fetcher) ?? this.#late(name, fetcher, now);
        if (found === undefined) {
          if (!this.#isAllOut()) continue;
          fetcher.all = true;
          showings.set(name, 'all');
          continue;
        }
        fetcher.shown.set(`${found.chunk}.${found.slice}`, now);
        this.#shown.set(found.chunk, (this.#shown.get(found.chunk) ?? 0) | (1 << found.slice));
        const showing = showings.get(name);
        const slices = showing instanceof Map ? showing : new Map<number, number>();
        slices.set(found.chunk, (slices.get(found.chunk) ?? 0) | (1 << found.slice));
        showings.set(name, slices);
        isMore = true;
      }
    }
    return showings;
  }

  /** A slice that nobody has and nobody was shown. */
  #nobodys({ held }: Fetcher): { chunk: number; slice: number } | undefined {
    for (let chunk = this.#cursor; chunk < this.#shape.chunks; chunk++) {
      let left = slicesOf(this.#shape, chunk) & ~(this.#shown.get(chunk) ?? 0);
      for (const fetcher of this.#fetchers.values()) left &= ~fetcher.held.maskOf(chunk);
      if (left === 0) {
        if (chunk === this.#cursor) {
          this.#cursor += 1;
          this.#shown.delete(chunk);
        }
        continue;
      }
      for (const slice of slicesIn(left & ~held.maskOf(chunk))) return { chunk, slice };
    }
    return undefined;
  }

  /** A slice that another was shown long ago and has not got: each time that it is shown once more, it may wait longer. */
  #late(name: string, { held, shown }: Fetcher, now: number): { chunk: number; slice: number } | undefined {
    const late = Math.max(LATE_MS, LATE_TIMES * this.#usualMs);
    for (const [other, fetcher] of this.#fetchers) {
      if (other === name) continue;
      for (const [key, at] of fetcher.shown) {
        const [chunk = 0, slice = 0] = key.split('.').map(Number);
        if (now - at < late || shown.has(key) || (held.maskOf(chunk) & (1 << slice)) !== 0) continue;
        if (now - at < late * this.#waiting(key)) continue;
        return { chunk, slice };
      }
    }
    return undefined;
  }

  /** How many were shown a slice and have not got it. */
  #waiting(key: string): number {
    let count = 0;
    for (const { shown } of this.#fetchers.values()) if (shown.has(key)) count += 1;
    return count;
  }

  /** Whether each slice is on the disk of somebody who is here. */
  #isAllOut(): boolean {
    if (this.#cursor < this.#shape.chunks) return false;
    for (const { shown } of this.#fetchers.values()) if (shown.size > 0) return false;
    return true;
  }
}
