/**
 * The conversations of a node: one log of entries, one book of receipts, one order of each room, whether one account is hosted
 * there or thousands. Each account has a ledger of its own on it: what it writes, what waits for whom, what it may see.
 */
import type { Store } from '../base/sqlite.ts';
import type { Conversation } from './conversation.ts';
import type { Unsigned } from './entry.ts';
import type { Ledger } from './ledger.ts';
import { LETTER_STEPS } from './letters.ts';
import { EntryLog, type Stored } from './log.ts';
import { mayRead, type RoomState } from './membership.ts';
import { ReceiptBook } from './receipt.ts';
import { RoomBook } from './room-book.ts';
import { migrateChat, Scope, Statements } from './tables.ts';

const SHARED_STEPS = [
  `
  -- Which rooms concern which of the hosted accounts, or did.
  CREATE TABLE hosted_rooms (
    account TEXT NOT NULL, conversation TEXT NOT NULL, PRIMARY KEY (account, conversation)
  ) STRICT, WITHOUT ROWID;
  `,
  // What is listed of all conversations is gathered from each that the account may see: nobody looks for entries by their time alone.
  'DROP INDEX IF EXISTS entries_time',
  // The log was made anew, with its indexes.
  'DROP INDEX IF EXISTS entries_time',
] as const;

/** The accounts that share a replica. */
export type Household = {
  hosts(account: string): boolean;
  /** The ledger of a hosted account, made at first use. */
  ledger(account: string): Ledger;
  /** The signature of an entry by its author, a hosted account. */
  signature(entry: Unsigned): string;
};

export class Replica {
  readonly store: Store;
  readonly sql: Statements;
  readonly entries: EntryLog;
  readonly receipts: ReceiptBook;
  readonly rooms: RoomBook;
  readonly #household: Household | undefined;
  /** By the members of a conversation, which are another array whenever they change; an account is hosted before it is a member. */
  readonly #outside = new WeakMap<readonly string[], readonly string[]>();
  #isMigrated = false;

  /** Without a household it is one account's alone. */
  constructor(store: Store, household?: Household) {
    this.store = store;
    this.sql = new Statements(store);
    this.entries = new EntryLog(this.sql, store, { isShared: household !== undefined });
    this.receipts = new ReceiptBook(this.sql);
    this.rooms = new RoomBook(this.sql, store, {
      isShared: household !== undefined,
      under: (id) => this.entries.under(id),
    });
    this.#household = household;
    if (household) this.entries.signed = (rows) => this.#signed(rows, household);
    this.entries.derived.mayRemove = (act) => this.rooms.moderated(act.conversation, act.author, act.at);
  }

  /** A signature is the same whenever it is made; of what never leaves this node nobody asks for it. [C-21] */
  #signed(rows: readonly Stored[], household: Household): Stored[] {
    if (rows.every(({ entry }) => entry.sig !== '')) return [...rows];
    return this.store.transaction(() =>
      rows.map((row) => {
        const { sig, ...unsigned } = row.entry;
        if (sig !== '') return row;
        const made = household.signature(unsigned);
        this.entries.sign(row.id, made);
        return { ...row, entry: { ...unsigned, sig: made } };
      }),
    );
  }

  get isShared(): boolean {
    return this.#household !== undefined;
  }

  /** How an account's own rows are told from those of the others. */
  scope(account: string): Scope {
    return new Scope(this.isShared ? `${account}/` : '');
  }

  migrate(): void {
    if (this.#isMigrated) return;
    this.#isMigrated = true;
    migrateChat(this.store);
    this.store.migrate('letters', LETTER_STEPS);
    this.rooms.migrate();
    if (this.isShared) this.store.migrate('hosted-chat', SHARED_STEPS);
    this.store.transaction(() => this.entries.derived.catchUp());
  }

  /** The ledger of an account that stands on this log: the asker's own, or another's; undefined for whoever is elsewhere. */
  ledgerOf(account: string, asker: Ledger): Ledger | undefined {
    if (account === asker.self) return asker;
    return this.#household?.hosts(account) ? this.#household.ledger(account) : undefined;
  }

  /** Members to whom entries of an account are to be given: all who do not stand on this log. */
  elsewhere({ members }: Conversation, self: string): readonly string[] {
    const household = this.#household;
    if (!household) return members.filter((account) => account !== self);
    let outside = this.#outside.get(members);
    if (!outside) {
      outside = members.filter((account) => !household.hosts(account));
      this.#outside.set(members, outside);
    }
    return outside;
  }

  /** Whether an account other than the asker's is hosted here: what is in the log is with it. */
  hostsOther(account: string): boolean {
    return this.#household?.hosts(account) ?? false;
  }

  /** Ledgers of hosted accounts of which something waits for `recipient`; the asker's where it is alone. */
  waitingFor(recipient: string, asker: Ledger): Ledger[] {
    if (!this.#household) return [asker];
    return this.authorsWaitingFor(recipient).flatMap((author) => this.ledgerOf(author, asker) ?? []);
  }

  /** Hosted accounts of which entries wait for `recipient`. */
  authorsWaitingFor(recipient: string): string[] {
    const end = `/${recipient}`;
    return this.sql
      .of<{ recipient: string }>(
        'SELECT recipient FROM outbox_totals WHERE entries > 0 AND substr(recipient, -length(?1)) = ?1',
      )
      .all(end)
      .map((row) => row.recipient.slice(0, -end.length));
  }

  /** Accounts of which something waits for anybody: entries, letters, receipts, changes of rooms. */
  waiting(): string[] {
    const rows = this.sql
      .of<{ key: string }>(
        `SELECT recipient AS key FROM outbox_totals WHERE entries > 0 UNION SELECT recipient FROM letter_receipts
         UNION SELECT recipient FROM letters WHERE holder IS NULL UNION SELECT account FROM untold
         UNION SELECT author || '/' FROM room_waiting WHERE author IS NOT NULL`,
      )
      .all();
    return [...new Set(rows.map(({ key }) => key.slice(0, key.indexOf('/'))))];
  }

  /** Writes down whom of the hosted a room concerns from now on. */
  noteRoom(state: RoomState, accounts: Iterable<string>): void {
    if (!this.#household) return;
    for (const account of accounts) {
      if (!this.#household.hosts(account)) continue;
      this.sql.of('INSERT OR IGNORE INTO hosted_rooms (account, conversation) VALUES (?, ?)').run(account, state.id);
    }
  }

  /** Rooms that concern an account, or did: in the order of their names where they are few. */
  roomsOf(account: string): string[] {
    if (!this.#household) return this.rooms.ids();
    return this.sql
      .of<{ conversation: string }>('SELECT conversation FROM hosted_rooms WHERE account = ?')
      .all(account)
      .map((row) => row.conversation);
  }

  /** Whether an account has to do with a room. */
  concerns(state: RoomState, account: string): boolean {
    return !this.isShared || state.creation.creator === account || mayRead(state, account);
  }

  /** Whether an account may see anything of a conversation. */
  knows(account: string, conversation: string): boolean {
    if (!this.isShared) return true;
    const room = this.rooms.state(conversation);
    if (!room) return this.entries.conversation(conversation)?.members.includes(account) ?? false;
    return room.members.has(account) || room.former.get(account)?.first != null;
  }

  /** Whether an entry is for an account's eyes: of those in the log, what the account would have in a log of its own. */
  sees(ledger: Ledger, { entry }: Stored): boolean {
    const { self } = ledger;
    if (!this.isShared || entry.author === self) return true;
    const { conversation, author, seq, at } = entry;
    if (!this.knows(self, conversation)) return false;
    const room = this.rooms.state(conversation);
    if (!room) return true;
    if (room.members.has(self)) {
      return room.creation.history === 'all' || seq >= ledger.floor(self, { conversation, author });
    }
    const left = room.former.get(self)?.left ?? 0;
    const [last] = this.rooms.page(conversation, left - 1, 1);
    return room.creation.history === 'all' && at <= (last?.at ?? 0) * 1000;
  }
}
