/** What the user may say of files beside sending and taking: order, pace, room, links, and what is kept of them. */
import { lstat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { Budget } from '../base/async.ts';
import type { Clock } from '../base/clock.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Key } from '../link/identity.ts';
import { CAPABILITY_PARAMETER, issue, read } from './capability.ts';
import { FolderThread } from './folder-thread.ts';
import { collect, type Garbage } from './gc.ts';
import type { Incoming } from './incoming.ts';
import type { Moving, Traffic } from './limits.ts';
import type { Outgoing } from './outgoing.ts';
import { safeName } from './paths.ts';
import { Quota, type Usage } from './quota.ts';
import type { Reports } from './reports.ts';
import type { BlobServer, Offered } from './serve.ts';
import type { Conflict, Control, GivenLink, Limits, Priority, Settings } from './settings.ts';
import type { FileStore } from './store.ts';
import { isEnd, type Transfer } from './transfer.ts';
import type { Transfers } from './transfers.ts';
import { type Check, check, seed } from './verify.ts';

/** Bytes a second below which a holder could cut a reader for taking nothing, where several share the limit. [F-15] */
const LEAST_LIMIT = 32_000;
/** Links of one node that hold at once. */
const MOST_LINKS = 10_000;

/** Files of a folder of which a link names the URL; the manifest names all. */
const MOST_LINKED_FILES = 1000;

/** Where what is offered can be asked for: its files, at most 1,000 of a folder, each by its place in the manifest. */
export type Addresses = {
  /** Of the file itself; of a folder, its manifest. */
  path: string;
  manifestPath: string;
  /** Of a folder alone, and only once its manifest is here. */
  files: { name: string; path: string }[];
};
/** A link as it is given out: its paths have the capability in them. */
export type NewLink = GivenLink & Addresses;

/** What was found of one transfer, and whether it is fetched again. */
export type Checked = Pick<Check, 'state' | 'badBytes'> & { transfer: Transfer; refetch: boolean };

type Parts = {
  store: FileStore;
  settings: Settings;
  transfers: Transfers;
  incoming: Incoming;
  outgoing: Outgoing;
  reports: Reports;
  server: BlobServer;
  traffic: Traffic;
  clock: Clock;
  log: Log;
  /** The node's own: it signs links. */
  key: Pick<Key, 'id' | 'sign'>;
  downloads: string;
  spool: string | undefined;
  /** Aborts when the node stops. */
  signal: AbortSignal;
};

export class FileControl {
  readonly #parts: Parts;
  readonly #quota: Quota;
  /** One is weighed at a time, so that two do not both take the last room. */
  readonly #weighing = new Budget(1, { queue: 100_000 });

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#quota = new Quota(parts);
  }

  of(id: string): Control {
    return this.#parts.settings.control(id);
  }

  /** Connections over which it moves now. */
  moving(id: string): Moving[] {
    return this.#parts.traffic.of(id);
  }

  /**
   * Consents to an offer, or tries a failed one again. With `skip`, an offer whose name is taken is declined. Throws
   * `unknown_id`, `wrong_state`, `unwritable`, or `too_large` past a quota.
   */
  async accept(id: string, options: { to?: string | undefined; conflict?: Conflict | undefined }): Promise<Transfer> {
    const { transfers, settings, incoming, reports, store, downloads } = this.#parts;
    const { to, conflict = 'rename' } = options;
    using _turn = await this.#weighing.take(1, this.#parts.signal);
    const transfer = transfers.get(id);
    const isOpen = transfer.direction === 'in' && (transfer.state === 'offered' || transfer.state === 'failed');
    if (!isOpen) return await incoming.accept(id, to); // says why not, or that it is under way
    await this.#quota.admit(transfer);
    const path = join(to ?? downloads, safeName(transfer.name));
    if (conflict === 'skip' && isAbsolute(path) && (await isTaken(path))) {
      return store.transaction(() => {
        const error = {
          code: 'exists',
          message: `accepting "${transfer.name}": "${path}" is there, so it was skipped`,
        };
        const declined = transfers.change(id, { state: 'declined', error });
        reports.owe(declined);
        return declined;
      });
    }
    settings.setControl(id, { conflict, paused: false });
    return await incoming.accept(id, to);
  }

  /** Stops moving it until `resume`, also across restarts. Throws `unknown_id` or `wrong_state`. */
  async pause(id: string): Promise<Transfer> {
    const { settings, transfers, incoming, server, store } = this.#parts;
    const transfer = this.#open(id, 'pausing');
    if (transfer.direction === 'in' && transfer.state === 'offered') {
      throw new Fault('wrong_state', `pausing the file "${id}": it is not accepted yet`);
    }
    store.transaction(() => {
      settings.setControl(id, { paused: true });
      transfers.touch(id);
    });
    if (transfer.direction === 'in') await incoming.halt(id);
    else server.stop(id, pausedFault());
    return transfers.get(id);
  }

  /** Throws `unknown_id` or `wrong_state`. */
  resume(id: string): Transfer {
    const { settings, transfers, incoming, store, reports } = this.#parts;
    const { direction } = this.#open(id, 'resuming');
    const resumed = store.transaction(() => {
      settings.setControl(id, { paused: false });
      return transfers.touch(id);
    });
    if (direction === 'in') incoming.reconsider();
    else reports.hint(resumed);
    return transfers.get(id);
  }

  /** Snapshots of what moves or waits; see `Transfers.watch`. */
  watch(options: { signal?: AbortSignal | undefined; untilIdle: boolean }): AsyncIterable<Transfer> {
    const isUnderWay = ({ id, state }: Transfer): boolean => state !== 'offered' && !this.of(id).paused;
    const { signal, untilIdle } = options;
    return this.#parts.transfers.watch({ signal, ...(untilIdle && { isUnderWay }) });
  }

  /** Says how urgent it is to fetch it. Throws `unknown_id` or `wrong_state`. */
  prioritize(id: string, priority: Priority): Transfer {
    const { settings, transfers, incoming, store } = this.#parts;
    const { direction } = this.#open(id, 'ordering');
    if (direction === 'out') {
      throw new Fault('wrong_state', `ordering the file "${id}": its receiver says when it is fetched`);
    }
    store.transaction(() => {
      settings.setControl(id, { priority });
      transfers.touch(id);
    });
    incoming.reconsider();
    return transfers.get(id);
  }

  /** Bounds its bytes a second; null: no bound of its own. Throws `unknown_id`, `wrong_state`, `invalid_argument`. */
  limit(id: string, rate: number | null): Transfer {
    const { settings, transfers, traffic, store } = this.#parts;
    checkRate(rate);
    this.#open(id, 'limiting');
    store.transaction(() => {
      settings.setControl(id, { limit: rate });
      transfers.touch(id);
    });
    traffic.controlChanged(id);
    return transfers.get(id);
  }

  get limits(): Limits {
    return this.#parts.settings.limits();
  }

  /** Sets what is not undefined, for all transfers, now. Throws `invalid_argument`. */
  setLimits(change: { [K in keyof Limits]?: Limits[K] | undefined }): Limits {
    checkRate(change.up ?? null);
    checkRate(change.down ?? null);
    const limits = this.#parts.settings.setLimits(change);
    this.#parts.traffic.limitsChanged();
    this.#parts.incoming.reconsider();
    return limits;
  }

  setQuota(account: string, quota: number | null): void {
    this.#parts.settings.setContact(account, { quota });
  }

  /** Bounds of contacts. */
  quotas(): { account: string; quota: number }[] {
    return this.#parts.settings.quotas();
  }

  usage(): Promise<Usage> {
    return this.#quota.usage();
  }

  /** Where files of `account` that come unasked are put; null: the home's downloads. */
  folderFor(account: string): string | null {
    return this.#parts.settings.contact(account).folder;
  }

  setFolderFor(account: string, folder: string | null): void {
    this.#parts.settings.setContact(account, { folder });
  }

  /** Gives out a link to what is offered, for `ttlMs`. Throws `unknown_id`, `wrong_state`, `too_many`. */
  async link(id: string, ttlMs: number): Promise<NewLink> {
    const { transfers, settings, clock, key } = this.#parts;
    const { direction, hash, state } = transfers.get(id);
    if (direction !== 'out' || hash === '' || !isLinkable(state)) {
      const why = direction === 'in' ? 'it is one that you receive' : `it is ${state}`;
      throw new Fault('wrong_state', `linking to the file "${id}": ${why}; links lead to files that you send`);
    }
    const at = clock.now();
    settings.dropLinks(at);
    if (settings.links().length >= MOST_LINKS) {
      throw new Fault('too_many', `linking to the file "${id}": ${MOST_LINKS} links hold; revoke some first`);
    }
    const until = at + ttlMs;
    const { id: linkId, text } = issue(key, hash, until);
    const given = { id: linkId, transfer: id, hash, at, until };
    settings.addLink(given);
    const query = `?${CAPABILITY_PARAMETER}=${text}`;
    return { ...given, ...(await this.addresses(id, query)) };
  }

  /** Where a member, or with `query` the holder of a link, asks for what is offered. Throws `unknown_id`. */
  async addresses(id: string, query = ''): Promise<Addresses> {
    const { transfers, store } = this.#parts;
    const { hash, contents } = transfers.get(id);
    const manifestPath = `/blobs/${hash}${query}`;
    const manifest = contents && store.manifest(hash);
    const names = manifest ? await firstPaths(manifest, hash) : [];
    const files = names.map((name, index) => ({ name, path: `/blobs/${hash}/${index}${query}` }));
    return { manifestPath, files, path: contents ? manifestPath : `/blobs/${hash}/0${query}` };
  }

  /** Links that hold. */
  links(): GivenLink[] {
    const now = this.#parts.clock.now();
    return this.#parts.settings.links().filter(({ until }) => until > now);
  }

  /** From now on the link gives nothing, also to who fetches with it now. Throws `unknown_id`. */
  revoke(link: string): void {
    const given = this.#parts.settings.link(link);
    if (!given || !this.#parts.settings.revoke(link)) {
      throw new Fault('unknown_id', `revoking the link "${link}": there is none with this id, or it has ended`);
    }
    this.#parts.server.stop(link, new Fault('cancelled', 'serving a file: its link was revoked'));
  }

  /** What a link's capability gives under `hash`; for `BlobServer`. [F-51] */
  linked(text: string, hash: string): Offered | undefined {
    const { settings, key, clock, transfers, outgoing } = this.#parts;
    const found = read(text, { issuer: key.id, hash, now: clock.now() });
    const given = found && settings.link(found.id);
    if (!given || given.hash !== hash) return undefined;
    const { state, name } = transfers.get(given.transfer);
    if (!isLinkable(state)) return undefined;
    return { transfer: given.transfer, link: { id: given.id, name }, ...outgoing.content(hash) };
  }

  /** Throws why nothing is served of it now. */
  checkServed(transfer: string): void {
    if (this.of(transfer).paused) throw pausedFault();
  }

  /** Removes what no transfer needs any more; with `dryRun` only says what that is. */
  async gc({ dryRun }: { dryRun: boolean }): Promise<Garbage[]> {
    return await collect({ ...this.#parts, now: this.#parts.clock.now(), dryRun });
  }

  /**
   * Reads again all that was received and is said to be here, and all that is offered; or one of them. With `refetch`,
   * what was received and is damaged is fetched again, as far as it is, and takes the place of the damaged file.
   */
  async *verify(options: {
    id?: string | undefined;
    refetch: boolean;
    signal?: AbortSignal | undefined;
  }): AsyncGenerator<Checked, void> {
    const { store, transfers, signal: stop } = this.#parts;
    const { id, refetch } = options;
    const signal = options.signal ? AbortSignal.any([options.signal, stop]) : stop;
    const wanted = id === undefined ? transfers.list().filter(isHere) : [transfers.get(id)];
    for (const transfer of wanted) {
      if (!isHere(transfer)) {
        throw new Fault(
          'wrong_state',
          `verifying the file "${transfer.id}": it is ${transfer.state}, not here as a whole`,
        );
      }
      const checked = await check(store, transfer, signal);
      const { state, badBytes } = checked;
      const isBroken = transfer.direction === 'in' && (state === 'damaged' || state === 'missing');
      const isMended = refetch && isBroken && (await this.#mend(transfer, checked));
      yield { transfer: transfers.get(transfer.id), state, badBytes, refetch: isMended };
    }
  }

  /** Whether it is fetched again now. */
  async #mend(transfer: Transfer, checked: Check): Promise<boolean> {
    const { store, transfers, settings, incoming, log } = this.#parts;
    const { id, contents } = transfer;
    try {
      await seed(store, transfer, checked);
    } catch (error) {
      log.warn({ err: toFault(error), transfer: id }, 'a damaged file is fetched again as a whole');
    }
    if (transfers.get(id).state !== 'done') return false;
    store.transaction(() => {
      // A folder is mended where it is, or gets a free name.
      settings.setControl(id, { conflict: contents ? 'rename' : 'overwrite', paused: false });
      transfers.change(id, { state: 'accepted', progress: 0 });
    });
    incoming.refetch(id);
    return true;
  }

  /** Throws `unknown_id`, or `wrong_state` of one at its end. */
  #open(id: string, what: string): Transfer {
    const transfer = this.#parts.transfers.get(id);
    if (isEnd(transfer.state)) throw new Fault('wrong_state', `${what} the file "${id}": it is ${transfer.state}`);
    return transfer;
  }
}

async function firstPaths(manifest: Uint8Array, hash: string): Promise<string[]> {
  await using thread = new FolderThread(); // a large manifest takes a while to read
  return await thread.ask('paths', manifest, hash, MOST_LINKED_FILES);
}

const pausedFault = (): Fault => new Fault('queue_full', 'asking for a blob: it is paused here; try again later');

/** A declined offer was withdrawn by nobody: who sends it may still hand it out. */
const isLinkable = (state: Transfer['state']): boolean =>
  state !== 'preparing' && state !== 'cancelled' && state !== 'failed';

const isHere = ({ direction, state, hash }: Transfer): boolean =>
  direction === 'in' ? state === 'done' : hash !== '' && state !== 'cancelled' && state !== 'failed';

const isTaken = async (path: string): Promise<boolean> => (await lstat(path).catch(() => undefined)) !== undefined;

function checkRate(rate: number | null): void {
  if (rate === null || (Number.isSafeInteger(rate) && rate >= LEAST_LIMIT)) return;
  throw new Fault('invalid_argument', `limiting to ${rate} bytes a second: expected at least ${LEAST_LIMIT}, or none`);
}
