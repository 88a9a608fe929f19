/**
 * Who may go on reading: each party one turn after the other, however many connections it has, and none beyond its rate or that of
 * all together. [N-22]
 */
import type { Clock } from '../base/clock.ts';

/** Bytes of one turn: enough that stopping and going on costs little, not so many that others wait long. */
const TURN_BYTES = 256 * 1024;
/** Where a rate is set, a turn is at most what comes in this many milliseconds. */
const TURN_MS = 100;
const LEAST_TURN_BYTES = 16 * 1024;
/** Milliseconds from one look at rates that are used up to the next. */
const LOOK_MS = { least: 5, most: 250 };
/** Parties from which on those without a connection that owe nothing are looked for. */
const MANY_PARTIES = 1000;

/** Bytes a second; 0: no bound. */
export type Rates = { each: number; all: number };

/** Bytes that may be given out; below 0 they are owed. What is not used in a second is lost. */
class Bucket {
  #bytes: number;
  #at: number;

  constructor(perSecond: number, now: number) {
    this.#bytes = perSecond;
    this.#at = now;
  }

  /** Milliseconds until there is something to give. */
  waitMs(perSecond: number, now: number): number {
    const earned = (Math.max(0, now - this.#at) * perSecond) / 1000;
    this.#bytes = Math.min(perSecond, this.#bytes + earned);
    this.#at = now;
    return this.#bytes > 0 ? 0 : Math.ceil(((1 - this.#bytes) * 1000) / perSecond);
  }

  give(bytes: number): void {
    this.#bytes -= bytes;
  }
}

type Party = { readonly name: string; bucket: Bucket | undefined; seats: number; waiting: Seat[] };

/** One direction of a connection, as far as its turns go. */
export class Seat {
  readonly #go: (bytes: number) => void;
  readonly #ask: (seat: Seat) => number;
  readonly #leave: (seat: Seat) => void;

  constructor(go: (bytes: number) => void, ask: (seat: Seat) => number, leave: (seat: Seat) => void) {
    this.#go = go;
    this.#ask = ask;
    this.#leave = leave;
  }

  go(bytes: number): void {
    this.#go(bytes);
  }

  /** The bytes of a turn that it has at once, for there is nobody else; or 0: it waits for one. Once at a time. */
  ask(): number {
    return this.#ask(this);
  }

  leave(): void {
    this.#leave(this);
  }
}

export class Turns implements Disposable {
  readonly #clock: Clock;
  readonly #parties = new Map<string, Party>();
  /** Those of whom a connection waits, the one whose turn is next first. */
  readonly #queue = new Set<Party>();
  #all: Bucket | undefined;
  #rates: Rates;
  #immediate: NodeJS.Immediate | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: { rates: Rates; clock: Clock }) {
    this.#rates = options.rates;
    this.#clock = options.clock;
  }

  /** Holds from now on. */
  set rates(rates: Rates) {
    this.#rates = rates;
    this.#all = undefined;
    for (const party of this.#parties.values()) party.bucket = undefined;
  }

  /** A connection of the party `name`: `go` is called with the bytes of each turn that it asks for. */
  join(name: string, go: (bytes: number) => void): Seat {
    const party = this.#parties.get(name) ?? { name, bucket: undefined, seats: 0, waiting: [] };
    if (this.#parties.size >= MANY_PARTIES) this.#tidy();
    this.#parties.set(name, party);
    party.seats += 1;
    return new Seat(
      go,
      (seat) => {
        if (this.#parties.size === 1 && this.#rates.each === 0 && this.#rates.all === 0) return this.#turn();
        party.waiting.push(seat);
        this.#queue.add(party);
        this.#soon();
        return 0;
      },
      (seat) => {
        party.seats -= 1;
        party.waiting = party.waiting.filter((each) => each !== seat);
        if (party.waiting.length === 0) this.#queue.delete(party);
        if (party.seats === 0 && !this.#owes(party)) this.#parties.delete(name);
      },
    );
  }

  /** A party that owes is remembered beyond its last connection: with a new one it would owe nothing. */
  #owes(party: Party): boolean {
    const { each } = this.#rates;
    return each > 0 && (party.bucket?.waitMs(each, this.#clock.now()) ?? 0) > 0;
  }

  #tidy(): void {
    for (const party of this.#parties.values())
      if (party.seats === 0 && !this.#owes(party)) this.#parties.delete(party.name);
  }

  #soon(): void {
    if (this.#queue.size > 0 && this.#timer === undefined) this.#immediate ??= setImmediate(() => this.#round());
  }

  #turn(): number {
    const { each, all } = this.#rates;
    const least = Math.min(each || Number.POSITIVE_INFINITY, all || Number.POSITIVE_INFINITY);
    return Math.max(LEAST_TURN_BYTES, Math.min(TURN_BYTES, Math.floor((least * TURN_MS) / 1000)));
  }

  /** One turn for one connection of each party. What is read in it is dealt with before the next round. */
  #round(): void {
    this.#immediate = undefined;
    const now = this.#clock.now();
    const { each, all } = this.#rates;
    const bytes = this.#turn();
    let waitMs = Number.POSITIVE_INFINITY;
    let given = false;
    if (all > 0) this.#all ??= new Bucket(all, now);
    for (const party of [...this.#queue]) {
      const forAll = this.#all?.waitMs(all, now) ?? 0;
      if (forAll > 0) {
        waitMs = Math.min(waitMs, forAll);
        break; // whoever is next stays next
      }
      if (each > 0) party.bucket ??= new Bucket(each, now);
      const forEach = party.bucket?.waitMs(each, now) ?? 0;
      if (forEach > 0) {
        waitMs = Math.min(waitMs, forEach);
        continue;
      }
      given = true;
      this.#queue.delete(party);
      const seat = party.waiting.shift();
      if (party.waiting.length > 0) this.#queue.add(party);
      this.#all?.give(bytes);
      party.bucket?.give(bytes);
      seat?.go(bytes);
    }
    if (given || waitMs === Number.POSITIVE_INFINITY) return this.#soon();
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        this.#soon();
      },
      Math.min(LOOK_MS.most, Math.max(LOOK_MS.least, waitMs)),
    ).unref();
  }

  [Symbol.dispose](): void {
    clearImmediate(this.#immediate);
    clearTimeout(this.#timer);
    this.#queue.clear();
    this.#parties.clear();
  }
}
