/** Files that this user sends: hashed, offered, served, and believed to have arrived only when the receiver says so. */
import { basename, isAbsolute } from 'node:path';
import { Backoff, Budget, sleep } from '../base/async.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { shapeOf } from './content.ts';
import { FolderReaders } from './folder-readers.ts';
import { FolderWorker } from './folder-worker.ts';
import type { Shape } from './held.ts';
import { Layout } from './layout.ts';
import { encodeManifest, parseManifest } from './manifest.ts';
import { offeredName, safeName } from './paths.ts';
import type { Bytes, Offered } from './serve.ts';
import { hashSource, isFolder, realSource, Source } from './source.ts';
import type { FileStore } from './store.ts';
import { isEnd, type Transfer } from './transfer.ts';
import type { Transfers } from './transfers.ts';
import type { Report, Ticket } from './wire.ts';

/**
 * Puts the ticket into the conversation with `account` as an entry, durable when this settles; delivery goes on by itself.
 * `id` is the same at every try for one file: after a crash in between it is how to find the entry that was written.
 * Whoever can calls `recorded` inside the transaction that writes the entry; then there is no in-between.
 */
export type Offer = (
  account: string,
  ticket: Ticket,
  options: { id: string; recorded: (entryId: string) => void; signal: AbortSignal },
) => Promise<{ entryId: string }>;

/** Conversations of many, to which a file can be sent as to one account: by their id. */
export type Audience = { has(id: string): boolean; isMember(id: string, account: string): boolean };

/** The waits between tries where offering fails for now, e.g. because the disk is full. */
const RETRY = { firstMs: 1000, mostMs: 60_000 };
/** Milliseconds without a request after which a transfer is no longer shown as being served. */
const IDLE_MS = 3000;

export class Outgoing {
  readonly #store: FileStore;
  readonly #transfers: Transfers;
  readonly #offer: Offer;
  readonly #audience: Audience | undefined;
  readonly #log: Log;
  readonly #signal: AbortSignal;
  /** One file is hashed at a time: two would share the same disk. */
  readonly #hashing = new Budget(1, { queue: 100_000 });
  readonly #folders = new FolderReaders();
  readonly #jobs = new Map<string, { stop: AbortController; done: Promise<void> }>();
  readonly #serving = new Map<string, { count: number; idle: NodeJS.Timeout | undefined; isCounted: boolean }>();

  constructor(options: {
    store: FileStore;
    transfers: Transfers;
    offer: Offer;
    audience: Audience | undefined;
    log: Log;
    signal: AbortSignal;
  }) {
    this.#store = options.store;
    this.#transfers = options.transfers;
    this.#offer = options.offer;
    this.#audience = options.audience;
    this.#log = options.log;
    this.#signal = options.signal;
  }

  start(): void {
    for (const transfer of this.#transfers.open()) {
      if (transfer.direction !== 'out') continue;
      if (transfer.state === 'preparing') this.#prepareSoon(transfer.id);
      if (transfer.state === 'serving') this.#transfers.change(transfer.id, { state: 'accepted' });
    }
  }

  /**
   * Sends a file or a folder, called `name` where one is given. Throws `invalid_argument`, `unreadable`, `too_large` or
   * `bad_name`; else it is `preparing`, durably.
   */
  async send(base: Pick<Transfer, 'id' | 'peer' | 'at'>, path: string, called?: string): Promise<Transfer> {
    if (!isAbsolute(path)) throw new Fault('invalid_argument', `sending "${path}": expected an absolute path`);
    const name = called ?? offeredName(basename(path));
    safeName(name);
    const real = await realSource(path);
    const isAll = await isFolder(real);
    await using source = isAll ? undefined : await Source.open(real);
    const transfer = this.#transfers.add({
      ...base,
      direction: 'out',
      entry: null,
      hash: '',
      name,
      size: source?.size ?? 0,
      state: 'preparing',
      progress: 0,
      rate: 0,
      path: real,
      folder: '',
      ...(isAll && { contents: { entries: 0, files: 0, filesDone: 0, leftOut: { count: 0, paths: [] } } }),
      error: null,
    });
    this.#prepareSoon(transfer.id);
    return transfer;
  }

  #prepareSoon(id: string): void {
    const stop = new AbortController();
    const signal = AbortSignal.any([stop.signal, this.#signal]);
    const done = this.#prepare(id, signal)
      .catch((error: unknown) => {
        if (signal.aborted) return; // cancelled, or to be taken up at the next start
        const fault = toFault(error, 'sending a file');
        if (fault.code === 'internal') this.#log.error({ err: error, transfer: id }, 'a file was not sent by a defect');
        this.#transfers.change(id, { state: 'failed', error: { code: fault.code, message: fault.message } });
      })
      .finally(() => this.#jobs.delete(id));
    this.#jobs.set(id, { stop, done });
  }

  async #prepare(id: string, signal: AbortSignal): Promise<void> {
    if (this.#transfers.get(id).hash === '') {
      using _turn = await this.#hashing.take(1, signal);
      const { path, name, contents } = this.#transfers.get(id);
      if (contents) await this.#hashFolder(id, path, name, signal);
      else await this.#hashFile(id, path, name, signal);
    }
    const backoff = new Backoff(RETRY);
    for (;;) {
      try {
        return await this.#offerOnce(id, signal);
      } catch (error) {
        const fault = toFault(error, 'offering a file');
        if (!fault.retry || signal.aborted) throw fault;
        this.#log.warn({ code: fault.code, reason: fault.message, transfer: id }, 'offering a file waits');
        await sleep(backoff.next(), signal);
      }
    }
  }

  async #hashFile(id: string, path: string, name: string, signal: AbortSignal): Promise<void> {
    const { manifest, stamp } = await hashSource(path, { name, signal });
    const { bytes, hash } = encodeManifest(manifest);
    this.#store.transaction(() => {
      this.#store.saveManifest(hash, bytes);
      this.#store.saveShare(hash, 0, path, stamp);
      this.#transfers.change(id, { hash, size: manifest.size });
    });
  }

  async #hashFolder(id: string, path: string, name: string, signal: AbortSignal): Promise<void> {
    await using ending = new AsyncDisposableStack();
    const thread = ending.use(new FolderWorker());
    const hashed = await thread.askUntil(signal, 'hash', path, name);
    const { bytes, hash, size, entries, files, stamps, leftOut, outline } = hashed;
    await this.#store.saveLargeManifest(hash, bytes);
    if (this.#folders.adopt(hash, thread, outline)) ending.move();
    this.#store.transaction(() => {
      this.#store.saveFolder(hash, { path, stamps: new Uint8Array(stamps.buffer), asSent: true });
      this.#transfers.change(id, { hash, size, contents: { entries, files, filesDone: 0, leftOut } });
    });
  }

  async #offerOnce(id: string, signal: AbortSignal): Promise<void> {
    const { peer, hash, name, size, contents } = this.#transfers.get(id);
    const ticket: Ticket = { hash, name, size, ...(contents && { folder: { entries: contents.entries } }) };
    const recorded = (entry: string): void => {
      const present = this.#store.byId(id);
      if (present?.entry !== null) return; // said before
      this.#transfers.change(id, present.state === 'preparing' ? { entry, state: 'offered' } : { entry });
    };
    const { entryId } = await this.#offer(peer, ticket, { id, recorded, signal });
    recorded(entryId);
  }

  /** What `account` may have under `hash`. */
  offered(account: string, hash: string): Offered | undefined {
    const [own] = this.#store.grants(account, hash);
    const transfer = own ?? this.#store.grantsOf(hash).find(({ peer }) => this.#audience?.isMember(peer, account))?.id;
    if (transfer === undefined) return undefined;
    return { transfer, ...this.content(hash) };
  }

  /** What is here under `hash`, for whoever may have it. */
  content(hash: string): Pick<Offered, 'manifest' | 'open'> {
    return {
      manifest: () => {
        this.#expect(hash);
        return this.#manifestOf(hash);
      },
      open: (which) => this.#open(hash, which),
    };
  }

  /** How a content is cut that is whole here, and as far as it looks not changed since; undefined where it is not. */
  async whole(hash: string): Promise<Shape | undefined> {
    const bytes = await this.#open(hash, 'all').catch(() => undefined);
    if (!bytes) return undefined;
    await using source = bytes;
    const manifest = source.layout ? undefined : this.#store.manifest(hash);
    if (!source.layout && !manifest) return undefined;
    return shapeOf(source.layout ?? new Layout(parseManifest(manifest ?? new Uint8Array(), hash).chunk, [source.size]));
  }

  /** A file or folder came whole, and is here: from now on it is served from there. */
  async keep(hash: string, path: string, stamps: Uint8Array | undefined): Promise<void> {
    if (stamps) {
      const own = this.#store.folder(hash);
      if (own && own.path !== path && (await isFolder(own.path).catch(() => false))) return;
      await this.#folders.forget(hash);
      return this.#store.saveFolder(hash, { path, stamps, asSent: false });
    }
    await using source = await Source.open(path);
    const own = this.#store.share(hash, 0);
    const isOwnThere = own && (await Source.reopen(own.path, own.stamp).catch(() => undefined));
    await isOwnThere?.[Symbol.asyncDispose]();
    if (!isOwnThere) this.#store.saveShare(hash, 0, path, source.stamp);
  }

  #manifestOf(hash: string) {
    return {
      size: this.#store.manifestSize(hash) ?? 0,
      read: (start: number, end: number) => this.#store.manifestRange(hash, start, end),
    };
  }

  /** Whoever asks for a folder's manifest asks for its bytes next: they are made ready meanwhile. */
  #expect(hash: string): void {
    if (!this.#store.isFolder(hash)) return;
    this.#open(hash, 'all').then(
      (bytes) => bytes?.[Symbol.asyncDispose](),
      (error: unknown) => this.#log.debug({ err: error }, 'a folder was not opened ahead'),
    );
  }

  async #open(hash: string, which: number | 'all'): Promise<Bytes | undefined> {
    if (this.#store.isFolder(hash)) {
      return await this.#folders.open(hash, which, () => {
        const shared = this.#store.folder(hash);
        const manifest = this.#store.manifest(hash);
        if (shared && manifest) return { manifest, ...shared };
        throw new Fault('unknown_id', 'asking for a blob: the folder is not offered any more');
      });
    }
    const file = this.#store.share(hash, which === 'all' ? 0 : which);
    return file && (await Source.reopen(file.path, file.stamp));
  }

  onServe(id: string): void {
    const transfer = this.#transfers.get(id);
    const { state, direction } = transfer;
    const serving = this.#serving.get(id) ?? {
      count: 0,
      idle: undefined,
      // How much of it each of many has is theirs to say; the sum would say nothing.
      isCounted: direction === 'out' && !this.isToMany(transfer),
    };
    this.#serving.set(id, serving);
    clearTimeout(serving.idle);
    serving.count += 1;
    if (direction === 'out' && !isEnd(state) && state !== 'serving') this.#transfers.change(id, { state: 'serving' });
  }

  onBytes(id: string, bytes: number): void {
    if (this.#serving.get(id)?.isCounted) this.#transfers.advance(id, bytes);
  }

  isToMany({ peer }: Transfer): boolean {
    return this.#audience?.has(peer) ?? false;
  }

  onServed(id: string): void {
    const serving = this.#serving.get(id);
    if (!serving) return;
    serving.count -= 1;
    if (serving.count > 0) return;
    const rest = (): void => {
      this.#serving.delete(id);
      if (this.#signal.aborted || this.#transfers.get(id).state !== 'serving') return;
      this.#transfers.change(id, { state: 'accepted' });
    };
    serving.idle = setTimeout(rest, IDLE_MS).unref();
  }

  /** Takes what the receiver says of this transfer. */
  take(transfer: Transfer, { state, bytes, error }: Report): void {
    const { id, size } = transfer;
    const progress = Math.min(bytes, size);
    if (transfer.state === 'done') return;
    // A file that is whole on the other side is there, also where both sides crossed.
    const { contents } = transfer;
    const all = contents && { contents: { ...contents, filesDone: contents.files } };
    if (state === 'done') return void this.#transfers.change(id, { state, progress: size, error: null, ...all });
    if (transfer.state === 'cancelled') return;
    if (state === 'fetching') {
      if (transfer.state === 'serving') return this.#transfers.progress(id, progress);
      return void this.#transfers.change(id, { state: 'serving', progress, error: null });
    }
    if (state === 'accepted' && transfer.state === 'serving') return this.#transfers.progress(id, progress);
    this.#transfers.change(id, { state, progress, error: state === 'failed' ? error : null });
  }

  async cancel(id: string): Promise<void> {
    const job = this.#jobs.get(id);
    job?.stop.abort(new Fault('cancelled', 'sending a file: it was cancelled'));
    await job?.done;
  }

  /** Settles when nothing is under way any more; the service's signal has aborted. */
  async stopped(): Promise<void> {
    for (const { idle } of this.#serving.values()) clearTimeout(idle);
    await Promise.all([...this.#jobs.values()].map(({ done }) => done));
    await this.#folders[Symbol.asyncDispose]();
  }
}
