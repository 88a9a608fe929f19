/** Connections for bytes alone, by account: who uses one hears when a nearer way is open, and ends it when it is dead. */
import type { TLSSocket } from 'node:tls';
import type { Log } from '../base/log.ts';
import { plainIp } from '../link/address.ts';
import { isBetter, originOf, type Rung } from '../link/rung.ts';
import { type AscentPace, Ascents } from '../reach/ascents.ts';

/** Milliseconds from one hint that a nearer way is open to the next, while it is of no use. */
const HINTS = { firstMs: 2000, mostMs: 5 * 60_000 };
/** Milliseconds without a byte after which a connection is given up whose account's link has died. */
const SILENT_MS = 1500;
/** Accounts with connections at once that are told of nearer ways. */
const MOST_ACCOUNTS = 2000;

type Bulk = { socket: TLSSocket; rung: Rung; localIp: string | undefined; onBetter: (() => void) | undefined };

export class Bulks implements Disposable {
  readonly #all = new Map<string, Set<Bulk>>();
  readonly #rungOf: (account: string) => Rung | undefined;
  readonly #hints: Ascents;
  readonly #onQuiet: (account: string) => void;
  readonly #quietMs: number;
  /** Bytes that had come of each account at the last look. */
  #seen = new Map<string, number>();
  #look: NodeJS.Timeout | undefined;

  /** `rungOf`: where the link to an account stands. `onQuiet`: called about each `quietMs` while nothing comes of an account. */
  constructor(options: {
    rungOf(account: string): Rung | undefined;
    onQuiet(account: string): void;
    quietMs: number;
    pace?: Partial<AscentPace> | undefined;
    log: Log;
  }) {
    this.#rungOf = options.rungOf;
    this.#onQuiet = options.onQuiet;
    this.#quietMs = options.quietMs;
    this.#hints = new Ascents({
      attempt: async (account) => (this.#hint(account) ? 'again' : 'over'),
      pace: { ...HINTS, ...options.pace },
      most: MOST_ACCOUNTS,
      log: options.log,
    });
  }

  /** Accounts with which there is one. */
  get size(): number {
    return this.#all.size;
  }

  /** `onBetter`: called, maybe again and again, while a nearer way may be had than this one. */
  add(account: string, socket: TLSSocket, onBetter: (() => void) | undefined): void {
    const { localAddress } = socket;
    const localIp = localAddress === undefined ? undefined : plainIp(localAddress);
    const bulk: Bulk = { socket, rung: originOf(socket).rung, localIp, onBetter };
    const bulks = this.#all.get(account) ?? new Set();
    this.#all.set(account, bulks.add(bulk));
    socket.once('close', () => {
      bulks.delete(bulk);
      if (bulks.size === 0 && this.#all.get(account) === bulks) this.#all.delete(account);
    });
    if (onBetter && this.#isWorse(account, bulk)) this.#hints.add(account);
    this.#look ??= setInterval(() => this.#lookForQuiet(), this.#quietMs).unref();
  }

  #lookForQuiet(): void {
    const before = this.#seen;
    this.#seen = new Map();
    for (const [account, bulks] of this.#all) {
      const bytes = [...bulks].reduce((sum, { socket }) => sum + socket.bytesRead, 0);
      this.#seen.set(account, bytes);
      if (before.get(account) === bytes) this.#onQuiet(account);
    }
    if (this.#all.size > 0) return;
    clearInterval(this.#look);
    this.#look = undefined;
  }

  #isWorse(account: string, { rung }: Bulk): boolean {
    const near = this.#rungOf(account);
    return near !== undefined && isBetter(near, rung);
  }

  /** Whether there was anybody to tell. */
  #hint(account: string): boolean {
    const worse = [...(this.#all.get(account) ?? [])].filter((bulk) => bulk.onBetter && this.#isWorse(account, bulk));
    for (const { onBetter } of worse) onBetter?.();
    return worse.length > 0;
  }

  /** The link to the account stands on another rung now. */
  rungChanged(account: string): void {
    if ((this.#all.get(account)?.size ?? 0) > 0) this.#hints.add(account, { now: true });
  }

  /** Ends all of an account. */
  end(account: string): void {
    for (const { socket } of this.#all.get(account) ?? []) socket.destroy();
  }

  /** Ends those that went out from an address which is gone: what is missing is asked for anew, on others. [N-76] */
  moved(isHere: (ip: string) => boolean): void {
    for (const bulks of [...this.#all.values()]) {
      for (const { socket, localIp } of [...bulks]) if (localIp !== undefined && !isHere(localIp)) socket.destroy();
    }
  }

  /** The account's link has died: ends those on which nothing comes either. */
  async doubt(account: string): Promise<void> {
    const before = [...(this.#all.get(account) ?? [])].map(({ socket }) => ({ socket, bytes: socket.bytesRead }));
    if (before.length === 0) return;
    await new Promise<void>((done) => setTimeout(done, SILENT_MS).unref());
    for (const { socket, bytes } of before) if (socket.bytesRead === bytes) socket.destroy();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#look);
    this.#hints[Symbol.dispose]();
  }
}
