/**
 * Rows by a text of theirs. A `Map` of a million of such texts, which are parts of what was read at a start, took half of the start to
 * make and a quarter of each lookup to ask; this one is asked with bytes of a request, too.
 */
import { randomInt } from 'node:crypto';
import type { LiveRow } from './row.ts';

/** Places at first; always a power of two, and at most three in four are taken. */
const FEWEST = 1024;
/** Another in each process, so that nobody can choose names that all fall into one place. */
const SEED = randomInt(2 ** 31);

const mixed = (hash: number, unit: number): number => {
  const next = Math.imul(hash ^ unit, 0x5bd1e995);
  return next ^ (next >>> 15);
};

/** Rows by a number of their own, so that indexes hold numbers: the collector of garbage has nothing to look at in them. */
export class NumberedRows {
  readonly #rows: (LiveRow | undefined)[] = [];
  readonly #free: number[] = [];

  add(row: LiveRow): void {
    row.number = this.#free.pop() ?? this.#rows.length;
    this.#rows[row.number] = row;
  }

  /** It must stand in no index any more. */
  remove(row: LiveRow): void {
    this.#rows[row.number] = undefined;
    this.#free.push(row.number);
  }

  at(number: number): LiveRow | undefined {
    return this.#rows[number];
  }
}

export class RowIndex {
  readonly #rows: NumberedRows;
  readonly #keyOf: (row: LiveRow) => string;
  /** Characters of a key that say where it stands. */
  readonly #most: number;
  /** For each place the hash of a key, and the number of its row plus one; 0: the place is free. */
  #places = new Int32Array(2 * FEWEST);
  /** Places less one. */
  #last = FEWEST - 1;
  #size = 0;

  /** `most`: so many of a key's first characters tell it from others, mostly; default: all of them. */
  constructor(rows: NumberedRows, keyOf: (row: LiveRow) => string, most = 1000) {
    this.#rows = rows;
    this.#keyOf = keyOf;
    this.#most = most;
  }

  get size(): number {
    return this.#size;
  }

  get(key: string): LiveRow | undefined {
    return this.#at(this.#placeOf(key, this.#hashOf(key)));
  }

  /** As `get`, of the ASCII text from `from` to before `to`. */
  find(bytes: Uint8Array, from: number, to: number): LiveRow | undefined {
    let hash = SEED;
    const end = Math.min(to, from + this.#most);
    for (let at = from; at < end; at++) hash = mixed(hash, bytes[at] ?? 0);
    const places = this.#places;
    for (let place = hash & this.#last; places[2 * place + 1] !== 0; place = (place + 1) & this.#last) {
      if (places[2 * place] !== hash) continue;
      const row = this.#at(place);
      if (row && isSame(this.#keyOf(row), bytes, from, to)) return row;
    }
    return undefined;
  }

  /** By the key that it has now, in the place of another with that key. It keeps key and number until it is deleted. */
  set(row: LiveRow): void {
    const key = this.#keyOf(row);
    const hash = this.#hashOf(key);
    let place = this.#placeOf(key, hash);
    if (this.#places[2 * place + 1] === 0) {
      this.#size += 1;
      if (this.#size * 4 > this.#last * 3) {
        this.#grow();
        place = this.#placeOf(key, hash);
      }
    }
    this.#places[2 * place] = hash;
    this.#places[2 * place + 1] = row.number + 1;
  }

  /** Undoes `set`; where another row has its key by now, that stays. */
  delete(row: LiveRow): void {
    const key = this.#keyOf(row);
    let gap = this.#placeOf(key, this.#hashOf(key));
    if (this.#at(gap) !== row) return;
    this.#size -= 1;
    const [places, last] = [this.#places, this.#last];
    // Whoever stands behind the gap only because the gap was taken moves up.
    for (let place = (gap + 1) & last; places[2 * place + 1] !== 0; place = (place + 1) & last) {
      const home = (places[2 * place] ?? 0) & last;
      if (((place - home) & last) < ((place - gap) & last)) continue;
      places.copyWithin(2 * gap, 2 * place, 2 * place + 2);
      gap = place;
    }
    places[2 * gap + 1] = 0;
  }

  #at(place: number): LiveRow | undefined {
    const number = this.#places[2 * place + 1] ?? 0;
    return number === 0 ? undefined : this.#rows.at(number - 1);
  }

  #hashOf(key: string): number {
    let hash = SEED;
    const end = Math.min(key.length, this.#most);
    for (let at = 0; at < end; at++) hash = mixed(hash, key.charCodeAt(at));
    return hash;
  }

  /** Where the key stands, or would. */
  #placeOf(key: string, hash: number): number {
    const places = this.#places;
    let place = hash & this.#last;
    for (; places[2 * place + 1] !== 0; place = (place + 1) & this.#last) {
      if (places[2 * place] !== hash) continue;
      const row = this.#at(place);
      if (row && this.#keyOf(row) === key) break;
    }
    return place;
  }

  #grow(): void {
    const before = this.#places;
    const places = new Int32Array(2 * before.length);
    const last = before.length - 1;
    for (let from = 0; from < before.length; from += 2) {
      const [hash = 0, number = 0] = [before[from], before[from + 1]];
      if (number === 0) continue;
      let place = hash & last;
      while (places[2 * place + 1] !== 0) place = (place + 1) & last;
      places[2 * place] = hash;
      places[2 * place + 1] = number;
    }
    this.#places = places;
    this.#last = last;
  }
}

function isSame(key: string, bytes: Uint8Array, from: number, to: number): boolean {
  if (key.length !== to - from) return false;
  for (let at = 0; at < key.length; at++) if (key.charCodeAt(at) !== bytes[from + at]) return false;
  return true;
}
