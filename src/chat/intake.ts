/** The receiving side: each entry judged by itself, all of a call kept in one transaction. */
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { type Conversation, type Head, placeOf } from './conversation.ts';
import type { Entry, Parsed } from './entry.ts';
import { aheadFrom, checkClock } from './hlc.ts';
import type { Ledger } from './ledger.ts';
import { type RoomState, stands } from './membership.ts';
import type { Message } from './message.ts';
import type { Reading } from './reading.ts';
import type { Chain } from './receipt.ts';
import { Vouching } from './vouching.ts';
import type { Deliver } from './wire.ts';

export const keyOf = ({ conversation, author }: Chain): string => `${conversation} ${author}`;

/** What is the same for all entries of a chain in one call. */
type Known = { conversation: Conversation; room: RoomState | undefined; head: Head | undefined };

/** What one call came to, while it is worked through. */
type Call = {
  from: string;
  /** Chains of which something is here, with the highest position that the other side has shown. */
  seen: Map<string, Chain & { seq: number }>;
  gaps: Map<string, Chain>;
  refused: Deliver['refused'];
  /** Chains of which an entry was refused: what follows it cannot fit, and costs no further look. */
  stopped: Set<string>;
  /** Looked up once a chain; a fault refuses all of it. */
  known: Map<string, Known | Fault>;
  signatures: Vouching;
  isSigned: Reading['isSigned'];
};

export type Taken = { answer: Deliver; seen: (Chain & { seq: number })[] };

export class Intake {
  readonly #ledger: Ledger;
  readonly #log: Log;
  readonly #listeners: ((message: Message) => void)[] = [];

  constructor(ledger: Ledger, log: Log) {
    this.#ledger = ledger;
    this.#log = log;
  }

  /** See `ChatService.onEntry`. */
  listen(listener: (message: Message) => void): void {
    this.#listeners.push(listener);
  }

  /**
   * Takes entries that the account `from` gave. What it answers is durable: receipts are signed in the transaction that
   * keeps the entries. A failing disk throws, and nothing of the call is kept. [C-14]
   */
  take(from: string, reading: Reading): Taken {
    return this.#ledger.store.transaction(() => {
      const known: Call['known'] = new Map();
      const { entries, isSigned } = reading;
      const signatures = new Vouching(
        entries.flatMap((it) => (it instanceof Fault ? [] : it)),
        { fits: (entry) => this.#fits(entry, known.get(keyOf(entry))), isSigned },
      );
      const call: Call = {
        from,
        seen: new Map(),
        gaps: new Map(),
        refused: [],
        stopped: new Set(),
        known,
        signatures,
        isSigned,
      };
      for (const [index, parsed] of entries.entries()) {
        const fault = parsed instanceof Fault ? parsed : this.#one(parsed, call);
        if (fault) call.refused.push(refusalOf(index, fault));
      }
      const seen = [...call.seen.values()];
      const receipts = seen.flatMap((chain) => {
        const head = this.#ledger.entries.head(chain.conversation, chain.author);
        return (head && this.#ledger.vouch(chain, 'delivered', head.seq)) ?? [];
      });
      const have = [...call.gaps.values()].map(({ conversation, author }) => ({
        conversation,
        author,
        seq: this.#ledger.entries.head(conversation, author)?.seq ?? 0,
      }));
      return { answer: { receipts, have, refused: call.refused }, seen };
    });
  }

  /** Takes one entry, or gives the fault that refuses it. */
  #one(parsed: Parsed, call: Call): Fault | undefined {
    const key = keyOf(parsed.entry);
    const known = call.known.get(key) ?? this.#know(parsed.entry, call.from);
    call.known.set(key, known);
    if (known instanceof Fault) return known;
    if (known.room && !stands(known.room, parsed.entry)) {
      return new Fault('forbidden', `taking an entry: it does not stand in the room "${known.room.creation.name}"`);
    }
    if (call.stopped.has(key)) {
      call.gaps.set(key, parsed.entry);
      return undefined;
    }
    const fault = this.#place(parsed, known, call);
    if (fault) call.stopped.add(key);
    return fault;
  }

  #know({ author, conversation: id }: Entry, from: string): Known | Fault {
    // Of two accounts that share nothing else, the direct conversation is the author's, or this account's own given back.
    // In a room the author may have gone; what counts is who gives it.
    const room = this.#ledger.rooms.state(id);
    const conversation = this.#ledger.sharedWith(author === this.#ledger.self || room ? from : author, id);
    if (!conversation?.members.includes(from)) {
      return new Fault('forbidden', `taking an entry: its giver, its author or this account is no member of "${id}"`);
    }
    // By whatever way it comes: it waits where it is, as for somebody who is away. [D-61]
    if (conversation.kind === 'direct' && this.#ledger.blocked(author)) {
      return new Fault('peer_unreachable', 'taking an entry: nobody is here to take it now');
    }
    this.#ledger.entries.open(conversation);
    const head = this.#ledger.entries.head(id, author);
    return { conversation, room: conversation.kind === 'room' ? room : undefined, head };
  }

  /** Whether an entry that continues its chain is kept, if its signature is good. */
  #fits(entry: Entry, known: Known | Fault | undefined): boolean {
    if (!known || known instanceof Fault) return false;
    return entry.at < aheadFrom(this.#ledger.clock.now()) && (!known.room || stands(known.room, entry));
  }

  #place(parsed: Parsed, known: Known, call: Call): Fault | undefined {
    const { entry, id } = parsed;
    const { entries, clock } = this.#ledger;
    const { head } = known;
    const isLater = entry.seq > (head?.seq ?? 0);
    const there = isLater ? undefined : entries.idAt(entry.conversation, entry.author, entry.seq);
    const found = placeOf(entry, id, head, there, this.#mayStart(entry, head));
    if (found.place === 'before') return undefined;
    if (found.place === 'gap') {
      call.gaps.set(keyOf(entry), entry);
      return undefined;
    }
    if (found.place === 'duplicate') {
      see(call, entry);
      return undefined;
    }
    // A fork is evidence against its author, so it must prove itself.
    const isSigned = found.place === 'next' ? call.signatures.of(parsed) !== 'bad' : call.isSigned(parsed);
    if (!isSigned) {
      return new Fault('bad_signature', `taking the entry "${id}": its author did not sign it`);
    }
    // Its place may be free again, or taken anew: either way it never counts.
    const own = this.#ledger.replica.ledgerOf(entry.author, this.#ledger);
    if (own && entries.get(id)?.withdrawn) {
      return new Fault('forbidden', `taking the entry "${id}": it is known here, and was taken out of its chain`);
    }
    if (found.place === 'fork') {
      if (own && this.#giveWay(own, entry.conversation, found.seq)) {
        known.head = entries.head(entry.conversation, entry.author);
        return this.#place(parsed, known, call);
      }
      entries.recordFork(entry, found.seq, clock.now());
      this.#log.warn({ author: entry.author, seq: found.seq }, 'an author signed two entries for one place');
      return new Fault(
        'forked',
        `taking the entry "${id}": another entry of its author, number ${found.seq}, is here already`,
      );
    }
    if (found.place === 'stale') {
      return new Fault('invalid_argument', `taking the entry "${id}": its time is not after the entry before it`);
    }
    try {
      checkClock(entry.at, clock.now());
    } catch (error) {
      return toFault(error);
    }
    this.#keep(parsed, known, call);
    return undefined;
  }

  /**
   * Whether an author's chain may start here, or go on after a hole: what is missing was written before this account
   * joined. Of who joined later than this account everything is for it, from the first entry on.
   */
  #mayStart(entry: Entry, head: Head | undefined): boolean {
    const room = this.#ledger.rooms.state(entry.conversation);
    if (!room || entry.seq === (head?.seq ?? 0) + 1 || room.creation.history === 'all') return false;
    const me = this.#earliest(room);
    const first = room.members.get(entry.author)?.first ?? room.former.get(entry.author)?.first;
    if (!me || first == null || first >= me.joined) return false;
    const joined = me.joinedAt * 1000;
    if (head && head.at > joined) return false;
    return room.creation.history !== 'none' || entry.at > joined;
  }

  /** Of the accounts on this log, who has been a member for the longest: what is not for them is for none of them. */
  #earliest(room: RoomState): { joined: number; joinedAt: number } | undefined {
    const { replica, self } = this.#ledger;
    if (!replica.isShared) return room.members.get(self);
    const here = [...room.members].filter(([account]) => replica.hostsOther(account)).map(([, member]) => member);
    return here.sort((a, b) => a.joined - b.joined)[0];
  }

  /** Own entries that nobody has make way for own entries that others have: this home was restored from a backup. [C-18] */
  #giveWay(own: Ledger, conversation: string, seq: number): boolean {
    const why = new Fault(
      'forked',
      'this home had lost newer messages of yours when this one was written (was it restored from a backup?); say it again',
    );
    return own.own.withdraw(conversation, seq, why);
  }

  #keep(parsed: Parsed, known: Known, call: Call): void {
    const { entries, viewer, clock, replica } = this.#ledger;
    const { entry, id, bytes } = parsed;
    const own = replica.ledgerOf(entry.author, this.#ledger);
    const proven = call.signatures.of(parsed) === 'proven';
    const stored = entries.append(parsed, clock.now(), { proven, under: own && known.room?.number });
    known.head = { seq: entry.seq, id, at: entry.at };
    see(call, entry);
    if (own) {
      // Given back after a loss. Whoever gave it signs for it when it is delivered to them once more.
      for (const account of known.conversation.members) {
        if (!replica.ledgerOf(account, own)) own.outbox.add(account, { ...entry, id, bytes });
      }
      return;
    }
    const message = this.#listeners.length > 0 ? viewer.message(stored, known.conversation) : undefined;
    for (const listener of this.#listeners) if (message) listener(message);
    this.#ledger.announce('message.received', stored, message);
  }
}

function see(call: Call, { conversation, author, seq }: Chain & { seq: number }): void {
  const known = call.seen.get(keyOf({ conversation, author }))?.seq ?? 0;
  call.seen.set(keyOf({ conversation, author }), { conversation, author, seq: Math.max(seq, known) });
}

const refusalOf = (index: number, { code, message, retry }: Fault): Deliver['refused'][number] => ({
  index,
  code,
  message: message.slice(0, 1000),
  retry,
});
