/** Receipts of all others who stand on a log: its author is told of them in one go, soon after an entry came for one of them. */
import type { Log } from '../base/log.ts';
import type { Link } from '../link/link.ts';
import type { Ledger } from './ledger.ts';
import type { Chain } from './receipt.ts';
import { receiptNotice } from './wire.ts';

/** Milliseconds until that: one look for all that came meanwhile. */
const SOON_MS = 50;
/** Receipts in one notice, at most. */
const AT_ONCE = 64;

export class Beside implements Disposable {
  readonly #ledger: Ledger;
  readonly #log: Log;
  /** Chains of which something came, by the link on which it did. */
  readonly #news = new Map<Link, Map<string, Chain>>();
  #timer: NodeJS.Timeout | undefined;

  constructor(ledger: Ledger, log: Log) {
    this.#ledger = ledger;
    this.#log = log;
  }

  /** Entries of rooms came from `from`, who wrote some of them. */
  took(link: Link, from: string, seen: readonly Chain[]): void {
    const { replica, rooms } = this.#ledger;
    if (!replica.isShared) return;
    for (const { conversation, author } of seen) {
      // Who gives what others wrote does not wait for their receipts.
      if (author !== from || !rooms.state(conversation)) continue;
      const chains = this.#news.get(link) ?? new Map<string, Chain>();
      this.#news.set(link, chains.set(conversation, { conversation, author }));
    }
    if (this.#news.size > 0) this.#timer ??= setTimeout(() => this.#tellAll(), SOON_MS).unref();
  }

  get isQuiet(): boolean {
    return this.#news.size === 0;
  }

  #tellAll(): void {
    this.#timer = undefined;
    const news = [...this.#news];
    this.#news.clear();
    for (const [link, chains] of news) {
      if (!link.open) continue;
      this.#tell(link, [...chains.values()]).catch((error: unknown) => {
        this.#log.info({ err: error }, 'receipts of others on this log are left to be asked for');
      });
    }
  }

  async #tell(link: Link, chains: readonly Chain[]): Promise<void> {
    const { store } = this.#ledger;
    const receipts = store.transaction(() => chains.flatMap((chain) => this.#sign(chain)));
    await store.settled(); // a receipt says that what it is for is on the disk
    for (let at = 0; at < receipts.length; at += AT_ONCE) {
      link.notify(receiptNotice, { receipts: receipts.slice(at, at + AT_ONCE) });
    }
  }

  #sign(chain: Chain) {
    const { entries, replica, self } = this.#ledger;
    const head = entries.head(chain.conversation, chain.author);
    const members = entries.conversation(chain.conversation)?.members ?? [];
    return members.flatMap((account) => {
      if (!head || account === self) return [];
      return replica.ledgerOf(account, this.#ledger)?.vouch(chain, 'delivered', head.seq) ?? [];
    });
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
