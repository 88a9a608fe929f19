/** What an account writes: the ends of its own chains, where entries are added, and taken back that nobody would take. */
import { Fault } from '../base/fault.ts';
import type { Key } from '../link/identity.ts';
import type { Conversation, Head } from './conversation.ts';
import { ownEntry, signEntry, type Unsigned } from './entry.ts';
import { aheadFrom, tick } from './hlc.ts';
import type { Ledger } from './ledger.ts';
import type { Stored } from './log.ts';
import { type RoomState, stands } from './membership.ts';

/** Milliseconds by which a room's home may be ahead, so that what is written after one came back waits for the clocks. */
const WAITS_MS = 24 * 3600_000;

export class OwnChain {
  readonly #ledger: Ledger;
  readonly #self: string;
  readonly #key: Key;
  readonly #sign: ((entry: Unsigned) => string) | undefined;

  constructor(ledger: Ledger, key: Key) {
    this.#ledger = ledger;
    this.#self = ledger.self;
    this.#key = key;
    this.#sign = ledger.replica.isShared ? undefined : (entry) => key.sign('entry', entry);
  }

  /**
   * Writes an own entry and queues it for all other members, in one transaction; who is hosted here has it with that. It is signed
   * now, or, where many share the log, once somebody elsewhere is to have it [C-21]. Throws `queue_full`, `too_large`.
   */
  append(conversation: Conversation, kind: string, body: Record<string, unknown>): Stored {
    return this.#ledger.store.transaction(() => {
      const { id } = conversation;
      const now = this.#ledger.clock.now();
      this.#ledger.entries.open(conversation);
      const room = conversation.kind === 'room' ? this.#writable(id) : undefined;
      const head = this.#dropFuture(conversation, room, now);
      const unsigned = {
        conversation: id,
        author: this.#self,
        seq: (head?.seq ?? 0) + 1,
        prev: head?.id ?? null,
        at: tick(now, this.#lastAt(id, room, now)),
        kind,
        body,
      };
      const parsed = ownEntry(unsigned, this.#sign);
      if (room && !stands(room, parsed.entry)) {
        throw new Fault(
          'wrong_state',
          `writing to the room "${room.creation.name}": its tracker's clock is far ahead, and by it you will be back in more than a day; set the clocks`,
        );
      }
      const stored = this.#ledger.entries.append(parsed, now, { proven: true, under: room?.number, isNew: true });
      for (const recipient of this.#ledger.replica.elsewhere(conversation, this.#self)) {
        // One member who is away for ever must not silence a room: past the bound they get it when they greet a member.
        if (room && !this.#ledger.outbox.hasRoom(recipient, parsed.bytes)) continue;
        this.#ledger.outbox.checkRoom(recipient, parsed.bytes);
        this.#ledger.outbox.add(recipient, { ...parsed.entry, id: parsed.id, bytes: parsed.bytes });
      }
      this.#ledger.announce('message.sent', stored);
      return stored;
    });
  }

  /** The time that an entry written now would have. */
  nextAt(id: string): number {
    const now = this.#ledger.clock.now();
    return tick(now, this.#lastAt(id, this.#ledger.rooms.state(id), now));
  }

  #writable(id: string): RoomState {
    const state = this.#ledger.rooms.state(id);
    if (!state) throw new Fault('unknown_id', `writing to the room "${id}": it is not known here`);
    const what = `writing to the room "${state.creation.name}"`;
    if (state.closed !== null) throw new Fault('wrong_state', `${what}: it is closed`);
    if (state.members.has(this.#self)) return state;
    const how = state.invited.has(this.#self) ? 'you are invited; join it first' : 'you are no member of it';
    throw new Fault('forbidden', `${what}: ${how}`);
  }

  /** The time that a new entry must come after: of all that its author knows, changes of membership too. */
  #lastAt(id: string, room: RoomState | undefined, now: number): number | undefined {
    const last = this.#ledger.entries.lastAt(id);
    if (!room) return last;
    const changed = Math.min(room.at * 1000 + 999, aheadFrom(now) - 2); // a tracker that is far ahead holds up nobody
    return Math.max(last ?? 0, changed, this.#backAt(room, now));
  }

  /**
   * The time after which own entries stand again in a room that this account has left and joined again, in the clock of
   * entries; 0 where it never left, or where the home's clock is so far ahead that there is no sense in waiting.
   */
  #backAt(room: RoomState, now: number): number {
    const lapses = room.lapses.get(this.#self);
    if (!lapses) return 0;
    const until = Math.max(0, ...lapses.map((lapse) => lapse.until));
    return until <= now + WAITS_MS ? until * 1000 : 0;
  }

  /**
   * After the own clock was set back: entries of the future that nobody has would hold up all that come after them. Gives the end
   * of the chain then.
   */
  #dropFuture({ id, members }: Conversation, room: RoomState | undefined, now: number): Head | undefined {
    const head = this.#ledger.entries.head(id, this.#self);
    // What had to come after a home's clock that is ahead is not of the future by mistake.
    const future = aheadFrom(Math.max(now, room ? this.#backAt(room, now) / 1000 : 0));
    if (!head || head.at < future) return head;
    for (const recipient of members) {
      const first = this.#ledger.outbox.first(recipient, id);
      const seq = first && this.#ledger.entries.firstSince(id, this.#self, first, future);
      if (seq) this.withdraw(id, seq, new Fault('clock_ahead', 'this machine’s clock was ahead then; say it again'));
    }
    return this.#ledger.entries.head(id, this.#self);
  }

  /**
   * Takes own entries from `seq` on out of the chain and marks them failed: they were refused for good, and what follows
   * an entry that is not taken cannot be taken either. Does nothing and gives false where somebody has one. [C-18]
   */
  withdraw(conversation: string, seq: number, fault: Fault): boolean {
    return this.#ledger.store.transaction(() => {
      const members = this.#ledger.entries.conversation(conversation)?.members ?? [];
      const chain = { conversation, author: this.#self };
      if (members.some((account) => this.#ledger.receipts.reached(chain, account) >= seq)) return false;
      if (members.some((account) => account !== this.#self && this.#ledger.replica.hostsOther(account))) return false;
      // What is refused for its time alone may be taken from a mailbox later: its place is not free. [M-15]
      const later = fault.code === 'clock_ahead';
      if (later && this.#ledger.letters.out(conversation, this.#self, seq, this.#ledger.clock.now())) return false;
      return this.drop(conversation, seq, fault);
    });
  }

  /** As `withdraw`, whoever has them: they do not stand. Gives whether there were any. */
  drop(conversation: string, seq: number, fault: Fault): boolean {
    const gone = this.#ledger.entries.withdraw(conversation, this.#self, seq);
    for (const [index, stored] of gone.entries()) {
      const why =
        index === 0 ? fault : new Fault(fault.code, `it follows an entry that was not taken: ${fault.message}`);
      this.#ledger.outbox.fail(stored.id, why);
      this.#ledger.failed(stored);
    }
    this.#signEnd(conversation);
    return gone.length > 0;
  }

  /** Own entries that were given back may have signatures that were not looked at, of which what is gone now proved the end. */
  #signEnd(conversation: string): void {
    if (this.#ledger.entries.proveEnd(conversation, this.#self) === undefined) return;
    const head = this.#ledger.entries.head(conversation, this.#self);
    const stored = head && this.#ledger.entries.get(head.id);
    if (!stored) return;
    const { sig: _, ...unsigned } = stored.entry;
    this.#ledger.entries.sign(stored.id, signEntry(this.#key, unsigned).sig);
  }
}
