/** How the user presents themself: as they said by hand, kept across restarts; and `away` by itself when nobody is at it. */
import type { Clock } from '../base/clock.ts';
import type { Store } from '../base/sqlite.ts';
import type { PresentStatus } from '../directory/record.ts';

export type Said = { status: PresentStatus; text: string };

/** Milliseconds from one look at the clock to the next. */
const TICK_MS = 1000;

type Row = { status: PresentStatus; text: string };

export class Presence implements Disposable {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #awayAfterMs: number | null;
  readonly #apply: (said: Said) => void;
  #said: Said = { status: 'online', text: '' };
  #idle = false;
  #usedAt: number;
  #timer: NodeJS.Timeout | undefined;

  /** `awayAfterMs`: null for never. `apply` is told whenever the status that others are to see changes by itself. */
  constructor(options: { store: Store; clock: Clock; awayAfterMs: number | null; apply(said: Said): void }) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#awayAfterMs = options.awayAfterMs;
    this.#apply = options.apply;
    this.#usedAt = options.clock.now();
    this.#store.migrate('presence', [
      `CREATE TABLE presence (
         one INTEGER PRIMARY KEY CHECK (one = 1), status TEXT NOT NULL, text TEXT NOT NULL
       ) STRICT`,
    ]);
  }

  /** Reads what was said by hand before, and begins to watch the clock. */
  start(): void {
    this.#said = this.#store.prepare<Row>('SELECT status, text FROM presence').get() ?? this.#said;
    this.#timer = setInterval(() => this.tick(), TICK_MS).unref();
  }

  /** What others are to see. A status other than `online` was set by hand, and stays. */
  get shown(): Said {
    const { status, text } = this.#said;
    return { status: this.#idle && status === 'online' ? 'away' : status, text };
  }

  /** The user's word. On disk before this answers. */
  say(said: Said): void {
    this.#store
      .prepare('INSERT OR REPLACE INTO presence (one, status, text) VALUES (1, ?, ?)')
      .run(said.status, said.text);
    this.#said = said;
    this.#usedAt = this.#clock.now();
    this.#idle = false;
  }

  /** The user did something. */
  used(): void {
    this.#usedAt = this.#clock.now();
    this.#become(false);
  }

  /** What the timer does once a second. */
  tick(): void {
    if (this.#awayAfterMs !== null && this.#clock.now() - this.#usedAt >= this.#awayAfterMs) this.#become(true);
  }

  #become(idle: boolean): void {
    if (this.#idle === idle) return;
    this.#idle = idle;
    if (this.#said.status === 'online') this.#apply(this.shown);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
