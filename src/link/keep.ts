/** A link that is wanted always: dialled again, with full jitter, whenever it ends; exchanged for another without a gap. */
import { sleep } from '../base/async.ts';
import { type Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { retryAfterOf } from '../base/retry-after.ts';
import type { Link } from './link.ts';

export type KeptState = { state: 'connecting' } | { state: 'up'; link: Link } | { state: 'down'; fault: Fault };

/** Milliseconds: the first wait is up to `firstMs`, each later one up to twice as much, at most up to `mostMs`. */
export type Pace = { firstMs: number; mostMs: number };

/** A restarted tracker is found at once. */
const PACE: Pace = { firstMs: 200, mostMs: 30_000 };
/** Who was told when to come back spreads over half of that time after it, and over no less than a second. */
const SPREAD = 0.5;
const LEAST_SPREAD_MS = 1000;
/** Milliseconds that the other side of a link has to give a sign of life after this machine moved. */
export const PROBE_MS = 1500;

/**
 * Milliseconds before the next dial, after so many failures. Full jitter: anything from nothing to the step, so that those who lost a
 * link together do not come together. `toldMs`: what the other side wants waited. `chance`: from 0 to 1.
 */
export function waitBefore(
  failures: number,
  { firstMs, mostMs }: Pace,
  toldMs: number | undefined,
  chance = Math.random(),
): number {
  if (toldMs !== undefined) return Math.round(toldMs + chance * Math.max(toldMs * SPREAD, LEAST_SPREAD_MS));
  return Math.round(chance * Math.min(firstMs * 2 ** Math.min(failures, 20), mostMs));
}

type Dial = (signal: AbortSignal, options: { instead: Link | undefined }) => Promise<Link>;

export class KeptLink implements AsyncDisposable {
  readonly #dial: Dial;
  readonly #onUp: (link: Link) => void | Promise<void>;
  readonly #onChange: (state: KeptState) => void;
  readonly #pace: (how: { silent: boolean }) => Pace;
  readonly #log: Log;
  readonly #stop = new AbortController();
  #failures = 0;
  /** Whether the last link ended because nothing was heard on it. */
  #silent = false;
  /** The next dial is not to wait. */
  #hurried = false;
  #wake = new AbortController();
  #state: KeptState = { state: 'connecting' };
  #running: Promise<void> | undefined;
  #replacing: Promise<boolean> | undefined;
  #successor: Link | undefined;

  /**
   * `onUp` runs on each new link; if it throws, the link is closed and dialled again. `dial` is told the link that stands, where
   * it is to make another one instead of it. `pace`: asked after each end; `silent`: the link was given up for lack of a sign of life.
   */
  constructor(options: {
    dial: Dial;
    onUp(link: Link): void | Promise<void>;
    onChange?(state: KeptState): void;
    pace?: (how: { silent: boolean }) => Pace;
    log: Log;
  }) {
    this.#dial = options.dial;
    this.#onUp = options.onUp;
    this.#onChange = options.onChange ?? (() => {});
    this.#pace = options.pace ?? (() => PACE);
    this.#log = options.log;
  }

  get state(): KeptState {
    return this.#state;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Dials now instead of at the end of the present wait: something changed that makes it worth trying. */
  nudge(): void {
    this.#failures = 0;
    this.#wake.abort();
  }

  /**
   * This machine has moved, or slept: the link may be dead without anybody having been told. It is asked for a sign of life, and
   * dialled again at once where none comes; where the address is gone that it went out from, another one is dialled meanwhile. [N-75]
   */
  moved(isHere: (ip: string) => boolean): void {
    this.nudge();
    if (this.#state.state !== 'up') {
      this.#hurried = true;
      return;
    }
    const { link } = this.#state;
    if (link.localIp !== undefined && !isHere(link.localIp)) void this.replace();
    void link.probe(PROBE_MS).then((stands) => {
      if (stands) return;
      if (this.#state.state === 'down') this.nudge();
      else this.#hurried = true;
    });
  }

  /**
   * Dials another link while the present one stands, and lets go of that one only once the other is set up. False where none
   * came about: then the present one is as it was. Never rejects.
   */
  replace(): Promise<boolean> {
    this.#replacing ??= this.#replace().finally(() => {
      this.#replacing = undefined;
    });
    return this.#replacing;
  }

  async #replace(): Promise<boolean> {
    const { signal } = this.#stop;
    if (this.#state.state !== 'up') return false;
    const before = this.#state.link;
    try {
      const link = await this.#dial(signal, { instead: before });
      await this.#setUp(link);
      if (signal.aborted || !link.open) {
        link.close();
        return false;
      }
      this.#successor = link;
      this.#become({ state: 'up', link });
      before.close();
      return true;
    } catch (error) {
      const fault = toFault(error, 'replacing a link');
      this.#log.info({ code: fault.code, reason: fault.message }, 'no other link comes about; the present one stays');
      return false;
    }
  }

  async #run(): Promise<void> {
    const signal = this.#stop.signal;
    while (!signal.aborted) {
      this.#become({ state: 'connecting' });
      const fault = await this.#once(signal).catch((error: unknown) => toFault(error, 'keeping a link'));
      if (signal.aborted) return;
      this.#become({ state: 'down', fault });
      const wait = this.#hurried ? 0 : this.#wait(fault);
      this.#hurried = false;
      this.#log.info({ code: fault.code, reason: fault.message, againInMs: wait }, 'a link is down');
      this.#wake = new AbortController();
      await sleep(wait, AbortSignal.any([signal, this.#wake.signal])).catch(() => {}); // stopped or nudged
    }
  }

  #wait(fault: Fault): number {
    const silent = this.#silent;
    this.#silent = false;
    return waitBefore(this.#failures++, this.#pace({ silent }), retryAfterOf(fault));
  }

  async #once(signal: AbortSignal): Promise<Fault> {
    const first = await this.#dial(signal, { instead: undefined });
    await this.#setUp(first);
    if (!signal.aborted && first.open) {
      this.#failures = 0;
      this.#become({ state: 'up', link: first });
    }
    for (let link = first; ; ) {
      if (signal.aborted) link.close();
      const ending = await link.closed;
      await this.#replacing;
      const next = this.#successor;
      this.#successor = undefined;
      this.#silent = ending.code === 'timeout';
      if (!next) return toFault(link.signal.reason, ending.reason);
      link = next;
    }
  }

  async #setUp(link: Link): Promise<void> {
    try {
      await this.#onUp(link);
    } catch (error) {
      const fault = toFault(error, 'setting up a link');
      link.close(fault);
      throw fault;
    }
  }

  #become(state: KeptState): void {
    this.#state = state;
    this.#onChange(state);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    if (this.#state.state === 'up') this.#state.link.close();
    this.#successor?.close();
    await this.#running;
  }
}
