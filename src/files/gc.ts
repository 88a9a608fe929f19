/** Removes what no transfer needs any more: parts, manifests and shares of ended ones, spooled files, links that ended. */
import { lstat, readdir, realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { partId } from './paths.ts';
import { bytesBelow } from './quota.ts';
import type { Settings } from './settings.ts';
import { isLinked } from './spool.ts';
import type { FileStore } from './store.ts';
import { isEnd, type Transfer } from './transfer.ts';

/** One thing that is, or would be, removed. */
export type Garbage = {
  kind: 'part' | 'manifest' | 'spool' | 'link';
  /** A path, the hash of a manifest, or the id of a link. */
  what: string;
  bytes: number;
  why: string;
};

export type GcOptions = {
  store: FileStore;
  settings: Settings;
  /** The home's own folder for received files: parts in it that nobody knows are nobody's. */
  downloads: string;
  /** Folder of files that were made here to be sent. */
  spool: string | undefined;
  now: number;
  /** Only says what it would remove. */
  dryRun: boolean;
};

/** Milliseconds after which a spooled file that no transfer names was left by a program that was killed. */
const STRAY_MS = 86_400_000;

/** A thing to remove, and how, unless it was taken up again meanwhile. */
type Candidate = Garbage & { remove(): Promise<unknown> | unknown };

/** What was removed, or would be. */
export async function collect(options: GcOptions): Promise<Garbage[]> {
  const found = [
    ...(await parts(options)),
    ...(await spooled(options)),
    ...(await contents(options)),
    ...links(options),
  ];
  if (!options.dryRun) {
    for (const { remove } of found) await remove();
    forgetControls(options);
  }
  return found.map(({ kind, what, bytes, why }) => ({ kind, what, bytes, why }));
}

/** A part is for a transfer that may still be fetched: one that failed can be accepted again. */
const needsPart = (transfer: Transfer | undefined): boolean =>
  transfer?.direction === 'in' && (!isEnd(transfer.state) || transfer.state === 'failed');

async function parts({ store, downloads }: GcOptions): Promise<Candidate[]> {
  const found: Candidate[] = [];
  for (const folder of new Set([downloads, ...store.folders()])) {
    for (const name of await readdir(folder).catch(() => [])) {
      const id = partId(name);
      if (id === undefined) continue;
      const transfer = store.byId(id);
      // In a folder that others use too, a part that this home does not know may be another home's.
      if (needsPart(transfer) || (!transfer && folder !== downloads)) continue;
      const what = join(folder, name);
      const bytes = await bytesOf(what);
      const why = transfer ? `its transfer is ${transfer.state}` : 'no transfer knows it';
      const remove = () => needsPart(store.byId(id)) || rm(what, { recursive: true, force: true });
      found.push({ kind: 'part', what, bytes, why, remove });
    }
  }
  return found;
}

async function spooled({ store, settings, spool: named, now }: GcOptions): Promise<Candidate[]> {
  if (named === undefined) return [];
  // Transfers know their sources by paths without symlinks.
  const spool = await realpath(named).catch(() => named);
  const sentFrom = (path: string): Transfer[] =>
    store
      .all()
      .filter(({ direction, path: own }) => direction === 'out' && (own === path || own.startsWith(`${path}/`)));
  const isNeeded = (path: string): boolean =>
    sentFrom(path).some(
      ({ id, state }) => state !== 'cancelled' && state !== 'failed' && (!isEnd(state) || isLinked(settings, id, now)),
    );
  const found: Candidate[] = [];
  for (const name of await readdir(spool).catch(() => [])) {
    const what = join(spool, name);
    if (isNeeded(what)) continue;
    const stats = await lstat(what).catch(() => undefined);
    // What no transfer names yet may be on its way to one.
    if (!stats || (sentFrom(what).length === 0 && now - stats.mtimeMs < STRAY_MS)) continue;
    const remove = () => isNeeded(what) || rm(what, { recursive: true, force: true });
    found.push({ kind: 'spool', what, bytes: await bytesOf(what), why: 'nothing that is offered needs it', remove });
  }
  return found;
}

/** Manifests, and what is shared under them, that nobody can have or resume any more. */
async function contents({ store }: GcOptions): Promise<Candidate[]> {
  const found: Candidate[] = [];
  for (const { hash, bytes } of store.contents()) {
    const transfers = store.withHash(hash);
    if (!(await areOver(transfers))) continue;
    const why = transfers.length === 0 ? 'no transfer names it' : 'its transfers have ended';
    const remove = () =>
      store.transaction(() => {
        if (store.withHash(hash).every(({ state }) => isEnd(state))) store.forgetContent(hash);
      });
    found.push({ kind: 'manifest', what: hash, bytes, why, remove });
  }
  return found;
}

async function areOver(transfers: readonly Transfer[]): Promise<boolean> {
  for (const transfer of transfers) {
    if (!isEnd(transfer.state) || needsPart(transfer)) return false;
    // Who has it done may fetch it again, and a done one may be verified, for as long as the file is there.
    if (transfer.state === 'done' && (await isThere(transfer.path))) return false;
  }
  return true;
}

function links({ settings, now }: GcOptions): Candidate[] {
  return settings
    .links()
    .filter(({ until }) => until <= now)
    .map(({ id }) => ({ kind: 'link', what: id, bytes: 0, why: 'it has ended', remove: () => settings.revoke(id) }));
}

function forgetControls({ store, settings }: GcOptions): void {
  for (const [id] of settings.controls()) {
    const transfer = store.byId(id);
    if (!transfer || (isEnd(transfer.state) && transfer.state !== 'failed')) settings.forgetControl(id);
  }
}

const isThere = async (path: string): Promise<boolean> => (await lstat(path).catch(() => undefined)) !== undefined;

/** Bytes that removing it gives back: a part is sparse. */
async function bytesOf(path: string): Promise<number> {
  const stats = await lstat(path).catch(() => undefined);
  if (!stats) return 0;
  return stats.isDirectory() ? await bytesBelow(path) : Math.min(stats.size, stats.blocks * 512);
}
