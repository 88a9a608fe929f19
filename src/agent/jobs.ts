/**
 * The jobs of an agent: kept on disk, carried out by several workers, each finished once however often the agent is killed.
 * See docs/decisions/jobs-once.md.
 */
import type { Backend, JobDesk } from '../api/backend.ts';
import { isOver, type Job, type JobRequest } from '../api/job.ts';
import { localClient } from '../api/operations.ts';
import { nextRun, runsBetween } from '../api/schedule.ts';
import { Backoff } from '../base/async.ts';
import type { Clock } from '../base/clock.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { idOf } from '../base/prefix.ts';
import { JobQueue } from './job-queue.ts';
import { type Asked, draftOf } from './job-request.ts';
import type { JobRow, JobStore } from './job-store.ts';
import { childId, isPassing, jobView, keyOf, lateFault, peerOf, ticketOf } from './job-view.ts';
import { type Need, needAfter, needOf, type World } from './needs.ts';
import { perform } from './perform.ts';

export type JobsOptions = {
  jobs: JobStore;
  world: World;
  clock: Clock;
  log: Log;
  emit(type: string, data: Record<string, unknown>): void;
  /** When the backup was taken of which this home came, told once. */
  restored?: () => number | undefined;
  /** For tests: milliseconds after which the clock is looked at again, and of the first wait between tries. */
  lookMs?: number;
  againMs?: number;
};

/** Jobs that are not over, and bytes of what they are asked; past either, `queue_full`. */
const MOST_OPEN = 10_000;
const MOST_BYTES = 64 * 1024 * 1024;
/** The longest wait for the clock, which may be set meanwhile. */
const LOOK_MS = 30_000;
/** A job that comes so long after its time is said to be late. */
const LATE_MS = 60_000;
/** The waits between tries that only time can help; and where an event ends the wait, should it be missed. */
const AGAIN = { firstMs: 1000, mostMs: 300_000 };
const EVENT_MISSED_MS = 600_000;
/** A job that was under way at so many ends is what ends the agent. */
const MOST_BEGUN = 20;
/** Ended jobs after which old ones are let go of. */
const TRIM_EVERY = 500;

type Running = { row: JobRow; stop: AbortController; answer: unknown; done: Promise<void> };

export class Jobs implements JobDesk {
  readonly #options: JobsOptions;
  readonly #jobs: JobStore;
  readonly #backend: () => Backend;
  readonly #queue = new JobQueue();
  readonly #running = new Map<string, Running>();
  readonly #followers = new Map<string, Set<() => void>>();
  /** What jobs wait for that something may bring about. */
  readonly #waiting = new Map<string, { what: string; who: string | null }>();
  readonly #backoffs = new Map<string, Backoff>();
  readonly #stop = new AbortController();
  #load = { jobs: 0, bytes: 0 };
  #ended = 0;
  #started = false;
  #timer: NodeJS.Timeout | undefined;
  #lookAt = Number.POSITIVE_INFINITY;
  /** Something could not be written: what is on disk says more than what is remembered. */
  #unsure = false;
  #watching: Promise<void> | undefined;

  /** `backend` is asked for when work is taken up: it knows its jobs, too. */
  constructor(options: JobsOptions, backend: () => Backend) {
    this.#options = options;
    this.#jobs = options.jobs;
    this.#backend = backend;
  }

  start(): void {
    if (this.#started) return;
    this.#started = true;
    const { clock, world, log } = this.#options;
    this.#jobs.trim(clock.now());
    this.#load = this.#jobs.load();
    this.#jobs.store.transaction(() => this.#shelve());
    for (const row of this.#jobs.open('running')) this.#takeUp(row);
    for (const row of this.#jobs.open('waiting')) this.#hold(row);
    for (const row of this.#jobs.open('queued')) this.#queue.add(ticketOf(row));
    this.#watching = world
      .watch((what, isFor) => this.#mayHold(what, isFor), this.#stop.signal)
      .catch((error: unknown) => log.error({ err: error }, 'jobs wait by the clock alone'));
    this.#look();
  }

  /** After a backup was restored nobody knows what of this was done since it was taken: a person is to say. */
  #shelve(): void {
    const at = this.#options.restored?.();
    if (at === undefined) return;
    const now = this.#options.clock.now();
    for (const row of [...this.#jobs.open('scheduled'), ...this.#jobs.open('waiting')]
      .concat(this.#jobs.open('running'), this.#jobs.open('queued'))
      .filter(({ state, due }) => state !== 'scheduled' || (due ?? 0) <= now)) {
      if (row.every !== null) {
        this.#jobs.change(row, { due: nextRun(row.every, now) ?? null });
        continue;
      }
      const error = new Fault(
        'cancelled',
        `running the job "${row.id}": this home was restored from a backup of ${new Date(at).toISOString()}, and whether it was done since is not known; if not, try it again with "netapp jobs retry ${row.id}"`,
      );
      this.#end(row, 'cancelled', { error });
    }
  }

  /** It ran when the agent ended without a word. */
  #takeUp(row: JobRow): void {
    if (row.begun < MOST_BEGUN) return void this.#jobs.change(row, { state: 'queued' });
    const error = new Fault('internal', `running the job "${row.id}": the agent ended ${row.begun} times while it ran`);
    this.#end(row, 'failed', { error });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Fault('link_closed', 'the agent is closing'));
    clearTimeout(this.#timer);
    await Promise.all([...this.#running.values()].map(({ done }) => done));
    await this.#watching;
    for (const id of this.#followers.keys()) this.#tell(id);
  }

  create(request: JobRequest, { id, at, source }: Parameters<JobDesk['create']>[1] = {}): Job {
    const { clock } = this.#options;
    const draft = draftOf(request, { id, source: source ?? 'asked', now: at ?? clock.now() });
    return this.#view(this.#jobs.store.transaction(() => this.#keep(draft)));
  }

  #keep({ row, digest, keyUntil }: Asked): JobRow {
    const { clock } = this.#options;
    const known = this.#jobs.get(row.id);
    if (known) return known;
    if (row.key !== null) {
      const before = this.#jobs.keyed(row.key, clock.now());
      const kept = before && this.#jobs.get(before.job);
      if (before && before.digest !== digest) {
        throw new Fault(
          'key_reused',
          `asking with the key "${row.key}": it stands for another request, the job "${before.job}"; take a new key for a new request`,
          { data: { job: before.job } },
        );
      }
      // A passing trouble is no answer that the same request should get again.
      if (kept) return isPassing(kept) ? this.#anew(kept) : kept;
      this.#jobs.keep(row.key, digest, row.id, keyUntil);
    }
    this.#checkRoom(row.input.length);
    const added = this.#jobs.add(row);
    this.#emit(added);
    this.#jobs.store.afterCommit(() => {
      this.#load = { jobs: this.#load.jobs + 1, bytes: this.#load.bytes + added.input.length };
      this.#enqueue(added);
    });
    return added;
  }

  #checkRoom(bytes: number): void {
    const { jobs } = this.#load;
    if (jobs < MOST_OPEN && this.#load.bytes + bytes <= MOST_BYTES) return;
    throw new Fault(
      'queue_full',
      `queueing a job: ${jobs} are not over yet, at most ${MOST_OPEN} or ${MOST_BYTES} bytes may be; wait, or cancel some`,
      { data: { retryAfter: 5 } },
    );
  }

  #enqueue(row: JobRow): void {
    if (!this.#started || this.#stop.signal.aborted) return;
    if (row.state === 'queued') this.#queue.add(ticketOf(row));
    this.#arm(Math.min(row.due ?? Number.POSITIVE_INFINITY, row.deadline ?? Number.POSITIVE_INFINITY));
    this.#pump();
  }

  list({ state, limit, before }: Parameters<JobDesk['list']>[0]): Job[] {
    const seq = before === undefined ? undefined : this.#row(before).seq;
    return this.#jobs.list({ state, limit, before: seq }).map((row) => this.#view(row));
  }

  show(id: string): Job {
    return this.#view(this.#row(id));
  }

  #row(text: string): JobRow {
    const id = idOf('job', text, {
      known: (id) => this.#jobs.get(id) !== undefined,
      beginning: (start, most) => this.#jobs.beginning(start, most),
    });
    const row = this.#jobs.get(id);
    if (!row) throw new Fault('unknown_id', `looking for the job "${text}": there is none`);
    return row;
  }

  #view(row: JobRow): Job {
    return jobView(row, this.#running.get(row.id)?.answer);
  }

  async *follow(text: string, { signal }: { signal?: AbortSignal | undefined }): AsyncGenerator<Job, void, void> {
    const { id } = this.#row(text);
    const followers = this.#followers.get(id) ?? new Set();
    this.#followers.set(id, followers);
    let change = Promise.withResolvers<void>();
    const wake = (): void => change.resolve();
    followers.add(wake);
    signal?.addEventListener('abort', wake);
    try {
      while (!signal?.aborted) {
        change = Promise.withResolvers<void>();
        const now = this.show(id);
        yield now;
        if (isOver(now.state) || this.#stop.signal.aborted) return;
        await change.promise;
      }
    } finally {
      followers.delete(wake);
      if (followers.size === 0 && this.#followers.get(id) === followers) this.#followers.delete(id);
      signal?.removeEventListener('abort', wake);
    }
  }

  #tell(id: string): void {
    for (const wake of this.#followers.get(id) ?? []) wake();
  }

  async cancel(text: string): Promise<Job> {
    const row = this.#row(text);
    if (isOver(row.state)) {
      if (row.state === 'cancelled') return this.#view(row);
      throw new Fault('wrong_state', `cancelling the job "${row.id}": it is ${row.state}`);
    }
    const error = new Fault('cancelled', `running the job "${row.id}": it was cancelled`);
    const running = this.#running.get(row.id);
    if (!running) return this.#view(this.#end(row, 'cancelled', { error }));
    running.stop.abort(error);
    await running.done;
    return this.show(row.id);
  }

  retry(text: string): Job {
    const row = this.#row(text);
    if (row.state === 'waiting') return this.#view(this.#requeue(row, { begun: 0 }));
    if (row.state !== 'failed' && row.state !== 'cancelled') {
      throw new Fault('wrong_state', `trying the job "${row.id}" again: it is ${row.state}`);
    }
    if (row.every !== null) {
      throw new Fault('wrong_state', `trying the job "${row.id}" again: it is a schedule; make it anew`);
    }
    return this.#view(this.#anew(row));
  }

  #anew(row: JobRow): JobRow {
    this.#checkRoom(row.input.length);
    const now = this.#options.clock.now();
    const deadline = row.within === null ? null : now + row.within;
    const fresh = { ended: null, error: null, answer: null, deadline, begun: 0, round: row.round + 1 };
    const next = this.#requeue(row, fresh);
    this.#load = { jobs: this.#load.jobs + 1, bytes: this.#load.bytes + row.input.length };
    return next;
  }

  #requeue(row: JobRow, change: Partial<JobRow> = {}): JobRow {
    const next = this.#change(row, { ...change, state: 'queued', waiting: null, due: null });
    this.#waiting.delete(row.id);
    this.#jobs.store.afterCommit(() => this.#enqueue(next));
    return next;
  }

  #change(row: JobRow, change: Partial<JobRow>): JobRow {
    const { seq: _, id: __, ...rest } = change;
    return this.#jobs.store.transaction(() => {
      const next = this.#jobs.change(row, rest);
      if (next.state !== 'running' && next.state !== row.state) this.#emit(next);
      this.#jobs.store.afterCommit(() => this.#tell(row.id));
      return next;
    });
  }

  #emit(row: JobRow): void {
    const { input: _, ...shown } = jobView(row, undefined);
    this.#options.emit(`job.${row.state}`, shown);
  }

  #end(row: JobRow, state: 'done' | 'failed' | 'cancelled', came: { answer?: unknown; error?: Fault }): JobRow {
    const ended = this.#change(row, {
      state,
      ended: this.#options.clock.now(),
      due: null,
      waiting: null,
      answer: came.answer === undefined ? row.answer : JSON.stringify(came.answer),
      error: came.error ? JSON.stringify(came.error) : null,
    });
    this.#queue.remove(row.id, ticketOf(row).lane);
    this.#waiting.delete(row.id);
    this.#backoffs.delete(row.id);
    this.#load = { jobs: this.#load.jobs - 1, bytes: this.#load.bytes - row.input.length };
    this.#ended += 1;
    if (this.#ended % TRIM_EVERY === 0) this.#jobs.trim(this.#options.clock.now());
    return ended;
  }

  /** Puts free workers to work. */
  #pump(): void {
    if (!this.#started || this.#stop.signal.aborted) return;
    for (let ticket = this.#queue.take(); ticket; ticket = this.#queue.take()) {
      const { id } = ticket;
      const row = this.#jobs.get(id);
      if (row?.state !== 'queued') {
        this.#queue.release(id);
        continue;
      }
      const stop = new AbortController();
      const running: Running = { row, stop, answer: undefined, done: Promise.resolve() };
      this.#running.set(id, running);
      running.done = this.#run(running)
        .catch((error: unknown) => {
          // Nothing could be written: a full disk, say. It is still the queue's, and tried when the clock is looked at.
          this.#options.log.warn({ err: error, job: id }, 'a job could not be kept; it will be tried again');
          this.#unsure = true;
        })
        .finally(() => {
          this.#running.delete(id);
          this.#queue.release(id);
          this.#tell(id);
          this.#pump();
        });
    }
  }

  async #run(running: Running): Promise<void> {
    const { clock } = this.#options;
    const { stop } = running;
    const now = clock.now();
    const { begun, attempts } = running.row;
    const row = this.#change(running.row, { state: 'running', started: now, begun: begun + 1, attempts: attempts + 1 });
    running.row = row;
    const signal = AbortSignal.any([stop.signal, this.#stop.signal]);
    try {
      const missing = await this.#missing(row, signal);
      signal.throwIfAborted();
      if (missing) return void this.#wait(row, missing.need, missing.message);
      const backend = this.#backend();
      const answer = await perform(row, {
        client: localClient({ backend, log: this.#options.log, key: keyOf(row) }),
        signal,
        progress: (answer) => {
          running.answer = answer;
          this.#tell(row.id);
        },
      });
      this.#end(row, 'done', { answer });
    } catch (error) {
      const fault = toFault(error, `running the job "${row.id}"`);
      if (stop.signal.aborted) this.#stopped(row, running.answer, toFault(stop.signal.reason));
      else if (this.#stop.signal.aborted) this.#change(row, { state: 'queued', begun: 0 });
      else if (fault.retry && row.retry !== 0) await this.#tryLater(row, fault, signal);
      else this.#end(row, 'failed', { error: fault, answer: running.answer });
    }
  }

  /** It was cancelled, or its deadline has passed. */
  #stopped(row: JobRow, answer: unknown, why: Fault): void {
    this.#end(row, why.code === 'cancelled' ? 'cancelled' : 'failed', { error: why, answer });
  }

  async #missing(row: JobRow, signal: AbortSignal): Promise<{ need: Need; message: string } | undefined> {
    const written: string[] = JSON.parse(row.needs);
    for (const text of written) {
      const need = needOf(text, peerOf(row));
      const message = await this.#options.world.missing(need, signal);
      if (message !== undefined) return { need, message };
    }
    return undefined;
  }

  /** Waits for what the fault says is missing, where that is so; else for a while. */
  async #tryLater(row: JobRow, fault: Fault, signal: AbortSignal): Promise<void> {
    const need = needAfter(fault, peerOf(row));
    const isMissing = need && (await this.#options.world.missing(need, signal).catch(() => undefined));
    if (this.#stop.signal.aborted) return void this.#change(row, { state: 'queued', begun: 0 });
    if (signal.aborted) return this.#stopped(row, undefined, toFault(signal.reason));
    this.#wait(row, isMissing === undefined ? undefined : need, fault.message);
  }

  #wait(row: JobRow, need: Need | undefined, message: string): void {
    const backoff =
      this.#backoffs.get(row.id) ?? new Backoff({ ...AGAIN, firstMs: this.#options.againMs ?? AGAIN.firstMs });
    this.#backoffs.set(row.id, backoff);
    // Nobody tells when the disk has room again.
    const ms = need === undefined || need.what === 'space' ? backoff.next() : EVENT_MISSED_MS * (1 + Math.random());
    const who = need && 'who' in need ? need.who : null;
    const waiting = JSON.stringify({ what: need?.what ?? 'retry', who, message });
    const due = Math.round(this.#options.clock.now() + ms);
    this.#hold(this.#change(row, { state: 'waiting', waiting, due, begun: 0 }));
    this.#arm(due);
  }

  #hold(row: JobRow): void {
    this.#queue.hold(ticketOf(row));
    this.#waiting.set(row.id, JSON.parse(row.waiting ?? '{}'));
  }

  /** Something happened that may be what some jobs wait for. */
  #mayHold(what: Need['what'], isFor: (who: string) => boolean): void {
    for (const [id, waits] of this.#waiting) {
      if (waits.what !== what || (waits.who !== null && !isFor(waits.who))) continue;
      const row = this.#jobs.get(id);
      if (row?.state === 'waiting') this.#requeue(row);
    }
  }

  /** Looks at the jobs at `at`, unless it does so before. */
  #arm(at: number): void {
    if (!this.#started || this.#stop.signal.aborted || at >= this.#lookAt) return;
    this.#lookAt = at;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), Math.max(0, at - this.#options.clock.now())).unref();
  }

  /** Does what the clock says, and waits for the next time that matters: at most so long, since the clock may be set. */
  #look(): void {
    const now = this.#options.clock.now();
    this.#lookAt = Number.POSITIVE_INFINITY;
    try {
      if (this.#unsure) this.#remember();
      for (const row of this.#jobs.dueBy(now)) this.#come(row, now);
      this.#arm(Math.min(this.#jobs.nextTime(now), now + (this.#options.lookMs ?? LOOK_MS)));
    } catch (error) {
      this.#options.log.warn({ err: error }, 'jobs could not be looked at; they will be again');
      this.#arm(now + AGAIN.firstMs);
    }
    this.#pump();
  }

  /** Takes up anew what stands on disk. */
  #remember(): void {
    for (const row of this.#jobs.open('running')) {
      if (!this.#running.has(row.id)) this.#jobs.change(row, { state: 'queued' });
    }
    for (const row of this.#jobs.open('queued')) this.#queue.add(ticketOf(row));
    this.#unsure = false;
  }

  /** A job's time has come: to be run, to be made, or to be given up. */
  #come(row: JobRow, now: number): void {
    if (row.every !== null) return this.#fire(row, row.every, now);
    if (row.deadline !== null && row.deadline <= now) {
      const fault = lateFault(row);
      const running = this.#running.get(row.id);
      if (running) running.stop.abort(fault);
      else this.#end(row, 'failed', { error: fault });
      return;
    }
    if (row.due === null) return;
    // The agent was off at its time: it runs now, and says so.
    const isLate = row.state === 'scheduled' && now - row.due > LATE_MS;
    this.#requeue(row, isLate ? { missed: 1 } : {});
  }

  /** A schedule's time has come: it makes one job, also where several times have passed. Both are written together. */
  #fire(row: JobRow, every: string, now: number): void {
    const due = row.due ?? now;
    // A clock that was set back brings no time a second time.
    const next = nextRun(every, Math.max(now, due));
    this.#jobs.store.transaction(() => {
      const passed = runsBetween(every, due, now);
      const before = this.#jobs.openOf(row.id);
      const isFull = this.#load.jobs >= MOST_OPEN;
      const missed = passed + (before || isFull ? 1 : 0);
      if (!before && !isFull) {
        const draft = draftOf(
          { operation: row.operation, input: JSON.parse(row.input) },
          { id: childId(row.id, due), source: 'schedule', now },
        );
        const deadline = row.within === null ? null : now + row.within;
        const { within, priority, needs, retry } = row;
        const own = { within, priority, needs, retry, deadline, schedule: row.id, missed };
        this.#keep({ ...draft, row: { ...draft.row, ...own } });
      }
      if (next === undefined) this.#end(row, 'done', {});
      else this.#jobs.change(row, { due: next, missed: row.missed + missed, attempts: row.attempts + 1 });
      this.#jobs.store.afterCommit(() => this.#tell(row.id));
    });
  }
}
