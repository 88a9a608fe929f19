/** The bulk connections of one fetch: one to each holder, dialled when first used. */
import { Fault } from '../base/fault.ts';
import type { BlobClient } from './client.ts';

export type LinesOptions = {
  dial(account: string): Promise<BlobClient>;
  /** Told of each connection; what it gives is disposed of when that is used no more. */
  onOpen(account: string, client: BlobClient): Disposable;
};

type Line = { client: Promise<BlobClient>; opened: Disposable | undefined };

export class Lines {
  readonly #options: LinesOptions;
  readonly #lines = new Map<string, Line>();

  constructor(options: LinesOptions) {
    this.#options = options;
  }

  /** The connection to a holder. Throws the faults of dialling; the next use dials anew. */
  use(account: string): Promise<BlobClient> {
    const known = this.#lines.get(account);
    if (known) return known.client;
    const line: Line = { client: this.#options.dial(account), opened: undefined };
    this.#lines.set(account, line);
    line.client.then(
      (client) => {
        if (this.#lines.get(account) === line) line.opened = this.#options.onOpen(account, client);
      },
      () => this.#lines.get(account) === line && this.#lines.delete(account),
    );
    return line.client;
  }

  /** The connection is of no use any more. */
  forget(account: string): void {
    const line = this.#lines.get(account);
    this.#lines.delete(account);
    line?.opened?.[Symbol.dispose]();
    line?.client.then(end, () => {});
  }

  close(): void {
    for (const account of [...this.#lines.keys()]) this.forget(account);
  }
}

const end = (client: BlobClient): void => client.destroy(new Fault('cancelled', 'fetching: no more is wanted'));
