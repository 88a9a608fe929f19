/** All transfers as they are now: changes go to the store first, then to whoever follows; progress at a bearable rate. */
import { Fault } from '../base/fault.ts';
import type { FileStore } from './store.ts';
import { isEnd, type Transfer, type TransferState } from './transfer.ts';

/** Milliseconds between two snapshots that differ in progress alone. */
const PROGRESS_MS = 250;
/** Milliseconds over which a rate is taken. */
const RATE_MS = 3000;

export type FileEvent =
  | 'file.preparing'
  | 'file.offered'
  | 'file.progress'
  | 'file.done'
  | 'file.declined'
  | 'file.cancelled'
  | 'file.failed';

const EVENTS: Record<TransferState, FileEvent> = {
  preparing: 'file.preparing',
  offered: 'file.offered',
  accepted: 'file.progress',
  fetching: 'file.progress',
  serving: 'file.progress',
  done: 'file.done',
  declined: 'file.declined',
  cancelled: 'file.cancelled',
  failed: 'file.failed',
};

type Live = {
  transfer: Transfer;
  samples: { at: number; bytes: number }[];
  timer: NodeJS.Timeout | undefined;
};

export type Change = Partial<
  Pick<Transfer, 'entry' | 'hash' | 'name' | 'size' | 'state' | 'progress' | 'path' | 'folder' | 'contents' | 'error'>
>;

export class Transfers {
  readonly #store: FileStore;
  #version = 0;
  readonly #emit: (type: FileEvent, transfer: Transfer) => void;
  /** Those not at their end. */
  readonly #live = new Map<string, Live>();
  readonly #followers = new Map<string, Set<(transfer: Transfer) => void>>();
  readonly #watchers = new Set<(transfer: Transfer) => void>();

  constructor(store: FileStore, emit: (type: FileEvent, transfer: Transfer) => void) {
    this.#store = store;
    this.#emit = emit;
    for (const transfer of store.open()) this.#live.set(transfer.id, liveOf(transfer));
  }

  /** Another one after each change that may say who may have what: not of progress. */
  get version(): number {
    return this.#version;
  }

  add(transfer: Transfer): Transfer {
    this.#version += 1;
    this.#store.insert(transfer);
    this.#store.afterCommit(() => {
      if (!isEnd(transfer.state)) this.#live.set(transfer.id, liveOf(transfer));
      this.#tell(transfer);
    });
    return transfer;
  }

  /** Throws `unknown_id`. */
  get(id: string): Transfer {
    const live = this.#live.get(id);
    if (live) return view(live);
    const kept = this.#store.byId(id);
    if (kept) return kept;
    throw new Fault('unknown_id', `looking for the file "${id}": there is none with this id`);
  }

  /** All, oldest first. */
  list(): Transfer[] {
    return this.#store.all().map((kept) => {
      const live = this.#live.get(kept.id);
      return live ? view(live) : kept;
    });
  }

  /** Those not at their end, oldest first. */
  open(): Transfer[] {
    return [...this.#live.values()].map(view);
  }

  /** Writes a change, then tells it. */
  change(id: string, change: Change): Transfer {
    this.#version += 1;
    const next: Transfer = { ...this.get(id), rate: 0, ...change };
    this.#store.update(next);
    this.#store.afterCommit(() => {
      const live = this.#live.get(id) ?? liveOf(next);
      clearTimeout(live.timer);
      live.timer = undefined;
      live.transfer = next;
      if (next.state !== 'fetching' && next.state !== 'serving') live.samples = [];
      if (isEnd(next.state)) this.#live.delete(id);
      else this.#live.set(id, live);
      this.#tell(isEnd(next.state) ? next : view(live));
    });
    return next;
  }

  /** Tells that something of it has changed that is kept elsewhere: no new state, so no event of one. */
  touch(id: string): Transfer {
    this.#version += 1;
    const transfer = this.get(id);
    this.#store.afterCommit(() => this.#tell(this.get(id), 'file.progress'));
    return transfer;
  }

  /** Notes bytes that moved: in memory alone, told a few times a second. */
  progress(id: string, bytes: number, filesDone?: number): void {
    const live = this.#live.get(id);
    if (!live || live.transfer.progress === bytes) return;
    const { contents } = live.transfer;
    live.transfer = {
      ...live.transfer,
      progress: bytes,
      ...(contents && filesDone !== undefined && { contents: { ...contents, filesDone } }),
    };
    const at = performance.now();
    const last = live.samples.at(-1);
    if (!last || at - last.at >= PROGRESS_MS) live.samples.push({ at, bytes });
    live.timer ??= this.#later(live, PROGRESS_MS);
  }

  /** Notes `bytes` more, at most all; of a transfer at its end nothing is noted. */
  advance(id: string, bytes: number): void {
    const transfer = this.#live.get(id)?.transfer;
    if (transfer) this.progress(id, Math.min(transfer.size, transfer.progress + bytes));
  }

  /** Tells what has moved; and once more a little later, for a rate that falls to nothing is news too. */
  #later(live: Live, ms: number): NodeJS.Timeout {
    const timer = setTimeout(() => {
      const transfer = view(live);
      live.timer = transfer.rate > 0 ? this.#later(live, PROGRESS_MS * 4) : undefined;
      this.#tell(transfer);
    }, ms);
    return timer.unref();
  }

  #tell(transfer: Transfer, event: FileEvent = EVENTS[transfer.state]): void {
    this.#emit(event, transfer);
    for (const tell of this.#followers.get(transfer.id) ?? []) tell(transfer);
    for (const tell of this.#watchers) tell(transfer);
  }

  /**
   * Snapshots of one transfer: the present one, then the newest whenever there is news, until its end or `signal`. A slow
   * reader misses some, never the last. Throws `unknown_id`.
   */
  async *follow(id: string, options: { signal?: AbortSignal | undefined } = {}): AsyncGenerator<Transfer, void> {
    let news: Transfer | undefined = this.get(id);
    let wake = Promise.withResolvers<void>();
    const tell = (transfer: Transfer): void => {
      news = transfer;
      wake.resolve();
    };
    const stop = (): void => wake.resolve();
    const followers = this.#followers.get(id) ?? new Set();
    followers.add(tell);
    this.#followers.set(id, followers);
    options.signal?.addEventListener('abort', stop);
    try {
      while (!options.signal?.aborted) {
        const next: Transfer | undefined = news;
        news = undefined;
        wake = Promise.withResolvers<void>();
        if (next) {
          yield next;
          if (isEnd(next.state)) return;
        }
        if (!news && !options.signal?.aborted) await wake.promise;
      }
    } finally {
      options.signal?.removeEventListener('abort', stop);
      followers.delete(tell);
      if (followers.size === 0) this.#followers.delete(id);
    }
  }

  /**
   * Snapshots of all that are open, then the newest of each whenever there is news, until `signal` or, with `untilIdle`,
   * until none is under way. A slow reader misses some, never the last of each.
   */
  async *watch(options: {
    signal?: AbortSignal | undefined;
    isUnderWay?: ((transfer: Transfer) => boolean) | undefined;
  }): AsyncGenerator<Transfer, void> {
    const { signal, isUnderWay } = options;
    const news = new Map(this.open().map((transfer) => [transfer.id, transfer]));
    let wake = Promise.withResolvers<void>();
    const tell = (transfer: Transfer): void => {
      news.set(transfer.id, transfer);
      wake.resolve();
    };
    const stop = (): void => wake.resolve();
    this.#watchers.add(tell);
    signal?.addEventListener('abort', stop);
    try {
      while (!signal?.aborted) {
        wake = Promise.withResolvers<void>();
        for (const [id, transfer] of news) {
          news.delete(id);
          yield transfer;
        }
        if (isUnderWay && news.size === 0 && !this.open().some(isUnderWay)) return;
        if (news.size === 0 && !signal?.aborted) await wake.promise;
      }
    } finally {
      signal?.removeEventListener('abort', stop);
      this.#watchers.delete(tell);
    }
  }

  /** Tells no more. */
  close(): void {
    for (const live of this.#live.values()) clearTimeout(live.timer);
  }
}

const liveOf = (transfer: Transfer): Live => ({ transfer, samples: [], timer: undefined });

function view(live: Live): Transfer {
  const now = performance.now();
  while (live.samples[0] && now - live.samples[0].at > RATE_MS) live.samples.shift();
  const first = live.samples[0];
  const moved = first ? live.transfer.progress - first.bytes : 0;
  const rate = first && now > first.at ? Math.max(0, Math.round((moved * 1000) / (now - first.at))) : 0;
  return { ...live.transfer, rate };
}
