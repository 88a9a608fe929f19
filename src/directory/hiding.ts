/**
 * From whom an account hides, as its tracker keeps it: whoever may not see it is shown what they saw last, offline. Kept
 * here alone and told to nobody. [D-50] to [D-55]
 */
import { z } from 'zod';
import { Fault } from '../base/fault.ts';
import type { Statement, Store } from '../base/sqlite.ts';
import { addressText } from '../link/address.ts';
import { peerId } from '../link/identity.ts';
import { MOST_ADDRESSES, record } from './record.ts';
import type { Row } from './row.ts';

/** Accounts that one account may hide from, each of which costs its last view, about 1 KiB. */
export const MOST_HIDDEN_FROM = 1000;
/** Accounts that one account may alone be shown to. */
export const MOST_SHOWN_TO = 10_000;
/** Both together over all accounts, about 100 bytes each: past it, new ones are refused. */
const MOST_IN_ALL = 2_000_000;

/** What an account asks for. */
export type Hiding = {
  readonly from: readonly string[];
  /** Null: everybody but `from` may see it. */
  readonly only: readonly string[] | null;
};

/** Account id of who asks; undefined: one who shows no account. */
export type Asker = string | undefined;

const SCHEMA = [
  'CREATE TABLE directory_hidings (account TEXT PRIMARY KEY, hiding TEXT NOT NULL) STRICT, WITHOUT ROWID',
];

const frozen = z.object({
  record,
  verified: z.array(addressText).max(MOST_ADDRESSES),
  observed: z.string(),
  lastSeen: z.number().int(),
});

type Frozen = z.infer<typeof frozen> & { changed: number };

const keptOf = <T extends z.ZodType>(view: T) =>
  z.object({
    from: z.array(z.tuple([peerId, view.nullable()])),
    only: z.array(peerId).nullable(),
    others: view.nullable(),
  });
const kept = keptOf(frozen);
/** As trackers that share a table tell each other; `changed` 0 is the place of this very text. */
const told = keptOf(frozen.extend({ changed: z.number().int() }));

type Kept = {
  /** With what each of them is shown; undefined: they never saw it, and do not now. */
  from: Map<string, Frozen | undefined>;
  only: ReadonlySet<string> | null;
  /** What is shown to all others who may not see it. */
  others: Frozen | undefined;
};

export class Hidings {
  readonly #all = new Map<string, Kept>();
  readonly #put: Statement;
  readonly #delete: Statement;
  #size = 0;

  /** `store` is open; its table is made and read here. A damaged row is left out: its account will say it again. */
  constructor(store: Store) {
    store.migrate('directory-hidings', SCHEMA);
    this.#put = store.prepare('INSERT OR REPLACE INTO directory_hidings (account, hiding) VALUES (?, ?)');
    this.#delete = store.prepare('DELETE FROM directory_hidings WHERE account = ?');
    type Stored = { account: string; hiding: string };
    for (const { account, hiding } of store.prepare<Stored>('SELECT account, hiding FROM directory_hidings').all()) {
      const parsed = kept.safeParse(parseJson(hiding));
      if (!parsed.success) continue;
      const { from, only, others } = parsed.data;
      this.#remember(account, {
        from: new Map(from.map(([asker, shown]) => [asker, thawed(shown)])),
        only: only && new Set(only),
        others: thawed(others),
      });
    }
  }

  /** Whether anybody hides from somebody: else all askers see the same. */
  get any(): boolean {
    return this.#all.size > 0;
  }

  /** Whether this is what is kept for the account already. */
  isSaid(account: string, { from, only }: Hiding): boolean {
    const known = this.#all.get(account);
    if (!known) return from.length === 0 && only === null;
    return sameSet(known.from, from) && (known.only ? only !== null && sameSet(known.only, only) : only === null);
  }

  /**
   * Keeps what the account asks for, durably. Who may not see it from now on is shown `row` as they see it now, offline
   * since `now`, as of the version `changed`. Throws `too_many`.
   */
  set(account: string, hiding: Hiding, row: Row | undefined, at: { now: number; changed: number }): void {
    const next = this.#next(account, hiding, row, at);
    if (hidesNothing(hiding)) return this.forget(account);
    this.#write(account, next);
    this.#remember(account, next);
  }

  /** What `set` would keep, as a text for others who keep the same. Throws `too_many`. */
  textOf(account: string, hiding: Hiding, row: Row | undefined, now: number): string {
    const { from, only, others } = this.#next(account, hiding, row, { now, changed: 0 });
    const text: z.input<typeof told> = {
      from: [...from].map(([asker, shown]) => [asker, shown ?? null]),
      only: only && [...only],
      others: others ?? null,
    };
    return JSON.stringify(text);
  }

  /** Keeps what `textOf` gave, as of a place. Throws `malformed`. */
  take(account: string, text: string, at: number): void {
    const parsed = told.safeParse(parseJson(text));
    if (!parsed.success) throw new Fault('malformed', `taking what "${account}" hides: it is not of its form`);
    const { from, only, others } = parsed.data;
    if (hidesNothing({ from: from.map(([asker]) => asker), only })) return this.forget(account);
    const placed = (shown: (typeof from)[number][1]): Frozen | undefined =>
      shown ? { ...shown, changed: shown.changed || at } : undefined;
    this.#remember(account, {
      from: new Map(from.map(([asker, shown]) => [asker, placed(shown)])),
      only: only && new Set(only),
      others: placed(others),
    });
  }

  #next(account: string, hiding: Hiding, row: Row | undefined, at: { now: number; changed: number }): Kept {
    const old = this.#all.get(account);
    const size = this.#size - sizeOf(old) + hiding.from.length + (hiding.only?.length ?? 0);
    if (size > MOST_IN_ALL) throw new Fault('too_many', `hiding: this tracker keeps ${MOST_IN_ALL} hidings already`);
    const freeze = (shown: Row | undefined): Frozen | undefined => {
      if (!shown) return undefined;
      const { record, verified, observed, online, lastSeen } = shown;
      const changed = online ? at.changed : shown.changed;
      return { record, verified: [...verified], observed, lastSeen: online ? at.now : lastSeen, changed };
    };
    const seen = (asker: Asker): Row | undefined => row && this.shown(row, asker);
    // Strangers who saw it until now, and those who are shown to no longer, are to hear that it went.
    const only = hiding.only && new Set(hiding.only);
    const leaves = only !== null && (!old?.only || ![...old.only].every((asker) => only.has(asker)));
    return {
      from: new Map(
        hiding.from.map((asker) => [asker, old?.from.has(asker) ? old.from.get(asker) : freeze(seen(asker))]),
      ),
      only,
      others: leaves || !old ? freeze(row) : old.others,
    };
  }

  /** `row` as the asker may see it: itself, what they saw last, or nothing. [D-51] */
  shown(row: Row, asker: Asker): Row | undefined {
    const hiding = this.#all.get(row.account);
    if (!hiding || asker === row.account) return row;
    if (asker !== undefined && hiding.from.has(asker)) return asRow(hiding.from.get(asker));
    // Who shows no account could be anybody. [D-54]
    if (asker !== undefined && (hiding.only === null || hiding.only.has(asker))) return row;
    return asRow(hiding.others);
  }

  /** The row changed: strangers may still find where to write to, if nothing else. [D-53] */
  moved(row: Row): void {
    const hiding = this.#all.get(row.account);
    if (!hiding || hiding.only === null) return;
    const { record, verified, observed, changed, lastSeen } = row;
    const last = hiding.others;
    const same =
      last &&
      last.record.node === record.node &&
      last.record.handle === record.handle &&
      last.record.addresses.join() === record.addresses.join() &&
      last.verified.join() === verified.join() &&
      last.observed === observed;
    if (same) return;
    hiding.others = { record, verified: [...verified], observed, changed, lastSeen: last?.lastSeen ?? lastSeen };
    this.#write(record.account, hiding);
  }

  /** The account hides from nobody any more, or has left for good. */
  forget(account: string): void {
    const old = this.#all.get(account);
    if (!old) return;
    this.#delete.run(account);
    this.#size -= sizeOf(old);
    this.#all.delete(account);
  }

  #remember(account: string, hiding: Kept): void {
    this.#size += sizeOf(hiding) - sizeOf(this.#all.get(account));
    this.#all.set(account, hiding);
  }

  #write(account: string, { from, only, others }: Kept): void {
    const row: z.input<typeof kept> = {
      from: [...from].map(([asker, shown]) => [asker, shown ?? null]),
      only: only && [...only],
      others: others ?? null,
    };
    this.#put.run(account, JSON.stringify(row));
  }
}

const hidesNothing = ({ from, only }: Hiding): boolean => from.length === 0 && only === null;

const sizeOf = (hiding: Kept | undefined): number => (hiding ? hiding.from.size + (hiding.only?.size ?? 0) : 0);

const sameSet = (known: { has(key: string): boolean; size: number }, said: readonly string[]): boolean =>
  known.size === new Set(said).size && said.every((account) => known.has(account));

/** A new epoch counts versions anew. */
const thawed = (shown: z.infer<typeof frozen> | null): Frozen | undefined =>
  shown ? { ...shown, changed: 0 } : undefined;

const asRow = (shown: Frozen | undefined): Row | undefined =>
  shown && { ...shown, account: shown.record.account, online: false };

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
