/** What one can do with messages that are there: answer, edit, delete, react, page, search, mark as read. */
import { Fault } from '../base/fault.ts';
import { idOf } from '../base/prefix.ts';
import type { Conversation } from './conversation.ts';
import { EMOJI_BYTES, plainText, TEXT_BYTES, textBody } from './entry.ts';
import type { Ledger } from './ledger.ts';
import type { Stored } from './log.ts';
import type { ReadMarks } from './marks.ts';
import type { Message, State } from './message.ts';
import { type Part, snippet, wordsIn } from './search.ts';
import { isActKind, isGrapheme, isMessageKind, REACTIONS_EACH } from './timeline.ts';

/** Messages in one page, at most. */
const PAGE = 1000;
/** Rows read beyond those that are wanted, for some may not be for this account. */
const SPARE = 50;

export type Summary = {
  id: string;
  kind: Conversation['kind'];
  /** Of a room. */
  name: string | null;
  members: readonly string[];
  /** The newest message. */
  last: Message | null;
  /** Messages of others that were not read, and those of them that name this account. */
  unread: number;
  mentions: number;
};

export type Words = {
  id: string;
  /** Unix ms. */
  at: number;
  text: string;
  /** How far these words have come. */
  state: State;
};

type HistoryOptions = {
  ledger: Ledger;
  marks: ReadMarks;
  /** Signs an entry for the conversation and sees to its delivery. */
  write(conversation: Conversation, kind: string, body: Record<string, unknown>): Message;
  /** Something is to be told to the account. */
  wake(accounts: readonly string[], conversation: string): void;
  /** The conversation was read up to a message. */
  read(conversation: string, upTo: string): void;
};

export class History {
  readonly #options: HistoryOptions;
  readonly #ledger: Ledger;

  constructor(options: HistoryOptions) {
    this.#options = options;
    this.#ledger = options.ledger;
  }

  /** Answers a message. Throws as `say`, and `unknown_id`, `wrong_state` for one that no other member has or will have. */
  reply(id: string, text: string): Message {
    const { conversation } = this.#target(id, 'answering');
    return this.#options.write(conversation, 'text', checkText({ text, replyTo: id }));
  }

  /** Other words for an own text. Gives the message as it is now. Throws `forbidden` for somebody else's, `wrong_state`. */
  edit(id: string, text: string): Message {
    const { stored, conversation, message } = this.#target(id, 'editing');
    if (stored.entry.author !== this.#ledger.self) {
      throw new Fault('forbidden', `editing the message "${id}": somebody else wrote it`);
    }
    if (stored.entry.kind !== 'text') throw new Fault('wrong_state', `editing the message "${id}": it is no text`);
    if (message.deleted) throw new Fault('wrong_state', `editing the message "${id}": it was deleted`);
    const body = checkText({ text });
    if (message.body.text !== text) this.#options.write(conversation, 'edit', { target: id, text: body.text });
    return this.show(id);
  }

  /** Takes a message back for all who read it. Gives it as it is now. Throws `forbidden` for somebody else's. */
  remove(id: string): Message {
    const { stored, conversation, message } = this.#target(id, 'deleting');
    const { self, entries } = this.#ledger;
    const target = { ...stored.entry, id };
    const act = { id: '', conversation: conversation.id, author: self, at: this.#ledger.own.nextAt(conversation.id) };
    if (target.author !== self && !entries.derived.mayRemove(act, target)) {
      const who = conversation.kind === 'room' ? '; owners and moderators of the room may' : '';
      throw new Fault('forbidden', `deleting the message "${id}": somebody else wrote it${who}`);
    }
    if (!message.deleted) this.#options.write(conversation, 'delete', { target: id });
    return this.show(id);
  }

  /** Sets a reaction, or takes it back. Gives the message as it is now. Throws `invalid_argument`, `wrong_state`. */
  react(id: string, emoji: string, on: boolean): Message {
    const { conversation, message } = this.#target(id, 'reacting to');
    const bytes = Buffer.byteLength(emoji);
    if (bytes > EMOJI_BYTES || !emoji.isWellFormed() || !isGrapheme(emoji)) {
      throw new Fault(
        'invalid_argument',
        `reacting with "${emoji.slice(0, 40)}": expected one character such as 👍, of at most ${EMOJI_BYTES} bytes`,
      );
    }
    if (message.deleted) throw new Fault('wrong_state', `reacting to the message "${id}": it was deleted`);
    const standing = this.#ledger.entries.derived.standing(id, this.#ledger.self);
    if (standing.includes(emoji) === on) return message;
    if (on && standing.length >= REACTIONS_EACH) {
      throw new Fault(
        'wrong_state',
        `reacting to the message "${id}": ${REACTIONS_EACH} of your reactions stand there already; take one back first`,
      );
    }
    this.#options.write(conversation, 'reaction', { target: id, emoji, on });
    return this.show(id);
  }

  show(id: string): Message {
    return this.#ledger.viewer.message(this.stored(id));
  }

  /** All words that a message had, the first first; none once it is deleted. Throws `unknown_id`. */
  versions(id: string): Words[] {
    const stored = this.stored(id);
    if (isActKind(stored.entry.kind)) return [];
    const { entries, viewer } = this.#ledger;
    return entries.derived.versions({ ...stored.entry, id }).flatMap((version) => {
      const written = entries.get(version.id);
      if (!written) return [];
      const { at, state } = viewer.message(written);
      return { id: version.id, at, text: version.text, state };
    });
  }

  /**
   * Messages of one conversation, or of all, oldest first: those that end just before `before`, or start just after
   * `after`; with both, those after `after` and before `before`. An id is a cursor that holds for ever.
   */
  page(options: {
    conversation?: string | undefined;
    limit: number;
    before?: string | undefined;
    after?: string | undefined;
  }): Message[] {
    const { conversation, limit, before, after } = options;
    checkLimit(limit);
    const end = before === undefined ? undefined : placeOf(this.stored(before));
    const { viewer } = this.#ledger;
    if (after === undefined) return this.#last(conversation, limit, end).map((stored) => viewer.message(stored));
    const rows = this.#after(conversation, limit, placeOf(this.stored(after)));
    const isBefore = ({ entry, id }: Stored) => !end || entry.at < end.at || (entry.at === end.at && id < end.id);
    return rows.filter(isBefore).map((stored) => viewer.message(stored));
  }

  /** The page that ends just before a place, of what is for this account. */
  #last(conversation: string | undefined, limit: number, end?: { at: number; id: string }): Stored[] {
    const { entries, replica } = this.#ledger;
    if (!replica.isShared) return entries.page(conversation, limit, end);
    return this.#gather(conversation, (id) => {
      const found: Stored[] = [];
      const step = Math.min(PAGE, limit + SPARE);
      for (let place = end; ; ) {
        const rows = entries.page(id, step, place);
        found.unshift(...rows.filter((row) => this.#ledger.sees(row)).slice(-limit));
        const [first] = rows;
        if (!first || rows.length < step || found.length >= limit) return found.slice(-limit);
        place = placeOf(first);
      }
    }).slice(-limit);
  }

  /** As `#last`, of the page that starts just after a place. */
  #after(conversation: string | undefined, limit: number, start: { at: number; id: string }): Stored[] {
    const { entries, replica } = this.#ledger;
    if (!replica.isShared) return entries.pageAfter(conversation, limit, start);
    return this.#gather(conversation, (id) => {
      const found: Stored[] = [];
      const step = Math.min(PAGE, limit + SPARE);
      for (let place = start; ; ) {
        const rows = entries.pageAfter(id, step, place);
        found.push(...rows.filter((row) => this.#ledger.sees(row)));
        const last = rows.at(-1);
        if (!last || rows.length < step || found.length >= limit) return found.slice(0, limit);
        place = placeOf(last);
      }
    }).slice(0, limit);
  }

  /** What is found in one conversation, or in each that is for this account, in order. */
  #gather(conversation: string | undefined, find: (id: string) => Stored[]): Stored[] {
    const { replica, self } = this.#ledger;
    if (conversation !== undefined) return replica.knows(self, conversation) ? find(conversation) : [];
    const found = this.#ids().flatMap(find);
    return found.sort((a, b) => a.entry.at - b.entry.at || (a.id < b.id ? -1 : 1));
  }

  /** Conversations of this account. */
  #ids(): string[] {
    const { entries, replica, self } = this.#ledger;
    if (!replica.isShared) return entries.conversations().map(({ id }) => id);
    const ids = new Set([...entries.shared(self).map(({ id }) => id), ...replica.roomsOf(self)]);
    return [...ids].filter((id) => replica.knows(self, id));
  }

  /** Messages that have all the words, the newest last, with the piece of each where they stand. Throws `invalid_argument`. */
  search(options: {
    words: string;
    conversation?: string | undefined;
    author?: string | undefined;
    /** Unix ms; `until` is the first that is too late. */
    since?: number | undefined;
    until?: number | undefined;
    before?: string | undefined;
    limit: number;
  }): { message: Message; snippet: Part[] }[] {
    const { words, since, until, before, limit, conversation, author } = options;
    checkLimit(limit);
    const wanted = wordsIn(words);
    if (wanted.length === 0) {
      throw new Fault('invalid_argument', `searching for "${words.slice(0, 100)}": there is no letter or digit in it`);
    }
    const { entries, viewer, replica } = this.#ledger;
    const filter = {
      author,
      since: since === undefined ? undefined : since * 1000,
      until: until === undefined ? undefined : until * 1000,
      before: before === undefined ? undefined : placeOf(this.stored(before)),
      limit,
    };
    const find = (id: string | undefined): string[] => entries.derived.search(wanted, { ...filter, conversation: id });
    const shared = (): string[] =>
      this.#gather(conversation, (id) => find(id).flatMap((each) => this.find(each) ?? []))
        .slice(-limit)
        .map(({ id }) => id);
    const ids = replica.isShared ? shared() : find(conversation);
    return ids.map((id) => {
      const message = viewer.message(this.stored(id));
      const { name, text } = message.body;
      return { message, snippet: snippet(String(message.kind === 'file' ? name : text), wanted) };
    });
  }

  /** Every conversation, the one with the newest message first. */
  conversations(): Summary[] {
    const all = this.#ids()
      .flatMap((id) => this.#ledger.entries.conversation(id) ?? [])
      .map((conversation) => this.#summary(conversation));
    return all.sort((a, b) => (b.last?.at ?? 0) - (a.last?.at ?? 0));
  }

  /** The conversation with this id, if there is one. */
  known(id: string): Conversation | undefined {
    const { entries, replica, self } = this.#ledger;
    return replica.knows(self, id) ? entries.conversation(id) : undefined;
  }

  /** The message with this id, if there is one. */
  find(id: string): Stored | undefined {
    const found = this.#ledger.entries.get(id);
    return found && this.#ledger.sees(found) ? found : undefined;
  }

  /** Whether the id of a message begins so. */
  isBeginning(text: string): boolean {
    return this.#beginning(text, 1).length > 0;
  }

  /** The whole id of a message, by it or by its beginning. Throws `unknown_id` where none or several begin so. */
  idOf(text: string): string {
    return idOf('message', text, {
      known: (id) => this.find(id) !== undefined,
      beginning: (start, most) => this.#beginning(start, most),
    });
  }

  #beginning(text: string, most: number): string[] {
    const { entries, replica } = this.#ledger;
    if (!replica.isShared) return entries.beginning(text, most);
    return entries.beginning(text, PAGE).filter((id) => this.find(id));
  }

  /** Throws `unknown_id`. */
  conversation(id: string): Summary {
    const known = this.known(id);
    if (known) return this.#summary(known);
    throw new Fault('unknown_id', `looking for the conversation "${id}": there is none`);
  }

  #summary(conversation: Conversation): Summary {
    const { id, kind, members } = conversation;
    const [last] = this.#last(id, 1);
    const counted = this.#options.marks.unread(id, this.#ledger.authors(conversation));
    const name = this.#ledger.rooms.state(id)?.creation.name ?? null;
    return { id, kind, name, members, last: last ? this.#ledger.viewer.message(last) : null, ...counted };
  }

  /** This user has read the conversation up to a message; its authors are told, whenever they can be. Throws `unknown_id`. */
  markRead(id: string): void {
    const stored = this.stored(id);
    this.#markRead(stored.entry.conversation, placeOf(stored));
  }

  /** This user has read all of a conversation that is here. */
  markAllRead(conversation: string): void {
    const [last] = this.#last(conversation, 1);
    // What changes messages and is newer than them all is read with them.
    if (last) this.#markRead(conversation, { at: Number.MAX_SAFE_INTEGER, id: last.id });
  }

  #markRead(conversation: string, upTo: { at: number; id: string }): void {
    this.#ledger.store.transaction(() => {
      const authors = this.#options.marks.mark(conversation, upTo);
      if (authors.length === 0) return;
      this.#options.read(conversation, upTo.id);
      this.#ledger.store.afterCommit(() => {
        this.#options.wake(authors, conversation);
      });
    });
  }

  /** Throws `unknown_id`. */
  stored(id: string): Stored {
    const stored = this.find(id);
    if (stored) return stored;
    throw new Fault('unknown_id', `looking for the message "${id}": there is none`);
  }

  /** A message that others have or will have, so that they know what is meant. */
  #target(id: string, doing: string): { stored: Stored; conversation: Conversation; message: Message } {
    const stored = this.stored(id);
    const { kind } = stored.entry;
    const conversation = this.#ledger.entries.conversation(stored.entry.conversation);
    if (!conversation || !isMessageKind(kind)) {
      throw new Fault('wrong_state', `${doing} the message "${id}": it is no text and no file`);
    }
    if (stored.withdrawn) {
      throw new Fault('wrong_state', `${doing} the message "${id}": it failed, nobody else has it; say it again`);
    }
    return { stored, conversation, message: this.#ledger.viewer.message(stored) };
  }
}

const placeOf = ({ entry, id }: Stored): { at: number; id: string } => ({ at: entry.at, id });

function checkLimit(limit: number): void {
  if (Number.isInteger(limit) && limit >= 1 && limit <= PAGE) return;
  throw new Fault('invalid_argument', `listing ${limit} messages: expected 1 to ${PAGE}`);
}

/** A text's body. Throws `too_large`, `invalid_argument`. */
export function checkText(body: { text: string; replyTo?: string }): { text: string } {
  if (plainText(body) !== undefined) return body;
  const parsed = textBody.safeParse(body);
  if (parsed.success) return parsed.data;
  const size = Buffer.byteLength(body.text);
  if (size > TEXT_BYTES) {
    throw new Fault('too_large', `saying a text of ${size} bytes: at most ${TEXT_BYTES} are taken; send it as a file`);
  }
  const why = size === 0 ? 'it is empty' : parsed.error.issues[0]?.message;
  throw new Fault('invalid_argument', `saying a text of ${size} bytes: ${why}`);
}
