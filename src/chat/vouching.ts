/** Which signatures of a call are looked at: the newest of a run vouches for those that it is chained to. [C-4] */
import type { Entry, Parsed } from './entry.ts';
import { DELIVER_BYTES } from './wire.ts';

/** `vouched`: not looked at by itself; a later entry of the same call, that will be kept with it, is `proven`. */
export type Proof = 'proven' | 'vouched' | 'bad';

export class Vouching {
  /** The entry of the call that continues one, and comes after it. */
  readonly #next = new Map<Parsed, Parsed>();
  readonly #known = new Map<Parsed, Proof>();
  /** Of a run whose newest signature is bad: the first bad one is found one by one. */
  readonly #singly = new Set<Parsed>();
  readonly #fits: (entry: Entry) => boolean;
  readonly #isSigned: (parsed: Parsed) => boolean;

  /**
   * `fits`: whether an entry is kept, if it continues its chain and its signature is good; asked of runs only. `isSigned`:
   * whether an entry's own signature is good.
   */
  constructor(
    call: readonly Parsed[],
    options: { fits: (entry: Entry) => boolean; isSigned: (parsed: Parsed) => boolean },
  ) {
    this.#fits = options.fits;
    this.#isSigned = options.isSigned;
    const byPrev = new Map<string, Parsed>();
    for (const parsed of call.toReversed()) {
      const next = byPrev.get(parsed.id);
      if (next && continues(next.entry, parsed.entry)) this.#next.set(parsed, next);
      if (parsed.entry.prev !== null) byPrev.set(parsed.entry.prev, parsed);
    }
  }

  /** Whether the author of an entry that continues the kept chain signed it, or a later one that names it. */
  of(parsed: Parsed): Proof {
    const known = this.#known.get(parsed);
    if (known) return known;
    const run = this.#singly.has(parsed) ? [] : this.#run(parsed);
    const newest = run.at(-1);
    if (newest && newest !== parsed && this.#single(newest) === 'proven') {
      for (const each of run) if (each !== newest) this.#known.set(each, 'vouched');
      return 'vouched';
    }
    for (const each of run) this.#singly.add(each);
    return this.#single(parsed);
  }

  #single(parsed: Parsed): Proof {
    const proof = this.#known.get(parsed) ?? (this.#isSigned(parsed) ? 'proven' : 'bad');
    this.#known.set(parsed, proof);
    return proof;
  }

  /** What continues an entry and will be kept with it; no more than one call can give on, whose end is to be proven. */
  #run(first: Parsed): Parsed[] {
    const run = [first];
    let bytes = first.bytes + 1; // and the comma
    for (let next = this.#next.get(first); next && this.#fits(next.entry); next = this.#next.get(next)) {
      bytes += next.bytes + 1;
      if (bytes > DELIVER_BYTES) break;
      run.push(next);
    }
    return run;
  }
}

const continues = (next: Entry, entry: Entry): boolean =>
  next.author === entry.author &&
  next.conversation === entry.conversation &&
  next.seq === entry.seq + 1 &&
  next.at > entry.at;
