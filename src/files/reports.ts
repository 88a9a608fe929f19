/** Tells the other side of a transfer what became of it: durable until it was heard. [F-30] */
import { Backoff } from '../base/async.ts';
import { toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Link } from '../link/link.ts';
import type { FileStore } from './store.ts';
import type { Transfer } from './transfer.ts';
import type { Transfers } from './transfers.ts';
import { type Report, report } from './wire.ts';

/** A link to a node of `account`, there already or dialled. Throws `peer_unreachable` and other faults of dialling. */
export type Reach = (account: string, options: { signal: AbortSignal }) => Promise<Link>;

/** The waits between tries while the other side is away; a link that comes up ends the wait. */
const RETRY = { firstMs: 2000, mostMs: 300_000 };
/** Milliseconds between reports of progress, which nobody is owed. */
const PROGRESS_MS = 1000;

export class Reports {
  readonly #store: FileStore;
  readonly #transfers: Transfers;
  readonly #reach: Reach;
  readonly #log: Log;
  readonly #signal: AbortSignal;
  readonly #pushing = new Map<string, { again: boolean }>();
  readonly #retries = new Map<string, { backoff: Backoff; timer: NodeJS.Timeout | undefined }>();
  readonly #progress = new Map<string, number>();

  constructor(options: { store: FileStore; transfers: Transfers; reach: Reach; log: Log; signal: AbortSignal }) {
    this.#store = options.store;
    this.#transfers = options.transfers;
    this.#reach = options.reach;
    this.#log = options.log;
    this.#signal = options.signal;
    options.signal.addEventListener('abort', () => {
      for (const { timer } of this.#retries.values()) clearTimeout(timer);
    });
  }

  start(): void {
    for (const peer of this.#store.owedPeers()) this.push(peer);
  }

  /** Notes that the other side is owed the transfer's state; sends it once that is committed. */
  owe({ id, peer }: Transfer): void {
    this.#store.owe(id, peer);
    this.#store.afterCommit(() => this.push(peer));
  }

  /** Sends what `peer` is owed, now. */
  push(peer: string): void {
    const under = this.#pushing.get(peer);
    if (under) {
      under.again = true;
      return;
    }
    const run = { again: false };
    this.#pushing.set(peer, run);
    clearTimeout(this.#retries.get(peer)?.timer);
    this.#send(peer)
      .then(
        () => this.#retries.delete(peer),
        (error: unknown) => this.#retryLater(peer, error),
      )
      .finally(() => {
        this.#pushing.delete(peer);
        if (run.again && !this.#signal.aborted) this.push(peer);
      });
  }

  async #send(peer: string): Promise<void> {
    for (;;) {
      const owed = this.#signal.aborted ? [] : this.#store.owed(peer);
      if (owed.length === 0) return;
      const link = await this.#reach(peer, { signal: this.#signal });
      for (const { transfer, version } of owed) {
        await this.#sendOne(link, this.#transfers.get(transfer));
        this.#store.settle(transfer, version);
      }
    }
  }

  async #sendOne(link: Link, transfer: Transfer): Promise<void> {
    const params = reportOf(transfer);
    if (!params) return;
    try {
      await link.request(report, params, { signal: this.#signal });
    } catch (error) {
      const fault = toFault(error);
      if (fault.retry || fault.code === 'cancelled') throw fault;
      // It was heard, and will not be taken another time either.
      this.#log.info({ code: fault.code, transfer: transfer.id }, 'a file report was refused');
    }
  }

  #retryLater(peer: string, error: unknown): void {
    if (this.#signal.aborted) return;
    const retry = this.#retries.get(peer) ?? { backoff: new Backoff(RETRY), timer: undefined };
    this.#retries.set(peer, retry);
    this.#log.debug({ err: error, peer: peer.slice(0, 8) }, 'file reports wait');
    retry.timer = setTimeout(() => this.push(peer), retry.backoff.next()).unref();
  }

  /** Tells how far a fetch is, at most once a second, and if it does not arrive it does not matter. */
  progress(id: string): void {
    const now = performance.now();
    if (now - (this.#progress.get(id) ?? 0) < PROGRESS_MS) return;
    this.#progress.set(id, now);
    const transfer = this.#transfers.get(id);
    const params = reportOf(transfer);
    if (!params) return;
    this.#reach(transfer.peer, { signal: this.#signal })
      .then((link) => link.request(report, params, { signal: this.#signal }))
      .catch((error: unknown) => this.#log.debug({ err: error, transfer: id }, 'a report of progress was lost'));
  }

  /** Tells the receiver that what it waits for is served again; where that is lost, it finds out by itself. [F-31] */
  hint({ id, peer, entry, progress }: Transfer): void {
    if (entry === null) return;
    const params: Report = { entry, state: 'accepted', bytes: progress, error: null };
    this.#reach(peer, { signal: this.#signal })
      .then((link) => link.request(report, params, { signal: this.#signal }))
      .catch((error: unknown) => this.#log.debug({ err: error, transfer: id }, 'a hint was lost'));
  }

  /** No more is to come of this transfer. */
  forget(id: string): void {
    this.#progress.delete(id);
  }
}

/** Undefined where there is nothing to say: the other side knows it already. */
function reportOf({ direction, entry, state, progress, error }: Transfer): Report | undefined {
  if (entry === null || state === 'offered' || state === 'preparing' || state === 'serving') return undefined;
  if (direction === 'out' && state !== 'cancelled') return undefined;
  const why = error && { code: error.code.slice(0, 40), message: error.message.slice(0, 1000) };
  return { entry, state, bytes: progress, error: state === 'failed' ? why : null };
}
