/** Keeps one tracker told of the own record: announces on each new link, renews, and says it better where it can. */
import { Backoff } from '../base/async.ts';
import { type Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { retryAfterOf } from '../base/retry-after.ts';
import type { Link } from '../link/link.ts';
import { handle } from './handle.ts';
import * as messages from './messages.ts';
import type { OwnRecord } from './own.ts';
import { type DirectoryRecord, recordHolds } from './record.ts';

/** Milliseconds that this machine's clock may be off from a tracker's for its records still to be made to fit. */
const MOST_OFFSET_MS = 24 * 3600_000;
/** Milliseconds between which a tracker's TTL is believed: less would make us a flood, more would never be renewed. */
const LEAST_TTL_MS = 1000;
const MOST_TTL_MS = 3600_000;
const GOODBYE_MS = 1000;
/** Part of the time from one renewal to the next that is left to chance. */
const JITTER = 0.2;
/** A record may be refused for its clock, then for its seq; once more is a tracker that plays. */
const MOST_MENDS = 2;
/** Milliseconds until a refused announce that is worth a retry is tried again. */
const RETRY = { firstMs: 1000, mostMs: 30_000 };

export class Announcer implements Disposable {
  /** Why the tracker does not take the record, where waiting will not mend it. */
  refused: Fault | undefined;
  /** Why it does not take the record now, on a link on which it has not taken any; it is tried again. */
  waiting: Fault | undefined;
  /** Host that the tracker sees us at. */
  observed: string | null = null;
  /** Addresses of ours that answered its dial-back. */
  checked: readonly string[] = [];
  /** Milliseconds over which it wants its nodes to come back, as it said last. [D-75] */
  returnWithinMs = 0;
  readonly #own: OwnRecord;
  readonly #token: string | undefined;
  readonly #log: Log;
  readonly #onChange: () => void;
  readonly #retry = new Backoff(RETRY);
  /** The tracker's present link; what comes on another one counts no more. */
  #link: Link | undefined;
  #announced: DirectoryRecord | undefined;
  #offsetMs = 0;
  #ttlMs = messages.TTL_MS;
  #timer: NodeJS.Timeout | undefined;

  /** `token`: of the invite by which the node joined. */
  constructor(options: { own: OwnRecord; token: string | undefined; log: Log; onChange: () => void }) {
    this.#own = options.own;
    this.#token = options.token;
    this.#log = options.log;
    this.#onChange = options.onChange;
  }

  /** Whether the tracker has taken what would be said now. */
  get isCurrent(): boolean {
    return this.#announced !== undefined && this.#own.isSaidBy(this.#announced);
  }

  /** Starts anew on a new link. Throws as `announce` does. */
  begin(link: Link): Promise<void> {
    this.#link = link;
    this.#announced = undefined;
    this.refused = undefined;
    this.waiting = undefined;
    this.#retry.reset();
    return this.announce(link);
  }

  /** Says the own record, and goes on renewing it. Throws the fault with which the tracker refused it. */
  async announce(link: Link, signal?: AbortSignal): Promise<void> {
    clearTimeout(this.#timer);
    try {
      for (let mends = 0; ; mends++) {
        try {
          await this.#announceOnce(link, signal);
          break;
        } catch (error) {
          if (mends >= MOST_MENDS || !(await this.#mended(link, toFault(error), signal))) throw error;
        }
      }
      this.refused = undefined;
      this.waiting = undefined;
      this.#retry.reset();
      this.#renewLater(link);
    } catch (error) {
      const fault = toFault(error, 'announcing');
      if (this.#link === link && link.open) {
        // A caller who gives up waiting does not end the heartbeat.
        if (fault.retry || fault.code === 'cancelled') {
          if (fault.retry && !this.#announced) this.waiting = fault;
          this.#later(link, this.#wait(fault), () => this.announce(link));
        } else this.refused = fault;
        this.#log.warn({ code: fault.code, reason: fault.message }, 'a tracker does not take the record');
      }
      throw fault;
    } finally {
      this.#onChange();
    }
  }

  async #announceOnce(link: Link, signal: AbortSignal | undefined): Promise<void> {
    const record = this.#own.sign(this.#ttlMs, this.#offsetMs);
    const { ttlMs, observed, checked, returnWithinMs } = await link.request(
      messages.announce,
      { record, ...(this.#token !== undefined && { token: this.#token }) },
      { signal },
    );
    if (this.#link !== link || (this.#announced && this.#announced.seq > record.seq)) return;
    this.#announced = record;
    this.#ttlMs = Math.max(LEAST_TTL_MS, Math.min(ttlMs, MOST_TTL_MS));
    this.observed = observed;
    this.checked = checked;
    this.#mayReturn(returnWithinMs);
  }

  #mayReturn(withinMs: number | undefined): void {
    this.returnWithinMs = Math.min(withinMs ?? 0, messages.MOST_RETURN_MS);
  }

  /** Whether what the tracker refused can be said better: by its clock, or with a seq after the last one of ours. */
  async #mended(link: Link, fault: Fault, signal: AbortSignal | undefined): Promise<boolean> {
    if (fault.code === 'invalid_argument' && typeof fault.data?.now === 'number') {
      const offset = fault.data.now - this.#own.now();
      if (Math.abs(offset) > MOST_OFFSET_MS) return false;
      this.#offsetMs = offset;
      return true;
    }
    if (fault.code === 'renamed') return this.#renamed(fault);
    if (fault.code !== 'wrong_state') return false;
    const { entry } = await link.request(messages.find, { account: this.#own.account.id }, { signal });
    // Only what this account signed itself may move its seq: else a tracker could use it up.
    if (entry.record.account !== this.#own.account.id || !recordHolds(entry.record)) return false;
    this.#own.seen(entry.record.seq);
    return true;
  }

  /** Only to a name of the same zone: a tracker has no say in others. */
  #renamed({ data }: Fault): boolean {
    const parsed = handle.safeParse(data?.handle);
    const zoneOf = (name: string): string => name.slice(name.indexOf('@'));
    if (!parsed.success || zoneOf(parsed.data) !== zoneOf(this.#own.handle)) return false;
    this.#log.warn({ from: this.#own.handle, to: parsed.data }, 'an admin of the zone has renamed this account');
    this.#own.rename(parsed.data);
    return true;
  }

  async #renew(link: Link): Promise<void> {
    const old = this.#announced;
    if (!old || !this.#own.isSaidBy(old)) return this.announce(link);
    const record = this.#own.sign(this.#ttlMs, this.#offsetMs);
    const { seq, until, sig } = record;
    try {
      const { returnWithinMs } = await link.request(messages.renew, { seq, until, sig });
      if (this.#announced === old) this.#announced = record;
      this.#mayReturn(returnWithinMs);
      this.#renewLater(link);
    } catch (error) {
      const fault = toFault(error, 'renewing');
      // Too much is asked of it as it is; the record holds for two thirds of its time yet.
      if (fault.code === 'too_many' || fault.code === 'queue_full')
        this.#later(link, this.#wait(fault), () => this.#renew(link));
      else await this.announce(link); // it lost the record, or another link of this account has it: all is said again
    }
  }

  /** Those who announced together, when a tracker came back, are not to renew together for ever. */
  #renewLater(link: Link): void {
    this.#later(link, (this.#ttlMs / 3) * (1 - Math.random() * JITTER), () => this.#renew(link));
  }

  /** [D-72] */
  #wait(fault: Fault): number {
    const step = this.#retry.next();
    const told = retryAfterOf(fault);
    return told === undefined ? step : told + Math.random() * Math.max(told / 2, step);
  }

  #later(link: Link, ms: number, work: () => Promise<void>): void {
    clearTimeout(this.#timer);
    if (this.#link !== link) return;
    this.#timer = setTimeout(() => {
      work().catch((error: unknown) => this.#log.debug({ err: error }, 'a heartbeat failed'));
    }, ms);
    this.#timer.unref();
  }

  /** Tells the tracker that this node leaves; gives up after a second. */
  async goodbye(link: Link | undefined): Promise<void> {
    clearTimeout(this.#timer);
    this.#link = undefined;
    this.#announced = undefined;
    await link
      ?.request(messages.goodbye, {}, { timeoutMs: GOODBYE_MS })
      .catch((error: unknown) => this.#log.debug({ err: error }, 'the goodbye was not heard'));
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#link = undefined;
  }
}
