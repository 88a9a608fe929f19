/** The entries of all conversations on disk: appended, paged and never changed. */
import type { Store } from '../base/sqlite.ts';
import type { Conversation, Head } from './conversation.ts';
import { Derived } from './derived.ts';
import { type Entry, entryVerified, type Parsed } from './entry.ts';
import { Places } from './places.ts';
import { idOf, numberOf, type Statements } from './tables.ts';

/** An entry as it is kept. `withdrawn`: its author took it out of the chain, because nobody would take it. */
export type Stored = Parsed & { storedAt: number; withdrawn: boolean };

type Row = Omit<Entry, 'body'> & { body: string; id: string; bytes: number; stored_at: number; withdrawn: number };

const stored = ({
  conversation,
  author,
  seq,
  prev,
  at,
  kind,
  sig,
  body,
  id,
  bytes,
  stored_at,
  withdrawn,
}: Row): Stored => ({
  entry: { conversation, author, seq, prev, at, kind, body: JSON.parse(body), sig },
  id,
  bytes,
  storedAt: stored_at,
  withdrawn: withdrawn !== 0,
});

const REST = 'seq, prev, at, kind, body, sig, id, bytes, stored_at, withdrawn';
const COLUMNS = `${idOf('conversation')}, ${idOf('author')}, ${REST}`;
const INSERT = `INSERT INTO entries (conversation, author, ${REST}, proven, place, under) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?)`;
const WITHIN = `conversation = ${numberOf('?')}`;
const BY = `author = ${numberOf('?')}`;
const CHAIN = `${WITHIN} AND ${BY} AND withdrawn = 0`; // as the unique index says it
const IN_ORDER = `${WITHIN} AND +withdrawn = 0`; // the plus keeps SQLite from that index: entries_order is meant

/** Conversations whose members are kept in memory: of one account, and where many share a log. */
const MOST_CACHED = 1000;
const MOST_SHARED = 20_000;

/** Entries that a reader sees as they are; the others change one of these. */
const SEEN = `kind NOT IN ('edit', 'delete', 'reaction')`;

/** Ends of chains, and of conversations, that are kept in memory, and numbers. */
const MOST_ENDS = 20_000;

/** Of a conversation: time of its newest entry, and the end of each author's chain. What is not here is in the store. */
type Ends = { last: number | undefined; heads: Map<string, Head> };

export class EntryLog {
  readonly #sql: Statements;
  /** By conversation: asked for with each entry that is written. */
  readonly #ends = new Map<string, Ends>();
  /** Numbers in the log, of accounts and conversations to which something was written lately. */
  readonly #numbers = new Map<string, number>();
  /** Chains of which the end is kept. */
  #chains = 0;
  /** Who is in what, as the store has it: asked for with each entry and each receipt. Bounded by `#most`. */
  readonly #cached = new Map<string, Conversation>();
  readonly #most: number;
  readonly #places: Places;
  #undone = 0;
  /** Changed with each entry that comes or goes, in the same transaction. */
  readonly derived: Derived;
  /** Signs those that were kept without a signature: whatever is about to be given to anybody goes through it. [C-21] */
  signed: (rows: readonly Stored[]) => Stored[] = (rows) => [...rows];

  constructor(sql: Statements, store: Store, { isShared } = { isShared: false }) {
    this.#sql = sql;
    this.#most = isShared ? MOST_SHARED : MOST_CACHED;
    this.#places = new Places(sql, store);
    this.derived = new Derived(sql, this.#places, store);
  }

  /** Every conversation that is known here. */
  conversations(): Conversation[] {
    return this.#sql
      .of<{ id: string; kind: 'direct' }>('SELECT id, kind FROM conversations ORDER BY id')
      .all()
      .map(({ id, kind }) => ({ id, kind, members: this.#members(id) }));
  }

  /** Some of what is in memory may be of a transaction that was undone. */
  #check(): void {
    if (this.#undone === this.#sql.undone) return;
    this.#undone = this.#sql.undone;
    this.#cached.clear();
    this.#numbers.clear();
    this.#forgetEnds();
  }

  /** Of an account or a conversation that has an entry here, or is about to, within the transaction that writes it. */
  #number(id: string): number {
    const known = this.#numbers.get(id);
    if (known !== undefined) return known;
    if (this.#numbers.size >= MOST_ENDS) this.#numbers.clear();
    const found = this.#sql.of<{ n: number }>('SELECT n FROM ids WHERE id = ?').get(id)?.n;
    const number = found ?? Number(this.#sql.of('INSERT INTO ids (id) VALUES (?)').run(id).lastInsertRowid);
    this.#numbers.set(id, number);
    return number;
  }

  #forgetEnds(): void {
    this.#ends.clear();
    this.#chains = 0;
  }

  conversation(id: string): Conversation | undefined {
    this.#check();
    const known = this.#cached.get(id);
    if (known) return known;
    const found = this.#read(id);
    if (!found) return undefined;
    if (this.#cached.size >= this.#most) this.#cached.clear();
    this.#cached.set(id, found);
    return found;
  }

  #read(id: string): Conversation | undefined {
    const row = this.#sql.of<{ kind: Conversation['kind'] }>('SELECT kind FROM conversations WHERE id = ?').get(id);
    return row && { id, kind: row.kind, members: this.#members(id) };
  }

  #members(id: string): string[] {
    return this.#sql
      .of<{ account: string }>('SELECT account FROM members WHERE conversation = ? ORDER BY account')
      .all(id)
      .map((row) => row.account);
  }

  /** Conversations in which `account` is a member. */
  shared(account: string): Conversation[] {
    return this.#sql
      .of<{ conversation: string }>('SELECT conversation FROM members WHERE account = ?')
      .all(account)
      .flatMap((row) => this.conversation(row.conversation) ?? []);
  }

  /** Everybody who is in a room that is known here. */
  inRooms(): string[] {
    return this.#sql
      .of<{ account: string }>(
        `SELECT DISTINCT m.account FROM members m JOIN conversations c ON c.id = m.conversation WHERE c.kind = 'room'`,
      )
      .all()
      .map((row) => row.account);
  }

  /** Accounts with whom `self` shares a conversation in which it has written. */
  writtenTo(self: string): string[] {
    return this.#sql
      .of<{ account: string }>(
        `SELECT DISTINCT m.account FROM members m WHERE m.account <> ?1 AND EXISTS (
           SELECT 1 FROM entries e
           WHERE e.conversation = ${numberOf('m.conversation')} AND e.author = ${numberOf('?1')} AND e.withdrawn = 0
         ) ORDER BY m.account`,
      )
      .all(self)
      .map((row) => row.account);
  }

  /** Does nothing where it is known. */
  open({ id, kind, members }: Conversation): void {
    if (this.conversation(id)) return;
    const { changes } = this.#sql.of('INSERT OR IGNORE INTO conversations (id, kind) VALUES (?, ?)').run(id, kind);
    if (changes === 0) return;
    this.#cached.delete(id);
    for (const account of members) {
      this.#sql.of('INSERT INTO members (conversation, account) VALUES (?, ?)').run(id, account);
    }
  }

  /** Who is in a room changes. */
  setMember(conversation: string, account: string, is: boolean): void {
    const sql = is
      ? 'INSERT OR IGNORE INTO members (conversation, account) VALUES (?, ?)'
      : 'DELETE FROM members WHERE conversation = ? AND account = ?';
    this.#sql.of(sql).run(conversation, account);
    this.#cached.delete(conversation);
  }

  /** Removes entries of somebody else that do not stand in a room any more: from `seq` on, or of a later time. */
  drop(conversation: string, author: string, from: { seq: number } | { at: number }): void {
    const seq = 'seq' in from ? from.seq : this.firstSince(conversation, author, 1, from.at);
    if (seq === undefined) return;
    this.#dropFrom(conversation, author, seq);
    // What vouched for the end may have gone. One with a bad signature of its own goes too: others have it with a good one.
    const unproven = this.proveEnd(conversation, author);
    if (unproven !== undefined) this.#dropFrom(conversation, author, unproven);
  }

  #dropFrom(conversation: string, author: string, seq: number): void {
    for (const { id } of this.withdraw(conversation, author, seq)) {
      const place = this.#places.of(id);
      if (place === undefined) continue;
      this.derived.dropped(id, place);
      this.#places.drop(id, place);
      this.#sql.of('DELETE FROM entries WHERE place = ?').run(place);
    }
    this.#forgetEnds();
  }

  /**
   * Looks at signatures from the end of a chain back, until one is good or was looked at before. Gives the position from
   * which on the chain has none that proves it, undefined where it ends with one that does. [C-4]
   */
  proveEnd(conversation: string, author: string): number | undefined {
    const rows = this.#sql.of<Row & { place: number; proven: number }>(
      `SELECT ${COLUMNS}, place, proven FROM entries WHERE ${CHAIN} AND seq < ? ORDER BY seq DESC LIMIT 1`,
    );
    for (let end: number | undefined; ; ) {
      const row = rows.get(conversation, author, end ?? Number.MAX_SAFE_INTEGER);
      if (row?.proven !== 0) return end;
      if (entryVerified(stored(row).entry)) {
        this.#sql.of('UPDATE entries SET proven = 1 WHERE place = ?').run(row.place);
        return end;
      }
      end = row.seq;
    }
  }

  /** Puts another signature in the place of one that may be bad. */
  sign(id: string, sig: string): void {
    const place = this.#places.of(id);
    if (place !== undefined) this.#sql.of('UPDATE entries SET sig = ?, proven = 1 WHERE place = ?').run(sig, place);
  }

  /** Place of the entry that is the `count`-th last of those before a time. */
  placeBack(conversation: string, at: number, count: number): { at: number; id: string } | undefined {
    return this.#sql
      .of<{ at: number; id: string }>(
        `SELECT at, id FROM (SELECT at, id FROM entries WHERE ${IN_ORDER} AND at <= ? ORDER BY at DESC, id DESC LIMIT ?)
         ORDER BY at, id LIMIT 1`,
      )
      .get(conversation, at, count);
  }

  head(conversation: string, author: string): Head | undefined {
    this.#check();
    const known = this.#ends.get(conversation)?.heads.get(author);
    if (known) return known;
    const found = this.#sql
      .of<Head>(`SELECT seq, id, at FROM entries WHERE ${CHAIN} ORDER BY seq DESC LIMIT 1`)
      .get(conversation, author);
    if (found) this.#keepHead(this.#endsOf(conversation), author, found);
    return found;
  }

  #endsOf(conversation: string): Ends {
    let ends = this.#ends.get(conversation);
    if (!ends) {
      if (this.#ends.size >= MOST_ENDS) this.#forgetEnds();
      ends = { last: undefined, heads: new Map() };
      this.#ends.set(conversation, ends);
    }
    return ends;
  }

  #keepHead({ heads }: Ends, author: string, head: Head): void {
    const { size } = heads;
    heads.set(author, head);
    this.#chains += heads.size - size;
    if (this.#chains > MOST_ENDS) this.#forgetEnds();
  }

  /** Id of the author's entry at `seq`. */
  idAt(conversation: string, author: string, seq: number): string | undefined {
    return this.#sql
      .of<{ id: string }>(`SELECT id FROM entries WHERE ${CHAIN} AND seq = ?`)
      .get(conversation, author, seq)?.id;
  }

  /** Time of the newest entry of anybody. */
  lastAt(conversation: string): number | undefined {
    this.#check();
    const known = this.#ends.get(conversation)?.last;
    if (known !== undefined) return known;
    const at = this.#sql
      .of<{ at: number }>(`SELECT at FROM entries WHERE ${IN_ORDER} ORDER BY at DESC LIMIT 1`)
      .get(conversation)?.at;
    if (at !== undefined) this.#endsOf(conversation).last = at;
    return at;
  }

  /**
   * `(conversation, author, seq)` is unique: a second entry for one place throws, whatever was checked before. `under`: of own
   * entries in a room, the number of its order that their author knew. `isNew`: it was written here just now.
   */
  append(
    { entry, id, bytes }: Parsed,
    now: number,
    { proven, under = null, isNew = false }: { proven: boolean; under?: number | null; isNew?: boolean },
  ): Stored {
    const last = this.lastAt(entry.conversation) ?? 0;
    const place = this.#places.next();
    this.#sql
      .of(INSERT)
      .run(
        this.#number(entry.conversation),
        this.#number(entry.author),
        entry.seq,
        entry.prev,
        entry.at,
        entry.kind,
        JSON.stringify(entry.body),
        entry.sig,
        id,
        bytes,
        now,
        Number(proven),
        place,
        under,
      );
    const ends = this.#endsOf(entry.conversation);
    ends.last = Math.max(last, entry.at);
    this.#keepHead(ends, entry.author, { seq: entry.seq, id, at: entry.at });
    this.#places.add(id, place);
    this.derived.added({ entry, id }, place, { isNew });
    return { entry, id, bytes, storedAt: now, withdrawn: false };
  }

  /**
   * Entries of an author from `seq` on, in order: at most `most`, and at most `bytes` unless the first alone has more. The
   * last of them proves itself: a signature that only others vouch for is looked at before it ends what is given on. [C-4]
   */
  run(conversation: string, author: string, seq: number, limit: { most: number; bytes: number }): Stored[] {
    const rows = this.#sql
      .of<Row & { proven: number }>(
        `SELECT ${COLUMNS}, proven FROM entries WHERE ${CHAIN} AND seq >= ? ORDER BY seq LIMIT ?`,
      )
      .all(conversation, author, seq, limit.most);
    let bytes = 0;
    const end = rows.findIndex((row, index) => {
      bytes += row.bytes + 1; // and the comma
      return index > 0 && bytes > limit.bytes;
    });
    const fitting = end < 0 ? rows : rows.slice(0, end);
    const last = fitting.findLastIndex((row) => row.proven !== 0 || entryVerified(stored(row).entry));
    return this.signed(fitting.slice(0, last + 1).map(stored));
  }

  get(id: string): Stored | undefined {
    const row = this.#places.entry<Row>(COLUMNS, id);
    return row && stored(row);
  }

  /** Ids that begin with `text`, which is not empty: at most `most`. */
  beginning(text: string, most: number): string[] {
    return this.#places.beginning(text, most);
  }

  /** Of an own entry in a room, the number of its order that was known when it was written; null where that is not kept here. */
  under(id: string): number | null {
    return this.#places.entry<{ under: number | null }>('under', id)?.under ?? null;
  }

  /**
   * The page of at most `limit` messages that ends just before `before`, oldest first; of one conversation, or of all.
   * What changes messages has no place of its own in it.
   */
  page(conversation: string | undefined, limit: number, before?: { at: number; id: string }): Stored[] {
    const { at, id } = before ?? { at: Number.MAX_SAFE_INTEGER, id: '' };
    const tail = '(at, id) < (?, ?) ORDER BY at DESC, id DESC LIMIT ?';
    const rows =
      conversation === undefined
        ? this.#sql.of<Row>(`SELECT ${COLUMNS} FROM entries WHERE ${SEEN} AND ${tail}`).all(at, id, limit)
        : this.#sql
            .of<Row>(`SELECT ${COLUMNS} FROM entries WHERE ${WITHIN} AND ${SEEN} AND ${tail}`)
            .all(conversation, at, id, limit);
    return rows.reverse().map(stored);
  }

  /** The page of at most `limit` messages that starts just after a place, oldest first. */
  pageAfter(conversation: string | undefined, limit: number, { at, id }: { at: number; id: string }): Stored[] {
    const tail = `${SEEN} AND (at, id) > (?, ?) ORDER BY at, id LIMIT ?`;
    const rows =
      conversation === undefined
        ? this.#sql.of<Row>(`SELECT ${COLUMNS} FROM entries WHERE ${tail}`).all(at, id, limit)
        : this.#sql
            .of<Row>(`SELECT ${COLUMNS} FROM entries WHERE ${WITHIN} AND ${tail}`)
            .all(conversation, at, id, limit);
    return rows.map(stored);
  }

  /** At most `limit` entries of any kind after a place in the order, none of them withdrawn. */
  every(conversation: string, limit: number, after?: { at: number; id: string }): Stored[] {
    return this.#sql
      .of<Row>(`SELECT ${COLUMNS} FROM entries WHERE ${IN_ORDER} AND (at, id) > (?, ?) ORDER BY at, id LIMIT ?`)
      .all(conversation, after?.at ?? -1, after?.id ?? '', limit)
      .map(stored);
  }

  /** The author's last position at or before a place in the order; 0 if there is none. */
  lastSeq(conversation: string, author: string, upTo: { at: number; id: string }): number {
    const row = this.#sql
      .of<{ seq: number }>(
        `SELECT seq FROM entries WHERE ${IN_ORDER} AND ${BY} AND (at, id) <= (?, ?) ORDER BY at DESC, id DESC LIMIT 1`,
      )
      .get(conversation, author, upTo.at, upTo.id);
    return row?.seq ?? 0;
  }

  /** Position of the author's first entry from `seq` on whose time is `at` or later. */
  firstSince(conversation: string, author: string, seq: number, at: number): number | undefined {
    const row = this.#sql
      .of<{ seq: number | null }>(`SELECT min(seq) AS seq FROM entries WHERE ${CHAIN} AND seq >= ? AND at >= ?`)
      .get(conversation, author, seq, at);
    return row?.seq ?? undefined;
  }

  /** As `firstSince`, by the order of the conversation: quick where the time is near its end. */
  firstAfter(conversation: string, author: string, at: number): number | undefined {
    return this.#sql
      .of<{ seq: number }>(`SELECT seq FROM entries WHERE ${IN_ORDER} AND ${BY} AND at >= ? ORDER BY at, id LIMIT 1`)
      .get(conversation, author, at)?.seq;
  }

  /** Takes an author's entries from `seq` on out of the chain, so that their places are free; gives them, in order. */
  withdraw(conversation: string, author: string, seq: number): Stored[] {
    const which = `${CHAIN} AND seq >= ?`;
    const rows = this.#sql
      .of<Row>(`SELECT ${COLUMNS} FROM entries WHERE ${which} ORDER BY seq`)
      .all(conversation, author, seq);
    this.#sql.of(`UPDATE entries SET withdrawn = 1 WHERE ${which}`).run(conversation, author, seq);
    this.#forgetEnds();
    const gone = rows.map((row) => ({ ...stored(row), withdrawn: true }));
    this.derived.withdrawn(gone);
    return gone;
  }

  /** Keeps the first entry that its author signed for a place that is taken: proof that the author's log forked. */
  recordFork(entry: Entry, seq: number, now: number): void {
    this.#sql
      .of('INSERT OR IGNORE INTO forks (conversation, author, seq, entry, seen_at) VALUES (?, ?, ?, ?, ?)')
      .run(entry.conversation, entry.author, seq, JSON.stringify(entry), now);
  }

  forks(conversation: string): { author: string; seq: number; entry: Entry }[] {
    return this.#sql
      .of<{ author: string; seq: number; entry: string }>('SELECT author, seq, entry FROM forks WHERE conversation = ?')
      .all(conversation)
      .map((row) => ({ ...row, entry: JSON.parse(row.entry) }));
  }
}
