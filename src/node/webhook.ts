/** One webhook at work: follows the events from its cursor, and posts each, in order, until it is taken or given up. [E-8] */
import { Backoff, sleep } from '../base/async.ts';
import type { Clock } from '../base/clock.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { EventLog, NodeEvent } from './events.ts';
import { checkTarget, type Letter, type Posted, post } from './post.ts';
import type { Hook, WebhookStore } from './webhook-store.ts';

/** Milliseconds that a target may fail, without a break, until events older than that are given up. [E-9] */
const GIVE_UP_MS = 86_400_000;
/** Answers by which a target says that this event is wrong, not the moment; tried so often. */
const REFUSED_TRIES = 5;
const RETRY = { firstMs: 1000, mostMs: 300_000 };

export type HookState = {
  state: 'idle' | 'posting' | 'retrying';
  attempts: number;
  failingSince: number | null;
  error: Fault | null;
};

export type WebhookOptions = {
  hook: Hook;
  store: WebhookStore;
  events: EventLog;
  /** Hosts beside this machine that may be posted to. */
  targets: readonly string[];
  clock: Clock;
  log: Log;
  retry?: { firstMs: number; mostMs: number } | undefined;
};

export class Webhook implements AsyncDisposable {
  readonly #options: WebhookOptions;
  readonly #ending = new AbortController();
  readonly #backoff: Backoff;
  #hook: Hook;
  #working: Promise<void> = Promise.resolve();
  #state: HookState = { state: 'idle', attempts: 0, failingSince: null, error: null };

  constructor(options: WebhookOptions) {
    this.#options = options;
    this.#hook = options.hook;
    this.#backoff = new Backoff(options.retry ?? RETRY);
  }

  get hook(): Hook {
    return this.#hook;
  }

  get state(): HookState {
    return this.#state;
  }

  start(): void {
    this.#working = this.#work();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort(new Fault('cancelled', 'the webhook ends'));
    await this.#working;
  }

  /** Posts one letter now, once. Throws where there is no answer, or it may not be posted. */
  async send(letter: Letter, signal?: AbortSignal): Promise<Posted> {
    const { targets } = this.#options;
    const signals = [this.#ending.signal, ...(signal ? [signal] : [])];
    const url = checkTarget(this.#hook.url, targets);
    return await post(url, letter, { secret: this.#hook.secret, signal: AbortSignal.any(signals) });
  }

  /** What an event is to the target: the same id and body however often it is posted. [E-6] */
  letterOf(event: NodeEvent): Letter {
    const { cursor, at, type, data } = event;
    return this.letter(cursor, JSON.stringify({ type, timestamp: at, cursor, data }));
  }

  letter(cursor: number, body: string): Letter {
    return { id: `${this.#hook.id}-${cursor}`, at: Math.floor(this.#options.clock.now() / 1000), body };
  }

  async #work(): Promise<void> {
    const { signal } = this.#ending;
    const { log } = this.#options;
    while (!signal.aborted) {
      try {
        await this.#follow(signal);
      } catch (error) {
        if (signal.aborted) return;
        const fault = toFault(error, 'posting events');
        if (fault.code === 'cursor_gone') {
          this.#lost(fault);
          continue;
        }
        // Such as a full disk: what is not written down is posted again later.
        log.warn({ err: fault, webhook: this.#hook.id }, 'a webhook waits and goes on');
        this.#set({ state: 'retrying', error: fault });
        await sleep(this.#backoff.next(), signal).catch(() => {});
      }
    }
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { events, store } = this.#options;
    const { id, match, cursor: from } = this.#hook;
    const passed = (cursor: number): void => {
      if (cursor > this.#hook.cursor) this.#done(cursor, 0);
    };
    for await (const event of events.follow({ from: from || events.floor, match, signal, passed })) {
      const failure = await this.#deliver(event, signal);
      if (signal.aborted) return;
      if (failure === undefined) {
        this.#done(event.cursor, 1);
        continue;
      }
      const { body } = this.letterOf(event);
      const { code, message } = failure;
      const { cursor, type } = event;
      const at = this.#options.clock.now();
      store.bury(id, { cursor, type, body, at, attempts: this.#state.attempts, code, message });
      this.#hook = { ...this.#hook, cursor };
      this.#set({ state: 'idle', attempts: 0 });
    }
  }

  #done(cursor: number, delivered: number): void {
    const { id } = this.#hook;
    this.#options.store.advance(id, cursor, delivered);
    this.#hook = { ...this.#hook, cursor, delivered: this.#hook.delivered + delivered };
  }

  /** Events that left the log before they could be posted are told as a dead letter, too. */
  #lost({ code, message }: Fault): void {
    const { events, store, clock } = this.#options;
    const cursor = events.floor;
    store.bury(this.#hook.id, { cursor, type: null, body: null, at: clock.now(), attempts: 0, code, message });
    this.#hook = { ...this.#hook, cursor };
  }

  /** Undefined once it is taken, or the hook ends; else why it is given up. */
  async #deliver(event: NodeEvent, signal: AbortSignal): Promise<Fault | undefined> {
    const { clock } = this.#options;
    let refused = 0;
    for (let attempts = 1; !signal.aborted; attempts += 1) {
      const { failingSince, error } = this.#state;
      const old = clock.now() - Date.parse(event.at) > GIVE_UP_MS;
      if (error && old && failingSince !== null && clock.now() - failingSince > GIVE_UP_MS) return error;
      this.#set({ state: attempts > 1 ? 'retrying' : 'posting', attempts });
      const failure = await this.#try(event);
      if (signal.aborted) return undefined;
      if (failure === undefined) {
        this.#backoff.reset();
        this.#set({ state: 'idle', attempts: 0, failingSince: null, error: null });
        return undefined;
      }
      this.#set({ state: 'retrying', failingSince: this.#state.failingSince ?? clock.now(), error: failure.fault });
      if (failure.refused && ++refused >= REFUSED_TRIES) {
        this.#backoff.reset(); // It answers: the next event may go at once.
        this.#set({ failingSince: null });
        return failure.fault;
      }
      await sleep(this.#backoff.next(), signal).catch(() => {});
    }
    return undefined;
  }

  async #try(event: NodeEvent): Promise<{ fault: Fault; refused: boolean } | undefined> {
    try {
      const { status } = await this.send(this.letterOf(event));
      return failureOf(status);
    } catch (error) {
      return { fault: toFault(error, 'posting an event'), refused: false };
    }
  }

  #set(change: Partial<HookState>): void {
    this.#state = { ...this.#state, ...change };
  }
}

/** Too early, too many, too late: of the moment, though they are 4xx. */
const OF_THE_MOMENT = new Set([408, 425, 429]);

/** Undefined for an answer that takes the event. */
export function failureOf(status: number): { fault: Fault; refused: boolean } | undefined {
  if (status >= 200 && status < 300) return undefined;
  const refused = status >= 300 && status < 500 && !OF_THE_MOMENT.has(status);
  const code = refused ? 'malformed' : 'peer_unreachable';
  return { fault: new Fault(code, `posting an event: it was answered with ${status}`, { data: { status } }), refused };
}
