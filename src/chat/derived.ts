/** What is derived from entries and kept beside them, in the same transaction: acts by target, search index, unread. [H-9] */
import { mentionsIn } from './mention.ts';
import { fold, matchOf } from './search.ts';
import type { Statements } from './tables.ts';
import {
  type Act,
  type ActKind,
  actOf,
  isMessageKind,
  type MayRemove,
  type Shown,
  show,
  type Target,
  type Version,
  versions,
  wordsOf,
} from './timeline.ts';

type Row = Omit<Target, 'body'> & { body: string };
type ActRow = { entry: string; author: string; kind: ActKind; emoji: string; state: number; at: number; body: string };

/** What a search asks for, beside the words. Times are those of entries. */
export type SearchFilter = {
  conversation?: string | undefined;
  author?: string | undefined;
  since?: number | undefined;
  /** Up to, and without, this time. */
  until?: number | undefined;
  before?: { at: number; id: string } | undefined;
  limit: number;
};

const ENTRY = 'id, conversation, author, at, kind, body';

export class Derived {
  readonly #sql: Statements;
  /** The last place that was given out. */
  #doc: number | undefined;
  /** Handle of this account, so that what names it can be counted; none: nothing is. */
  me: () => string | undefined = () => undefined;
  /** Who else than its author may take back an entry. Where that changes later, call `refresh` for what it changes. */
  mayRemove: MayRemove = () => false;

  constructor(sql: Statements) {
    this.#sql = sql;
  }

  /** A place for what is derived from an entry that is about to be appended; null where its kind has none. */
  docFor(kind: string): number | null {
    if (!isMessageKind(kind)) return null;
    this.#doc ??= this.#sql.of<{ last: number | null }>('SELECT max(doc) AS last FROM messages').get()?.last ?? 0;
    this.#doc += 1; // one that is not used, because the entry was not kept after all, leaves a hole
    return this.#doc;
  }

  /** An entry was appended, and names this place. `isNew`: it was written here just now, so nothing was done to it yet. */
  added(parsed: Parameters<typeof actOf>[0], doc: number | null, { isNew }: { isNew: boolean }): void {
    const act = actOf(parsed);
    if (act) {
      this.#sql
        .of(
          'INSERT INTO acts (target, entry, conversation, author, kind, emoji, state, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
        )
        .run(
          act.target,
          act.id,
          act.conversation,
          act.author,
          act.kind,
          act.kind === 'reaction' ? act.emoji : '',
          act.kind === 'reaction' ? Number(act.on) : 1,
          act.at,
        );
      if (act.kind !== 'reaction') this.refresh(act.target);
      return;
    }
    const { entry, id } = parsed;
    if (doc === null) return;
    const target = { ...entry, id };
    // What is done to what others wrote may have come before it.
    const { text, deleted } = isNew ? { text: wordsOf(target), deleted: false } : this.shown(target);
    this.#sql
      .of(
        'INSERT INTO messages (doc, entry, conversation, author, seq, removed, mentioned) VALUES (?, ?, ?, ?, ?, ?, ?)',
      )
      .run(doc, id, entry.conversation, entry.author, entry.seq, Number(deleted), Number(this.#isMentioned(text)));
    if (!deleted) this.#index(doc, text);
  }

  /** An entry of somebody else is about to go: nothing is left of it. */
  dropped(id: string): void {
    const doc = this.#docOf(id);
    this.#sql.of('DELETE FROM acts WHERE entry = ?').run(id);
    if (doc === undefined) return;
    this.#sql.of('DELETE FROM search WHERE rowid = ?').run(doc);
    this.#sql.of('DELETE FROM messages WHERE doc = ?').run(doc);
  }

  #docOf(id: string): number | undefined {
    return this.#sql.of<{ doc: number | null }>('SELECT doc FROM entries WHERE id = ?').get(id)?.doc ?? undefined;
  }

  /** Own entries were taken out of their chain: what they did is undone. */
  withdrawn(gone: readonly Parameters<typeof actOf>[0][]): void {
    for (const parsed of gone) {
      const act = actOf(parsed);
      if (!act) continue;
      this.#sql.of('DELETE FROM acts WHERE target = ? AND entry = ?').run(act.target, act.id);
      this.refresh(act.target);
    }
  }

  /** Makes anew what is derived from a message. */
  refresh(id: string): void {
    const row = this.#sql.of<Row>(`SELECT ${ENTRY} FROM entries WHERE id = ?`).get(id);
    if (row && isMessageKind(row.kind)) this.#write({ ...row, body: JSON.parse(row.body) });
  }

  /**
   * Whether an account may take back what others wrote from `since` on has changed: makes anew what its deletions are
   * about, and gives those messages that look another way now.
   */
  refreshDeletions(conversation: string, author: string, since: number): string[] {
    const targets = this.#sql
      .of<{ target: string; removed: number }>(
        `SELECT DISTINCT a.target, m.removed FROM entries e JOIN acts a ON a.entry = e.id AND a.target = json_extract(e.body, '$.target')
         JOIN entries t ON t.id = a.target JOIN messages m ON m.doc = t.doc AND m.author <> e.author
         WHERE e.conversation = ? AND e.author = ? AND e.kind = 'delete' AND e.at > ? AND e.withdrawn = 0`,
      )
      .all(conversation, author, since);
    return targets.flatMap(({ target, removed }) => {
      this.refresh(target);
      const now = this.#sql
        .of<{ removed: number }>('SELECT removed FROM messages WHERE doc = (SELECT doc FROM entries WHERE id = ?)')
        .get(target)?.removed;
      return now === removed ? [] : target;
    });
  }

  /** Makes anew what a migration left to be. */
  refreshStale(): void {
    for (const { entry } of this.#sql.of<{ entry: string }>('SELECT entry FROM stale').all()) this.refresh(entry);
    this.#sql.of('DELETE FROM stale').run();
  }

  #write(target: Target): void {
    const doc = this.#docOf(target.id);
    if (doc === undefined) return;
    const { text, deleted } = this.shown(target);
    this.#sql.of('DELETE FROM search WHERE rowid = ?').run(doc);
    if (!deleted) this.#index(doc, text);
    this.#sql
      .of('UPDATE messages SET removed = ?, mentioned = ? WHERE doc = ?')
      .run(Number(deleted), Number(this.#isMentioned(text)), doc);
  }

  #index(doc: number, text: string): void {
    this.#sql.of('INSERT INTO search (rowid, text) VALUES (?, ?)').run(doc, fold(text));
  }

  #isMentioned(text: string): boolean {
    const me = this.me();
    return me !== undefined && mentionsIn(text, [me]).length > 0;
  }

  shown(target: Target): Shown {
    return show(target, this.#acts(target), this.mayRemove);
  }

  versions(target: Target): Version[] {
    const edits = this.#sql
      .of<ActRow>(
        `SELECT a.entry, a.author, a.kind, a.emoji, a.state, a.at, e.body FROM acts a JOIN entries e ON e.id = a.entry
         WHERE a.target = ? AND a.kind = 'edit' AND a.author = ? AND a.conversation = ? ORDER BY a.at`,
      )
      .all(target.id, target.author, target.conversation);
    return versions(target, [...this.#acts(target), ...edits.flatMap((row) => actOfRow(target, row))], this.mayRemove);
  }

  /**
   * The acts that can count, of those that are kept: of each account the last one on each matter, and every deletion,
   * since its author may have had the right to an earlier one only.
   */
  #acts(target: Target): Act[] {
    const rows = this.#sql
      .of<ActRow>(
        `SELECT entry, author, kind, emoji, state, max(at) AS at, '' AS body FROM acts
         WHERE target = ? AND conversation = ? GROUP BY kind, author, emoji, iif(kind = 'delete', entry, '')`,
      )
      .all(target.id, target.conversation);
    const standing = rows.filter(({ kind, state }) => kind !== 'reaction' || state === 1);
    return standing.flatMap((row) => {
      if (row.kind !== 'edit') return actOfRow(target, row);
      if (row.author !== target.author) return [];
      const body = this.#sql.of<{ body: string }>('SELECT body FROM entries WHERE id = ?').get(row.entry)?.body;
      return actOfRow(target, { ...row, body: body ?? '{}' });
    });
  }

  /** Ids of messages whose words now match, the newest last. */
  search(words: readonly string[], filter: SearchFilter): string[] {
    const { conversation, author, since, until, before, limit } = filter;
    const rows = this.#sql
      .of<{ id: string }>(
        `SELECT e.id FROM search s JOIN messages m ON m.doc = s.rowid JOIN entries e ON e.id = m.entry
         WHERE search MATCH ? AND (?2 IS NULL OR m.conversation = ?2) AND (?3 IS NULL OR m.author = ?3)
           AND e.at >= ?4 AND e.at < ?5 AND (e.at, e.id) < (?6, ?7)
         ORDER BY e.at DESC, e.id DESC LIMIT ?8`,
      )
      .all(
        matchOf(words),
        conversation ?? null,
        author ?? null,
        since ?? 0,
        until ?? Number.MAX_SAFE_INTEGER,
        before?.at ?? Number.MAX_SAFE_INTEGER,
        before?.id ?? '',
        limit,
      );
    return rows.reverse().map(({ id }) => id);
  }

  /** Messages of an author after `seq`, and those of them that name this account; what was taken back is not counted. */
  unread(conversation: string, author: string, seq: number): { unread: number; mentions: number } {
    const row = this.#sql
      .of<{ unread: number; mentions: number }>(
        `SELECT count(*) AS unread, coalesce(sum(mentioned), 0) AS mentions FROM messages
         WHERE conversation = ? AND author = ? AND seq > ? AND removed = 0`,
      )
      .get(conversation, author, seq);
    return row ?? { unread: 0, mentions: 0 };
  }

  /** Emoji of an account that stand on a message. */
  standing(target: string, account: string): string[] {
    return this.#sql
      .of<{ emoji: string; state: number }>(
        `SELECT emoji, state, max(at) FROM acts WHERE target = ? AND kind = 'reaction' AND author = ? GROUP BY emoji`,
      )
      .all(target, account)
      .flatMap(({ emoji, state }) => (state === 1 ? emoji : []));
  }
}

function actOfRow({ id: target, conversation }: Target, row: ActRow): Act[] {
  const { entry: id, author, kind, emoji, state, at } = row;
  const named = { id, conversation, author, at, target };
  if (kind === 'reaction') return [{ ...named, kind, emoji, on: state === 1 }];
  if (kind === 'delete') return [{ ...named, kind }];
  const { text }: { text?: unknown } = JSON.parse(row.body);
  return typeof text === 'string' ? [{ ...named, kind, text }] : [];
}
