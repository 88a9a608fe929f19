/** What a tracker counts. Plain numbers: they are counted for each request. `prometheus.ts` shows them. */
import type { FaultCode } from '../base/fault.ts';
import type { Guard, Refusals } from '../link/guard.ts';
import type { Link } from '../link/link.ts';
import type { Overseer } from '../link/router.ts';

/** What is looked at when somebody asks. */
export type Looked = {
  links(): ReadonlySet<Link>;
  /** Accounts on the list, and those of them that are online. */
  accounts(): { known: number; online: number };
  handles(): number;
  watchers(): number;
  dialBacks(): number;
  /** All that is held; undefined without mailboxes. */
  mail(): { letters: number; bytes: number } | undefined;
  /** What is passed on between nodes: as `RelayServer.totals`. */
  relay(): { pairs: number; waiting: number; tokens: number; bytes: number; outcomes: ReadonlyMap<string, number> };
  /** Zones with whom they take in. */
  zones(): readonly { zone: string; policy: string }[];
  ready(): Promise<boolean>;
};

/** By one word, by another. */
type Counts = ReadonlyMap<string, ReadonlyMap<string, number>>;

export class Metrics implements Overseer {
  readonly looked: Looked;
  readonly #guard: Guard;
  readonly #requests = new Map<string, Map<string, number>>();
  readonly #http = new Map<string, Map<string, number>>();
  readonly #zones = new Map<string, Map<string, number>>();
  #shown: Promise<{ contentType: string; metrics(): Promise<string> }> | undefined;

  constructor(options: { guard: Guard; looked: Looked }) {
    this.looked = options.looked;
    this.#guard = options.guard;
  }

  /** Requests on links, by method and outcome. */
  get requests(): Counts {
    return this.#requests;
  }

  /** Plain HTTP requests, by route and status. */
  get http(): Counts {
    return this.#http;
  }

  /** What was asked across zones: `answer`, by what was answered; `walk`, for others and for guests, by how it ended. */
  get zones(): Counts {
    return this.#zones;
  }

  get refused(): Readonly<Refusals> {
    return this.#guard.refused;
  }

  admit(link: Link): void {
    this.#guard.call(link);
  }

  admitAll(link: Link, many: number): boolean {
    return this.#guard.calls(link, many);
  }

  ended(method: string, outcome: FaultCode | 'ok', many?: number): void {
    count(this.#requests, method, outcome, many);
  }

  /** Somebody was looked for across zones. */
  lookedUp(kind: 'answer' | 'walk', outcome: string): void {
    count(this.#zones, kind, outcome);
  }

  /** A plain HTTP request of one of the tracker's own routes was answered. */
  answered(route: string, status: number): void {
    count(this.#http, route, String(status));
  }

  /** As Prometheus reads it. What that takes is loaded for the first who asks. */
  async text(): Promise<{ type: string; body: string }> {
    this.#shown ??= import('./prometheus.ts').then(({ shown }) => shown(this));
    const shown = await this.#shown;
    return { type: shown.contentType, body: await shown.metrics() };
  }
}

function count(map: Map<string, Map<string, number>>, first: string, second: string, many = 1): void {
  let inner = map.get(first);
  if (!inner) {
    inner = new Map();
    map.set(first, inner);
  }
  inner.set(second, (inner.get(second) ?? 0) + many);
}
