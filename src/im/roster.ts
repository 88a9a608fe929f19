/** ONLINE_USERS: told on each change and now and then, as often as its size allows. [P-31] */
import type { Client } from './client.ts';
import { type Form, Notice } from './notice.ts';

/** Milliseconds after which everybody is told also where nothing changed. */
const PERIOD_MS = 60_000;
/** Milliseconds between two lists, at the least, and at the most. */
const PACE_MS = { least: 50, most: 30_000 };
/** Lists take at most one part of so many of the time: with thousands of people each is long, and goes to thousands. */
const SHARE = 20;
/** Bytes that can be written in a millisecond, about. */
const BYTES_PER_MS = 200_000;

export class Roster {
  readonly #who: () => Map<string, string>;
  readonly #clients: () => Iterable<Client>;
  /** Who has just come is told before the others. */
  readonly #new = new Set<Client>();
  #changed = false;
  #timer: NodeJS.Timeout | undefined;
  /** When it fires. */
  #due = 0;
  readonly #period: NodeJS.Timeout;
  /** Times, by `performance.now()`, before which the next list is made, and before which all get it. */
  #makeAt = 0;
  #tellAt = 0;

  /** `who`: status of everybody who is here, by the name that is shown. `clients`: those who have registered. */
  constructor(options: {
    who: () => Map<string, string>;
    clients: () => Iterable<Client>;
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
  welcome(client: Client): void {
    this.#new.add(client);
    this.changed();
  }

  #plan(): void {
    const at = this.#new.size > 0 ? this.#makeAt : Math.max(this.#makeAt, this.#tellAt);
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
    if (made >= this.#tellAt) this.#tellAll(list, new Set(newcomers));
    const took = performance.now() - from;
    this.#makeAt = made + pace(took);
    if (this.#changed || this.#new.size > 0) this.#plan();
  }

  #tellAll(list: Notice, told: ReadonlySet<Client>): void {
    const from = performance.now();
    this.#changed = false;
    let bytes = 0;
    const sizes = new Map<Form, number>();
    for (const client of this.#clients()) {
      if (told.has(client)) continue;
      // Who is behind gets the newest list once the rest is read, and not each of them.
      if (client.waiting > 0) client.owesRoster = true;
      else {
        client.tell(list);
        let size = sizes.get(client.form);
        if (size === undefined) {
          size = list.in(client.form).length;
          sizes.set(client.form, size);
        }
        bytes += size;
      }
    }
    this.#tellAt = from + pace(performance.now() - from + bytes / BYTES_PER_MS);
  }

  /** A client has read all that waited for it. */
  drained(client: Client): void {
    if (!client.owesRoster) return;
    client.owesRoster = false;
    this.welcome(client);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    clearInterval(this.#period);
  }
}

const pace = (costMs: number): number => Math.min(PACE_MS.most, Math.max(PACE_MS.least, SHARE * costMs));
