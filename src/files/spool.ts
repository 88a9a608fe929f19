/** Files that are ours to remove: what somebody piped in to be sent, until nobody wants it any more. */
import { readdir, realpath, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Log } from '../base/log.ts';
import type { Transfer } from './transfer.ts';
import type { Transfers } from './transfers.ts';

/** Milliseconds after which a file that no transfer names was left by a program that was killed. */
const STRAY_MS = 86_400_000;

export class Spool {
  #folder: string | undefined;
  readonly #log: Log;

  constructor(folder: string | undefined, log: Log) {
    this.#folder = folder;
    this.#log = log;
  }

  /** A transfer has changed: is its file of no more use? */
  heard(transfer: Transfer, transfers: Transfers): void {
    const { path } = transfer;
    if (this.#folder === undefined || dirname(path) !== this.#folder || !isOver(transfer)) return;
    if (transfers.open().some((other) => other.path === path && other.id !== transfer.id)) return;
    rm(path, { force: true }).catch((error: unknown) => this.#log.warn({ err: error, path }, 'a sent file stays'));
  }

  /** Removes what nobody will send. */
  async sweep(transfers: Transfers): Promise<void> {
    // Transfers know their files by paths without symlinks.
    const named = this.#folder;
    if (named === undefined) return;
    const folder = join(await realpath(dirname(named)).catch(() => dirname(named)), basename(named));
    this.#folder = folder;
    const wanted = new Set(transfers.list().flatMap((transfer) => (isOver(transfer) ? [] : [transfer.path])));
    for (const name of await readdir(folder).catch(() => [])) {
      const path = join(folder, name);
      const stats = await stat(path).catch(() => undefined);
      if (wanted.has(path) || !stats || Date.now() - stats.mtimeMs < STRAY_MS) continue;
      await rm(path, { force: true }).catch((error: unknown) =>
        this.#log.warn({ err: error, path }, 'a stray file stays'),
      );
    }
  }
}

/** A failed one may be tried again by its receiver; one that was never offered is lost. */
const isOver = ({ direction, state, hash }: Transfer): boolean =>
  direction === 'out' &&
  (state === 'done' || state === 'declined' || state === 'cancelled' || (state === 'failed' && hash === ''));
