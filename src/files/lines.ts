/** The bulk connections of one fetch: one to each holder, dialled when first used, and exchanged for a nearer one. [N-78] */
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Rung } from '../link/rung.ts';
import type { BlobClient } from './client.ts';

export type LinesOptions = {
  /** `than`: only by a way that is nearer. `onBetter`: to be told while there may be such a one. */
  dial(account: string, way: { than: Rung | undefined; onBetter: () => void }): Promise<BlobClient>;
  /** Told of each connection; what it gives is disposed of when that is used no more. */
  onOpen(account: string, client: BlobClient): Disposable;
  log: Log;
};

type Line = { client: Promise<BlobClient>; opened: Disposable | undefined; isMoving: boolean };

export class Lines {
  readonly #options: LinesOptions;
  readonly #lines = new Map<string, Line>();
  /** Those that gave way to a nearer one. */
  readonly #left = new WeakSet<BlobClient>();
  #isOver = false;

  constructor(options: LinesOptions) {
    this.#options = options;
  }

  /** The connection to a holder. Throws the faults of dialling; the next use dials anew. */
  use(account: string): Promise<BlobClient> {
    const known = this.#lines.get(account);
    if (known) return known.client;
    const client = this.#options.dial(account, { than: undefined, onBetter: () => void this.#move(account) });
    const line: Line = { client, opened: undefined, isMoving: false };
    this.#lines.set(account, line);
    line.client.then(
      (client) => {
        if (this.#lines.get(account) === line) line.opened = this.#options.onOpen(account, client);
      },
      () => this.#lines.get(account) === line && this.#lines.delete(account),
    );
    return line.client;
  }

  /** Whether a connection ended because another one takes its place: what it was asked for is asked of that. */
  hasMoved(client: BlobClient): boolean {
    return this.#left.has(client);
  }

  /** A nearer way may be open: a connection by it takes the place of the one there is. */
  async #move(account: string): Promise<void> {
    const line = this.#lines.get(account);
    if (!line || line.isMoving) return;
    line.isMoving = true;
    try {
      const before = await line.client;
      const than = before.origin.rung;
      const client = await this.#options.dial(account, { than, onBetter: () => void this.#move(account) });
      if (this.#isOver || this.#lines.get(account) !== line) return end(client);
      line.opened?.[Symbol.dispose]();
      const moved = { client: Promise.resolve(client), opened: this.#options.onOpen(account, client), isMoving: false };
      this.#lines.set(account, moved);
      this.#left.add(before);
      this.#options.log.info({ from: than, to: client.origin.rung }, 'a transfer goes on by a nearer way');
      before.destroy(new Fault('link_closed', 'fetching: a nearer way was found'));
    } catch (error) {
      const { code, message } = toFault(error, 'fetching');
      this.#options.log.debug({ code, reason: message }, 'a transfer stays on its way');
    } finally {
      line.isMoving = false;
    }
  }

  /** The connection is of no use any more; with `client`, if it is that one. */
  forget(account: string, client?: BlobClient): void {
    const line = this.#lines.get(account);
    if (!line) return;
    if (client && this.#left.has(client)) return;
    this.#lines.delete(account);
    line.opened?.[Symbol.dispose]();
    line.client.then(end, () => {});
  }

  close(): void {
    this.#isOver = true;
    for (const account of [...this.#lines.keys()]) this.forget(account);
  }
}

const end = (client: BlobClient): void => client.destroy(new Fault('cancelled', 'fetching: no more is wanted'));
