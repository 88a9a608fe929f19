/** What each account has had relayed today, kept over restarts. [N-21] */
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { Store } from '../base/sqlite.ts';

const SCHEMA = [
  `CREATE TABLE relay_usage (day INTEGER NOT NULL, account TEXT NOT NULL, bytes INTEGER NOT NULL,
     PRIMARY KEY (day, account)) STRICT, WITHOUT ROWID`,
];
const DAY_MS = 24 * 3600_000;
/** Milliseconds between writes of what has changed: what a killed process forgets. */
const WRITE_MS = 10_000;

export class RelayUsage implements Disposable {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #bytes = new Map<string, number>();
  readonly #changed = new Set<string>();
  #day: number;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: { store: Store; clock: Clock; log: Log }) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#day = this.#today;
  }

  /** Days begin at midnight UTC. */
  get #today(): number {
    return Math.floor(this.#clock.now() / DAY_MS);
  }

  /** Milliseconds until the next day. */
  get leftMs(): number {
    return DAY_MS - (this.#clock.now() % DAY_MS);
  }

  start(): void {
    this.#store.migrate('relay-usage', SCHEMA);
    const rows = this.#store.prepare<{ account: string; bytes: number }>(
      'SELECT account, bytes FROM relay_usage WHERE day = ?',
    );
    for (const { account, bytes } of rows.all(this.#day)) this.#bytes.set(account, bytes);
    this.#timer = setInterval(() => this.#write(), WRITE_MS).unref();
  }

  #turnDay(): void {
    if (this.#today === this.#day) return;
    this.#day = this.#today;
    this.#bytes.clear();
    this.#changed.clear();
  }

  /** Bytes of the account today. */
  of(account: string): number {
    this.#turnDay();
    return this.#bytes.get(account) ?? 0;
  }

  /** So many more; gives how many it are. */
  add(account: string, bytes: number): number {
    this.#turnDay();
    const all = (this.#bytes.get(account) ?? 0) + bytes;
    this.#bytes.set(account, all);
    this.#changed.add(account);
    return all;
  }

  #write(): void {
    if (this.#changed.size === 0) return;
    try {
      this.#store.transaction(() => {
        const put = this.#store.prepare('INSERT OR REPLACE INTO relay_usage (day, account, bytes) VALUES (?, ?, ?)');
        for (const account of this.#changed) put.run(this.#day, account, this.#bytes.get(account) ?? 0);
        this.#store.prepare('DELETE FROM relay_usage WHERE day < ?').run(this.#day);
      });
      this.#changed.clear();
    } catch (error) {
      this.#log.error({ err: error }, 'what was relayed today cannot be written down; it is tried again');
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#write();
  }
}
