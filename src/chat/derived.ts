/**
 * What is derived from entries and kept beside them, in the same transaction: acts by target, search index, and what a count of
 * unread messages needs to know beside the chain: a plain message adds nothing there. The words of new messages go to the index
 * some time later, and before anybody searches. [H-9]
 */
import type { Store } from '../base/sqlite.ts';
import { mentionsIn } from './mention.ts';
import type { Places } from './places.ts';
import { fold, matchOf } from './search.ts';
import { idOf, numberOf, type Statements } from './tables.ts';
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

type Row = Omit<Target, 'body'> & { body: string; seq: number; withdrawn: number; place: number };
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

const ENTRY = `id, ${idOf('conversation')}, ${idOf('author')}, at, kind, body, seq, withdrawn, place`;

/** Where an entry stands. */
type Placed = { place: number; conversation: string; author: string; seq: number };

/** New messages that go to the search index together: each time costs as much as some twenty of them. */
const INDEXED_TOGETHER = 256;

/** New words of the message at a place; none where the index has it as it is, or is not to have it. */
type Words = { place: number; text: string | undefined };

export class Derived {
  readonly #sql: Statements;
  readonly #places: Places;
  readonly #store: Store;
  /** Words of messages that are committed, and not in the search index yet, by place. After a kill they are read again. */
  readonly #unindexed = new Map<number, string>();
  /** To be called within the transaction that makes it so. */
  readonly #note: (words: Words) => void;
  /** Handle of this account, so that what names it can be counted; none: nothing is. */
  me: () => string | undefined = () => undefined;
  /** Who else than its author may take back an entry. Where that changes later, call `refresh` for what it changes. */
  mayRemove: MayRemove = () => false;

  constructor(sql: Statements, places: Places, store: Store) {
    this.#sql = sql;
    this.#places = places;
    this.#store = store;
    this.#note = store.gathering((noted) => store.afterCommit(() => this.#keep(noted)));
  }

  #keep(noted: readonly Words[]): void {
    for (const { place, text } of noted) {
      if (text === undefined) this.#unindexed.delete(place);
      else this.#unindexed.set(place, text);
    }
    if (this.#unindexed.size >= INDEXED_TOGETHER) this.#store.meanwhile(this.#writeIndex);
  }

  readonly #writeIndex = (): void => {
    if (this.#unindexed.size === 0) return;
    let last = 0;
    for (const [place, text] of this.#unindexed) {
      this.#index(place, text);
      last = Math.max(last, place);
    }
    this.#sql.of('UPDATE search_written SET place = max(place, ?)').run(last);
    this.#store.afterCommit(() => this.#unindexed.clear());
  };

  /** An entry was appended at this place. `isNew`: it was written here just now, so nothing was done to it yet. */
  added(parsed: Parameters<typeof actOf>[0], place: number, { isNew }: { isNew: boolean }): void {
    const { entry, id } = parsed;
    const { conversation, author, seq } = entry;
    const at = { place, conversation, author, seq };
    if (!isMessageKind(entry.kind)) {
      this.#remark(at, { counts: false, mentioned: false });
      this.#addAct(parsed);
      return;
    }
    const target = { ...entry, id };
    // What is done to what others wrote may have come before it.
    const shown = isNew ? { text: wordsOf(target), deleted: false } : this.shown(target);
    if (!shown.deleted) this.#note({ place, text: shown.text });
    this.#remarkOn(at, shown);
  }

  #addAct(parsed: Parameters<typeof actOf>[0]): void {
    const act = actOf(parsed);
    if (!act) return;
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
  }

  /** On a message, where there is something to remark. */
  #remarkOn(at: Placed, { text, deleted }: Pick<Shown, 'text' | 'deleted'>): void {
    const mentioned = this.#isMentioned(text);
    if (deleted || mentioned) this.#remark(at, { counts: !deleted, mentioned });
  }

  /** A count of unread messages is to leave this entry out, or to say that it names this account. */
  #remark(
    { place, conversation, author, seq }: Placed,
    { counts, mentioned }: Record<'counts' | 'mentioned', boolean>,
  ): void {
    this.#sql
      .of('INSERT INTO remarks (place, conversation, author, seq, counts, mentioned) VALUES (?, ?, ?, ?, ?, ?)')
      .run(place, conversation, author, seq, Number(counts), Number(mentioned));
  }

  /** An entry of somebody else, which was taken out of its chain, is about to go: nothing is left of it. */
  dropped(id: string, place: number): void {
    this.#sql.of('DELETE FROM acts WHERE entry = ?').run(id);
    this.#unindex(place);
  }

  #isRemoved(id: string): boolean {
    const row = this.#sql.of<{ counts: number }>('SELECT counts FROM remarks WHERE place = ?');
    return row.get(this.#places.of(id) ?? 0)?.counts === 0;
  }

  /** The end of a chain was taken out of it, `gone` in its order: what these entries did is undone. */
  withdrawn(gone: readonly Parameters<typeof actOf>[0][]): void {
    const [first] = gone;
    if (!first) return;
    const { conversation, author, seq } = first.entry;
    this.#sql
      .of('DELETE FROM remarks WHERE conversation = ? AND author = ? AND seq >= ?')
      .run(conversation, author, seq);
    for (const parsed of gone) {
      const act = actOf(parsed);
      if (!act) continue;
      this.#sql.of('DELETE FROM acts WHERE target = ? AND entry = ?').run(act.target, act.id);
      this.refresh(act.target);
    }
  }

  /** Makes anew what is derived from a message. */
  refresh(id: string): void {
    const row = this.#places.entry<Row>(ENTRY, id);
    if (!row || !isMessageKind(row.kind)) return;
    const shown = this.#indexAnew(row);
    this.#sql.of('DELETE FROM remarks WHERE place = ?').run(row.place);
    if (row.withdrawn === 0) this.#remarkOn(row, shown);
  }

  /** What was withdrawn is found, and not counted. */
  #indexAnew(row: Row): Shown {
    const shown = this.shown({ ...row, body: JSON.parse(row.body) });
    this.#unindex(row.place);
    if (!shown.deleted) this.#index(row.place, shown.text);
    return shown;
  }

  #unindex(place: number): void {
    this.#sql.of('DELETE FROM search WHERE rowid = ?').run(place);
    this.#note({ place, text: undefined });
  }

  /**
   * Whether an account may take back what others wrote from `since` on has changed: makes anew what its deletions are
   * about, and gives those messages that look another way now.
   */
  refreshDeletions(conversation: string, author: string, since: number): string[] {
    const targets = this.#sql
      .of<{ target: string }>(
        `SELECT DISTINCT a.target FROM entries e JOIN acts a ON a.entry = e.id AND a.target = json_extract(e.body, '$.target')
         WHERE e.conversation = ${numberOf('?')} AND e.author = ${numberOf('?')} AND e.kind = 'delete' AND e.at > ?
           AND e.withdrawn = 0`,
      )
      .all(conversation, author, since);
    return targets.flatMap(({ target }) => {
      const before = this.#isRemoved(target);
      this.refresh(target);
      return this.#isRemoved(target) === before ? [] : target;
    });
  }

  /** Makes anew what a migration left to be, and what a kill left out. */
  catchUp(): void {
    const rows = this.#sql
      .of<Row>(`SELECT ${ENTRY} FROM entries WHERE place > (SELECT place FROM search_written)`)
      .all();
    for (const row of rows) if (isMessageKind(row.kind)) this.#indexAnew(row);
    this.#sql
      .of(
        'UPDATE search_written SET place = last FROM (SELECT coalesce(max(place), 0) AS last FROM entries) WHERE place <> last',
      )
      .run();
    for (const { entry } of this.#sql.of<{ entry: string }>('SELECT entry FROM stale').all()) this.refresh(entry);
    this.#sql.of('DELETE FROM stale').run();
  }

  #index(place: number, text: string): void {
    this.#sql.of('INSERT INTO search (rowid, text) VALUES (?, ?)').run(place, fold(text));
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
        `SELECT entry, author, kind, emoji, state, at, '' AS body FROM acts
         WHERE target = ? AND kind = 'edit' AND author = ? AND conversation = ? ORDER BY at`,
      )
      .all(target.id, target.author, target.conversation);
    const all = [...this.#acts(target), ...edits.flatMap((row) => this.#edit(target, row))];
    return versions(target, all, this.mayRemove);
  }

  #edit(target: Target, row: ActRow): Act[] {
    const body = this.#places.entry<{ body: string }>('body', row.entry)?.body ?? '{}';
    return actOfRow(target, { ...row, body });
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
      return this.#edit(target, row);
    });
  }

  /** Ids of messages whose words now match, the newest last. */
  search(words: readonly string[], filter: SearchFilter): string[] {
    if (this.#unindexed.size === 0) return this.#find(words, filter);
    let found: string[] | undefined;
    try {
      this.#store.transaction(() => {
        this.#writeIndex();
        found = this.#find(words, filter);
      });
    } catch (error) {
      if (!found) throw error; // what a full disk does not keep of the index was there to be searched
    }
    return found ?? [];
  }

  #find(words: readonly string[], filter: SearchFilter): string[] {
    const { conversation, author, since, until, before, limit } = filter;
    const rows = this.#sql
      .of<{ id: string }>(
        `SELECT e.id FROM search s JOIN entries e ON e.place = s.rowid
         WHERE search MATCH ? AND (?2 IS NULL OR e.conversation = ${numberOf('?2')})
           AND (?3 IS NULL OR e.author = ${numberOf('?3')})
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
        `SELECT
           (SELECT count(*) FROM entries
            WHERE conversation = ${numberOf('?1')} AND author = ${numberOf('?2')} AND seq > ?3 AND withdrawn = 0)
             - coalesce(sum(counts = 0), 0) AS unread,
           coalesce(sum(counts = 1 AND mentioned = 1), 0) AS mentions
         FROM remarks WHERE conversation = ?1 AND author = ?2 AND seq > ?3`,
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
