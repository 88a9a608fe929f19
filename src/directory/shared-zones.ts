/** What the processes of a cluster know of zones: each changes it by what all of them apply in the same order. [K-14] [K-15] */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { Backoff, sleep } from '../base/async.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Logged, SharedLog } from '../base/shared-log.ts';
import { FACTS, type Fact, FactMaps, isKind, type Kind, type ZoneFacts, type ZoneStore } from './zone-store.ts';

/** Times that a change is made anew where another one of the same facts came first. */
const MOST_TRIES = 16;
const AGAIN = { firstMs: 1000, mostMs: 60_000 };

/** One text: changes that have their effect together, or none. */
const change = z.object({
  id: z.string(),
  changes: z.array(
    z.object({
      kind: z.string(),
      zone: z.string(),
      /** Place of the text that last changed this fact where this one was written; another one meanwhile, and it has no effect. */
      after: z.number().int().min(0),
      /** Null: it is so no more. */
      fact: z.unknown(),
    }),
  ),
});

/** What became of a fact. */
export type FactChange = { [K in Kind]: { kind: K; zone: string; before?: Fact<K>; now?: Fact<K> } }[Kind];

type Draft = Map<string, { kind: Kind; zone: string; undo: () => void }>;

export class SharedZones implements ZoneFacts {
  readonly isShared = true;
  readonly #shared: SharedLog;
  /** What this process copied for itself from the tracker that has a zone's key. */
  readonly #local: ZoneStore;
  readonly #isCopy: (zone: string) => boolean;
  readonly #log: Log;
  readonly #maps = new FactMaps();
  readonly #places = new Map<string, number>();
  readonly #asked = new Map<string, boolean>();
  readonly #wanted = new Set<string>();
  readonly #stop = new AbortController();
  #draft: Draft | undefined;
  #refresh: (zone: string) => void = () => {};
  #refreshing: Promise<void> | undefined;
  #applied: (changes: readonly FactChange[]) => void = () => {};

  /** `local` keeps what is copied; `isCopy`: zones whose key another tracker has. */
  constructor(options: {
    shared: SharedLog;
    local: ZoneStore;
    isCopy: (zone: string) => boolean;
    log: Log;
  }) {
    this.#shared = options.shared;
    this.#local = options.local;
    this.#isCopy = options.isCopy;
    this.#log = options.log;
  }

  /** Settles when the facts are as the others have them. */
  start(): Promise<void> {
    return this.#shared.follow(0, (logged) => this.#apply(logged));
  }

  /** `refresh` signs what is missing of a zone; `applied` hears of all that changed, by whichever process. */
  serve(refresh: (zone: string) => void, applied: (changes: readonly FactChange[]) => void): void {
    this.#refresh = refresh;
    this.#applied = applied;
  }

  get isWritable(): boolean {
    return this.#draft !== undefined;
  }

  #isLocal(kind: Kind, zone: string): boolean {
    return kind === 'copied' || (kind === 'apex' && this.#isCopy(zone));
  }

  get<K extends Kind>(kind: K, zone: string): Fact<K> | undefined {
    return this.#isLocal(kind, zone) ? this.#local.get(kind, zone) : this.#maps.of(kind).get(zone);
  }

  all<K extends Kind>(kind: K): ReadonlyMap<string, Fact<K>> {
    return kind === 'copied' ? this.#local.all(kind) : this.#maps.of(kind);
  }

  put<K extends Kind>(kind: K, zone: string, fact: Fact<K>): void {
    if (this.#isLocal(kind, zone)) return this.#local.put(kind, zone, fact);
    this.#note(kind, zone);
    this.#maps.of(kind).set(zone, fact);
  }

  drop(kind: Kind, zone: string): void {
    if (this.#isLocal(kind, zone)) return this.#local.drop(kind, zone);
    this.#note(kind, zone);
    this.#maps.of(kind).delete(zone);
  }

  transaction<T>(work: () => T): T {
    return this.#local.transaction(work);
  }

  #note<K extends Kind>(kind: K, zone: string): void {
    if (!this.#draft) throw new Error('facts of a cluster are changed within write()');
    const name = `${kind} ${zone}`;
    if (this.#draft.has(name)) return;
    const map = this.#maps.of(kind);
    const before = map.get(zone);
    const undo = (): void => void (before === undefined ? map.delete(zone) : map.set(zone, before));
    this.#draft.set(name, { kind, zone, undo });
  }

  /** Done on facts as they are here, in one go, then undone: what it changed counts once it stands in the order. */
  async write<T>(work: () => T): Promise<T> {
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const { result, changes } = this.#try(work);
      const [first] = changes;
      if (!first) return result;
      const id = randomUUID();
      this.#asked.set(id, false);
      try {
        await this.#shared.append(first.zone.replaceAll('.', '='), JSON.stringify({ id, changes }));
        if (this.#asked.get(id)) return result;
      } finally {
        this.#asked.delete(id);
      }
    }
    throw new Fault(
      'tracker_down',
      'changing zones: others of the cluster change the same at the same time; try again',
    );
  }

  #try<T>(work: () => T): { result: T; changes: z.infer<typeof change>['changes'] } {
    const draft: Draft = new Map();
    this.#draft = draft;
    try {
      const result = work();
      const changes = [...draft.values()].map(({ kind, zone }) => ({
        kind,
        zone,
        after: this.#places.get(`${kind} ${zone}`) ?? 0,
        fact: this.#maps.of(kind).get(zone) ?? null,
      }));
      return { result, changes };
    } finally {
      for (const { undo } of draft.values()) undo();
      this.#draft = undefined;
    }
  }

  #apply({ key, text, at }: Logged): void {
    if (text === null) return;
    try {
      const { id, changes } = change.parse(JSON.parse(text));
      const parsed = changes.map(({ kind, zone, after, fact }) => {
        if (!isKind(kind)) throw new Fault('malformed', `the kind "${kind}" is not known`);
        return { zone, after, ...read(kind, fact) };
      });
      if (parsed.some(({ kind, zone, after }) => after !== (this.#places.get(`${kind} ${zone}`) ?? 0))) return;
      const done = parsed.map((each) => this.#set(each.kind, each.zone, each.now, at));
      if (this.#asked.has(id)) this.#asked.set(id, true);
      this.#applied(done);
    } catch (error) {
      this.#log.error({ err: error, key }, 'the cluster holds something that is not of its form; it is left out');
    }
  }

  #set<K extends Kind>(kind: K, zone: string, now: Fact<K> | undefined, at: number): FactChange {
    const map = this.#maps.of(kind);
    const before = map.get(zone);
    if (now === undefined) map.delete(zone);
    else map.set(zone, now);
    this.#places.set(`${kind} ${zone}`, at);
    return { kind, zone, before, now } as FactChange; // both are of its kind
  }

  /** Soon, and until it works, by this process; where another one was first there is nothing left to sign. */
  want(zone: string): void {
    this.#wanted.add(zone);
    this.#refreshing ??= this.#keepRefreshing().finally(() => {
      this.#refreshing = undefined;
    });
  }

  async #keepRefreshing(): Promise<void> {
    const backoff = new Backoff(AGAIN);
    const { signal } = this.#stop;
    for (;;) {
      const [zone] = this.#wanted;
      if (zone === undefined || signal.aborted) return;
      try {
        await this.write(() => this.#refresh(zone));
        this.#wanted.delete(zone);
        backoff.reset();
      } catch (error) {
        const { code, message } = toFault(error, `signing for "${zone}"`);
        if (!signal.aborted) this.#log.warn({ zone, code, reason: message }, 'a statement waits for the cluster');
        await sleep(backoff.next(), signal).catch(() => {}); // stopped
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Fault('cancelled', 'the tracker ends'));
    await this.#refreshing;
  }
}

function read<K extends Kind>(kind: K, fact: unknown): { kind: K; now: Fact<K> | undefined } {
  return { kind, now: fact === null ? undefined : (FACTS[kind].parse(fact) as Fact<K>) }; // by the schema of its kind
}
