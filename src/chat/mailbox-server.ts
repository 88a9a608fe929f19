/** A tracker's side of the mailbox: takes letters for accounts that are bound here, and gives each its own. */
import type { Clock } from '../base/clock.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { Rate } from '../base/rate.ts';
import type { SharedLog } from '../base/shared-log.ts';
import type { Store } from '../base/sqlite.ts';
import type { Link } from '../link/link.ts';
import { needsAccount, type Router } from '../link/router.ts';
import { type Envelope, type Hold, letterBytes } from './letter.ts';
import type { MailStore } from './mailbox-store.ts';
import { CALL_BYTES, deposit, fetch, PAGE_LETTERS, remove, waiting } from './mailbox-wire.ts';
import { SharedMail } from './shared-mail.ts';

/** Calls that a link may make: this many at once, and this many each second after. [M-10] */
const CALLS_BURST = 200;
const CALLS_PER_SECOND = 50;
/** Milliseconds from one look for letters whose time is over to the next. */
const SWEEP_MS = 60_000;

type Result = { hold: Hold } | { refused: { code: string; message: string } };

export class MailServer implements Disposable {
  readonly #letters: MailStore;
  readonly #isBound: (account: string) => boolean;
  readonly #confirm: ((link: Link) => Promise<void>) | undefined;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #rates = new WeakMap<Link, Rate>();
  /** Links that have fetched, by account: they are told of new letters. */
  readonly #readers = new Map<string, Set<Link>>();
  readonly #shared: SharedMail | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: {
    letters: MailStore;
    /** The log in which several processes hold letters together; `store` is where `letters` keeps this one's copy. */
    shared?: { log: SharedLog; store: Store } | undefined;
    /** Whether the account owns a handle at this tracker. */
    isBound(account: string): boolean;
    /** Settles when the account behind the link is known to own its handle elsewhere; throws `forbidden`. [Z-31] */
    confirm?(link: Link): Promise<void>;
    clock: Clock;
    log: Log;
  }) {
    this.#letters = options.letters;
    this.#isBound = options.isBound;
    this.#confirm = options.confirm;
    this.#clock = options.clock;
    this.#log = options.log;
    const { letters, shared, log } = options;
    const tell = (to: string): void => this.#tell(to);
    this.#shared = shared && new SharedMail({ shared: shared.log, store: shared.store, letters, tell, log });
  }

  /** Makes the tables where they are missing, and starts to forget what is over. In a cluster it settles when the copy has all letters. */
  start(): Promise<void> | undefined {
    this.#letters.migrate();
    this.#timer = setInterval(() => this.sweep(), SWEEP_MS).unref();
    return this.#shared?.start();
  }

  /** What the timer does. */
  sweep(): void {
    try {
      while (this.#letters.sweep() > 0);
    } catch (error) {
      this.#log.error({ err: error }, 'the mailbox cannot write to its store; it tries again');
    }
  }

  /** Puts the methods into the tracker's table. */
  attach(router: Router): this {
    const needs = { needs: needsAccount };
    router
      .handle(
        deposit,
        async ({ to, letters }, { link }) => ({
          results: await this.#deposit(await this.#admitGuest(link), to, letters),
        }),
        needs,
      )
      .handle(fetch, ({ after }, { link }) => this.#fetch(this.#admit(link), after, link), needs)
      .handle(remove, ({ ids }, { link }) => this.#delete(this.#admit(link), ids), needs);
    return this;
  }

  /** The account behind the link. Throws `too_many` past the rate, `forbidden` for one that is not bound here. [M-7] */
  #admit(link: Link): string {
    const account = this.#limited(link);
    if (this.#isBound(account)) return account;
    throw new Fault('forbidden', `using a mailbox: "${account}" has no handle at this tracker; announce first`);
  }

  /** As `#admit`, also for an account that its own zone confirms. Throws what keeps that from being asked. [Z-31] */
  async #admitGuest(link: Link): Promise<string> {
    const account = this.#limited(link);
    if (this.#isBound(account)) return account;
    if (!this.#confirm) throw new Fault('forbidden', `using a mailbox: "${account}" has no handle at this tracker`);
    await this.#confirm(link);
    return account;
  }

  #limited(link: Link): string {
    const account = link.account?.account ?? '';
    let rate = this.#rates.get(link);
    if (!rate) {
      rate = new Rate({ burst: CALLS_BURST, perSecond: CALLS_PER_SECOND, clock: this.#clock });
      this.#rates.set(link, rate);
    }
    if (!rate.take()) {
      throw new Fault('too_many', `using a mailbox: at most ${CALLS_PER_SECOND} calls a second`, {
        data: { retryAfterMs: rate.waitMs },
      });
    }
    return account;
  }

  #delete(account: string, ids: readonly string[]): { deleted: number } | Promise<{ deleted: number }> {
    if (this.#shared) return this.#shared.delete(account, ids).then((deleted) => ({ deleted }));
    return { deleted: this.#letters.delete(account, ids) };
  }

  #deposit(from: string, to: string, letters: readonly Envelope[]): Result[] | Promise<Result[]> {
    if (!this.#isBound(to)) {
      throw new Fault('unknown_handle', `holding letters for "${to}": this account has no handle at this tracker`);
    }
    const bytes = letters.reduce((sum, letter) => sum + letterBytes(letter), 0);
    if (letters.length > 1 && bytes > CALL_BYTES) {
      throw new Fault('too_large', `holding ${letters.length} letters: ${bytes} bytes, at most ${CALL_BYTES} at once`);
    }
    const shared = this.#shared;
    if (shared) {
      return Promise.all(
        letters.map((letter) => shared.put({ from, to, ...letter }).then((hold): Result => ({ hold }), refusedOr)),
      );
    }
    let fresh = false;
    // One transaction for the call; a letter that is refused leaves nothing, and one that fails takes the call along.
    const results = this.#letters.transaction(() =>
      letters.map((letter): Result => {
        try {
          const put = this.#letters.put({ from, to, ...letter });
          fresh ||= put.fresh;
          return { hold: put.hold };
        } catch (error) {
          return refusedOr(error);
        }
      }),
    );
    if (fresh) this.#tell(to);
    return results;
  }

  #tell(account: string): void {
    for (const link of this.#readers.get(account) ?? []) link.notify(waiting, {});
  }

  #fetch(account: string, after: number, link: Link) {
    this.#tellOfNew(account, link);
    const { letters, more } = this.#letters.page(account, after, { most: PAGE_LETTERS, bytes: CALL_BYTES });
    return { letters: letters.map(({ to: _, ...letter }) => letter), more };
  }

  #tellOfNew(account: string, link: Link): void {
    const links = this.#readers.get(account) ?? new Set();
    if (links.has(link) || !link.open) return;
    links.add(link);
    this.#readers.set(account, links);
    void link.closed.then(() => {
      links.delete(link);
      if (links.size === 0 && this.#readers.get(account) === links) this.#readers.delete(account);
    });
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#readers.clear();
  }
}

/** What refuses one letter alone; anything else fails the call. */
function refusedOr(error: unknown): Result {
  const { code, message } = toFault(error);
  if (!['too_large', 'too_many', 'queue_full'].includes(code)) throw error;
  return { refused: { code, message } };
}
