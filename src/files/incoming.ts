/** Files that others offer to this user: asked about, fetched when wanted, and taken up again until they are whole. */
import { access, constants } from 'node:fs/promises';
import { basename, isAbsolute, join } from 'node:path';
import { Backoff } from '../base/async.ts';
import { hash as hashOf } from '../base/encoding.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Binding } from '../link/binding.ts';
import { BlockPool } from './blocks.ts';
import { BlobClient, type Bulk } from './client.ts';
import { contentOf } from './content.ts';
import { fetchContent, MOST_STRIKES } from './fetch.ts';
import { FolderWorker } from './folder-worker.ts';
import { Ledger } from './ledger.ts';
import type { Traffic } from './limits.ts';
import { Lines } from './lines.ts';
import { CHUNK_BYTES, MOST_FOLDER_MANIFEST_BYTES, MOST_MANIFEST_BYTES, parseManifest } from './manifest.ts';
import { checkSpace, isFinished, makeFolder, type Part, PartFile, removePart } from './part.ts';
import { PartFolder } from './part-folder.ts';
import { safeName } from './paths.ts';
import { plan } from './queue.ts';
import type { Reports } from './reports.ts';
import { reuse } from './reuse.ts';
import type { Settings } from './settings.ts';
import type { Sharing } from './sharing.ts';
import type { FileStore } from './store.ts';
import type { Contents, Transfer } from './transfer.ts';
import type { Transfers } from './transfers.ts';
import { WholeFiles } from './whole.ts';
import { encodeAccount } from './wire.ts';

/** The waits after a cut or while nobody is there; a sign of life of the holder ends them. */
const RETRY = { firstMs: 300, mostMs: 60_000 };
/** The waits for room on the disk. */
const ROOM = { firstMs: 1000, mostMs: 30_000 };

export type IncomingOptions = {
  store: FileStore;
  transfers: Transfers;
  reports: Reports;
  sharing: Sharing;
  bulk: Bulk;
  binding: () => Binding;
  downloads: string;
  log: Log;
  signal: AbortSignal;
  stallMs: number | undefined;
  retry: { firstMs: number; mostMs: number } | undefined;
  settings: Settings;
  traffic: Traffic;
};

/** Bytes of a manifest of which its thread is told at once: it reads them in some ten milliseconds. */
const TOLD_BYTES = 1024 * 1024;

/** An accepted transfer that is not running. */
type Waiting = { notBefore: number };
type Running = {
  stop: AbortController;
  done: Promise<void>;
  /** It was told to give its place to others, or is paused. */
  yielding: boolean;
};
/** What is known of a transfer's tries so far. */
type Tries = { backoff: Backoff; room: Backoff; strikes: number; banned: Set<string> };

export class Incoming {
  readonly #options: IncomingOptions;
  readonly #transfers: Transfers;
  readonly #waiting = new Map<string, Waiting>();
  readonly #running = new Map<string, Running>();
  readonly #tries = new Map<string, Tries>();
  readonly #pool = new BlockPool();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: IncomingOptions) {
    this.#options = options;
    this.#transfers = options.transfers;
  }

  async start(): Promise<void> {
    for (const { id, folder } of this.#options.store.litter()) await this.#tidy(id, folder);
    for (const { id, direction, state } of this.#transfers.open()) {
      if (direction !== 'in' || (state !== 'accepted' && state !== 'fetching')) continue;
      if (state === 'fetching') this.#transfers.change(id, { state: 'accepted' });
      this.#waiting.set(id, { notBefore: 0 });
    }
    this.#pump();
  }

  /** Consents. Throws `wrong_state`, `invalid_argument` or `unwritable`. */
  async accept(id: string, to: string | undefined): Promise<Transfer> {
    const folder = to ?? this.#options.downloads;
    const what = `accepting the file "${id}"`;
    if (!isAbsolute(folder)) throw new Fault('invalid_argument', `${what} into "${folder}": expected an absolute path`);
    this.#checkAcceptable(id, what);
    const name = safeName(this.#transfers.get(id).name);
    try {
      await makeFolder(folder);
      await access(folder, constants.W_OK | constants.X_OK);
    } catch (error) {
      throw new Fault('unwritable', `${what}: the folder "${folder}" cannot be written`, { cause: error });
    }
    const isUnderWay = this.#checkAcceptable(id, what);
    const before = this.#transfers.get(id);
    if (isUnderWay) return before;
    if (before.folder !== '' && before.folder !== folder) await this.#tidy(id, before.folder);
    const accepted = this.#options.store.transaction(() => {
      const next = this.#transfers.change(id, { state: 'accepted', folder, path: join(folder, name), error: null });
      this.#options.reports.owe(next);
      return next;
    });
    this.#tries.delete(id);
    this.#waiting.set(id, { notBefore: 0 });
    this.#pump();
    return accepted;
  }

  #checkAcceptable(id: string, what: string): boolean {
    const { direction, state } = this.#transfers.get(id);
    if (direction !== 'in') throw new Fault('wrong_state', `${what}: it is one that you send`);
    if (state === 'accepted' || state === 'fetching') return true;
    if (state === 'offered' || state === 'failed') return false;
    throw new Fault('wrong_state', `${what}: it is ${state}`);
  }

  /** Stops fetching, and removes what was fetched. The transfer's state has changed before. */
  async cancel({ id, folder }: Transfer): Promise<void> {
    this.#waiting.delete(id);
    const running = this.#running.get(id);
    running?.stop.abort(new Fault('cancelled', 'fetching a file: it was cancelled'));
    await running?.done;
    this.#tries.delete(id);
    if (folder !== '') await this.#tidy(id, folder);
  }

  async #tidy(id: string, folder: string): Promise<void> {
    try {
      await removePart(folder, id);
      this.#options.store.saveMarks(id, { part: undefined, marked: undefined, asked: undefined });
    } catch (error) {
      this.#options.log.warn({ err: error, transfer: id }, 'the part of a cancelled file was not removed');
    }
  }

  /** The account was seen: what waits for it is tried now. */
  wake(account: string): void {
    this.#wake(({ peer, hash }) => peer === account || this.#options.sharing.membersOf(hash).has(account));
  }

  /** Somebody fetches what is under this hash too, and may have some of it. */
  wanted(hash: string): void {
    this.#wake((transfer) => transfer.hash === hash);
  }

  #wake(fits: (transfer: Transfer) => boolean): void {
    for (const [id, waiting] of this.#waiting) {
      if (!fits(this.#transfers.get(id))) continue;
      waiting.notBefore = 0;
      this.#tries.get(id)?.backoff.reset();
    }
    this.#pump();
  }

  /** The order, the bound or a pause has changed: who runs is decided anew. */
  reconsider(): void {
    for (const [id, running] of this.#running) if (this.#options.settings.control(id).paused) this.#yield(running);
    this.#pump();
  }

  /** Settles when it does not run any more; it waits for its turn, as after a cut. */
  async halt(id: string): Promise<void> {
    const running = this.#running.get(id);
    if (running) this.#yield(running);
    await running?.done;
  }

  /** Fetches a whole file again whose part was made from what is right of it. */
  refetch(id: string): void {
    this.#tries.delete(id);
    this.#waiting.set(id, { notBefore: 0 });
    this.#pump();
  }

  #yield(running: Running): void {
    running.yielding = true;
    running.stop.abort(new Fault('cancelled', 'fetching a file: it gives way'));
  }

  /** Starts what may run, and sets the alarm for what may later. */
  #pump(): void {
    clearTimeout(this.#timer);
    if (this.#options.signal.aborted) return;
    const { settings } = this.#options;
    const now = performance.now();
    const { start, stop, againInMs } = plan({
      waiting: [...this.#waiting].map(([id, { notBefore }]) => ({ id, inMs: notBefore - now })),
      running: [...this.#running].map(([id, { yielding }]) => ({ id, yielding })),
      controls: settings.controls(),
      atOnce: settings.limits().atOnce,
    });
    for (const id of stop) {
      const running = this.#running.get(id);
      if (running) this.#yield(running);
    }
    for (const id of start) this.#run(id);
    if (againInMs !== undefined) this.#timer = setTimeout(() => this.#pump(), againInMs + 1).unref();
  }

  #run(id: string): void {
    this.#waiting.delete(id);
    const stop = new AbortController();
    const signal = AbortSignal.any([stop.signal, this.#options.signal]);
    const tries = this.#tries.get(id) ?? {
      backoff: new Backoff(this.#options.retry ?? RETRY),
      room: new Backoff(ROOM),
      strikes: 0,
      banned: new Set<string>(),
    };
    this.#tries.set(id, tries);
    const running: Running = { stop, done: Promise.resolve(), yielding: false };
    this.#running.set(id, running);
    running.done = this.#attempt(id, tries, signal)
      .catch((error: unknown) => {
        if (!signal.aborted) this.#failed(id, tries, toFault(error, 'fetching a file'), error);
        else if (running.yielding && !this.#options.signal.aborted) this.#backInLine(id);
      })
      .catch((error: unknown) => {
        // Not even the failure could be written down: the store's disk is full. The transfer stays, and is tried again.
        this.#options.log.warn({ err: error, transfer: id }, 'the state of a file could not be written');
        this.#waiting.set(id, { notBefore: performance.now() + tries.room.next() });
      })
      .finally(() => {
        this.#running.delete(id);
        this.#pump();
      });
  }

  #backInLine(id: string): void {
    const { state } = this.#transfers.get(id);
    if (state !== 'fetching' && state !== 'accepted') return; // cancelled in the same moment
    this.#waiting.set(id, { notBefore: 0 });
    this.#transfers.change(id, { state: 'accepted', error: null });
  }

  #failed(id: string, tries: Tries, fault: Fault, error: unknown): void {
    if (fault.code === 'internal') this.#options.log.error({ err: error, transfer: id }, 'a fetch failed by a defect');
    const why = { code: fault.code, message: fault.message };
    // Who is not in the directory now may be there later. A holder whose data is wrong is not asked for ever.
    const isGivenUp = fault.code === 'hash_mismatch' && ++tries.strikes >= MOST_STRIKES;
    if ((fault.retry || fault.code === 'unknown_handle') && !isGivenUp) {
      const wait = (fault.code === 'disk_full' ? tries.room : tries.backoff).next();
      this.#options.log.info({ ...why, transfer: id, againInMs: wait }, 'a fetch waits');
      this.#transfers.change(id, { state: 'accepted', error: why });
      this.#waiting.set(id, { notBefore: performance.now() + wait });
      return;
    }
    this.#options.store.transaction(() => {
      this.#options.reports.owe(this.#transfers.change(id, { state: 'failed', error: why }));
    });
    this.#options.reports.forget(id);
    this.#tries.delete(id);
  }

  async #attempt(id: string, tries: Tries, signal: AbortSignal): Promise<void> {
    const { store } = this.#options;
    const { peer, path, hash, folder, size, contents } = this.#transfers.get(id);
    const { part: known } = store.marks(id);
    if (known && !known.inPlace && (await isFinished(path, known))) return this.#done(id, path); // named, then killed
    if (!known && contents) await checkSpace(folder, size, contents.entries);
    const thread = contents && new FolderWorker();
    const lines = new Lines({
      log: this.#options.log,
      dial: (account, way) =>
        BlobClient.open({
          ...way,
          bulk: this.#options.bulk,
          account,
          credential: encodeAccount(this.#options.binding()),
          signal,
          ...(this.#options.stallMs !== undefined && { stallMs: this.#options.stallMs }),
        }),
      onOpen: (account, client) => {
        const flow = this.#options.traffic.open({
          transfer: id,
          direction: 'in',
          peer: account,
          origin: client.origin,
        });
        client.meter = (count) => flow.moved(count, signal);
        return flow;
      },
    });
    try {
      thread?.start(); // meanwhile the manifest comes
      const holders = [peer, ...this.#options.sharing.othersOf(hash, peer, this.#self)];
      const manifest = store.manifest(hash) ?? (await this.#manifestOf(id, { holders, lines, thread }));
      await this.#fetchInto(id, manifest, { thread, tries, lines, holders, signal });
    } finally {
      await thread?.[Symbol.asyncDispose]();
      lines.close();
    }
  }

  get #self(): string {
    return this.#options.binding().account;
  }

  /** The manifest from who wrote the ticket, or else from any of the others. */
  async #manifestOf(
    id: string,
    { holders, lines, thread }: { holders: readonly string[]; lines: Lines; thread: FolderWorker | undefined },
  ): Promise<Buffer> {
    let first: unknown;
    for (const account of holders) {
      try {
        return await this.#fetchManifest(id, await lines.use(account), thread);
      } catch (error) {
        lines.forget(account);
        first ??= error;
      }
    }
    throw first;
  }

  /** The manifest's bytes: what they say is not believed yet. The thread reads them as they come. */
  async #fetchManifest(id: string, client: BlobClient, thread: FolderWorker | undefined): Promise<Buffer> {
    const { hash, size, contents } = this.#transfers.get(id);
    let bytes: Buffer = Buffer.alloc(0);
    let [filled, told] = [0, 0];
    await client.get({
      path: `/blobs/${hash}`,
      mostBytes: contents ? mostManifestBytes(size, contents) : MOST_MANIFEST_BYTES,
      begin: (length) => {
        bytes = Buffer.from(new SharedArrayBuffer(length));
        thread?.tell('expect', bytes);
      },
      body: (buffer, from, to) => {
        filled += buffer.copy(bytes, filled, from, to);
        if (filled - told < TOLD_BYTES) return;
        told = filled;
        thread?.tell('came', filled);
      },
    });
    if (hashOf(bytes) !== hash) throw new Fault('hash_mismatch', 'fetching a manifest: the bytes have another hash');
    return bytes;
  }

  /** The part of a transfer, opened by its manifest, which is believed then. */
  async #open(
    id: string,
    manifest: Uint8Array,
    { thread, isShared }: { thread: FolderWorker | undefined; isShared: boolean },
  ): Promise<Part> {
    const { store } = this.#options;
    const { hash, folder, name, size, contents, path } = this.#transfers.get(id);
    const { part } = store.marks(id);
    // A folder that was to be mended where it is, and was moved away: then it is fetched again.
    const isGone = part?.inPlace && !(await isFinished(path, part));
    const known = isGone ? undefined : part;
    if (contents && thread) {
      const ticket = { name, size, entries: contents.entries };
      const part = await PartFolder.open({ folder, id, known, path, manifest, hash, ticket, thread, isShared });
      const paths = part.leftOut
        .slice(0, 100)
        .map((path) => ({ path, why: 'it is a link that leads out of the folder' }));
      const { files } = part.outline;
      const leftOut = { count: part.leftOut.length, paths };
      this.#transfers.change(id, { contents: { ...contents, files, leftOut } });
      return part;
    }
    const parsed = parseManifest(manifest, hash);
    const [file] = parsed.files;
    if (parsed.folder || !file || parsed.name !== name || parsed.size !== size) {
      throw new Fault('malformed', 'reading a manifest: its name and size are not what the ticket says'); // [F-4]
    }
    return await PartFile.open({ folder, id, file, chunk: parsed.chunk, known });
  }

  async #fetchInto(
    id: string,
    manifest: Uint8Array,
    how: {
      thread: FolderWorker | undefined;
      tries: Tries;
      lines: Lines;
      holders: readonly string[];
      signal: AbortSignal;
    },
  ): Promise<void> {
    const { store, reports, sharing, settings } = this.#options;
    const { thread, tries, lines, holders, signal } = how;
    const { hash, folder, name, peer, contents } = this.#transfers.get(id);
    const isShared = holders.length > 1;
    const part = await this.#open(id, manifest, { thread, isShared });
    const { layout } = part;
    const content = contentOf(part, `/blobs/${hash}/${contents ? 'all' : 0}`);
    let keeping: Promise<void> | undefined;
    const keep = (): Promise<void> => {
      keeping ??= store.saveLargeManifest(hash, manifest);
      keeping.catch(() => {}); // heard of below
      return keeping;
    };
    try {
      if (isShared) await keep(); // others, who are told of the part, may ask for its manifest
      const ledger = await Ledger.open({ store, id, part, signal });
      const { have } = ledger;
      const share = isShared ? sharing.begin(content, { hash, have, part }) : undefined;
      try {
        if (!have.full) {
          let bytes = have.count > 0 ? layout.bytesOf((index) => have.has(index)) : 0;
          const whole = contents && new WholeFiles(layout, have);
          await checkSpace(folder, layout.size - bytes, whole ? whole.files - whole.count : 1);
          let client: BlobClient | undefined;
          const onChunks = (indexes: readonly number[], count: number): void => {
            bytes += count;
            for (const index of indexes) whole?.add(index);
            tries.backoff.reset();
            tries.room.reset();
            this.#transfers.progress(id, bytes, whole?.count);
            reports.progress(id);
            ledger.wrote(count, (error) => {
              client?.destroy(toFault(error));
              share?.fail(toFault(error));
            });
          };
          const onAsk = (first: number, count: number): void => ledger.ask(first, count);
          this.#transfers.change(id, { state: 'fetching', progress: bytes, error: null });
          reports.progress(id);
          try {
            await reuse({ store, id, content, have, part, onAsk, onChunks, signal });
            share?.know(have);
            if (have.full) {
              // All of it was on this machine.
            } else if (share) {
              await share.fetch({ author: peer, holders, banned: tries.banned, lines, onAsk, onChunks, signal });
            } else {
              const onStrike = (index: number): void => {
                tries.strikes += 1;
                if (tries.strikes < MOST_STRIKES) return;
                throw new Fault(
                  'hash_mismatch',
                  `fetching chunk ${index}: the holder gave wrong data ${MOST_STRIKES} times`,
                );
              };
              void keep(); // while bytes come
              while (!have.full) {
                const line = await lines.use(peer);
                client = line;
                const { path } = content;
                const fetching = { client: line, path, have, part, pool: this.#pool, onAsk, onChunks, onStrike };
                await fetchContent(fetching).catch((error: unknown) => {
                  if (signal.aborted || !lines.hasMoved(line)) throw error;
                });
              }
            }
          } finally {
            lines.close(); // nothing moves any more
            // What is whole is flushed before it has its name; should that not come about, it is hashed again.
            await (have.full ? ledger.rested() : ledger.flush());
          }
        }
        signal.throwIfAborted();
        const { conflict } = settings.control(id);
        // What is fetched again takes the place that it had, also where that was another one than its own.
        const own = conflict === 'overwrite' ? basename(this.#transfers.get(id).path) : safeName(name);
        const path = await part
          .finish(own, (intended) => store.savePath(id, intended), conflict)
          .catch((error: unknown) => {
            ledger.distrust();
            throw error;
          });
        await keep();
        if (!contents || part.stamps) await sharing.keep(hash, path, part.stamps);
        this.#done(id, path);
      } finally {
        await share?.end({ whole: have.full });
      }
    } finally {
      await Promise.allSettled([keeping]);
      await part.close();
    }
  }

  #done(id: string, path: string): void {
    const { store, reports } = this.#options;
    const { size, folder, contents } = this.#transfers.get(id);
    const all = contents && { contents: { ...contents, filesDone: contents.files } };
    store.transaction(() => {
      store.saveMarks(id, { part: undefined, marked: undefined, asked: undefined });
      reports.owe(this.#transfers.change(id, { state: 'done', progress: size, path, error: null, ...all }));
    });
    reports.forget(id);
    this.#tries.delete(id);
    void removePart(folder, id).catch(() => {}); // gone already, unless the program was killed in between
  }

  /** Settles when nothing is under way any more; the service's signal has aborted. */
  async stopped(): Promise<void> {
    clearTimeout(this.#timer);
    await Promise.all([...this.#running.values()].map(({ done }) => done));
  }
}

/** Bytes that the manifest of a folder may have by what its ticket says: long paths, and the hash of each chunk. */
function mostManifestBytes(size: number, { entries }: Contents): number {
  return Math.min(MOST_FOLDER_MANIFEST_BYTES, 65_536 + entries * 4096 + Math.ceil(size / CHUNK_BYTES) * 64);
}
