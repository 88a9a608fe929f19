/** An entry as its reader sees it: with what is proven about its delivery. */
import type { Fault, FaultCode } from '../base/fault.ts';
import { msOf } from './hlc.ts';
import type { Hold } from './letter.ts';
import type { EntryLog, Stored } from './log.ts';
import { mentionsIn } from './mention.ts';
import type { Outbox } from './outbox.ts';
import type { Receipt, ReceiptBook } from './receipt.ts';
import type { RoomBook } from './room-book.ts';
import { isActKind, type Shown } from './timeline.ts';

/** From least to most; none goes back, and `failed` is final. `received` is an entry of somebody else. [C-16] */
export type State = 'queued' | 'held' | 'delivered' | 'read' | 'failed' | 'received';

type Reason = { code: string; message: string };

/** How far an own entry has come with one recipient. Times are Unix ms, by the recipient's signed word. */
export type Recipient = {
  account: string;
  state: Exclude<State, 'received'>;
  deliveredAt: number | null;
  readAt: number | null;
  /** While it is held: the newest signed word of whoever holds it, or did until its `until`. */
  hold: Hold | null;
  /** Why it failed; while it is queued, what the last try came to; while it is held, that the hold is over. */
  reason: Reason | null;
};

export type Message = {
  /** Hash of the entry. */
  id: string;
  conversation: string;
  /** Account id. */
  author: string;
  /** The other members; of a room's entry by somebody else: nobody is named. */
  to: string[];
  /** Name of the room. */
  room: string | null;
  seq: number;
  kind: string;
  /** As it stands now: with the words of the last edit; empty once deleted. */
  body: Record<string, unknown>;
  /** Id of the entry that this one edits, deletes or reacts to; null for one that is seen by itself. */
  target: string | null;
  /** Id of the message that this one answers. */
  replyTo: string | null;
  /** Unix ms of the words that stand now, if they are not the first. */
  edited: number | null;
  deleted: boolean;
  reactions: Shown['reactions'];
  /** Members whom the words name. */
  mentions: string[];
  /** Unix ms, by the author's clock. */
  at: number;
  /** The least that holds for all recipients. */
  state: State;
  /** Unix ms, once every recipient has it. */
  deliveredAt: number | null;
  /** Of an own entry. */
  recipients: Recipient[];
};

/** A message with the signed receipts that its state rests on. */
export type Evidence = Message & { sig: string; evidence: Receipt[] };

const rank: Record<Recipient['state'], number> = { failed: 0, queued: 1, held: 2, delivered: 3, read: 4 };

export class Viewer {
  readonly #self: string;
  readonly #log: EntryLog;
  readonly #outbox: Outbox;
  readonly #receipts: ReceiptBook;
  readonly #rooms: RoomBook;
  /** Handle of an account, where one is known. */
  handleOf: (account: string) => string | undefined = () => undefined;
  /** What the last try to reach an account came to, if it failed. */
  trouble: (account: string) => Fault | undefined = () => undefined;

  /** The newest word of a mailbox that it holds the entry for the account. */
  hold: (account: string, entry: string) => Hold | undefined = () => undefined;

  /** Unix ms. */
  now: () => number = () => 0;

  /** Whether another account stands on the same log. */
  isHere: (account: string) => boolean = () => false;

  constructor(self: string, log: EntryLog, outbox: Outbox, receipts: ReceiptBook, rooms: RoomBook) {
    this.#self = self;
    this.#log = log;
    this.#outbox = outbox;
    this.#receipts = receipts;
    this.#rooms = rooms;
  }

  message(stored: Stored, conversation = this.#log.conversation(stored.entry.conversation)): Message {
    const { entry, id } = stored;
    const own = entry.author === this.#self;
    const room = conversation?.kind === 'room' ? (this.#rooms.state(entry.conversation)?.creation.name ?? null) : null;
    // Who joined later is no recipient, and who went since still is one.
    const members =
      room === null ? (conversation?.members ?? []) : own ? this.#rooms.audience(entry.conversation, id) : [];
    const to = members.filter((account) => account !== entry.author);
    const recipients = own ? to.map((account) => this.#recipient(stored, account)) : [];
    // In a room, one who went before it reached them does not make it a failure for the others.
    const reached = recipients.filter(({ state }) => state !== 'failed');
    const counted = room === null || reached.length === 0 ? recipients : reached;
    const least = counted.reduce<Recipient | undefined>(
      (low, next) => (low && rank[low.state] <= rank[next.state] ? low : next),
      undefined,
    );
    const times = counted.map((recipient) => recipient.deliveredAt);
    return {
      id,
      conversation: entry.conversation,
      author: entry.author,
      to,
      room,
      seq: entry.seq,
      kind: entry.kind,
      // Whom words name is the same for every reader of a room, recipient or not. [H-6]
      ...this.#look(stored, room === null ? members : (conversation?.members ?? [])),
      at: msOf(entry.at),
      state: own
        ? (least?.state ?? (stored.withdrawn ? 'failed' : room === null ? 'queued' : 'delivered'))
        : 'received',
      deliveredAt:
        own && times.length > 0 && !times.includes(null) ? Math.max(...times.map((time) => time ?? 0)) : null,
      recipients,
    };
  }

  /** What the acts of others and of its author made of an entry. [H-5] */
  #look({ entry, id }: Stored, members: readonly string[]) {
    const { kind, body } = entry;
    const { target, replyTo } = body;
    if (isActKind(kind)) {
      const about = typeof target === 'string' ? target : null;
      return { body, target: about, replyTo: null, edited: null, deleted: false, reactions: [], mentions: [] };
    }
    const { text, edited, deleted, reactions } = this.#log.derived.shown({ ...entry, id });
    return {
      body: deleted ? {} : kind === 'text' ? { ...body, text } : body,
      target: null,
      replyTo: kind === 'text' && typeof replyTo === 'string' ? replyTo : null,
      edited: edited === null ? null : msOf(edited),
      deleted,
      reactions,
      mentions: kind === 'text' ? this.#mentioned(text, members) : [],
    };
  }

  #mentioned(text: string, members: readonly string[]): string[] {
    if (!text.includes('@')) return [];
    const byHandle = new Map(members.map((account) => [this.handleOf(account) ?? account, account]));
    return mentionsIn(text, [...byHandle.keys()]).flatMap((handle) => byHandle.get(handle) ?? []);
  }

  evidence(stored: Stored): Evidence {
    const message = this.message(stored);
    const accounts = message.recipients.length > 0 ? message.to : [this.#self];
    const evidence = stored.withdrawn
      ? []
      : accounts.flatMap((account) =>
          (['delivered', 'read'] as const).flatMap(
            (state) => this.#receipts.covering(stored.entry, stored.entry.seq, account, state) ?? [],
          ),
        );
    return { ...message, sig: stored.entry.sig, evidence };
  }

  #recipient({ entry, id, withdrawn, storedAt }: Stored, account: string): Recipient {
    if (!withdrawn && this.isHere(account)) {
      // The row itself is with them; a receipt is signed when somebody asks for it.
      const read = this.#receipts.covering(entry, entry.seq, account, 'read');
      const state = read ? 'read' : 'delivered';
      return { account, state, deliveredAt: storedAt, readAt: read?.at ?? null, hold: null, reason: null };
    }
    const row = this.#outbox.get(account, id);
    const none = { account, deliveredAt: null, readAt: null, hold: null };
    if (row?.state === 'failed') {
      return { ...none, state: 'failed', reason: { code: row.code ?? 'internal', message: row.message ?? '' } };
    }
    if (withdrawn && !row) {
      // They had it, and dropped it: its author was removed, or the room closed, before it.
      const reason = { code: 'forbidden', message: 'it does not stand in the room' };
      return { ...none, state: 'failed', reason };
    }
    const read = withdrawn ? undefined : this.#receipts.covering(entry, entry.seq, account, 'read');
    const delivered = withdrawn ? undefined : this.#receipts.covering(entry, entry.seq, account, 'delivered');
    const first = delivered ?? read; // who has read it has it
    if (first) {
      const state = read ? 'read' : 'delivered';
      return { ...none, state, deliveredAt: first.at, readAt: read?.at ?? null, reason: null };
    }
    if (row?.state === 'held' || row?.state === 'renewing') {
      const hold = this.hold(account, id) ?? null;
      return { ...none, state: 'held', hold, reason: hold && hold.until <= this.now() ? over(hold) : null };
    }
    const trouble = this.trouble(account);
    const reason = trouble ? { code: trouble.code, message: trouble.message } : null;
    return { ...none, state: row?.state ?? 'queued', reason };
  }
}

/** That nobody holds it any more: it did not go back to where it was, for what was proven stays so. [M-14] */
const over = ({ until }: Hold): Reason => ({
  code: 'hold_expired' satisfies FaultCode,
  message: `it was held until ${new Date(until).toISOString()}, and nobody took it; it waits here, and is left anew when a mailbox takes it`,
});
