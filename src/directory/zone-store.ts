/** What a tracker must not forget about zones: what it signed, what was signed for it, and to whom it gave zones. [Z-8] */
import { z } from 'zod';
import type { Statement, Store } from '../base/sqlite.ts';
import { apex, delegation, server } from './delegation.ts';

const SCHEMA = [
  'CREATE TABLE zone_facts (kind TEXT NOT NULL, zone TEXT NOT NULL, fact TEXT NOT NULL, PRIMARY KEY (kind, zone)) STRICT, WITHOUT ROWID',
];

const FACTS = {
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
} as const;

type Kind = keyof typeof FACTS;
type Fact<K extends Kind> = z.infer<(typeof FACTS)[K]>;

export class ZoneStore {
  readonly #store: Store;
  readonly #put: Statement;
  readonly #drop: Statement;
  readonly #of: Statement<{ zone: string; fact: string }>;

  /** `store` is open; its table is made here. */
  constructor(store: Store) {
    this.#store = store;
    store.migrate('zones', SCHEMA);
    this.#put = store.prepare('INSERT OR REPLACE INTO zone_facts (kind, zone, fact) VALUES (?, ?, ?)');
    this.#drop = store.prepare('DELETE FROM zone_facts WHERE kind = ? AND zone = ?');
    this.#of = store.prepare('SELECT zone, fact FROM zone_facts WHERE kind = ?');
  }

  /** All facts of one kind, by zone; one that is damaged is left out. */
  all<K extends Kind>(kind: K): Map<string, Fact<K>> {
    const found = new Map<string, Fact<K>>();
    for (const { zone, fact } of this.#of.all(kind)) {
      const parsed = FACTS[kind].safeParse(parseJson(fact));
      if (parsed.success) found.set(zone, parsed.data as Fact<K>); // by the schema of its kind
    }
    return found;
  }

  put<K extends Kind>(kind: K, zone: string, fact: Fact<K>): void {
    this.#put.run(kind, zone, JSON.stringify(fact));
  }

  drop(kind: Kind, zone: string): void {
    this.#drop.run(kind, zone);
  }

  transaction<T>(work: () => T): T {
    return this.#store.transaction(work);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
