/** Files that are ours to remove: what somebody piped in to be sent, until nobody wants it any more. */
import { realpath, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Log } from '../base/log.ts';
import type { Transfer } from './transfer.ts';
import type { Transfers } from './transfers.ts';

export class Spool {
  #folder: string | undefined;
  readonly #log: Log;

  constructor(folder: string | undefined, log: Log) {
    this.#folder = folder;
    this.#log = log;
  }

  /** Transfers know their files by paths without symlinks. */
  async start(): Promise<void> {
    const folder = this.#folder;
    if (folder === undefined) return;
    this.#folder = join(await realpath(dirname(folder)).catch(() => dirname(folder)), basename(folder));
  }

  /** A transfer has changed: is its file of no more use? */
  heard(transfer: Transfer, transfers: Transfers): void {
    const { path } = transfer;
    if (this.#folder === undefined || dirname(path) !== this.#folder || !isOver(transfer)) return;
    if (transfers.open().some((other) => other.path === path && other.id !== transfer.id)) return;
    rm(path, { force: true }).catch((error: unknown) => this.#log.warn({ err: error, path }, 'a sent file stays'));
  }
}

/** A failed one may be tried again by its receiver; one that was never offered is lost. */
const isOver = ({ direction, state, hash }: Transfer): boolean =>
  direction === 'out' &&
  (state === 'done' || state === 'declined' || state === 'cancelled' || (state === 'failed' && hash === ''));
