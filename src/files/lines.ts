/** The bulk connections of one fetch: one to each holder, dialled when first used. */
import { Fault } from '../base/fault.ts';
import type { BlobClient } from './client.ts';

export class Lines {
  readonly #dial: (account: string) => Promise<BlobClient>;
  readonly #lines = new Map<string, Promise<BlobClient>>();

  constructor(dial: (account: string) => Promise<BlobClient>) {
    this.#dial = dial;
  }

  /** The connection to a holder. Throws the faults of dialling; the next use dials anew. */
  use(account: string): Promise<BlobClient> {
    const line = this.#lines.get(account) ?? this.#dial(account);
    this.#lines.set(account, line);
    line.catch(() => this.#lines.delete(account));
    return line;
  }

  /** The connection is of no use any more. */
  forget(account: string): void {
    const line = this.#lines.get(account);
    this.#lines.delete(account);
    line?.then(end, () => {});
  }

  close(): void {
    for (const account of [...this.#lines.keys()]) this.forget(account);
  }
}

const end = (client: BlobClient): void => client.destroy(new Fault('cancelled', 'fetching: no more is wanted'));
