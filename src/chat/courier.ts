/** When to deliver: one lane for each account, woken by events, with backoff between tries that fail. */
import { Backoff, Budget, deadline, sleep } from '../base/async.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Link } from '../link/link.ts';

export type Reach = (account: string, options: { signal: AbortSignal }) => Promise<Link>;

/** Waits between tries that fail: 250 ms at first, doubled up to a minute; presence and links end a wait at once. */
const FIRST_MS = 500;
const MOST_MS = 60_000;
/** Milliseconds to find and dial somebody. */
const REACH_MS = 30_000;
/** Accounts that are dialled at once. */
const DIALS = 16;
/** Accounts that are delivered to at once; each has one call under way, so this bounds the bytes under way to 32 MiB. */
const DELIVERIES = 64;
/** Lanes that may wait for either; more accounts than that have no place in one home. */
const LANES = 100_000;

/** Where to leave things for those who cannot be reached. */
export type Mail = {
  /** Whether presence says that the account is not there. */
  isAway(account: string): boolean;
  /** Leaves all that waits for the account; false where there is no place for it. Throws what keeps it from being held. */
  leave(account: string, signal: AbortSignal): Promise<boolean>;
};

type Lane = {
  running: Promise<void> | undefined;
  /** Something happened since the last look. */
  again: boolean;
  /** Something happened since the last letter. */
  news: boolean;
  nap: AbortController | undefined;
  /** The wait that goes on is to end now. */
  hurry: boolean;
  readonly backoff: Backoff;
  readonly links: Set<Link>;
  /** What the last try came to, if it failed. */
  trouble: Fault | undefined;
};

export class Courier implements AsyncDisposable {
  readonly #reach: Reach;
  readonly #waits: (account: string) => boolean;
  readonly #work: (account: string, link: Link, signal: AbortSignal) => Promise<void>;
  readonly #mail: Mail | undefined;
  readonly #log: Log;
  readonly #lanes = new Map<string, Lane>();
  readonly #stop = new AbortController();
  readonly #dials = new Budget(DIALS, { queue: LANES });
  readonly #deliveries = new Budget(DELIVERIES, { queue: LANES });

  constructor(options: {
    reach: Reach;
    /** Whether something waits for the account. */
    waits(account: string): boolean;
    /** Exchanges with the account over the link until nothing is left to do; throws what prevented it. */
    work(account: string, link: Link, signal: AbortSignal): Promise<void>;
    mail?: Mail | undefined;
    log: Log;
  }) {
    this.#reach = options.reach;
    this.#waits = options.waits;
    this.#work = options.work;
    this.#mail = options.mail;
    this.#log = options.log;
  }

  /** What the last try to deliver to the account came to, if it failed. */
  trouble(account: string): Fault | undefined {
    return this.#lanes.get(account)?.trouble;
  }

  /** The newest link to the account that is in use: an older one may be a cable that was cut and not noticed yet. */
  linkTo(account: string): Link | undefined {
    return [...(this.#lanes.get(account)?.links ?? [])].findLast((link) => link.open && !link.retiring);
  }

  /** Whether nothing is under way for anybody. */
  get isQuiet(): boolean {
    return this.#lanes.size === 0;
  }

  /** Uses the link from now on, and looks at once what is to be done on it. */
  use(account: string, link: Link): void {
    this.#keep(account, link);
    this.wake(account, { now: true });
  }

  #keep(account: string, link: Link): void {
    const lane = this.#lane(account);
    if (lane.links.has(link)) return;
    lane.links.add(link);
    void link.closed.then(() => {
      lane.links.delete(link);
      this.#forget(account, lane);
    });
  }

  #forget(account: string, lane: Lane): void {
    if (!lane.running && lane.links.size === 0 && this.#lanes.get(account) === lane) this.#lanes.delete(account);
  }

  /** Something is to be done for the account. `now`: there is reason to think that it is there, so no wait goes on. */
  wake(account: string, { now }: { now: boolean }): void {
    if (this.#stop.signal.aborted) return;
    const lane = this.#lane(account);
    lane.again = true;
    lane.news = true;
    if (now) lane.backoff.reset();
    lane.hurry ||= now;
    lane.nap?.abort();
    lane.running ??= this.#run(account, lane).finally(() => {
      lane.running = undefined;
      if (lane.again) this.wake(account, { now: false });
      else this.#forget(account, lane);
    });
  }

  #lane(account: string): Lane {
    let lane = this.#lanes.get(account);
    if (!lane) {
      const backoff = new Backoff({ firstMs: FIRST_MS, mostMs: MOST_MS });
      lane = {
        running: undefined,
        again: false,
        news: false,
        nap: undefined,
        hurry: false,
        backoff,
        links: new Set(),
        trouble: undefined,
      };
      this.#lanes.set(account, lane);
    }
    return lane;
  }

  async #run(account: string, lane: Lane): Promise<void> {
    const stop = this.#stop.signal;
    try {
      while (!stop.aborted && (lane.again || this.#waits(account))) {
        lane.again = false;
        lane.hurry = false;
        const fault = await this.#try(account, lane).then(
          () => undefined,
          (error: unknown) => toFault(error, 'delivering'),
        );
        lane.trouble = fault;
        if (!fault) lane.backoff.reset();
        else if (!stop.aborted && this.#waits(account)) await this.#pause(account, lane, fault);
      }
    } catch (error) {
      // The store cannot even be asked whether something waits. The next event tries again.
      this.#log.error({ err: error, account }, 'delivery stops: the store cannot be read');
    }
  }

  async #pause(account: string, lane: Lane, fault: Fault): Promise<void> {
    const ms = lane.backoff.next();
    const level = fault.retry ? 'info' : 'warn';
    this.#log[level]({ account, code: fault.code, reason: fault.message, againInMs: ms }, 'delivery waits');
    const stop = this.#stop.signal;
    const end = performance.now() + ms;
    for (let left = ms; left > 0 && !lane.hurry && !stop.aborted; left = end - performance.now()) {
      if (lane.news && this.#mail) {
        // Something new for somebody who was not there a moment ago: it need not wait to be held.
        lane.news = false;
        await this.#leave(account, stop).catch((error: unknown) => {
          lane.trouble = toFault(error, 'leaving letters');
        });
        if (!this.#waits(account)) return;
        continue;
      }
      lane.nap = new AbortController();
      await sleep(left, AbortSignal.any([stop, lane.nap.signal])).catch(() => {}); // stopped or woken
      lane.nap = undefined;
    }
  }

  async #try(account: string, lane: Lane): Promise<void> {
    const signal = this.#stop.signal;
    const link = this.linkTo(account) ?? (await this.#come(account, lane, signal));
    if (!link) return;
    using _place = await this.#deliveries.take(1, signal);
    await this.#work(account, link, signal);
  }

  /**
   * A link to the account. What waits for it is left in its mailbox at once where presence says that it is away, else after
   * it could not be reached; it is dialled in any case, for a tracker may be wrong about who is there. [M-11]
   */
  async #come(account: string, lane: Lane, signal: AbortSignal): Promise<Link | undefined> {
    if (!this.#waits(account)) return undefined;
    let refusal: unknown;
    const leave = async (): Promise<void> => {
      lane.news = false;
      await this.#leave(account, signal).then(
        () => {
          refusal = undefined;
        },
        (error: unknown) => {
          refusal = error;
        },
      );
    };
    const isAway = this.#mail?.isAway(account) ?? false;
    if (isAway) await leave();
    if (!this.#waits(account)) return undefined;
    try {
      const dialling = this.#dial(account, signal);
      // A machine that sleeps takes long not to answer; what is said meanwhile need not wait for that.
      if (isAway) await this.#meanwhile(dialling, lane, leave);
      return await dialling;
    } catch (error) {
      await leave();
      throw refusal ?? error;
    }
  }

  /** Until `dialling` settles, calls `leave` whenever something new waits. */
  async #meanwhile(dialling: Promise<Link>, lane: Lane, leave: () => Promise<void>): Promise<void> {
    const settled = dialling.then(
      () => true,
      () => true,
    );
    for (;;) {
      const nap = new AbortController();
      lane.nap = nap;
      const woken = new Promise<false>((resolve) => {
        nap.signal.addEventListener('abort', () => resolve(false), { once: true });
      });
      const isOver = await Promise.race([settled, woken]);
      lane.nap = undefined;
      if (isOver) return;
      if (lane.news) await leave();
    }
  }

  async #dial(account: string, signal: AbortSignal): Promise<Link> {
    using _place = await this.#dials.take(1, signal);
    using limit = deadline(REACH_MS, `reaching "${account}"`, signal);
    const link = this.linkTo(account) ?? (await this.#reach(account, { signal: limit }));
    if (link.account?.account !== account) {
      throw new Fault('wrong_key', `reaching "${account}": another account answered`);
    }
    this.#keep(account, link);
    return link;
  }

  async #leave(account: string, signal: AbortSignal): Promise<boolean> {
    if (!this.#mail || signal.aborted || !this.#waits(account)) return false;
    using _place = await this.#deliveries.take(1, signal);
    return await this.#mail.leave(account, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Fault('cancelled', 'the node stops'));
    await Promise.all([...this.#lanes.values()].map((lane) => lane.running));
  }
}
