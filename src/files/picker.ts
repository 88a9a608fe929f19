/**
 * Which slices to ask of which holder next: what is begun first, and of that the rarest, ties by chance; else the rarest
 * chunk; and what another holder owes for too long a second time. Pure: time is passed in. [F-44]
 */
import type { Bitmap } from './bitmap.ts';
import { type Held, type Shape, SLICES, sliceBytes, slicesOf } from './held.ts';

/** Slices of one chunk after another, without a gap in the content: from slice `from` of `first`, `count` in all. */
export type Run = { first: number; from: number; count: number };

/** Milliseconds after which a slice that is owed is asked for a second time while others are still to be asked for. */
const SLOW_MS = 2000;
/** The same at the end, when all that is missing was asked for. */
const LAST_MS = 300;
/** Holders of whom one slice is asked at once. */
const MOST_ASKED = 2;
/** Missing chunks that are compared for the rarest: a look at all of 65,536 would cost more than it gains. */
const MOST_COMPARED = 1024;

/** Slices of one request: of files of a few bytes it would be too many to note. */
const MOST_RUN = 8192;

type Ask = { holder: string; at: number };

/** A chunk of which something was asked. */
type Begun = {
  all: number;
  got: number;
  /** Whom each slice was asked of. */
  asks: Ask[][];
  /** Only this holder is asked: the chunk was wrong when it came from several. */
  sole: string | undefined;
};

type Holder = { held: Held; slicesToo: boolean };

export class Picker {
  readonly #shape: Shape;
  readonly #have: Bitmap;
  readonly #random: () => number;
  readonly #holders = new Map<string, Holder>();
  /** Holders that have each chunk whole. */
  readonly #counts: Uint16Array;
  readonly #begun = new Map<number, Begun>();
  /** Chunks that are asked of one holder alone. */
  readonly #alone = new Set<number>();
  /** Slices that are missing and asked of nobody. */
  #unasked = 0;

  constructor(shape: Shape, have: Bitmap, random: () => number = Math.random) {
    this.#shape = shape;
    this.#have = have;
    this.#random = random;
    this.#counts = new Uint16Array(shape.chunks);
    for (let chunk = 0; chunk < shape.chunks; chunk++) if (!have.has(chunk)) this.#unasked += this.#sizeOf(chunk);
  }

  #sizeOf(chunk: number): number {
    return bits(slicesOf(this.#shape, chunk));
  }

  /** A holder is there, with what it has by now; one that was there before still owes what it was asked for. */
  add(name: string, held: Held): void {
    const before = this.#holders.get(name);
    if (before) this.#countAll(before.held, -1);
    this.#countAll(held, 1);
    this.#holders.set(name, { held, slicesToo: before?.slicesToo ?? true });
  }

  /** It is gone: what it owes is asked of others. Gives the chunks that begin anew. */
  remove(name: string): number[] {
    const holder = this.#holders.get(name);
    if (!holder) return [];
    this.#holders.delete(name);
    this.#countAll(holder.held, -1);
    return this.release(name);
  }

  #countAll({ whole }: Held, by: number): void {
    for (let chunk = 0; chunk < this.#shape.chunks; chunk++) if (whole.has(chunk)) this.#count(chunk, by);
  }

  /** A holder has one more chunk whole. Its `Held` says so already. */
  gained(chunk: number): void {
    this.#count(chunk, 1);
  }

  #count(chunk: number, by: number): void {
    this.#counts[chunk] = (this.#counts[chunk] ?? 0) + by;
  }

  /** From now on a holder is asked only for chunks that it says are whole. */
  wholeOnly(name: string): void {
    const holder = this.#holders.get(name);
    if (holder) holder.slicesToo = false;
  }

  /** Whether a holder has anything that is missing here. */
  needs(name: string): boolean {
    const holder = this.#holders.get(name);
    if (!holder) return false;
    for (const chunk of holder.held.slices.keys()) if (!this.#have.has(chunk)) return true;
    for (let chunk = 0; chunk < this.#shape.chunks; chunk++) {
      if (!this.#have.has(chunk) && holder.held.whole.has(chunk)) return true;
    }
    return false;
  }

  /** What to ask of a holder now, at most `most` slices; noted as asked. Undefined if there is nothing. */
  next(name: string, most: number, now: number): Run | undefined {
    const holder = this.#holders.get(name);
    if (!holder) return undefined;
    const free = (chunk: number, slice: number): boolean => this.#isFree(name, holder, chunk, slice);
    const start = this.#rarestBegun(name, holder) ?? this.#rarestFresh(holder);
    const run = start && this.#extend(start, most, free);
    if (run) return this.#note(run, name, now);
    const again = (chunk: number, slice: number): boolean => this.#isLate(name, holder, chunk, slice, now);
    for (const [chunk, { all, got }] of this.#begun) {
      for (const slice of slicesIn(all & ~got)) {
        if (!again(chunk, slice)) continue;
        const late = this.#extend({ chunk, slice }, most, again);
        if (late) return this.#note(late, name, now);
      }
    }
    return undefined;
  }

  #available(name: string, { held, slicesToo }: Holder, chunk: number): number {
    const { all } = this.#begun.get(chunk) ?? { all: slicesOf(this.#shape, chunk) };
    const sole = this.#begun.get(chunk)?.sole;
    if (this.#alone.has(chunk)) {
      return held.whole.has(chunk) && (sole === undefined || sole === name) ? all : 0;
    }
    if (!slicesToo && !held.whole.has(chunk)) return 0;
    return held.maskOf(chunk) & all;
  }

  #isFree(name: string, holder: Holder, chunk: number, slice: number): boolean {
    if (this.#have.has(chunk) || (this.#available(name, holder, chunk) & (1 << slice)) === 0) return false;
    const begun = this.#begun.get(chunk);
    return !begun || ((begun.got & (1 << slice)) === 0 && begun.asks[slice]?.length === 0);
  }

  /** Asked of another, who has let it wait for too long. */
  #isLate(name: string, holder: Holder, chunk: number, slice: number, now: number): boolean {
    const begun = this.#begun.get(chunk);
    if (!begun || this.#alone.has(chunk) || (begun.got & (1 << slice)) !== 0) return false;
    if ((this.#available(name, holder, chunk) & (1 << slice)) === 0) return false;
    const asks = begun.asks[slice] ?? [];
    if (asks.length === 0 || asks.length >= MOST_ASKED || asks.some((ask) => ask.holder === name)) return false;
    return asks.every(({ at }) => now - at >= (this.#unasked === 0 ? LAST_MS : SLOW_MS));
  }

  #rarestBegun(name: string, holder: Holder): { chunk: number; slice: number } | undefined {
    let best: { chunk: number; slice: number } | undefined;
    let rarest = Number.POSITIVE_INFINITY;
    let ties = 0;
    const look = (chunk: number): void => {
      const begun = this.#begun.get(chunk);
      let mask = this.#available(name, holder, chunk);
      if (begun) {
        mask &= ~begun.got;
        for (const slice of slicesIn(mask)) if ((begun.asks[slice]?.length ?? 0) > 0) mask &= ~(1 << slice);
      }
      for (const slice of slicesIn(mask)) {
        let holders = this.#counts[chunk] ?? 0;
        for (const other of this.#holders.values()) {
          if (((other.held.slices.get(chunk) ?? 0) & (1 << slice)) !== 0) holders += 1;
        }
        if (holders > rarest) continue;
        ties = holders < rarest ? 1 : ties + 1;
        rarest = holders;
        // Of one holder alone all comes in order: the disk likes it, and so do hashes.
        if (ties === 1 || (this.#holders.size > 1 && this.#random() * ties < 1)) best = { chunk, slice };
      }
    };
    for (const chunk of this.#begun.keys()) look(chunk);
    for (const chunk of holder.held.slices.keys()) {
      if (!this.#begun.has(chunk) && !this.#have.has(chunk)) look(chunk);
    }
    return best;
  }

  #rarestFresh({ held }: Holder): { chunk: number; slice: number } | undefined {
    const { chunks } = this.#shape;
    const isOrdered = this.#holders.size === 1;
    const offset = isOrdered ? 0 : Math.floor(this.#random() * chunks);
    let best: number | undefined;
    let rarest = Number.POSITIVE_INFINITY;
    let compared = 0;
    let ties = 0;
    for (let n = 0; n < chunks && compared < MOST_COMPARED; n++) {
      const chunk = (offset + n) % chunks;
      if (this.#have.has(chunk) || this.#begun.has(chunk) || !held.whole.has(chunk)) continue;
      if (isOrdered) return { chunk, slice: 0 };
      compared += 1;
      const holders = this.#counts[chunk] ?? 0;
      if (holders > rarest) continue;
      ties = holders < rarest ? 1 : ties + 1;
      rarest = holders;
      if (this.#random() * ties < 1) best = chunk;
    }
    return best === undefined ? undefined : { chunk: best, slice: 0 };
  }

  /** As many slices from there on as may be asked for too. */
  #extend(
    { chunk: first, slice: from }: { chunk: number; slice: number },
    most: number,
    fits: (chunk: number, slice: number) => boolean,
  ): Run | undefined {
    const isAlone = this.#alone.has(first);
    const wanted = isAlone ? SLICES : most;
    // What is short costs less: of many small files one request brings as many bytes.
    const mostBytes = wanted * sliceBytes(this.#shape);
    let start = from; // what lies before it is taken along
    while (start > 0 && from - start < wanted - 1 && fits(first, start - 1)) start -= 1;
    let [chunk, slice, count, bytes] = [first, start, 0, 0];
    while (bytes < mostBytes && count < MOST_RUN && chunk < this.#shape.chunks && fits(chunk, slice)) {
      if (chunk !== first && (isAlone || this.#alone.has(chunk))) break;
      count += 1;
      bytes += this.#bytesOf(chunk, slice);
      slice += 1;
      if (slice < SLICES && slice < this.#sizeOf(chunk)) continue;
      chunk += 1;
      slice = 0;
    }
    return count > 0 ? { first, from: start, count } : undefined;
  }

  #bytesOf(chunk: number, slice: number): number {
    const size = sliceBytes(this.#shape);
    return Math.min(size, this.#shape.lengthOf(chunk) - slice * size);
  }

  #note(run: Run, holder: string, at: number): Run {
    for (const { chunk, slice } of each(run, this.#shape)) {
      const begun = this.#begun.get(chunk) ?? this.#begin(chunk);
      if (this.#alone.has(chunk)) begun.sole = holder;
      const asks = begun.asks[slice];
      if (asks?.length === 0) this.#unasked -= 1;
      asks?.push({ holder, at });
    }
    return run;
  }

  #begin(chunk: number): Begun {
    const asks = Array.from({ length: SLICES }, (): Ask[] => []);
    const begun = { all: slicesOf(this.#shape, chunk), got: 0, asks, sole: undefined };
    this.#begun.set(chunk, begun);
    return begun;
  }

  /** A slice is written. True if it was the last of its chunk. */
  got(chunk: number, slice: number): boolean {
    const begun = this.#begun.get(chunk);
    if (!begun || (begun.got & (1 << slice)) !== 0) return false;
    if (begun.asks[slice]?.length === 0) this.#unasked -= 1;
    begun.asks[slice] = [];
    begun.got |= 1 << slice;
    return begun.got === begun.all;
  }

  /** What a holder was asked for and will not give. */
  spent(holder: string, chunk: number, slice: number): void {
    const begun = this.#begun.get(chunk);
    const asks = begun?.asks[slice];
    if (!begun || !asks || asks.length === 0) return;
    begun.asks[slice] = asks.filter((ask) => ask.holder !== holder);
    if (begun.asks[slice].length === 0 && (begun.got & (1 << slice)) === 0) this.#unasked += 1;
  }

  /** A holder owes nothing any more. Gives the chunks that begin anew: those that it alone was to give. */
  release(holder: string): number[] {
    const anew: number[] = [];
    for (const [chunk, begun] of this.#begun) {
      for (const slice of slicesIn(begun.all)) this.spent(holder, chunk, slice);
      if (begun.sole !== holder || begun.got === begun.all) continue;
      this.failed(chunk);
      anew.push(chunk);
    }
    return anew;
  }

  /** Whether a holder is to give this slice, and nobody has given it meanwhile. */
  isAsked(holder: string, chunk: number, slice: number): boolean {
    return this.#begun.get(chunk)?.asks[slice]?.some((ask) => ask.holder === holder) ?? false;
  }

  /** Whether the chunk is asked of one holder alone, since it was wrong before. */
  isAlone(chunk: number): boolean {
    return this.#alone.has(chunk);
  }

  /** The chunk is whole and right. */
  verified(chunk: number): void {
    this.#begun.delete(chunk);
    this.#alone.delete(chunk);
  }

  /** The chunk was wrong: all of it is asked for anew, of one holder that says it has it whole. */
  failed(chunk: number): void {
    const begun = this.#begun.get(chunk);
    if (!begun) return;
    this.#begun.delete(chunk);
    this.#alone.add(chunk);
    for (const slice of slicesIn(begun.all)) {
      const isUnasked = (begun.got & (1 << slice)) === 0 && begun.asks[slice]?.length === 0;
      if (!isUnasked) this.#unasked += 1;
    }
  }
}

/** The slices of a run, in order. */
export function* each({ first, from, count }: Run, shape: Shape): Generator<{ chunk: number; slice: number }> {
  let [chunk, slice] = [first, from];
  for (let n = 0; n < count; n++) {
    yield { chunk, slice };
    slice += 1;
    if (slice < bits(slicesOf(shape, chunk))) continue;
    chunk += 1;
    slice = 0;
  }
}

export function* slicesIn(mask: number): Generator<number> {
  for (let slice = 0; slice < SLICES; slice++) if ((mask & (1 << slice)) !== 0) yield slice;
}

function bits(mask: number): number {
  let count = 0;
  for (let rest = mask; rest > 0; rest &= rest - 1) count += 1;
  return count;
}
