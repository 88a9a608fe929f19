/** What a tracker must not forget about zones: statements, and who was given what. [Z-8] */
import { z } from 'zod';
import type { Statement, Store } from '../base/sqlite.ts';
import { addressText } from '../link/address.ts';
import { apex, delegation, server } from './delegation.ts';

const SCHEMA = [
  'CREATE TABLE zone_facts (kind TEXT NOT NULL, zone TEXT NOT NULL, fact TEXT NOT NULL, PRIMARY KEY (kind, zone)) STRICT, WITHOUT ROWID',
];

export const FACTS = {
  /** The newest statement about a zone that is served here: signed here, or copied from who has its key. */
  apex,
  /** Further trackers of a zone whose key is here. */
  servers: z.array(server),
  /** A zone below, given away by a zone whose key is here; `seen`: when it last proved its key. */
  grant: z.object({ delegation, seen: z.number().int().nullable() }),
  /** A zone below, given away by a zone of which this is a further tracker. */
  copied: delegation,
  /** What the zone above signed for a zone whose key is here, and what it says of itself. */
  parent: z.object({ delegation, apex }),
  /** A zone whose key is here, given to it by another such zone: in a cluster all say the same of it. */
  own: delegation,
  /** In a cluster: where its processes are reached, and when each said so last, in Unix milliseconds. */
  reach: z.array(z.object({ address: addressText, at: z.number().int() })),
} as const;

export type Kind = keyof typeof FACTS;
export type Fact<K extends Kind> = z.infer<(typeof FACTS)[K]>;

/** What is known of zones, and how it may change. */
export interface ZoneFacts {
  /** Whether several processes answer by it. */
  readonly isShared: boolean;
  /** Whether what is missing may be signed now; else it is asked for with `want`. */
  readonly isWritable: boolean;
  want(zone: string): void;
  get<K extends Kind>(kind: K, zone: string): Fact<K> | undefined;
  /** By zone. */
  all<K extends Kind>(kind: K): ReadonlyMap<string, Fact<K>>;
  put<K extends Kind>(kind: K, zone: string, fact: Fact<K>): void;
  drop(kind: Kind, zone: string): void;
  transaction<T>(work: () => T): T;
  /**
   * Does what changes facts. Embedded, at once; shared, its changes are agreed upon first, and it is done anew where others came
   * before. Throws what `work` does, and `tracker_down`.
   */
  write<T>(work: () => T): T | Promise<T>;
}

/** Facts in memory, by kind and zone. */
export class FactMaps {
  readonly #maps: { [K in Kind]: Map<string, Fact<K>> } = {
    apex: new Map(),
    servers: new Map(),
    grant: new Map(),
    copied: new Map(),
    parent: new Map(),
    own: new Map(),
    reach: new Map(),
  };

  of<K extends Kind>(kind: K): Map<string, Fact<K>> {
    return this.#maps[kind];
  }
}

/** The facts of a tracker that is one process. */
export class ZoneStore implements ZoneFacts {
  readonly isShared = false;
  readonly isWritable = true;
  readonly #store: Store;
  readonly #maps = new FactMaps();
  readonly #put: Statement;
  readonly #drop: Statement;

  /** `store` is open; its table is made and read here. */
  constructor(store: Store) {
    this.#store = store;
    store.migrate('zones', SCHEMA);
    this.#put = store.prepare('INSERT OR REPLACE INTO zone_facts (kind, zone, fact) VALUES (?, ?, ?)');
    this.#drop = store.prepare('DELETE FROM zone_facts WHERE kind = ? AND zone = ?');
    this.#loadAll();
  }

  #loadAll(): void {
    for (const kind of Object.keys(FACTS)) if (isKind(kind)) this.#load(kind);
  }

  /** One that is damaged is left out. */
  #load<K extends Kind>(kind: K): void {
    type Row = { zone: string; fact: string };
    this.#maps.of(kind).clear();
    for (const { zone, fact } of this.#store
      .prepare<Row>('SELECT zone, fact FROM zone_facts WHERE kind = ?')
      .all(kind)) {
      const parsed = FACTS[kind].safeParse(parseJson(fact));
      if (parsed.success) this.#maps.of(kind).set(zone, parsed.data as Fact<K>); // by the schema of its kind
    }
  }

  want(): void {}

  get<K extends Kind>(kind: K, zone: string): Fact<K> | undefined {
    return this.#maps.of(kind).get(zone);
  }

  all<K extends Kind>(kind: K): ReadonlyMap<string, Fact<K>> {
    return this.#maps.of(kind);
  }

  put<K extends Kind>(kind: K, zone: string, fact: Fact<K>): void {
    this.#put.run(kind, zone, JSON.stringify(fact));
    this.#maps.of(kind).set(zone, fact);
  }

  drop(kind: Kind, zone: string): void {
    this.#drop.run(kind, zone);
    this.#maps.of(kind).delete(zone);
  }

  transaction<T>(work: () => T): T {
    try {
      return this.#store.transaction(work);
    } catch (error) {
      this.#loadAll(); // nothing of it was written
      throw error;
    }
  }

  write<T>(work: () => T): T {
    return work();
  }
}

export const isKind = (text: string): text is Kind => Object.hasOwn(FACTS, text);

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
