/** People of other zones who were here: by which handle each is found, as its own zone confirmed. [Z-31] [Z-32] */
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { Statement, Store } from '../base/sqlite.ts';
import type { Link } from '../link/link.ts';
import { handle as handleForm } from './handle.ts';
import type { Walked } from './walk.ts';

const SCHEMA = [
  `CREATE TABLE zone_guests (account TEXT PRIMARY KEY, handle TEXT NOT NULL, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
   CREATE INDEX zone_guests_at ON zone_guests (at)`,
];

/** Milliseconds after which a guest's zone is asked again. */
const CONFIRMED_MS = 24 * 3600_000;
/** Milliseconds for which one that its zone does not know is refused without asking. */
const REFUSED_MS = 60_000;
/** Milliseconds for the walk to a guest's zone. */
const WALK_MS = 5000;
const MOST_GUESTS = 100_000;
/** New guests from one look at whether there are too many to the next. */
const TRIM_EVERY = 1000;
const MOST_REFUSED = 10_000;
/** Walks for guests at once. */
const MOST_WALKS = 64;

/** By which handle each guest is found: what a tracker, or all processes of one, wrote down. */
export class GuestBook {
  readonly #of: Statement<{ handle: string; at: number }>;
  readonly #put: Statement;
  readonly #trim: Statement<{ account: string }>;
  #taken = 0;

  /** `store` is open; its table is made here. */
  constructor(store: Store) {
    store.migrate('zone-guests', SCHEMA);
    this.#of = store.prepare('SELECT handle, at FROM zone_guests WHERE account = ?');
    this.#put = store.prepare('INSERT OR REPLACE INTO zone_guests (account, handle, at) VALUES (?, ?, ?)');
    this.#trim = store.prepare(
      `DELETE FROM zone_guests WHERE account IN
         (SELECT account FROM zone_guests ORDER BY at DESC, account LIMIT -1 OFFSET ?) RETURNING account`,
    );
  }

  of(account: string): { handle: string; at: number } | undefined {
    return this.#of.get(account);
  }

  /** An older word than the known one has no effect. The accounts for whom there is no room any more. */
  put(account: string, handle: string, at: number): string[] {
    if ((this.#of.get(account)?.at ?? 0) > at) return [];
    this.#put.run(account, handle, at);
    if (++this.#taken % TRIM_EVERY !== 0) return [];
    return this.#trim.all(MOST_GUESTS).map((row) => row.account);
  }
}

export class Guests {
  readonly #find: (handle: string, deadlineMs: number) => Promise<Walked>;
  readonly #clock: Clock;
  readonly #book: GuestBook;
  readonly #take: (account: string, handle: string, at: number) => void | Promise<void>;
  readonly #refused = new Map<string, { fault: Fault; until: number }>();
  readonly #asking = new Map<string, Promise<void>>();

  constructor(options: {
    find(handle: string, deadlineMs: number): Promise<Walked>;
    book: GuestBook;
    /** Writes down who was confirmed, for all processes of a cluster; default: in `book`. */
    take?: ((account: string, handle: string, at: number) => Promise<void>) | undefined;
    clock: Clock;
  }) {
    this.#find = options.find;
    this.#clock = options.clock;
    const { book } = options;
    this.#book = book;
    this.#take = options.take ?? ((account, handle, at) => void book.put(account, handle, at));
  }

  /** By what the account is found, if it was here. */
  handleOf(account: string): string | undefined {
    return this.#book.of(account)?.handle;
  }

  /**
   * Settles when the zone of the account behind the link says that the handle in its hello is its own. Throws
   * `forbidden` where it does not, `tracker_down` where it cannot be asked, `queue_full`. [Z-31]
   */
  async confirm(link: Link): Promise<void> {
    const { account, handle } = link.account ?? {};
    const what = 'being a guest';
    if (account === undefined || !handleForm.safeParse(handle).success || handle === undefined) {
      throw new Fault('forbidden', `${what}: say in hello which account this is, and its handle`);
    }
    const known = this.#book.of(account);
    const now = this.#clock.now();
    if (known?.handle === handle && now - known.at < CONFIRMED_MS) return;
    const name = `${account} ${handle}`;
    const refused = this.#refused.get(name);
    if (refused && refused.until > now) throw refused.fault;
    let asking = this.#asking.get(name);
    if (!asking) {
      if (this.#asking.size >= MOST_WALKS) throw new Fault('queue_full', `${what}: too many are being asked about`);
      asking = this.#ask(account, handle).finally(() => this.#asking.delete(name));
      this.#asking.set(name, asking);
    }
    try {
      await asking;
    } catch (error) {
      // One who was confirmed is not turned away because their zone does not answer today.
      if (known?.handle === handle && error instanceof Fault && error.retry) return;
      throw error;
    }
  }

  async #ask(account: string, handle: string): Promise<void> {
    const what = `being a guest as "${handle}"`;
    const { entry, fault, stale } = await this.#find(handle, WALK_MS);
    const now = this.#clock.now();
    if (entry?.record.account === account) {
      if (stale) return;
      await this.#take(account, handle, now);
      return;
    }
    if (fault && fault.code !== 'unknown_handle' && fault.code !== 'unknown_zone') {
      throw new Fault('tracker_down', `${what}: its zone cannot be asked now: ${fault.message}`);
    }
    const why = entry ? 'its zone says that it is another account' : 'its zone does not know it';
    const refusal = new Fault('forbidden', `${what}: ${why}`);
    if (this.#refused.size >= MOST_REFUSED) this.#refused.clear();
    this.#refused.set(`${account} ${handle}`, { fault: refusal, until: now + REFUSED_MS });
    throw refusal;
  }
}
