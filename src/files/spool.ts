/** Files that are ours to remove: what somebody piped in to be sent, until nobody wants it any more. */
import { realpath, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { Settings } from './settings.ts';
import type { Transfer } from './transfer.ts';
import type { Transfers } from './transfers.ts';

export class Spool {
  #folder: string | undefined;
  readonly #settings: Settings;
  readonly #clock: Clock;
  readonly #log: Log;

  constructor(options: { folder: string | undefined; settings: Settings; clock: Clock; log: Log }) {
    this.#folder = options.folder;
    this.#settings = options.settings;
    this.#clock = options.clock;
    this.#log = options.log;
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
    if (isLinked(this.#settings, transfer.id, this.#clock.now())) return; // `gc` removes it when the link has ended
    if (transfers.open().some((other) => other.path === path && other.id !== transfer.id)) return;
    rm(path, { recursive: true, force: true }).catch((error: unknown) =>
      this.#log.warn({ err: error, path }, 'a sent file stays'),
    );
  }
}

/** Whether somebody may still come for it with a link. */
export const isLinked = (settings: Settings, id: string, now: number): boolean =>
  settings.links().some(({ transfer, until }) => transfer === id && until > now);

/** A failed one may be tried again by its receiver; one that was never offered is lost. */
const isOver = ({ direction, state, hash }: Transfer): boolean =>
  direction === 'out' &&
  (state === 'done' || state === 'declined' || state === 'cancelled' || (state === 'failed' && hash === ''));
