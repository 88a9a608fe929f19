/**
 * What a reader sees of a conversation: a pure function of its entries, the same on every member whatever order they
 * arrive in. Edits, deletions and reactions ("acts") are entries of their own; each changes what one other entry, its
 * target, looks like. [H-5]
 */
import { compare } from './conversation.ts';
import { deleteBody, type Entry, editBody, reactionBody } from './entry.ts';

const ACTS = ['edit', 'delete', 'reaction'] as const;
export type ActKind = (typeof ACTS)[number];

export const isActKind = (kind: string): kind is ActKind => (ACTS as readonly string[]).includes(kind);

/** Kinds whose entries count as unread and are found by a search. */
export const isMessageKind = (kind: string): boolean => kind === 'text' || kind === 'file';

/** Emoji that one account may have on one message; of more, those that were set first are shown. [H-4] */
export const REACTIONS_EACH = 20;

type Named = { id: string; conversation: string; author: string; at: number };

export type Target = Named & { kind: string; body: Record<string, unknown> };

export type Act = Named & { target: string } & (
    | { kind: 'edit'; text: string }
    | { kind: 'delete' }
    | { kind: 'reaction'; emoji: string; on: boolean }
  );

/** Who may take back an entry beside its author: moderators, where a conversation has them. */
export type MayRemove = (act: Named, target: Target) => boolean;

export type Version = { id: string; at: number; text: string };

export type Shown = {
  /** The words that stand now; empty once deleted, and where the kind has none. */
  text: string;
  /** When the words that stand now were written, in the clock of entries; null if they are the first. */
  edited: number | null;
  deleted: boolean;
  /** Emoji in the order in which they were first set, each with the accounts in the order in which they set it. */
  reactions: { emoji: string; accounts: string[] }[];
};

/** What an entry does to another one; undefined if it does nothing of the kind, or its body is not of its form. */
export function actOf({ entry, id }: { entry: Entry; id: string }): Act | undefined {
  const { conversation, author, at, kind, body } = entry;
  const named = { id, conversation, author, at };
  if (kind === 'edit') {
    const { success, data } = editBody.safeParse(body);
    return success ? { ...named, kind, target: data.target, text: data.text } : undefined;
  }
  if (kind === 'delete') {
    const { success, data } = deleteBody.safeParse(body);
    return success ? { ...named, kind, target: data.target } : undefined;
  }
  if (kind !== 'reaction') return undefined;
  const { success, data } = reactionBody.safeParse(body);
  return success ? { ...named, kind, target: data.target, emoji: data.emoji, on: data.on } : undefined;
}

const nobodyElse: MayRemove = () => false;

/** Whether an act changes what its target looks like. Reactions to what is deleted count, but are not shown. */
export function counts(act: Act, target: Target, mayRemove: MayRemove = nobodyElse): boolean {
  if (act.target !== target.id || act.conversation !== target.conversation || isActKind(target.kind)) return false;
  if (act.kind === 'edit') return target.kind === 'text' && act.author === target.author; // [H-2]
  if (act.kind === 'delete') return act.author === target.author || mayRemove(act, target); // [H-3]
  return isGrapheme(act.emoji); // [H-4]
}

/** The words of an entry as it was written. */
export function wordsOf({ kind, body }: Pick<Target, 'kind' | 'body'>): string {
  const words = kind === 'file' ? body.name : body.text;
  return typeof words === 'string' ? words : '';
}

/** How a message looks. `acts` may hold any entry's, in any order, any of them more than once. */
export function show(target: Target, acts: readonly Act[], mayRemove?: MayRemove): Shown {
  const mine = acts.filter((act) => counts(act, target, mayRemove)).sort(compare);
  if (mine.some((act) => act.kind === 'delete')) return { text: '', edited: null, deleted: true, reactions: [] };
  const edit = mine.findLast((act) => act.kind === 'edit');
  return {
    text: edit?.text ?? wordsOf(target),
    edited: edit?.at ?? null,
    deleted: false,
    reactions: reactionsOf(mine),
  };
}

/** All words that a message had, the first first; none once it is deleted. */
export function versions(target: Target, acts: readonly Act[], mayRemove?: MayRemove): Version[] {
  if (show(target, acts, mayRemove).deleted) return [];
  const mine = acts.filter((act) => act.kind === 'edit' && counts(act, target)).sort(compare);
  const byId = new Map(mine.map((act) => [act.id, act]));
  const edits = [...byId.values()].map(({ id, at, ...act }) => ({ id, at, text: 'text' in act ? act.text : '' }));
  return [{ id: target.id, at: target.at, text: wordsOf(target) }, ...edits];
}

/** The last word of each account on each emoji counts. `acts` are in order. */
function reactionsOf(acts: readonly Act[]): Shown['reactions'] {
  const last = new Map<string, Act & { kind: 'reaction' }>();
  for (const act of acts) if (act.kind === 'reaction') last.set(`${act.author} ${act.emoji}`, act);
  const standing = [...last.values()].filter(({ on }) => on).sort(compare);
  const each = new Map<string, number>();
  const shown = new Map<string, string[]>();
  for (const { author, emoji } of standing) {
    const count = (each.get(author) ?? 0) + 1;
    each.set(author, count);
    if (count > REACTIONS_EACH) continue;
    const accounts = shown.get(emoji);
    if (accounts) accounts.push(author);
    else shown.set(emoji, [author]);
  }
  return [...shown].map(([emoji, accounts]) => ({ emoji, accounts }));
}

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });

/** One character as people count them, and none that is not seen. */
export function isGrapheme(text: string): boolean {
  const [, more] = graphemes.segment(text);
  return !more && /[^\p{White_Space}\p{Cc}\p{Cf}]/u.test(text);
}
