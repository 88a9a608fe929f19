/** A conversation as lines: signed entries, so that anybody can verify them, or Markdown, for people. [H-10] */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { Fault, toFault } from '../base/fault.ts';
import { peerId } from '../link/identity.ts';
import { compare, direct, placeOf } from './conversation.ts';
import { entryVerified, hashText, parseEntry, position } from './entry.ts';
import { msOf } from './hlc.ts';
import type { Ledger } from './ledger.ts';
import type { Stored } from './log.ts';
import {
  creation,
  creationVerified,
  follow,
  founded,
  type Ordered,
  ordered,
  type RoomState,
  roomId,
  stands,
} from './membership.ts';
import { isActKind, wordsOf } from './timeline.ts';

/** Entries read at once, so that an export of any length costs the same memory. */
const STEP = 500;
/** Changes of a room's membership read at once. */
const ORDER_STEP = 200;

const header = z.looseObject({
  export: z.literal(1),
  conversation: z.looseObject({ id: hashText, kind: z.enum(['direct', 'room']), members: z.array(peerId) }),
  /** Of a room: the entry that names it. */
  creation: creation.optional(),
  /** Names of the members when it was written, for people; nothing vouches for them. */
  handles: z.record(z.string(), z.string()),
  at: z.iso.datetime(),
});
const orderLine = z.looseObject({ ordered });
const line = z.looseObject({ entry: z.unknown() });
const trailer = z.looseObject({
  end: z.looseObject({
    entries: z.int().min(0),
    heads: z.array(z.looseObject({ author: peerId, seq: position, id: hashText })),
  }),
});

export type ExportOptions = {
  conversation: string;
  format: 'ndjson' | 'markdown';
  handleOf: (account: string) => string;
};

/** The lines of an export, without line breaks at their ends. Throws `unknown_id`. */
export async function* exportLines(ledger: Ledger, options: ExportOptions): AsyncGenerator<string, void, void> {
  const { conversation: id, format, handleOf } = options;
  const conversation = ledger.entries.conversation(id);
  if (!conversation || !ledger.replica.knows(ledger.self, id))
    throw new Fault('unknown_id', `exporting the conversation "${id}": there is none`);
  const { kind } = conversation;
  // Also of a room that this account has left: who is in it as far as its order is known here.
  const room = ledger.rooms.state(id);
  const members = room ? [...room.members.keys()].sort() : conversation.members;
  const authors = ledger.authors(conversation);
  const at = new Date(ledger.clock.now()).toISOString();
  const handles = Object.fromEntries([...new Set([...authors, ...members])].map((each) => [each, handleOf(each)]));
  if (format === 'ndjson') {
    const named = room && { creation: room.creation };
    yield JSON.stringify({ export: 1, conversation: { id, kind, members }, ...named, handles, at });
    if (room) yield* orderLines(ledger, room);
  } else {
    const names = members.map((account) => inline(handleOf(account))).join(', ');
    yield* [`# ${room ? `${inline(`#${room.creation.name}`)}: ` : ''}${names}`, '', `Written on ${at}.`];
  }
  const heads = new Map<string, { author: string; seq: number; id: string }>();
  let entries = 0;
  let day = '';
  for (let after: { at: number; id: string } | undefined; ; ) {
    const page = ledger.entries.every(id, STEP, after);
    for (const stored of format === 'ndjson' ? ledger.entries.signed(page) : page) {
      const { entry } = stored;
      if (room && !stands(room, entry)) continue; // it came by a change that came meanwhile
      if (!ledger.sees(stored)) continue;
      entries += 1;
      heads.set(entry.author, { author: entry.author, seq: entry.seq, id: stored.id });
      if (format === 'ndjson') {
        yield JSON.stringify({ entry });
        continue;
      }
      const today = new Date(msOf(entry.at)).toISOString().slice(0, 10);
      if (isActKind(entry.kind)) continue;
      if (today !== day) yield* ['', `## ${today}`];
      day = today;
      yield* markdown(ledger, stored, handleOf);
    }
    const last = page.at(-1);
    if (!last || page.length < STEP) break;
    after = { at: last.entry.at, id: last.id };
  }
  if (format === 'ndjson') yield JSON.stringify({ end: { entries, heads: [...heads.values()] } });
}

function* orderLines(ledger: Ledger, { id, number }: RoomState): Generator<string> {
  for (let after = 0; after < number; ) {
    const page = ledger.rooms.page(id, after, ORDER_STEP).filter((each) => each.number <= number);
    for (const each of page) yield JSON.stringify({ ordered: each });
    const last = page.at(-1);
    if (!last) return;
    after = last.number;
  }
}

function* markdown(ledger: Ledger, stored: Stored, handleOf: (account: string) => string): Generator<string> {
  const message = ledger.viewer.message(stored);
  const time = new Date(message.at).toISOString().slice(11, 16);
  const notes = [
    ...(message.edited === null ? [] : ['edited']),
    ...(message.replyTo === null ? [] : [`answers ${excerpt(ledger, message.replyTo, handleOf)}`]),
  ];
  yield* ['', `**${inline(handleOf(message.author))}** ${time}${notes.length > 0 ? ` (${notes.join(', ')})` : ''}`, ''];
  const words = wordsOf(message);
  if (message.deleted) yield '> _deleted_';
  else if (message.kind === 'file') yield `> File: ${inline(words)} (${String(message.body.size)} bytes)`;
  else if (message.kind === 'text') yield* words.split(/\r\n|[\n\r]/).map((text) => (text === '' ? '>' : `> ${text}`));
  else yield `> _${inline(message.kind)}_`;
  if (message.reactions.length === 0) return;
  const shown = message.reactions.map(
    ({ emoji, accounts }) => `${emoji} ${accounts.map(handleOf).map(inline).join(', ')}`,
  );
  yield* ['>', `> ${shown.join(' · ')}`];
}

function excerpt(ledger: Ledger, id: string, handleOf: (account: string) => string): string {
  const stored = ledger.entries.get(id);
  if (!stored || !ledger.sees(stored)) return 'a message that is not here';
  const words = wordsOf(ledger.viewer.message(stored)).replace(/\s+/gu, ' ');
  const short = words.length > 40 ? `${words.slice(0, 40).toWellFormed()}…` : words;
  return `${inline(handleOf(stored.entry.author))}: ${inline(short)}`;
}

/** Text in which nothing is Markdown. */
const inline = (text: string): string => text.replace(/[\\`*_{}[\]()<>#+!|~]/g, '\\$&').replace(/[\n\r]/g, ' ');

/** What a verified export holds. */
export type Verified = {
  conversation: string;
  members: string[];
  entries: number;
  /** Places before which entries of an author are missing: of a room that shows newcomers not all that was said. */
  gaps: number;
  sha256: string;
};

/**
 * Checks every signature, every chain from its first entry to its head, the order, that the members are the
 * conversation's, and that nothing is missing at the end; of a room also each change of its membership, and that each
 * entry stands. In a room that shows newcomers not all, a chain may have gaps; they are counted.
 * Throws `corrupt`, `bad_signature`, `forked`. [H-11]
 */
export async function verifyExport(lines: AsyncIterable<string>): Promise<Verified> {
  const digest = createHash('sha256');
  const heads = new Map<string, { seq: number; id: string; at: number }>();
  /** The first line of each author that nothing vouches for yet: a later one that it is chained to may. [C-4] */
  const unproven = new Map<string, number>();
  let head: z.infer<typeof header> | undefined;
  let end: z.infer<typeof trailer> | undefined;
  let last: { at: number; id: string } | undefined;
  let room: RoomState | undefined;
  let [number, entries, gaps] = [0, 0, 0];
  for await (const text of lines) {
    digest.update(`${text}\n`);
    number += 1;
    const value = parseJson(text, number);
    if (!head) {
      head = checked(header, value, number);
      room = checkConversation(head);
      continue;
    }
    if (end) throw broken(number, 'there is something after its end');
    const { success, data } = trailer.safeParse(value);
    if (success) {
      end = data;
      continue;
    }
    const change = room && entries === 0 ? orderLine.safeParse(value) : undefined;
    if (room && change?.success) {
      room = followed(room, change.data.ordered, number);
      continue;
    }
    const { entry, id } = parseEntry(checked(line, value, number).entry);
    const { conversation } = head;
    const isOfMember = room ? stands(room, entry) : conversation.members.includes(entry.author);
    if (entry.conversation !== conversation.id || !isOfMember) {
      throw broken(number, 'the entry is of another conversation, or its author is no member');
    }
    const before = heads.get(entry.author);
    const mayLack = room !== undefined && room.creation.history !== 'all';
    const { place } = placeOf(entry, id, before, undefined, mayLack);
    const gap = entry.seq > (before?.seq ?? 0) + 1;
    const unproved = unproven.get(entry.author);
    // What comes after a gap, or follows nothing, vouches for nothing before it.
    if (unproved !== undefined && (gap || place !== 'next')) throw unsigned(unproved);
    if (place !== 'next') {
      throw new Fault('forked', `verifying line ${number}: it does not follow its author’s entry before it`);
    }
    if (gap) gaps += 1;
    if (entryVerified(entry)) unproven.delete(entry.author);
    else if (unproved === undefined) unproven.set(entry.author, number);
    const here = { at: entry.at, id };
    if (last && compare(last, here) >= 0) throw broken(number, 'the entries are not in order');
    last = here;
    heads.set(entry.author, { seq: entry.seq, id, at: entry.at });
    entries += 1;
  }
  const [first] = unproven.values();
  if (first !== undefined) throw unsigned(first);
  if (!head || !end) throw broken(number, 'it ends before its end');
  const { members } = head.conversation;
  if (room && (room.members.size !== members.length || !members.every((each) => room?.members.has(each)))) {
    throw broken(1, 'the members are not those that the changes of membership give');
  }
  const whole = end.end.heads.every(({ author, id }) => heads.get(author)?.id === id);
  if (end.end.entries !== entries || end.end.heads.length !== heads.size || !whole) {
    throw broken(number, `it says that it has ${end.end.entries} entries, and has ${entries}`);
  }
  return {
    conversation: head.conversation.id,
    members: head.conversation.members,
    entries,
    gaps,
    sha256: digest.digest('hex'),
  };
}

/** Of a room: its state before the first change. */
function checkConversation({ conversation, creation: made }: z.infer<typeof header>): RoomState | undefined {
  const { id, kind, members } = conversation;
  if (kind === 'room') {
    if (!made || roomId(made) !== id) throw broken(1, 'the entry that names the room is missing, or names another');
    if (creationVerified(made)) return founded(made);
    throw new Fault('bad_signature', 'verifying line 1 of an export: the creator of the room did not sign it');
  }
  const [a, b] = members;
  if (members.length === 2 && a !== undefined && b !== undefined && direct(a, b).id === id) return undefined;
  throw broken(1, 'the members are not those of the conversation');
}

const unsigned = (line: number): Fault =>
  new Fault('bad_signature', `verifying line ${line}: its author did not sign it`);

function followed(room: RoomState, change: Ordered, number: number): RoomState {
  try {
    return follow(room, change);
  } catch (error) {
    const { code, message } = toFault(error, 'following a room');
    throw code === 'bad_signature' || code === 'forked' ? error : broken(number, message);
  }
}

const broken = (line: number, why: string): Fault =>
  new Fault('corrupt', `verifying line ${line} of an export: ${why}`);

function checked<T>(schema: z.ZodType<T>, value: unknown, number: number): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw broken(number, `${issue?.path.join('.') || 'it'}: ${issue?.message ?? 'not of its form'}`);
}

function parseJson(text: string, number: number): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw broken(number, 'it is no JSON');
  }
}
