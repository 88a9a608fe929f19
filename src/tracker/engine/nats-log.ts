/** A shared log that is a JetStream stream: one subject for each key, followed in order. */
import { type JetStreamClient, type JetStreamManager, type JsMsg, jetstream } from '@nats-io/jetstream';
import { headers, type MsgHdrs, type NatsConnection } from '@nats-io/transport-node';
import { abortable, Backoff, deadline, sleep } from '../../base/async.ts';
import { Fault, toFault } from '../../base/fault.ts';
import type { Log } from '../../base/log.ts';
import type { Logged, SharedLog } from '../../base/shared-log.ts';
import { isTransient } from './nats-errors.ts';

/** Milliseconds that a write may take in all, then it is refused: what asks over a link waits 10 s. [K-9] */
const WRITE_MS = 5000;
/** Milliseconds for one try: a machine that died is another one's turn by the next. */
const TRY_MS = 1500;
const AGAIN_MS = 100;
/**
 * Milliseconds for NATS to make what is followed: it may give that to a machine which has just died and say nothing, and the next
 * try goes to another one.
 */
const FOLLOW_MS = 2000;
/** Milliseconds between signs of life, without one after which what is followed is asked for anew, and that one request for it stands. */
const HEARTBEAT_MS = 1000;
const SILENCE_MS = 3000;
const PULL_MS = 5000;
/** Texts on their way here at once: of the largest letters 70 MiB. */
const PULL_TEXTS = 200;
/** Texts yet to come up to which each is asked of the leader; a start with more takes the older ones as one machine has them. */
const MOST_VERIFIED = 1000;
const FOLLOW_AGAIN = { firstMs: 100, mostMs: 2000 };

/** What a deleted key has, as the KV buckets of NATS write it. */
const OPERATION = 'KV-Operation';

export class NatsLog implements SharedLog, AsyncDisposable {
  readonly #connection: NatsConnection;
  readonly #js: JetStreamClient;
  readonly #manager: JetStreamManager;
  readonly #stream: string;
  readonly #prefix: string;
  readonly #born: string;
  readonly #away: () => Fault | undefined;
  readonly #log: Log;
  readonly #stop = new AbortController();
  #waiting: { at: number; resolve: () => void }[] = [];
  #place = 0;
  #running: Promise<void> | undefined;
  #broken: Fault | undefined;

  /** `prefix` is that of the subjects, and ends with a dot; `born` is when the stream was made, by its own word. */
  constructor(options: {
    connection: NatsConnection;
    manager: JetStreamManager;
    stream: string;
    prefix: string;
    born: string;
    /** Why nothing need be tried now; undefined where it may be. */
    away: () => Fault | undefined;
    log: Log;
  }) {
    this.#connection = options.connection;
    this.#js = jetstream(options.connection, { timeout: FOLLOW_MS });
    this.#manager = options.manager;
    this.#stream = options.stream;
    this.#prefix = options.prefix;
    this.#born = options.born;
    this.#away = options.away;
    this.#log = options.log.child({ stream: options.stream });
  }

  /** Why it can be followed no further; undefined while it can. */
  get broken(): Fault | undefined {
    return this.#broken;
  }

  async append(key: string, text: string | null): Promise<void> {
    const what = `writing to the stream "${this.#stream}"`;
    const away = this.#away();
    if (away) throw away;
    using limit = deadline(WRITE_MS, what, this.#stop.signal);
    for (;;) {
      if (this.#broken) throw this.#broken;
      try {
        await this.#applied(await this.#publish(key, text), limit);
        return;
      } catch (error) {
        if (this.#stop.signal.aborted || limit.aborted) throw this.#down(what, error);
        if (!isTransient(error)) throw refusal(what, error);
        await sleep(AGAIN_MS, limit).catch(() => {});
        if (limit.aborted) throw this.#down(what, error);
      }
    }
  }

  /**
   * Asks JetStream for no condition and no deduplication: what it refuses after a majority agreed upon it can make the copies of
   * its machines differ (nats-server before 2.10.19). See docs/decisions/cluster-on-nats.md.
   */
  async #publish(key: string, text: string | null): Promise<number> {
    const header = headers();
    if (text === null) header.set(OPERATION, 'DEL');
    const options = { headers: header, timeout: TRY_MS };
    const { seq } = await this.#js.publish(this.#prefix + key, text ?? '', options);
    return seq;
  }

  #down(what: string, cause: unknown): Fault {
    return new Fault(
      'tracker_down',
      `${what}: the cluster of this tracker did not answer within ${WRITE_MS} ms; it is not known whether it took it; try again`,
      { cause },
    );
  }

  /** Settles when the log was applied here up to that place. */
  #applied(at: number, signal: AbortSignal): Promise<void> {
    if (this.#place >= at) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiting = { at, resolve };
    this.#waiting.push(waiting);
    return abortable(promise, signal).finally(() => {
      this.#waiting = this.#waiting.filter((each) => each !== waiting);
    });
  }

  follow(from: number, apply: (logged: Logged) => void): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#place = from;
    this.#running = this.#keepFollowing(apply, resolve);
    return abortable(promise, this.#stop.signal);
  }

  async #keepFollowing(apply: (logged: Logged) => void, caughtUp: () => void): Promise<void> {
    const { signal } = this.#stop;
    const backoff = new Backoff(FOLLOW_AGAIN);
    while (!signal.aborted && !this.#broken) {
      try {
        await this.#read(apply, caughtUp, backoff);
      } catch (error) {
        const { code, message } = toFault(error, `following the stream "${this.#stream}"`);
        if (!signal.aborted)
          this.#log.warn({ code, reason: message }, 'what the cluster says is not heard; again soon');
      }
      await sleep(backoff.next(), signal).catch(() => {});
    }
  }

  async #read(apply: (logged: Logged) => void, caughtUp: () => void, backoff: Backoff): Promise<void> {
    const { created, state } = await this.#manager.streams.info(this.#stream);
    if (created !== this.#born || state.last_seq < this.#place) return this.#breakOff();
    const start = { deliver_policy: 'by_start_sequence' as const, opt_start_seq: this.#place + 1 };
    const consumer = await this.#js.consumers.get(this.#stream, start);
    const { num_pending: pending } = await consumer.info(true);
    if (pending === 0) caughtUp();
    const messages = await consumer.consume({
      max_messages: PULL_TEXTS,
      expires: PULL_MS,
      idle_heartbeat: HEARTBEAT_MS,
    });
    // Its own watch over heartbeats can end for good when a machine of the cluster dies; this one does not, nor does it wait for
    // what is stopped to have ended, for that may hang on a machine that is gone.
    let wake = (): void => {};
    const end = (): void => wake();
    this.#stop.signal.addEventListener('abort', end, { once: true });
    let heard = performance.now();
    const watchdog = setInterval(() => {
      if (performance.now() - heard > SILENCE_MS) wake();
    }, HEARTBEAT_MS).unref();
    const iterator = messages[Symbol.asyncIterator]();
    const next = (): Promise<JsMsg | undefined> =>
      new Promise((resolve, reject) => {
        wake = () => resolve(undefined);
        iterator.next().then(({ done, value }) => resolve(done === true ? undefined : value), reject);
      });
    void (async () => {
      for await (const { type } of messages.status()) if (type === 'heartbeat') heard = performance.now();
    })();
    try {
      // Who stopped it meanwhile was not heard above.
      while (!this.#stop.signal.aborted) {
        const message = await next();
        if (!message) break;
        heard = performance.now();
        backoff.reset();
        if (message.info.pending > MOST_VERIFIED) this.#takeUnverified(message, apply);
        else await this.#takeUpTo(message.seq, apply);
        heard = performance.now();
        if (message.info.pending === 0) caughtUp();
      }
    } finally {
      clearInterval(watchdog);
      this.#stop.signal.removeEventListener('abort', end);
      messages.stop();
    }
  }

  /** What one machine of NATS has: good enough for what was there long before. */
  #takeUnverified(message: JsMsg, apply: (logged: Logged) => void): void {
    const { seq, subject, headers: header } = message;
    this.#take({ seq, subject, header, text: message.string() }, apply);
  }

  /**
   * What a machine of NATS shows may be nothing that the majority agreed upon (seen with 2.9.10, after two of three stood still): it
   * only says that there is something. What it is, the leader says, which also acknowledged it to whoever wrote it. [K-10]
   * The leader may have it a moment later than the one who showed it: only once it is as far does it know what is not there.
   */
  async #takeUpTo(at: number, apply: (logged: Logged) => void): Promise<void> {
    let isAsFar = false;
    while (this.#place < at && !this.#stop.signal.aborted) {
      const next = { seq: this.#place + 1, next_by_subj: `${this.#prefix}>` };
      const stored = await this.#manager.streams.getMessage(this.#stream, next);
      if (stored) {
        this.#take({ seq: stored.seq, subject: stored.subject, header: stored.header, text: stored.string() }, apply);
        continue;
      }
      if (isAsFar) return this.#came(at); // it was removed since
      // Where it was never agreed upon, there may be another one in its place soon.
      const { state } = await this.#manager.streams.info(this.#stream);
      if (state.last_seq < at) throw new Fault('tracker_down', `its machines disagree about place ${at}`);
      isAsFar = true;
    }
  }

  #take(
    stored: { seq: number; subject: string; header: MsgHdrs | undefined; text: string },
    apply: (logged: Logged) => void,
  ): void {
    const { seq, subject, header, text } = stored;
    if (seq <= this.#place || this.#stop.signal.aborted) return;
    const deleted = header?.has(OPERATION) ?? false;
    apply({ key: subject.slice(this.#prefix.length), text: deleted ? null : text, at: seq });
    this.#came(seq);
  }

  #came(seq: number): void {
    this.#place = seq;
    for (const each of this.#waiting) if (each.at <= seq) each.resolve();
  }

  /** What is applied here is of a stream that is no more: nothing that comes after could fit to it. */
  #breakOff(): void {
    this.#broken = new Fault(
      'tracker_down',
      `following the stream "${this.#stream}": it was made anew or put back to an earlier time; restart this tracker`,
    );
    this.#log.error({ reason: this.#broken.message }, 'this tracker takes nothing more');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Fault('cancelled', 'the tracker ends'));
    if (!this.#connection.isClosed()) await this.#running;
  }
}

function refusal(what: string, error: unknown): Fault {
  const tooLarge = error instanceof Error && error.name === 'InvalidArgumentError';
  return toFault(error, what, tooLarge ? 'too_large' : 'internal');
}
