/** What the file room remembers: shares, manifests, transfers, reports that are owed, and whose files come unasked. */
import { join } from 'node:path';
import { canonical } from '../base/encoding.ts';
import type { Statement, Store } from '../base/sqlite.ts';
import type { SharedFolder } from './folder-readers.ts';
import type { PartIdentity } from './part.ts';
import { partName } from './paths.ts';
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
  // A large manifest stands in pieces, so that no write of it takes long: then its row has no bytes, and `size` says how many.
  `ALTER TABLE file_manifests ADD COLUMN size INTEGER;
   CREATE TABLE file_manifest_pieces (
     hash TEXT NOT NULL,
     piece INTEGER NOT NULL,
     bytes BLOB NOT NULL,
     UNIQUE (hash, piece)
   ) STRICT;
   -- Folders that this node offers: where they are, and of each file what shows that it is still the same.
   CREATE TABLE file_folders (
     hash TEXT PRIMARY KEY REFERENCES file_manifests (hash),
     path TEXT NOT NULL,
     stamps BLOB NOT NULL
   ) STRICT, WITHOUT ROWID;
   -- What is known of a transfer that is a folder, as JSON.
   ALTER TABLE file_transfers ADD COLUMN contents TEXT;`,
  // A folder that was received stands under the names that it was written as.
  `ALTER TABLE file_folders ADD COLUMN received INTEGER NOT NULL DEFAULT 0;`,
];

/** Bytes of one piece of a manifest, and of one that is kept in one: written within a millisecond or two. */
const PIECE_BYTES = 512 * 1024;

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
  contents: string | null;
};

const COLUMNS =
  'id, direction, peer, entry, hash, name, size, state, progress, path, folder, at, error_code, error_message, contents';

const transferOf = ({ error_code, error_message, contents, ...row }: TransferRow): Transfer => ({
  ...row,
  rate: 0,
  ...(contents !== null && { contents: JSON.parse(contents) }),
  error: error_code === null ? null : { code: error_code, message: error_message ?? '' },
});

const jsonOf = (value: unknown): string | null => (value === undefined ? null : JSON.stringify(value));

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
    const { id, direction, peer, entry, hash, name, size, state, progress, path, folder, at, contents } = transfer;
    this.#sql(
      `INSERT INTO file_transfers (id, direction, peer, entry, hash, name, size, state, progress, path, folder, at,
       contents) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ).run(id, direction, peer, entry, hash, name, size, state, progress, path, folder, at, jsonOf(contents));
  }

  /** Writes what may change of a transfer. */
  update({ id, entry, hash, name, size, state, progress, path, folder, contents, error }: Transfer): void {
    const why = [error?.code ?? null, error?.message ?? null] as const;
    this.#sql(
      `UPDATE file_transfers SET entry = ?, hash = ?, name = ?, size = ?, state = ?, progress = ?, path = ?, folder = ?,
       error_code = ?, error_message = ?, contents = ? WHERE id = ?`,
    ).run(entry, hash, name, size, state, progress, path, folder, ...why, jsonOf(contents), id);
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

  /** Transfers by which this account has or fetches what is under a hash, and so may give it to others. */
  copies(hash: string): { id: string; entry: string }[] {
    return this.#sql<{ id: string; entry: string }>(
      `SELECT id, entry FROM file_transfers WHERE hash = ? AND direction = 'in' AND entry IS NOT NULL
       AND state NOT IN ('cancelled', 'declined')`,
    ).all(hash);
  }

  /** Entries whose ticket names a hash, and was neither withdrawn nor declined here. */
  entriesOf(hash: string): string[] {
    return this.#sql<{ entry: string }>(
      `SELECT DISTINCT entry FROM file_transfers WHERE hash = ? AND entry IS NOT NULL
       AND state NOT IN ('cancelled', 'declined')`,
    )
      .all(hash)
      .map(({ entry }) => entry);
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

  /** As `saveManifest`, for one of any size: the event loop goes on in between. What a crash leaves of it is written anew. */
  async saveLargeManifest(hash: string, bytes: Uint8Array): Promise<void> {
    if (bytes.length <= PIECE_BYTES) return this.saveManifest(hash, bytes);
    if (this.manifestSize(hash) !== undefined) return;
    for (let piece = 0; piece * PIECE_BYTES < bytes.length; piece++) {
      await new Promise((resolve) => setImmediate(resolve));
      this.#sql('INSERT OR REPLACE INTO file_manifest_pieces (hash, piece, bytes) VALUES (?, ?, ?)').run(
        hash,
        piece,
        bytes.subarray(piece * PIECE_BYTES, (piece + 1) * PIECE_BYTES),
      );
    }
    this.#sql("INSERT OR IGNORE INTO file_manifests (hash, bytes, size) VALUES (?, x'', ?)").run(hash, bytes.length);
  }

  /** Bytes of a manifest; undefined if it is not here whole. */
  manifestSize(hash: string): number | undefined {
    return this.#sql<{ size: number }>(
      'SELECT coalesce(size, length(bytes)) AS size FROM file_manifests WHERE hash = ?',
    ).get(hash)?.size;
  }

  /** Bytes `start` to `end` of a manifest that is here. */
  manifestRange(hash: string, start: number, end: number): Uint8Array {
    const row = this.#sql<{ bytes: Uint8Array; size: number | null }>(
      'SELECT bytes, size FROM file_manifests WHERE hash = ?',
    ).get(hash);
    if (!row) return new Uint8Array();
    if (row.size === null) return row.bytes.subarray(start, end);
    const [first, last] = [Math.floor(start / PIECE_BYTES), Math.ceil(end / PIECE_BYTES)];
    const pieces = this.#sql<{ bytes: Uint8Array }>(
      'SELECT bytes FROM file_manifest_pieces WHERE hash = ? AND piece >= ? AND piece < ? ORDER BY piece',
    ).all(hash, first, last);
    const from = first * PIECE_BYTES;
    const [only] = pieces;
    const bytes = only && pieces.length === 1 ? only.bytes : Buffer.concat(pieces.map(({ bytes }) => bytes));
    return bytes.subarray(start - from, end - from);
  }

  manifest(hash: string): Uint8Array | undefined {
    const size = this.manifestSize(hash);
    return size === undefined ? undefined : this.manifestRange(hash, 0, size);
  }

  saveFolder(hash: string, { path, stamps, asSent }: Omit<SharedFolder, 'manifest'>): void {
    this.#sql('INSERT OR REPLACE INTO file_folders (hash, path, stamps, received) VALUES (?, ?, ?, ?)').run(
      hash,
      path,
      stamps,
      asSent ? 0 : 1,
    );
  }

  folder(hash: string): Omit<SharedFolder, 'manifest'> | undefined {
    const row = this.#sql<{ path: string; stamps: Uint8Array; received: number }>(
      'SELECT path, stamps, received FROM file_folders WHERE hash = ?',
    ).get(hash);
    return row && { path: row.path, stamps: row.stamps, asSent: row.received === 0 };
  }

  isFolder(hash: string): boolean {
    return this.#sql('SELECT 1 FROM file_folders WHERE hash = ?').get(hash) !== undefined;
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

  /**
   * Files and parts that are on this machine, the newest first: of a part which chunks are marked, and the folder and id that
   * name it. Without those of transfer `id`.
   */
  places(id: string): { hash: string; file: number; path: string; part?: string; marked?: Uint8Array }[] {
    const shares = this.#sql<{ hash: string; file: number; path: string }>(
      `SELECT s.hash, s.file, s.path FROM file_shares s JOIN file_manifests m ON m.hash = s.hash
       ORDER BY m.rowid DESC LIMIT 1000`,
    ).all();
    const parts = this.#sql<{ hash: string; folder: string; id: string; marked: Uint8Array }>(
      `SELECT hash, folder, id, marked FROM file_transfers WHERE direction = 'in' AND part IS NOT NULL
       AND contents IS NULL AND marked IS NOT NULL AND id <> ? ORDER BY seq DESC LIMIT 1000`,
    ).all(id);
    return [
      ...shares,
      ...parts.map(({ hash, folder, id, marked }) => ({ hash, file: 0, path: folder, part: id, marked })),
    ];
  }

  /**
   * Folders that are on this machine, the newest 64 first: whole, as they were sent or written, or the part of one. Without
   * transfer `id`'s.
   */
  folderPlaces(id: string): { hash: string; path: string; asSent: boolean }[] {
    const rows = this.#sql<{
      id: string;
      hash: string;
      direction: string;
      folder: string;
      path: string;
      part: string | null;
    }>(
      `SELECT t.id, t.hash, t.direction, t.folder, coalesce(f.path, t.path) AS path, t.part FROM file_transfers t
       JOIN file_manifests m ON m.hash = t.hash LEFT JOIN file_folders f ON f.hash = t.hash AND t.direction = 'out'
       WHERE t.contents IS NOT NULL AND t.id <> ? ORDER BY t.seq DESC LIMIT 64`,
    ).all(id);
    const places = rows.map(({ id, hash, direction, folder, path, part }) => {
      const isBeside = part !== null && (JSON.parse(part) as PartIdentity).inPlace !== true; // as `saveMarks` wrote it
      return { hash, path: isBeside ? join(folder, partName(id)) : path, asSent: direction === 'out' };
    });
    return places.filter(({ path }, n) => path !== '' && places.findIndex((each) => each.path === path) === n);
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
      // Pieces without a row were left by a program that was killed while it wrote them.
      `SELECT hash, coalesce(size, length(bytes)) AS bytes FROM file_manifests
       UNION ALL SELECT hash, sum(length(bytes)) AS bytes FROM file_manifest_pieces
       WHERE hash NOT IN (SELECT hash FROM file_manifests) GROUP BY hash ORDER BY hash`,
    ).all();
  }

  /** Forgets a manifest, and what is shared under it. */
  forgetContent(hash: string): void {
    this.#sql('DELETE FROM file_shares WHERE hash = ?').run(hash);
    this.#sql('DELETE FROM file_folders WHERE hash = ?').run(hash);
    this.#sql('DELETE FROM file_manifest_pieces WHERE hash = ?').run(hash);
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
