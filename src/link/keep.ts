/** A link that is wanted always: dialled again with jittered backoff whenever it ends. */
import { Backoff, sleep } from '../base/async.ts';
import { type Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Link } from './link.ts';

export type KeptState = { state: 'connecting' } | { state: 'up'; link: Link } | { state: 'down'; fault: Fault };

/** The first wait after an end is 100 to 200 ms, so that a restarted tracker is found at once; the longest is 30 s. */
const FIRST_MS = 200;
const MOST_MS = 30_000;

export class KeptLink implements AsyncDisposable {
  readonly #dial: (signal: AbortSignal) => Promise<Link>;
  readonly #onUp: (link: Link) => void | Promise<void>;
  readonly #onChange: (state: KeptState) => void;
  readonly #log: Log;
  readonly #stop = new AbortController();
  readonly #backoff = new Backoff({ firstMs: FIRST_MS, mostMs: MOST_MS });
  #wake = new AbortController();
  #state: KeptState = { state: 'connecting' };
  #running: Promise<void> | undefined;

  /** `onUp` runs on each new link; if it throws, the link is closed and dialled again. */
  constructor(options: {
    dial(signal: AbortSignal): Promise<Link>;
    onUp(link: Link): void | Promise<void>;
    onChange?(state: KeptState): void;
    log: Log;
  }) {
    this.#dial = options.dial;
    this.#onUp = options.onUp;
    this.#onChange = options.onChange ?? (() => {});
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
    this.#backoff.reset();
    this.#wake.abort();
  }

  async #run(): Promise<void> {
    const signal = this.#stop.signal;
    while (!signal.aborted) {
      this.#become({ state: 'connecting' });
      const fault = await this.#once(signal).catch((error: unknown) => toFault(error, 'keeping a link'));
      if (signal.aborted) return;
      this.#become({ state: 'down', fault });
      const wait = this.#backoff.next();
      this.#log.info({ code: fault.code, reason: fault.message, againInMs: wait }, 'a link is down');
      this.#wake = new AbortController();
      await sleep(wait, AbortSignal.any([signal, this.#wake.signal])).catch(() => {}); // stopped or nudged
    }
  }

  async #once(signal: AbortSignal): Promise<Fault> {
    const link = await this.#dial(signal);
    try {
      await this.#onUp(link);
      if (!signal.aborted && link.open) {
        this.#backoff.reset();
        this.#become({ state: 'up', link });
      }
    } catch (error) {
      const fault = toFault(error, 'setting up a link');
      link.close(fault);
      throw fault;
    }
    if (signal.aborted) link.close();
    const ending = await link.closed;
    return toFault(link.signal.reason, ending.reason);
  }

  #become(state: KeptState): void {
    this.#state = state;
    this.#onChange(state);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    if (this.#state.state === 'up') this.#state.link.close();
    await this.#running;
  }
}
