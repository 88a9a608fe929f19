/** What an asker remembers of zones for good: the first key of one that nobody else vouches for, and how new what it saw was. [Z-23] [Z-41] */
import { Fault } from '../base/fault.ts';
import type { Statement, Store } from '../base/sqlite.ts';

const SCHEMA = [
  `CREATE TABLE zone_pins (zone TEXT PRIMARY KEY, key TEXT NOT NULL, since INTEGER NOT NULL) STRICT, WITHOUT ROWID;
   CREATE TABLE zone_seen (
     zone TEXT NOT NULL, signer TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (zone, signer)
   ) STRICT, WITHOUT ROWID;`,
];

/** Zones of which the newest statement is remembered; a zone that signs for more is not followed for new ones. */
const MOST_SEEN = 100_000;

export class ZonePins {
  readonly #pins = new Map<string, string>();
  readonly #seen = new Map<string, number>();
  readonly #pin: Statement;
  readonly #repin: Statement;
  readonly #see: Statement;

  /** `store` is open; its tables are made and read here. */
  constructor(store: Store) {
    store.migrate('zone-pins', SCHEMA);
    this.#pin = store.prepare('INSERT INTO zone_pins (zone, key, since) VALUES (?, ?, ?)');
    this.#repin = store.prepare('INSERT OR REPLACE INTO zone_pins (zone, key, since) VALUES (?, ?, ?)');
    this.#see = store.prepare('INSERT OR REPLACE INTO zone_seen (zone, signer, seq) VALUES (?, ?, ?)');
    for (const { zone, key } of store.prepare<{ zone: string; key: string }>('SELECT zone, key FROM zone_pins').all()) {
      this.#pins.set(zone, key);
    }
    type Seen = { zone: string; signer: string; seq: number };
    for (const { zone, signer, seq } of store.prepare<Seen>('SELECT zone, signer, seq FROM zone_seen').all()) {
      this.#seen.set(`${zone} ${signer}`, seq);
    }
  }

  pinned(zone: string): string | undefined {
    return this.#pins.get(zone);
  }

  /** Remembers the zone's first key; throws `key_changed` for another one. */
  pin(zone: string, key: string, now: number): void {
    const known = this.#pins.get(zone);
    if (known === key) return;
    if (known !== undefined) {
      throw new Fault(
        'key_changed',
        `finding "${zone}": it is shown with the key "${key}" instead of "${known}", which was seen first; ask whoever runs it whether that is so, and if it is: netapp zones accept-key ${zone} --key ${key}`,
        { data: { zone, pinned: known, shown: key } },
      );
    }
    this.#pin.run(zone, key, now);
    this.#pins.set(zone, key);
  }

  /** The user says that this is the zone's key; what was taken for it before, if anything. [Z-43] */
  accept(zone: string, key: string, now: number): string | null {
    const before = this.#pins.get(zone) ?? null;
    this.#repin.run(zone, key, now);
    this.#pins.set(zone, key);
    return before;
  }

  seen(zone: string, signer: string): number {
    return this.#seen.get(`${zone} ${signer}`) ?? 0;
  }

  saw(zone: string, signer: string, seq: number): void {
    const name = `${zone} ${signer}`;
    if (seq <= (this.#seen.get(name) ?? 0)) return;
    if (this.#seen.size >= MOST_SEEN && !this.#seen.has(name)) {
      throw new Fault('queue_full', `following "${zone}": ${MOST_SEEN} zones are remembered already`);
    }
    this.#see.run(zone, signer, seq);
    this.#seen.set(name, seq);
  }
}
