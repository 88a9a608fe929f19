/** The tables of chat, and their statements, prepared once each. */
import type { Statement, Store } from '../base/sqlite.ts';
import { headInSql } from './places.ts';
import { fold } from './search.ts';

// A step is never changed once it was released. What several say alike, for they make a table anew, stands here, and is as fixed.
const AFTER_AUTHOR = `seq INTEGER NOT NULL,
  prev TEXT,
  at INTEGER NOT NULL,
  kind TEXT NOT NULL,
  body TEXT NOT NULL,
  sig TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  stored_at INTEGER NOT NULL,
  withdrawn INTEGER NOT NULL DEFAULT 0,
  proven INTEGER NOT NULL DEFAULT 1,
  under INTEGER`;
const BESIDE_ENTRIES = `
  CREATE UNIQUE INDEX entries_chain ON entries (conversation, author, seq) WHERE withdrawn = 0;
  CREATE INDEX entries_order ON entries (conversation, at, id);
  CREATE INDEX entries_time ON entries (at, id);
`;
const BESIDE_OUTBOX = `
  CREATE INDEX outbox_waiting ON outbox (recipient, conversation, seq) WHERE state <> 'failed';
  CREATE INDEX outbox_entry ON outbox (entry);
  CREATE TRIGGER outbox_added AFTER INSERT ON outbox BEGIN
    INSERT INTO outbox_totals (recipient, entries, bytes) VALUES (new.recipient, 1, new.bytes)
    ON CONFLICT (recipient) DO UPDATE SET entries = entries + 1, bytes = bytes + new.bytes;
  END;
  CREATE TRIGGER outbox_settled AFTER DELETE ON outbox WHEN old.state <> 'failed' BEGIN
    UPDATE outbox_totals SET entries = entries - 1, bytes = bytes - old.bytes WHERE recipient = old.recipient;
  END;
  CREATE TRIGGER outbox_failed AFTER UPDATE OF state ON outbox WHEN old.state <> 'failed' AND new.state = 'failed' BEGIN
    UPDATE outbox_totals SET entries = entries - 1, bytes = bytes - old.bytes WHERE recipient = old.recipient;
  END;
`;
const BESIDE_MESSAGES = 'CREATE INDEX messages_unread ON messages (conversation, author, seq, removed, mentioned);';

export const STEPS = [
  `
  CREATE TABLE conversations (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE members (
    conversation TEXT NOT NULL REFERENCES conversations (id),
    account TEXT NOT NULL,
    PRIMARY KEY (conversation, account)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX members_account ON members (account);

  -- withdrawn: the author took it out of the chain again, because nobody would take it; its place is free.
  CREATE TABLE entries (
    id TEXT PRIMARY KEY,
    conversation TEXT NOT NULL REFERENCES conversations (id),
    author TEXT NOT NULL,
    seq INTEGER NOT NULL,
    prev TEXT,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    sig TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    stored_at INTEGER NOT NULL,
    withdrawn INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  ${BESIDE_ENTRIES}

  -- The first other entry that an author signed for a place that is taken: evidence against the author.
  CREATE TABLE forks (
    conversation TEXT NOT NULL,
    author TEXT NOT NULL,
    seq INTEGER NOT NULL,
    entry TEXT NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (conversation, author, seq)
  ) STRICT, WITHOUT ROWID;

  -- Own entries that lack a receipt of a recipient; a row goes when the receipt comes, and stays when it failed.
  CREATE TABLE outbox (
    recipient TEXT NOT NULL,
    entry TEXT NOT NULL REFERENCES entries (id),
    conversation TEXT NOT NULL,
    seq INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    state TEXT NOT NULL,
    code TEXT,
    message TEXT,
    PRIMARY KEY (recipient, entry)
  ) STRICT, WITHOUT ROWID;

  -- What waits for each recipient, so that a bound is checked without counting thousands of rows.
  CREATE TABLE outbox_totals (
    recipient TEXT PRIMARY KEY,
    entries INTEGER NOT NULL,
    bytes INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  ${BESIDE_OUTBOX}

  CREATE TABLE receipts (
    conversation TEXT NOT NULL,
    author TEXT NOT NULL,
    account TEXT NOT NULL,
    state TEXT NOT NULL,
    seq INTEGER NOT NULL,
    entry TEXT NOT NULL,
    at INTEGER NOT NULL,
    sig TEXT NOT NULL,
    PRIMARY KEY (conversation, author, account, state, seq)
  ) STRICT, WITHOUT ROWID;
  `,
  `
  -- Edits, deletions and reactions by what they are about. A row goes when its entry is withdrawn.
  CREATE TABLE acts (
    target TEXT NOT NULL,
    entry TEXT NOT NULL REFERENCES entries (id),
    conversation TEXT NOT NULL,
    author TEXT NOT NULL,
    kind TEXT NOT NULL,
    emoji TEXT NOT NULL,
    state INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (target, kind, author, emoji, at, entry)
  ) STRICT, WITHOUT ROWID;

  -- What counts as unread and is found by a search. doc: its row in the search index. mentioned: it names this account.
  CREATE TABLE messages (
    doc INTEGER PRIMARY KEY,
    entry TEXT NOT NULL UNIQUE REFERENCES entries (id),
    conversation TEXT NOT NULL,
    author TEXT NOT NULL,
    seq INTEGER NOT NULL,
    removed INTEGER NOT NULL DEFAULT 0,
    mentioned INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  ${BESIDE_MESSAGES}

  -- Words only: the texts stand in entries. fold() is this program's own function and leaves letters, digits and spaces,
  -- of which the plainest tokenizer makes the same words that the program means.
  CREATE VIRTUAL TABLE search USING fts5 (text, content = '', contentless_delete = 1, tokenize = 'ascii');

  -- Messages of which the derived tables are to be made anew, at the next start.
  CREATE TABLE stale (entry TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

  -- Authors who have not been told yet how far this account has read. seq 0: they are to be asked what they have.
  CREATE TABLE untold (
    account TEXT NOT NULL,
    conversation TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (account, conversation)
  ) STRICT, WITHOUT ROWID;

  INSERT INTO messages (entry, conversation, author, seq)
    SELECT id, conversation, author, seq FROM entries WHERE kind IN ('text', 'file') ORDER BY at, id;
  INSERT INTO search (rowid, text)
    SELECT m.doc, fold(coalesce(json_extract(e.body, iif(e.kind = 'file', '$.name', '$.text')), ''))
    FROM messages m JOIN entries e ON e.id = m.entry;
  -- Earlier versions kept these kinds without knowing them.
  INSERT INTO acts (target, entry, conversation, author, kind, emoji, state, at)
    SELECT json_extract(body, '$.target'), id, conversation, author, kind,
      coalesce(iif(kind = 'reaction', json_extract(body, '$.emoji'), ''), ''),
      coalesce(iif(kind = 'reaction', json_extract(body, '$.on'), 1), 0), at
    FROM entries
    WHERE kind IN ('edit', 'delete', 'reaction') AND withdrawn = 0 AND json_type(body, '$.target') = 'text'
      AND (kind <> 'reaction' OR json_type(body, '$.emoji') = 'text' AND json_type(body, '$.on') IN ('true', 'false'));
  INSERT INTO stale (entry) SELECT DISTINCT target FROM acts;
  `,
  `
  -- 0: its own signature was not looked at, because that of a later entry of its chain, taken with it, vouches for it.
  ALTER TABLE entries ADD COLUMN proven INTEGER NOT NULL DEFAULT 1;
  `,
  `
  -- An entry names its row in messages, so that these need no index by hash: each page of one is written for an entry or two.
  ALTER TABLE entries ADD COLUMN doc INTEGER;
  UPDATE entries SET doc = (SELECT m.doc FROM messages m WHERE m.entry = entries.id)
    WHERE id IN (SELECT entry FROM messages);
  CREATE TABLE docs (
    doc INTEGER PRIMARY KEY,
    entry TEXT NOT NULL,
    conversation TEXT NOT NULL,
    author TEXT NOT NULL,
    seq INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    mentioned INTEGER NOT NULL
  ) STRICT;
  INSERT INTO docs SELECT doc, entry, conversation, author, seq, removed, mentioned FROM messages ORDER BY doc;
  DROP TABLE messages;
  ALTER TABLE docs RENAME TO messages;
  ${BESIDE_MESSAGES}
  `,
  `
  -- Of own entries in a room: the number of its order that their author knew. Earlier ones have it in room_entries.
  ALTER TABLE entries ADD COLUMN under INTEGER;
  `,
  `
  -- An entry is found by its place in the log, and its place by \`places\`: an index by id, which is a hash, was written all over.
  -- Nothing may refer to entries by their ids then. head() is this program's own function: the number that an id begins with.
  CREATE TABLE waiting (
    recipient TEXT NOT NULL,
    entry TEXT NOT NULL,
    conversation TEXT NOT NULL,
    seq INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    state TEXT NOT NULL,
    code TEXT,
    message TEXT,
    PRIMARY KEY (recipient, entry)
  ) STRICT, WITHOUT ROWID;
  INSERT INTO waiting SELECT recipient, entry, conversation, seq, bytes, state, code, message FROM outbox;
  DROP TABLE outbox;
  ALTER TABLE waiting RENAME TO outbox;
  ${BESIDE_OUTBOX}

  CREATE TABLE changes (
    target TEXT NOT NULL,
    entry TEXT NOT NULL,
    conversation TEXT NOT NULL,
    author TEXT NOT NULL,
    kind TEXT NOT NULL,
    emoji TEXT NOT NULL,
    state INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (target, kind, author, emoji, at, entry)
  ) STRICT, WITHOUT ROWID;
  INSERT INTO changes SELECT target, entry, conversation, author, kind, emoji, state, at FROM acts;
  DROP TABLE acts;
  ALTER TABLE changes RENAME TO acts;

  -- A message keeps the number under which the search index has it: that is its place.
  CREATE TABLE log (
    place INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    conversation TEXT NOT NULL REFERENCES conversations (id),
    author TEXT NOT NULL,
    ${AFTER_AUTHOR}
  ) STRICT;
  INSERT INTO log
    SELECT coalesce(doc, (SELECT coalesce(max(doc), 0) FROM messages) + rowid), id, conversation, author, seq, prev, at, kind, body,
      sig, bytes, stored_at, withdrawn, proven, under
    FROM entries ORDER BY 1;
  DROP TABLE entries;
  ALTER TABLE log RENAME TO entries;
  ${BESIDE_ENTRIES}

  CREATE TABLE texts (
    place INTEGER PRIMARY KEY,
    conversation TEXT NOT NULL,
    author TEXT NOT NULL,
    seq INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    mentioned INTEGER NOT NULL
  ) STRICT;
  INSERT INTO texts SELECT doc, conversation, author, seq, removed, mentioned FROM messages;
  DROP TABLE messages;
  ALTER TABLE texts RENAME TO messages;
  ${BESIDE_MESSAGES}

  CREATE TABLE places (
    head INTEGER NOT NULL,
    place INTEGER NOT NULL,
    PRIMARY KEY (head, place)
  ) STRICT, WITHOUT ROWID;
  INSERT INTO places SELECT head(id), place FROM entries ORDER BY 1, 2;
  -- One row: all entries up to this place are in \`places\`.
  CREATE TABLE places_written (place INTEGER NOT NULL) STRICT;
  INSERT INTO places_written SELECT coalesce(max(place), 0) FROM entries;
  `,
  `
  -- Unread messages are counted by the chain. Here stands only what differs from a plain message. counts: 0 for what is none, and for
  -- one that was taken back. mentioned: it names this account. A row goes when its entry is withdrawn.
  CREATE TABLE remarks (
    place INTEGER PRIMARY KEY,
    conversation TEXT NOT NULL,
    author TEXT NOT NULL,
    seq INTEGER NOT NULL,
    counts INTEGER NOT NULL,
    mentioned INTEGER NOT NULL
  ) STRICT;
  INSERT INTO remarks SELECT place, conversation, author, seq, 0, 0 FROM entries
    WHERE kind NOT IN ('text', 'file') AND withdrawn = 0;
  INSERT INTO remarks SELECT m.place, m.conversation, m.author, m.seq, m.removed = 0, m.mentioned
    FROM messages m JOIN entries e ON e.place = m.place WHERE (m.removed = 1 OR m.mentioned = 1) AND e.withdrawn = 0;
  CREATE INDEX remarks_chain ON remarks (conversation, author, seq, counts, mentioned);
  DROP TABLE messages;
  `,
  `
  -- One row: all messages up to this place are in the search index.
  CREATE TABLE search_written (place INTEGER NOT NULL) STRICT;
  INSERT INTO search_written SELECT coalesce(max(place), 0) FROM entries;
  `,
  `
  -- Accounts and conversations, by which numbers the log names them: its rows are shorter so, and those of its indexes by far.
  CREATE TABLE ids (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE) STRICT;
  INSERT INTO ids (id) SELECT conversation FROM entries UNION SELECT author FROM entries;
  CREATE TABLE log (
    place INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    conversation INTEGER NOT NULL,
    author INTEGER NOT NULL,
    ${AFTER_AUTHOR}
  ) STRICT;
  INSERT INTO log
    SELECT e.place, e.id, c.n, a.n, e.seq, e.prev, e.at, e.kind, e.body, e.sig, e.bytes, e.stored_at, e.withdrawn, e.proven, e.under
    FROM entries e JOIN ids c ON c.id = e.conversation JOIN ids a ON a.id = e.author ORDER BY e.place;
  DROP TABLE entries;
  ALTER TABLE log RENAME TO entries;
  ${BESIDE_ENTRIES}
  `,
] as const;

/** In SQL: the number of an account or a conversation in the log; null for one that has no entries there. */
export const numberOf = (id: string): string => `(SELECT n FROM ids WHERE id = ${id})`;
/** In SQL: a column of the log that has the number of an account or a conversation, as its id. */
export const idOf = (column: 'conversation' | 'author'): string =>
  `(SELECT ids.id FROM ids WHERE ids.n = ${column}) AS ${column}`;

/** Makes the tables where they are missing, or brings them up to date. */
export function migrateChat(store: Store): void {
  store.define('fold', fold);
  store.define('head', headInSql);
  store.migrate('chat', STEPS);
}

/** Keys of one account's own rows in tables that several accounts share: `<own>/<other>`; alone: `<other>`. */
export class Scope {
  readonly #prefix: string;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  key(account: string): string {
    return this.#prefix + account;
  }

  account(key: string): string {
    return key.slice(this.#prefix.length);
  }

  /** Between which two keys, the second left out, all of them stand. */
  get range(): [string, string] {
    return [this.#prefix, `${this.#prefix}~`];
  }
}

/** Prepares each SQL text once, when it is first used: a constructor may so come before the tables. */
export class Statements {
  readonly #store: Store;
  readonly #prepared = new Map<string, Statement>();

  constructor(store: Store) {
    this.#store = store;
  }

  /** See `Store.undone`. */
  get undone(): number {
    return this.#store.undone;
  }

  /** `R` states the shape of the rows that `sql` gives. */
  of<R extends Record<string, unknown>>(sql: string): Statement<R> {
    let statement = this.#prepared.get(sql);
    if (!statement) {
      statement = this.#store.prepare(sql);
      this.#prepared.set(sql, statement);
    }
    return statement as Statement<R>; // rows are what the SQL text says, as with Store.prepare
  }
}
