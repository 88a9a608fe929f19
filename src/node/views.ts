/** What the node's doors and events show: the protocols' values with handles for keys, and times as text. */
import type { Summary } from '../chat/history.ts';
import type { RoomEvent } from '../chat/ledger.ts';
import type { Message } from '../chat/message.ts';
import type { Room } from '../chat/rooms.ts';
import type { Person } from '../directory/client.ts';
import type { Moving } from '../files/limits.ts';
import type { Control } from '../files/settings.ts';
import type { Transfer } from '../files/transfer.ts';
import type { Link } from '../link/link.ts';
import type { Mark } from './marks.ts';
import type { Missed } from './peers.ts';

/** Handle of an account as the directory confirmed it; the account id where it did not. */
export type HandleOf = (account: string) => string;

const time = (ms: number): string => new Date(ms).toISOString();

/** What this node adds to what the directory says of somebody. */
export type Known = {
  autoAccept: number | null;
  /** Folder for files that come unasked. */
  autoAcceptInto: string | null;
  mark: Mark;
  /** The key that a tracker shows instead of the known one. */
  keyChanged: string | null;
  /** With a word about it where it belongs to another key by now. */
  handle: string;
};

export function personView(person: Person, { autoAccept, autoAcceptInto, mark, keyChanged, handle }: Known) {
  const { account, status, text, node, addresses, lastSeen, me, hosted } = person;
  // What was verified is the old key: while another one is shown, that says nothing of who has the handle.
  const verified = keyChanged === null ? mark.verified : null;
  return {
    handle,
    id: account,
    status,
    text,
    node,
    addresses,
    lastSeen: time(lastSeen),
    me,
    autoAccept,
    autoAcceptInto,
    verifiedAt: verified && time(verified.at),
    verifiedBy: verified?.by ?? null,
    blocked: mark.blocked,
    keyChanged,
    former: person.former,
    hosted,
  };
}

/** `fileOf` gives the id of the file whose ticket a message carries. */
export function messageView(message: Message, handleOf: HandleOf, fileOf: (message: Message) => string | undefined) {
  const { id, conversation, author, to, room, kind, body, at, state, deliveredAt, recipients } = message;
  const { target, replyTo, edited, deleted, reactions, mentions } = message;
  const failure = recipients.find((recipient) => recipient.reason)?.reason ?? null;
  return {
    id,
    conversation,
    from: handleOf(author),
    to: room === null ? to.map(handleOf).join(', ') : `#${room}`,
    room,
    recipients: room === null ? null : recipients.map((each) => recipientView(each, handleOf)),
    text: textOf(kind, body),
    at: time(at),
    state,
    deliveredAt: deliveredAt === null ? null : time(deliveredAt),
    file: kind === 'file' ? (fileOf(message) ?? null) : null,
    replyTo,
    edited: edited === null ? null : time(edited),
    deleted,
    reactions: Object.fromEntries(reactions.map(({ emoji, accounts }) => [emoji, accounts.map(handleOf)])),
    mentions: mentions.map(handleOf),
    target,
    error: failure,
    held: heldView(message, handleOf),
  };
}

/** Who holds a message for whom, with the words that they signed for it. */
function heldView({ recipients }: Message, handleOf: HandleOf) {
  const held = recipients.flatMap(({ hold }) => {
    if (!hold) return [];
    const { to, holder, letter, at, until, sig } = hold;
    return [{ to: handleOf(to), by: holder, letter, at: time(at), until: time(until), sig }];
  });
  return held.length > 0 ? held : null;
}

function recipientView(
  { account, state, deliveredAt, readAt, reason }: Message['recipients'][number],
  handleOf: HandleOf,
) {
  return {
    handle: handleOf(account),
    state,
    deliveredAt: deliveredAt === null ? null : time(deliveredAt),
    readAt: readAt === null ? null : time(readAt),
    reason,
  };
}

export function roomView(room: Room, handleOf: HandleOf) {
  const { id, name, creator, home, history, at, number, standing, invitedBy, members, invited, closed } = room;
  return {
    id,
    name,
    standing,
    members: members.map(({ account, role }) => ({ handle: handleOf(account), id: account, role })),
    invited: invited.map(({ account, role, by }) => ({
      handle: handleOf(account),
      id: account,
      role,
      by: handleOf(by),
    })),
    invitedBy: invitedBy === null ? null : handleOf(invitedBy),
    history: typeof history === 'string' ? history : String(history.last),
    closed,
    creator: handleOf(creator),
    home,
    at: time(at),
    number,
    waiting: room.waiting.map(({ target, ...rest }) => ({
      ...rest,
      target: target === null ? null : handleOf(target),
    })),
    error: room.error,
  };
}

export function roomEventView(event: RoomEvent, handleOf: HandleOf) {
  const { conversation, by, target, ...rest } = event;
  return { id: conversation, ...rest, by: handleOf(by), target: target === null ? null : handleOf(target) };
}

function textOf(kind: string, body: Record<string, unknown>): string {
  if (typeof body.text === 'string') return body.text;
  if (kind === 'reaction' && typeof body.emoji === 'string') return body.emoji;
  return kind === 'file' && typeof body.name === 'string' ? body.name : '';
}

export function conversationView(
  { id, kind, name, members, unread, mentions, last }: Summary,
  handleOf: HandleOf,
  messageOf: (message: Message) => ReturnType<typeof messageView>,
) {
  return { id, kind, name, members: members.map(handleOf), unread, mentions, last: last && messageOf(last) };
}

/** What this node adds to a transfer. */
export type FileContext = {
  self: string;
  handleOf: HandleOf;
  isVerified(account: string): boolean;
  /** In which its ticket stands; null while it does in none. */
  conversation: string | null;
  control: Control;
  moving: readonly Moving[];
};

export function fileView(transfer: Transfer, context: FileContext) {
  const { self, handleOf, isVerified, conversation, control, moving } = context;
  const { paused, priority, limit, conflict } = control;
  const { id, name, size, hash, direction, peer, state, progress, rate, path, at, contents, error } = transfer;
  const [from, to] = direction === 'in' ? [peer, self] : [self, peer];
  return {
    id,
    name,
    size,
    hash,
    from: handleOf(from),
    verified: isVerified(peer),
    to: handleOf(to),
    conversation,
    direction,
    state,
    progress,
    rate,
    eta: rate > 0 ? Math.ceil((size - progress) / rate) : null,
    links: moving.map(({ peer: other, address, rung, rate: share }) => ({
      handle: other === null ? null : handleOf(other),
      rung,
      address,
      rate: share,
    })),
    paused,
    priority,
    limit,
    conflict,
    path,
    ...(contents && {
      folder: {
        files: contents.files,
        filesDone: contents.filesDone,
        leftOut: contents.leftOut.count,
        leftOutPaths: contents.leftOut.paths.map((each) => ({ ...each })),
      },
    }),
    at: time(at),
    error,
  };
}

/** `missed`: the ways that are nearer than its own. */
export function linkView(link: Link, handleOf: HandleOf, missed?: Missed) {
  const { peer, dialled, address, rung, since, rttMs, sentBytes, receivedBytes } = link;
  const account = link.account?.account;
  const handle = account === undefined ? null : handleOf(account);
  const { role } = link.remote;
  const shown = { peer, handle, role, rung, address, dialled, since: time(since), rttMs, sentBytes, receivedBytes };
  const failures = missed?.failures ?? [];
  return {
    ...shown,
    missed: failures.map(({ rung, label, reason }) => ({ rung, way: label, reason })),
    triedAt: missed && failures.length > 0 ? time(missed.at) : null,
  };
}
