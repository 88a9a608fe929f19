/** ONLINE_USERS: told on each change and now and then, as often as its size allows. [P-31] */
import type { Client } from './client.ts';
import { type Form, Notice } from './notice.ts';

/** Milliseconds after which everybody is told also where nothing changed. */
const PERIOD_MS = 60_000;
/** Milliseconds between two lists, at the least, and at the most; who has just come knows nobody yet. */
const PACE_MS = { least: 50, most: 300_000, newcomers: 2000 };
/** Lists take at most one part of so many of the time: with thousands of people each is long, and goes to thousands. Who comes waits for theirs. */
const SHARE = { all: 20, newcomers: 4 };
/** Bytes that can be written in a millisecond, about. */
const BYTES_PER_MS = 200_000;
/** Bytes of lists that are written in one turn of the event loop, about: what is said meanwhile is not to wait for thousands of them. */
const BYTES_AT_ONCE = 4 * 1024 * 1024;

/** Who is told of it. */
type Reader = Pick<Client, 'ended' | 'waiting' | 'form' | 'owesRoster' | 'tell'>;

export class Roster {
  readonly #who: () => Map<string, string>;
  readonly #clients: () => Iterable<Reader>;
  /** Who has just come is told before the others. */
  readonly #new = new Set<Reader>();
  #changed = false;
  #timer: NodeJS.Timeout | undefined;
  /** When it fires. */
  #due = 0;
  readonly #period: NodeJS.Timeout;
  /** Times, by `performance.now()`, before which the next list is made, and before which all get it. */
  #makeAt = 0;
  #tellAt = 0;
  #isTelling = false;

  /** `who`: status of everybody who is here, by the name that is shown. `clients`: those who have registered. */
  constructor(options: {
    who: () => Map<string, string>;
    clients: () => Iterable<Reader>;
    periodMs?: number | undefined;
  }) {
    this.#who = options.who;
    this.#clients = options.clients;
    this.#period = setInterval(() => this.changed(), options.periodMs ?? PERIOD_MS).unref();
  }

  /** Somebody came, went, or has another status. */
  changed(): void {
    this.#changed = true;
    this.#plan();
  }

  /** Somebody has just come, and knows nobody yet. */
  welcome(client: Reader): void {
    this.#new.add(client);
    this.changed();
  }

  #plan(): void {
    const at = this.#new.size > 0 ? this.#makeAt : Math.max(this.#makeAt, this.#tellAt);
    if (at === Number.POSITIVE_INFINITY) return; // it is planned once all are told
    if (this.#timer !== undefined && this.#due <= at) return;
    clearTimeout(this.#timer);
    this.#due = at; // earlier than it was, where somebody has come who waits for their first list
    this.#timer = setTimeout(() => this.#run(), Math.max(0, at - performance.now()));
  }

  #run(): void {
    this.#timer = undefined;
    const from = performance.now();
    const list = new Notice('ONLINE_USERS', this.#who());
    const [made, newcomers] = [performance.now(), [...this.#new]];
    this.#new.clear();
    for (const client of newcomers) if (!client.ended) client.tell(list);
    this.#makeAt = made + Math.min(PACE_MS.newcomers, pace(performance.now() - from, SHARE.newcomers));
    if (made >= this.#tellAt && !this.#isTelling) this.#tellAll(list, new Set(newcomers));
    if (this.#changed || this.#new.size > 0) this.#plan();
  }

  #tellAll(list: Notice, told: ReadonlySet<Reader>): void {
    this.#changed = false;
    this.#isTelling = true;
    this.#tellAt = Number.POSITIVE_INFINITY;
    this.#tellSome(list, [...this.#clients()].filter((client) => !told.has(client)).values(), {
      from: performance.now(),
      bytes: 0,
    });
  }

  #tellSome(list: Notice, clients: Iterator<Reader>, cost: { from: number; bytes: number }): void {
    const sizes = new Map<Form, number>();
    for (let bytes = 0; bytes < BYTES_AT_ONCE; ) {
      const { value: client } = clients.next();
      if (client === undefined) return this.#toldAll(cost);
      if (client.ended) continue;
      // Who is behind gets the newest list once the rest is read, and not each of them.
      if (client.waiting > 0) {
        client.owesRoster = true;
        continue;
      }
      client.tell(list);
      let size = sizes.get(client.form);
      if (size === undefined) {
        size = list.in(client.form).length;
        sizes.set(client.form, size);
      }
      bytes += size;
      cost.bytes += size;
    }
    setImmediate(() => this.#tellSome(list, clients, cost));
  }

  #toldAll({ from, bytes }: { from: number; bytes: number }): void {
    this.#isTelling = false;
    this.#tellAt = from + pace(performance.now() - from + bytes / BYTES_PER_MS, SHARE.all);
    if (this.#changed || this.#new.size > 0) this.#plan();
  }

  /** A client has read all that waited for it. */
  drained(client: Reader): void {
    if (!client.owesRoster) return;
    client.owesRoster = false;
    this.welcome(client);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    clearInterval(this.#period);
  }
}

const pace = (costMs: number, share: number): number => Math.min(PACE_MS.most, Math.max(PACE_MS.least, share * costMs));
