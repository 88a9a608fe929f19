/** What the file room remembers: shares, manifests, transfers, reports that are owed, and whose files come unasked. */
import { canonical } from '../base/encoding.ts';
import type { Statement, Store } from '../base/sqlite.ts';
import type { PartIdentity } from './part.ts';
import type { Stamp } from './source.ts';
import type { Transfer, TransferState } from './transfer.ts';

const MIGRATIONS = [
  `CREATE TABLE file_manifests (
     hash TEXT PRIMARY KEY,
     bytes BLOB NOT NULL
   ) STRICT;
   -- What this node offers: one row for each file of a manifest.
   CREATE TABLE file_shares (
     hash TEXT NOT NULL REFERENCES file_manifests (hash),
     file INTEGER NOT NULL,
     path TEXT NOT NULL,
     stamp TEXT NOT NULL,
     PRIMARY KEY (hash, file)
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX file_shares_path ON file_shares (path);
   CREATE TABLE file_transfers (
     seq INTEGER PRIMARY KEY,
     id TEXT NOT NULL UNIQUE,
     direction TEXT NOT NULL,
     peer TEXT NOT NULL,
     entry TEXT,
     hash TEXT NOT NULL DEFAULT '',
     name TEXT NOT NULL,
     size INTEGER NOT NULL,
     state TEXT NOT NULL,
     progress INTEGER NOT NULL DEFAULT 0,
     path TEXT NOT NULL DEFAULT '',
     folder TEXT NOT NULL DEFAULT '',
     at INTEGER NOT NULL,
     error_code TEXT,
     error_message TEXT,
     -- The part file; the chunks that are surely on the disk; those that were asked for, and may be there.
     part TEXT,
     marked BLOB,
     asked BLOB
   ) STRICT;
   CREATE UNIQUE INDEX file_transfers_entry ON file_transfers (direction, peer, entry);
   CREATE INDEX file_transfers_hash ON file_transfers (hash, peer, direction);
   CREATE INDEX file_transfers_state ON file_transfers (state);
   CREATE TABLE file_reports (
     transfer TEXT PRIMARY KEY REFERENCES file_transfers (id),
     peer TEXT NOT NULL,
     version INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE file_auto_accept (
     account TEXT PRIMARY KEY,
     bytes INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;`,
];

type TransferRow = {
  id: string;
  direction: 'in' | 'out';
  peer: string;
  entry: string | null;
  hash: string;
  name: string;
  size: number;
  state: TransferState;
  progress: number;
  path: string;
  folder: string;
  at: number;
  error_code: string | null;
  error_message: string | null;
};

const COLUMNS =
  'id, direction, peer, entry, hash, name, size, state, progress, path, folder, at, error_code, error_message';

const transferOf = ({ error_code, error_message, ...row }: TransferRow): Transfer => ({
  ...row,
  rate: 0,
  error: error_code === null ? null : { code: error_code, message: error_message ?? '' },
});

/** How far a part is: see `Ledger`. */
export type Marks = { part: PartIdentity | undefined; marked: Uint8Array | undefined; asked: Uint8Array | undefined };

export class FileStore {
  readonly #store: Store;
  readonly #prepared = new Map<string, Statement>();

  /** Brings the tables up to date. */
  constructor(store: Store) {
    this.#store = store;
    store.migrate('files', MIGRATIONS);
  }

  transaction<T>(work: () => T): T {
    return this.#store.transaction(work);
  }

  afterCommit(tell: () => void): void {
    this.#store.afterCommit(tell);
  }

  #sql<R extends Record<string, unknown>>(sql: string): Statement<R> {
    let statement = this.#prepared.get(sql);
    if (!statement) {
      statement = this.#store.prepare(sql);
      this.#prepared.set(sql, statement);
    }
    return statement as Statement<R>; // the SQL text beside each use states the shape
  }

  // Transfers

  insert(transfer: Transfer): void {
    const { id, direction, peer, entry, hash, name, size, state, progress, path, folder, at } = transfer;
    this.#sql(
      `INSERT INTO file_transfers (id, direction, peer, entry, hash, name, size, state, progress, path, folder, at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ).run(id, direction, peer, entry, hash, name, size, state, progress, path, folder, at);
  }

  /** Writes what may change of a transfer. */
  update({ id, entry, hash, name, size, state, progress, path, folder, error }: Transfer): void {
    this.#sql(
      `UPDATE file_transfers SET entry = ?, hash = ?, name = ?, size = ?, state = ?, progress = ?, path = ?, folder = ?,
       error_code = ?, error_message = ? WHERE id = ?`,
    ).run(entry, hash, name, size, state, progress, path, folder, error?.code ?? null, error?.message ?? null, id);
  }

  byId(id: string): Transfer | undefined {
    const row = this.#sql<TransferRow>(`SELECT ${COLUMNS} FROM file_transfers WHERE id = ?`).get(id);
    return row && transferOf(row);
  }

  byEntry(direction: 'in' | 'out', peer: string, entry: string): Transfer | undefined {
    const row = this.#sql<TransferRow>(
      `SELECT ${COLUMNS} FROM file_transfers WHERE direction = ? AND peer = ? AND entry = ?`,
    ).get(direction, peer, entry);
    return row && transferOf(row);
  }

  /** All transfers, oldest first. */
  all(): Transfer[] {
    return this.#sql<TransferRow>(`SELECT ${COLUMNS} FROM file_transfers ORDER BY seq`).all().map(transferOf);
  }

  /** Those that are not at their end, oldest first. */
  open(): Transfer[] {
    return this.#sql<TransferRow>(
      `SELECT ${COLUMNS} FROM file_transfers
       WHERE state IN ('preparing', 'offered', 'accepted', 'fetching', 'serving') ORDER BY seq`,
    )
      .all()
      .map(transferOf);
  }

  /** Transfers by which `account` may have the bytes under `hash`: what was withdrawn or declined gives no right. */
  grants(account: string, hash: string): string[] {
    return this.#sql<{ id: string }>(
      `SELECT id FROM file_transfers WHERE hash = ? AND peer = ? AND direction = 'out'
       AND state NOT IN ('preparing', 'cancelled', 'declined') ORDER BY state = 'done', seq DESC`,
    )
      .all(hash, account)
      .map(({ id }) => id);
  }

  /** All that is offered under a hash, and to whom. */
  grantsOf(hash: string): { id: string; peer: string }[] {
    return this.#sql<{ id: string; peer: string }>(
      `SELECT id, peer FROM file_transfers WHERE hash = ? AND direction = 'out'
       AND state NOT IN ('preparing', 'cancelled', 'declined')`,
    ).all(hash);
  }

  /** Whom the ticket of an entry went to. */
  sentWith(entry: string): { id: string; peer: string }[] {
    return this.#sql<{ id: string; peer: string }>(
      `SELECT id, peer FROM file_transfers WHERE direction = 'out' AND entry = ?`,
    ).all(entry);
  }

  // Manifests and shares

  saveManifest(hash: string, bytes: Uint8Array): void {
    this.#sql('INSERT OR IGNORE INTO file_manifests (hash, bytes) VALUES (?, ?)').run(hash, bytes);
  }

  manifest(hash: string): Uint8Array | undefined {
    return this.#sql<{ bytes: Uint8Array }>('SELECT bytes FROM file_manifests WHERE hash = ?').get(hash)?.bytes;
  }

  saveShare(hash: string, file: number, path: string, stamp: Stamp): void {
    this.#sql('INSERT OR REPLACE INTO file_shares (hash, file, path, stamp) VALUES (?, ?, ?, ?)').run(
      hash,
      file,
      path,
      canonical(stamp),
    );
  }

  share(hash: string, file: number): { path: string; stamp: Stamp } | undefined {
    const row = this.#sql<{ path: string; stamp: string }>(
      'SELECT path, stamp FROM file_shares WHERE hash = ? AND file = ?',
    ).get(hash, file);
    return row && { path: row.path, stamp: JSON.parse(row.stamp) };
  }

  /** All transfers of a content. */
  withHash(hash: string): Transfer[] {
    return this.#sql<TransferRow>(`SELECT ${COLUMNS} FROM file_transfers WHERE hash = ? ORDER BY seq`)
      .all(hash)
      .map(transferOf);
  }

  /** Manifests that are kept, and their bytes. */
  contents(): { hash: string; bytes: number }[] {
    return this.#sql<{ hash: string; bytes: number }>(
      'SELECT hash, length(bytes) AS bytes FROM file_manifests ORDER BY hash',
    ).all();
  }

  /** Forgets a manifest, and what is shared under it. */
  forgetContent(hash: string): void {
    this.#sql('DELETE FROM file_shares WHERE hash = ?').run(hash);
    this.#sql('DELETE FROM file_manifests WHERE hash = ?').run(hash);
  }

  /** Folders into which something was received, or was to be. */
  folders(): string[] {
    return this.#sql<{ folder: string }>("SELECT DISTINCT folder FROM file_transfers WHERE folder <> ''")
      .all()
      .map(({ folder }) => folder);
  }

  // Marks

  marks(id: string): Marks {
    const row = this.#sql<{ part: string | null; marked: Uint8Array | null; asked: Uint8Array | null }>(
      'SELECT part, marked, asked FROM file_transfers WHERE id = ?',
    ).get(id);
    return {
      part: row?.part ? JSON.parse(row.part) : undefined,
      marked: row?.marked ?? undefined,
      asked: row?.asked ?? undefined,
    };
  }

  saveMarks(id: string, { part, marked, asked }: Marks): void {
    this.#sql('UPDATE file_transfers SET part = ?, marked = ?, asked = ? WHERE id = ?').run(
      part ? JSON.stringify(part) : null,
      marked ?? null,
      asked ?? null,
      id,
    );
  }

  /** Cancelled transfers whose part may still be there. */
  litter(): { id: string; folder: string }[] {
    return this.#sql<{ id: string; folder: string }>(
      "SELECT id, folder FROM file_transfers WHERE state = 'cancelled' AND part IS NOT NULL",
    ).all();
  }

  /** The path that the whole file is about to get. */
  savePath(id: string, path: string): void {
    this.#sql('UPDATE file_transfers SET path = ? WHERE id = ?').run(path, id);
  }

  // Reports

  /** Notes that the other side of a transfer is owed its state. */
  owe(transfer: string, peer: string): void {
    this.#sql(
      `INSERT INTO file_reports (transfer, peer, version) VALUES (?, ?, 1)
       ON CONFLICT (transfer) DO UPDATE SET version = version + 1`,
    ).run(transfer, peer);
  }

  owed(peer: string): { transfer: string; version: number }[] {
    return this.#sql<{ transfer: string; version: number }>(
      'SELECT transfer, version FROM file_reports WHERE peer = ? ORDER BY transfer LIMIT 1000',
    ).all(peer);
  }

  owedPeers(): string[] {
    return this.#sql<{ peer: string }>('SELECT DISTINCT peer FROM file_reports')
      .all()
      .map(({ peer }) => peer);
  }

  /** The report was taken; unless there is news since. */
  settle(transfer: string, version: number): void {
    this.#sql('DELETE FROM file_reports WHERE transfer = ? AND version = ?').run(transfer, version);
  }

  // Whose files come unasked

  autoAccept(account: string): number | null {
    const row = this.#sql<{ bytes: number }>('SELECT bytes FROM file_auto_accept WHERE account = ?').get(account);
    return row?.bytes ?? null;
  }

  setAutoAccept(account: string, bytes: number | null): void {
    if (bytes === null) this.#sql('DELETE FROM file_auto_accept WHERE account = ?').run(account);
    else this.#sql('INSERT OR REPLACE INTO file_auto_accept (account, bytes) VALUES (?, ?)').run(account, bytes);
  }
}
