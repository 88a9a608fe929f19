/** Jobs on disk: what was asked, how it stands, what it came to; and what was already done for which. */
import type { Job, JobState } from '../api/job.ts';
import type { Statement, Store } from '../base/sqlite.ts';

/** How an ended job is kept: a week, and at most so many. Keys are kept a day. */
const KEPT_MS = 7 * 86_400_000;
const KEPT = 20_000;
export const KEY_KEPT_MS = 86_400_000;
/** Rows looked at in one page of a list that is searched. */
const ENDED = "('done', 'failed', 'cancelled')";

/** A job as its row has it; JSON where the column is one. Times are Unix ms. */
export type JobRow = {
  /** Order in which jobs were asked for. */
  seq: number;
  id: string;
  operation: string;
  input: string;
  state: JobState;
  priority: number;
  at: number;
  started: number | null;
  ended: number | null;
  due: number | null;
  deadline: number | null;
  /** How long after its time it may take; of a schedule, for each run. */
  within: number | null;
  every: string | null;
  schedule: string | null;
  missed: number;
  attempts: number;
  /** Times that it was begun since the user last asked for it, also those that a kill ended. */
  begun: number;
  /** Times that a user had it tried again after it was over: each is done anew. */
  round: number;
  retry: number;
  needs: string;
  waiting: string | null;
  answer: string | null;
  error: string | null;
  key: string | null;
  source: Job['source'];
};

export type NewRow = Omit<JobRow, 'seq'>;

const COLUMNS = [
  'id',
  'operation',
  'input',
  'state',
  'priority',
  'at',
  'started',
  'ended',
  'due',
  'deadline',
  'within',
  'every',
  'schedule',
  'missed',
  'attempts',
  'begun',
  'round',
  'retry',
  'needs',
  'waiting',
  'answer',
  'error',
  'key',
  'source',
] as const satisfies readonly (keyof NewRow)[];

const STEPS = [
  `CREATE TABLE jobs (
     seq INTEGER PRIMARY KEY AUTOINCREMENT,
     id TEXT NOT NULL UNIQUE, operation TEXT NOT NULL, input TEXT NOT NULL, state TEXT NOT NULL, priority INTEGER NOT NULL,
     at INTEGER NOT NULL, started INTEGER, ended INTEGER, due INTEGER, deadline INTEGER, within INTEGER, every TEXT,
     schedule TEXT, missed INTEGER NOT NULL, attempts INTEGER NOT NULL, begun INTEGER NOT NULL, round INTEGER NOT NULL,
     retry INTEGER NOT NULL, needs TEXT NOT NULL, waiting TEXT, answer TEXT, error TEXT, key TEXT, source TEXT NOT NULL
   ) STRICT;
   CREATE INDEX jobs_open ON jobs (state, seq) WHERE state NOT IN ('done', 'failed', 'cancelled');
   CREATE INDEX jobs_ended ON jobs (ended) WHERE ended IS NOT NULL;
   CREATE INDEX jobs_schedule ON jobs (schedule, seq) WHERE schedule IS NOT NULL;

   CREATE TABLE job_keys (
     key TEXT PRIMARY KEY, digest TEXT NOT NULL, job TEXT NOT NULL, until INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;

   -- What was done for a key, written in the transaction that did it.
   CREATE TABLE job_effects (key TEXT PRIMARY KEY, value TEXT NOT NULL, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;`,
] as const;

export class JobStore {
  readonly store: Store;
  readonly #prepared = new Map<string, Statement>();

  constructor(store: Store) {
    this.store = store;
    store.migrate('jobs', STEPS);
  }

  #sql<R extends Record<string, unknown>>(sql: string): Statement<R> {
    const known = this.#prepared.get(sql) ?? this.store.prepare(sql);
    this.#prepared.set(sql, known);
    return known as Statement<R>; // rows are what the SQL text says
  }

  add(row: NewRow): JobRow {
    const values = COLUMNS.map((column) => row[column]);
    const { lastInsertRowid } = this.#sql(
      `INSERT INTO jobs (${COLUMNS.join(', ')}) VALUES (${COLUMNS.map(() => '?').join(', ')})`,
    ).run(...values);
    return { ...row, seq: lastInsertRowid };
  }

  /** Changes some columns; gives the row as it is then. */
  change(row: JobRow, change: Partial<Omit<NewRow, 'id'>>): JobRow {
    const names = COLUMNS.filter((column) => column !== 'id' && Object.hasOwn(change, column));
    const next = { ...row, ...change };
    this.#sql(`UPDATE jobs SET ${names.map((name) => `${name} = ?`).join(', ')} WHERE seq = ?`).run(
      ...names.map((name) => next[name]),
      row.seq,
    );
    return next;
  }

  get(id: string): JobRow | undefined {
    return this.#sql<JobRow>('SELECT * FROM jobs WHERE id = ?').get(id);
  }

  beginning(start: string, most: number): string[] {
    return this.#sql<{ id: string }>('SELECT id FROM jobs WHERE id >= ? AND id < ? ORDER BY id LIMIT ?')
      .all(start, `${start}\u{10ffff}`, most)
      .map(({ id }) => id);
  }

  /** The newest, oldest first. */
  list({ state, limit, before }: { state: JobState | undefined; limit: number; before: number | undefined }): JobRow[] {
    const where = `seq < ?${state ? ' AND state = ?' : ''}`;
    return this.#sql<JobRow>(`SELECT * FROM jobs WHERE ${where} ORDER BY seq DESC LIMIT ?`)
      .all(before ?? Number.MAX_SAFE_INTEGER, ...(state ? [state] : []), limit)
      .reverse();
  }

  /** Of one state that is not an end, in the order in which they were asked for. */
  open(state: 'scheduled' | 'queued' | 'running' | 'waiting'): JobRow[] {
    return this.#sql<JobRow>('SELECT * FROM jobs WHERE state = ? ORDER BY seq').all(state);
  }

  /** Not over, and to be looked at by `now`. */
  dueBy(now: number): JobRow[] {
    return this.#sql<JobRow>(
      `SELECT * FROM jobs WHERE state NOT IN ${ENDED} AND (due <= ?1 OR deadline <= ?1) ORDER BY priority DESC, seq`,
    ).all(now);
  }

  /** The first time after `now` at which one is to be looked at; Infinity where there is none. */
  nextTime(now: number): number {
    const row = this.#sql<{ at: number | null }>(
      `SELECT min(at) AS at FROM (
         SELECT min(due) AS at FROM jobs WHERE state NOT IN ${ENDED} AND due > ?1
         UNION ALL SELECT min(deadline) FROM jobs WHERE state NOT IN ${ENDED} AND deadline > ?1)`,
    ).get(now);
    return row?.at ?? Number.POSITIVE_INFINITY;
  }

  /** How many are not over, and the bytes of what they were asked. */
  load(): { jobs: number; bytes: number } {
    const row = this.#sql<{ jobs: number; bytes: number | null }>(
      `SELECT count(*) AS jobs, sum(length(input)) AS bytes FROM jobs WHERE state NOT IN ${ENDED}`,
    ).get();
    return { jobs: row?.jobs ?? 0, bytes: row?.bytes ?? 0 };
  }

  /** The newest job of a schedule that is not over. */
  openOf(schedule: string): JobRow | undefined {
    return this.#sql<JobRow>(
      `SELECT * FROM jobs WHERE schedule = ? AND state NOT IN ${ENDED} ORDER BY seq DESC LIMIT 1`,
    ).get(schedule);
  }

  keyed(key: string, now: number): { digest: string; job: string } | undefined {
    return this.#sql<{ digest: string; job: string }>(
      'SELECT digest, job FROM job_keys WHERE key = ? AND until > ?',
    ).get(key, now);
  }

  keep(key: string, digest: string, job: string, until: number): void {
    this.#sql('INSERT OR REPLACE INTO job_keys (key, digest, job, until) VALUES (?, ?, ?, ?)').run(
      key,
      digest,
      job,
      until,
    );
  }

  /** What was done for a key. */
  effect(key: string): string | undefined {
    return this.#sql<{ value: string }>('SELECT value FROM job_effects WHERE key = ?').get(key)?.value;
  }

  /** To be called in the transaction that does it. */
  record(key: string, value: string, at: number): void {
    this.#sql('INSERT INTO job_effects (key, value, at) VALUES (?, ?, ?)').run(key, value, at);
  }

  /** Lets go of what is kept for long enough. What a job that may still run has done is kept as long as it. */
  trim(now: number): void {
    this.store.transaction(() => {
      const [oldest] = this.#sql<{ ended: number }>(
        `SELECT ended FROM jobs WHERE ended IS NOT NULL ORDER BY ended DESC LIMIT 1 OFFSET ${KEPT}`,
      ).all();
      const before = Math.max(now - KEPT_MS, oldest?.ended ?? 0);
      this.#sql(`DELETE FROM jobs WHERE ended IS NOT NULL AND ended <= ?`).run(before);
      this.#sql('DELETE FROM job_keys WHERE until <= ? OR job NOT IN (SELECT id FROM jobs)').run(now);
      // The key of an effect is its job's id, alone or with the round.
      this.#sql('DELETE FROM job_effects WHERE at <= ? AND substr(key, 1, 16) NOT IN (SELECT id FROM jobs)').run(
        now - KEPT_MS,
      );
    });
  }
}
