/** What the user has set for files: for one transfer, for one contact, and for all; and the links that they gave out. */
import type { Statement, Store } from '../base/sqlite.ts';

/** In which order transfers that wait get a place. */
export const PRIORITIES = ['high', 'normal', 'low'] as const;
export type Priority = (typeof PRIORITIES)[number];

/** What happens where the name of a received file is taken. [F-22] */
export type Conflict = 'skip' | 'overwrite' | 'rename';

/** What the user has set for one transfer. */
export type Control = {
  readonly paused: boolean;
  readonly priority: Priority;
  readonly conflict: Conflict;
  /** Most bytes a second; null: as fast as it goes. */
  readonly limit: number | null;
};

/** What the user has set for all transfers together. */
export type Limits = {
  /** Most bytes a second that are served, and that are fetched; null: as fast as it goes. */
  readonly up: number | null;
  readonly down: number | null;
  /** Transfers that are fetched at once. */
  readonly atOnce: number;
  /** Most bytes of received and spooled files; null: as many as the disk has. */
  readonly quota: number | null;
};

/** A link by which whoever has it may fetch. */
export type GivenLink = { id: string; transfer: string; hash: string; at: number; until: number };

const MIGRATIONS = [
  `CREATE TABLE file_controls (
     transfer TEXT PRIMARY KEY,
     paused INTEGER NOT NULL,
     priority TEXT NOT NULL,
     conflict TEXT NOT NULL,
     rate INTEGER
   ) STRICT, WITHOUT ROWID;
   -- One row for each bound that was set: up, down, atOnce, quota.
   CREATE TABLE file_limits (
     name TEXT PRIMARY KEY,
     value INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE file_contacts (
     account TEXT PRIMARY KEY,
     quota INTEGER,
     -- Where files that come unasked are put.
     folder TEXT
   ) STRICT, WITHOUT ROWID;
   -- Links that hold; a revoked one has no row.
   CREATE TABLE file_links (
     id TEXT PRIMARY KEY,
     transfer TEXT NOT NULL,
     hash TEXT NOT NULL,
     at INTEGER NOT NULL,
     until INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX file_links_transfer ON file_links (transfer);`,
];

/** Fetching more at once gains nothing on one line, and each costs memory. */
const AT_ONCE = 3;

export const DEFAULT_CONTROL: Control = { paused: false, priority: 'normal', conflict: 'rename', limit: null };

type ControlRow = { transfer: string; paused: number; priority: Priority; conflict: Conflict; rate: number | null };

const controlOf = ({ paused, priority, conflict, rate }: ControlRow): Control => ({
  paused: paused !== 0,
  priority,
  conflict,
  limit: rate,
});

export class Settings {
  readonly #store: Store;
  readonly #prepared = new Map<string, Statement>();

  /** Brings the tables up to date. */
  constructor(store: Store) {
    this.#store = store;
    store.migrate('file_settings', MIGRATIONS);
  }

  #sql<R extends Record<string, unknown>>(sql: string): Statement<R> {
    let statement = this.#prepared.get(sql);
    if (!statement) {
      statement = this.#store.prepare(sql);
      this.#prepared.set(sql, statement);
    }
    return statement as Statement<R>; // the SQL text beside each use states the shape
  }

  // One transfer

  control(transfer: string): Control {
    const row = this.#sql<ControlRow>('SELECT * FROM file_controls WHERE transfer = ?').get(transfer);
    return row ? controlOf(row) : DEFAULT_CONTROL;
  }

  /** All that differ from the default, by transfer. */
  controls(): Map<string, Control> {
    const rows = this.#sql<ControlRow>('SELECT * FROM file_controls').all();
    return new Map(rows.map((row) => [row.transfer, controlOf(row)]));
  }

  setControl(transfer: string, change: Partial<Control>): Control {
    const next = { ...this.control(transfer), ...change };
    const { paused, priority, conflict, limit } = next;
    const isDefault = !paused && priority === 'normal' && conflict === 'rename' && limit === null;
    if (isDefault) this.forgetControl(transfer);
    else
      this.#sql(
        'INSERT OR REPLACE INTO file_controls (transfer, paused, priority, conflict, rate) VALUES (?, ?, ?, ?, ?)',
      ).run(transfer, paused ? 1 : 0, priority, conflict, limit);
    return next;
  }

  forgetControl(transfer: string): void {
    this.#sql('DELETE FROM file_controls WHERE transfer = ?').run(transfer);
  }

  // All transfers

  limits(): Limits {
    const rows = this.#sql<{ name: string; value: number }>('SELECT name, value FROM file_limits').all();
    const set = new Map(rows.map(({ name, value }) => [name, value]));
    return {
      up: set.get('up') ?? null,
      down: set.get('down') ?? null,
      atOnce: set.get('atOnce') ?? AT_ONCE,
      quota: set.get('quota') ?? null,
    };
  }

  setLimits(change: { [K in keyof Limits]?: Limits[K] | undefined }): Limits {
    this.#store.transaction(() => {
      for (const [name, value] of Object.entries(change)) {
        if (value === undefined) continue;
        if (value === null) this.#sql('DELETE FROM file_limits WHERE name = ?').run(name);
        else this.#sql('INSERT OR REPLACE INTO file_limits (name, value) VALUES (?, ?)').run(name, value);
      }
    });
    return this.limits();
  }

  // One contact

  contact(account: string): { quota: number | null; folder: string | null } {
    const row = this.#sql<{ quota: number | null; folder: string | null }>(
      'SELECT quota, folder FROM file_contacts WHERE account = ?',
    ).get(account);
    return row ?? { quota: null, folder: null };
  }

  setContact(account: string, change: { quota?: number | null; folder?: string | null }): void {
    const { quota, folder } = { ...this.contact(account), ...change };
    if (quota === null && folder === null) this.#sql('DELETE FROM file_contacts WHERE account = ?').run(account);
    else
      this.#sql('INSERT OR REPLACE INTO file_contacts (account, quota, folder) VALUES (?, ?, ?)').run(
        account,
        quota,
        folder,
      );
  }

  /** Bounds of contacts, by account. */
  quotas(): { account: string; quota: number }[] {
    return this.#sql<{ account: string; quota: number }>(
      'SELECT account, quota FROM file_contacts WHERE quota IS NOT NULL ORDER BY account',
    ).all();
  }

  // Links

  addLink({ id, transfer, hash, at, until }: GivenLink): void {
    this.#sql('INSERT INTO file_links (id, transfer, hash, at, until) VALUES (?, ?, ?, ?, ?)').run(
      id,
      transfer,
      hash,
      at,
      until,
    );
  }

  link(id: string): GivenLink | undefined {
    return this.#sql<GivenLink>('SELECT * FROM file_links WHERE id = ?').get(id);
  }

  links(): GivenLink[] {
    return this.#sql<GivenLink>('SELECT * FROM file_links ORDER BY at, id').all();
  }

  /** Whether there was such a link. */
  revoke(id: string): boolean {
    return this.#sql('DELETE FROM file_links WHERE id = ?').run(id).changes > 0;
  }

  /** Gives how many had expired by `now`. */
  dropLinks(now: number): number {
    return this.#sql('DELETE FROM file_links WHERE until <= ?').run(now).changes;
  }
}
