/** The rooms that this account knows: their order as it was verified, what follows from it, and own changes that wait. */
import { Fault } from '../base/fault.ts';
import type { Store } from '../base/sqlite.ts';
import {
  type Change,
  type Creation,
  changeId,
  creationVerified,
  followed,
  forked,
  founded,
  mayModerate,
  type Ordered,
  orderedId,
  orderedVerified,
  type RoomState,
  roomId,
  step,
} from './membership.ts';
import type { Statements } from './tables.ts';

const ROOM_STEPS = [
  `
  CREATE TABLE rooms (
    conversation TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    home TEXT NOT NULL,
    creation TEXT NOT NULL,
    code TEXT,
    message TEXT
  ) STRICT, WITHOUT ROWID;

  -- signed: 0 where the tracker ordered what its author did not sign; such a change does nothing.
  CREATE TABLE room_order (
    conversation TEXT NOT NULL REFERENCES rooms (conversation),
    number INTEGER NOT NULL,
    ordered TEXT NOT NULL,
    signed INTEGER NOT NULL,
    PRIMARY KEY (conversation, number)
  ) STRICT, WITHOUT ROWID;

  -- From which number to which somebody was a member: so an entry's recipients are known for good.
  CREATE TABLE room_terms (
    conversation TEXT NOT NULL,
    account TEXT NOT NULL,
    joined INTEGER NOT NULL,
    went INTEGER,
    PRIMARY KEY (conversation, account, joined)
  ) STRICT, WITHOUT ROWID;

  -- Of own entries: the number of the order that their author knew. Later ones have it themselves.
  CREATE TABLE room_entries (
    entry TEXT PRIMARY KEY,
    number INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  -- Own changes that the home tracker has not ordered yet, in order; change is null for the room's creation.
  CREATE TABLE room_waiting (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation TEXT NOT NULL,
    home TEXT NOT NULL,
    change TEXT,
    code TEXT,
    message TEXT
  ) STRICT;
  `,
  `
  -- Whose change it is, where several accounts share these tables; null: that of the only one.
  ALTER TABLE room_waiting ADD COLUMN author TEXT;
  `,
] as const;

/** Own changes that may wait, over all rooms; past it a change is refused with `queue_full`. */
const MOST_WAITING = 5000;
/** Rooms that one home knows, gone ones counted: what a tracker lets an account into, of several trackers. */
const MOST_ROOMS = 5000;
/** The same, and changes that wait, where many accounts share them. */
const MOST_SHARED = 1_000_000;

export type Reason = { code: string; message: string };

export type WaitingChange = {
  position: number;
  conversation: string;
  change: Change | null;
  reason: Reason | null;
  /** Null: the only account's. */
  author: string | null;
};

/** What one ordered change made of a room. */
export type Stepped = {
  before: RoomState;
  after: RoomState;
  ordered: Ordered;
  effective: boolean;
  /** It changed whether whom it is about may take back what others wrote. */
  moderates: boolean;
};

type Fallen = { code: string | null; message: string | null };

/** `since`: in the clock of entries. */
type Power = { since: number; has: boolean };

type WaitingRow = Pick<WaitingChange, 'position' | 'conversation' | 'author'> & { change: string | null } & Fallen;

const WAITING = 'SELECT position, conversation, author, change, code, message FROM room_waiting';

const reasonOf = ({ code, message }: Fallen): Reason | null =>
  code === null ? null : { code, message: message ?? '' };

const waitingOf = ({ position, conversation, author, change, ...fallen }: WaitingRow): WaitingChange => ({
  position,
  conversation,
  author,
  change: change === null ? null : JSON.parse(change),
  reason: reasonOf(fallen),
});

export class RoomBook {
  readonly #sql: Statements;
  readonly #store: Store;
  readonly #isShared: boolean;
  readonly #under: (entry: string) => number | null;
  readonly #states = new Map<string, RoomState>();
  /** Of each room in `#states`: who became able to take back what others wrote, or lost it, in order. */
  readonly #powers = new Map<string, Map<string, Power[]>>();

  /** `under`: as `EntryLog.under`. */
  constructor(sql: Statements, store: Store, options: { isShared: boolean; under: (entry: string) => number | null }) {
    this.#sql = sql;
    this.#store = store;
    this.#isShared = options.isShared;
    this.#under = options.under;
  }

  migrate(): void {
    this.#store.migrate('rooms', ROOM_STEPS);
  }

  ids(): string[] {
    return this.#sql
      .of<{ conversation: string }>('SELECT conversation FROM rooms ORDER BY name, conversation')
      .all()
      .map((row) => row.conversation);
  }

  state(id: string): RoomState | undefined {
    const known = this.#states.get(id);
    if (known) return known;
    const row = this.#sql.of<{ creation: string }>('SELECT creation FROM rooms WHERE conversation = ?').get(id);
    if (!row) return undefined;
    let state = founded(JSON.parse(row.creation)); // verified when it was written
    const rows = this.#sql.of<{ ordered: string; signed: number }>(
      'SELECT ordered, signed FROM room_order WHERE conversation = ? ORDER BY number',
    );
    this.#found(state);
    for (const { ordered, signed } of rows.all(id)) {
      const it: Ordered = JSON.parse(ordered);
      const before = state;
      state = signed ? step(state, it) : { ...state, number: it.number, last: orderedId(it), at: it.at };
      this.#addPower(before, state, it);
    }
    this.#states.set(id, state);
    return state;
  }

  #found({ id, creation }: RoomState): void {
    this.#powers.set(id, new Map([[creation.creator, [{ since: 0, has: true }]]]));
  }

  /** True where the change gives or takes the power to take back what others wrote. */
  #addPower(before: RoomState, after: RoomState, { change }: Ordered): boolean {
    const who = change.target ?? change.author;
    const has = mayModerate(after, who);
    if (has === mayModerate(before, who)) return false;
    const powers = this.#powers.get(after.id);
    const known = powers?.get(who);
    if (known) known.push({ since: after.at * 1000, has });
    else powers?.set(who, [{ since: after.at * 1000, has }]);
    return true;
  }

  /** Whether an account could take back what others wrote, after all changes before a time in the clock of entries. */
  moderated(id: string, account: string, at: number): boolean {
    if (!this.state(id)) return false;
    return (
      this.#powers
        .get(id)
        ?.get(account)
        ?.findLast(({ since }) => since < at)?.has ?? false
    );
  }

  /** Forgets what is in memory of a room: the transaction that changed it was rolled back. */
  reload(id: string): void {
    this.#states.delete(id);
    this.#powers.delete(id);
  }

  /** Why the room's membership stands still, if it does. */
  trouble(id: string): Reason | null {
    const row = this.#sql.of<Fallen>('SELECT code, message FROM rooms WHERE conversation = ?').get(id);
    return row ? reasonOf(row) : null;
  }

  setTrouble(id: string, fault: Fault): void {
    this.#sql.of('UPDATE rooms SET code = ?, message = ? WHERE conversation = ?').run(fault.code, fault.message, id);
  }

  /** The room with this creation entry, known from now on. Throws `bad_signature`, `too_many`. */
  open(creation: Creation): RoomState {
    const id = roomId(creation);
    const known = this.state(id);
    if (known) return known;
    const what = `opening the room "${creation.name}"`;
    if (!creationVerified(creation)) throw new Fault('bad_signature', `${what}: its creator did not sign it`);
    const count = this.#sql.of<{ n: number }>('SELECT count(*) AS n FROM rooms').get()?.n ?? 0;
    if (count >= (this.#isShared ? MOST_SHARED : MOST_ROOMS))
      throw new Fault('too_many', `${what}: ${count} rooms are known, which is the most`);
    this.#sql
      .of('INSERT INTO rooms (conversation, name, home, creation) VALUES (?, ?, ?, ?)')
      .run(id, creation.name, creation.home, JSON.stringify(creation));
    const state = founded(creation);
    this.#addTerm(id, creation.creator, 0);
    this.#found(state);
    this.#states.set(id, state);
    return state;
  }

  #addTerm(id: string, account: string, joined: number): void {
    this.#sql
      .of('INSERT OR IGNORE INTO room_terms (conversation, account, joined, went) VALUES (?, ?, ?, NULL)')
      .run(id, account, joined);
  }

  /**
   * Takes one ordered change; undefined if it is here already. Throws what `followed` throws; `forked` where another change
   * holds its number.
   */
  take(before: RoomState, ordered: Ordered): Stepped | undefined {
    const { id } = before;
    if (ordered.number <= before.number) {
      const there = this.page(id, ordered.number - 1, 1)[0];
      if (!there || orderedId(there) === orderedId(ordered)) return undefined;
      if (!orderedVerified(ordered, before.creation.home) || ordered.conversation !== id) {
        throw new Fault(
          'bad_signature',
          `taking a change of the room "${before.creation.name}": its home did not sign it`,
        );
      }
      throw forked(before, ordered.number);
    }
    const { state: after, signed } = followed(before, ordered);
    this.#sql
      .of('INSERT INTO room_order (conversation, number, ordered, signed) VALUES (?, ?, ?, ?)')
      .run(id, ordered.number, JSON.stringify(ordered), signed ? 1 : 0);
    this.#states.set(id, after);
    const moderates = this.#addPower(before, after, ordered);
    const { author, target } = ordered.change;
    const who = target ?? author;
    if (!before.members.has(who) && after.members.has(who)) this.#addTerm(id, who, ordered.number);
    if (before.members.has(who) && !after.members.has(who)) {
      this.#sql
        .of('UPDATE room_terms SET went = ? WHERE conversation = ? AND account = ? AND went IS NULL')
        .run(ordered.number, id, who);
    }
    const effective =
      after.members !== before.members || after.invited !== before.invited || after.closed !== before.closed;
    return { before, after, ordered, effective, moderates };
  }

  /** Ordered changes after a number. */
  page(id: string, after: number, limit: number): Ordered[] {
    return this.#sql
      .of<{ ordered: string }>(
        'SELECT ordered FROM room_order WHERE conversation = ? AND number > ? ORDER BY number LIMIT ?',
      )
      .all(id, after, limit)
      .map((row): Ordered => JSON.parse(row.ordered));
  }

  /** Who was a member when an own entry was written. */
  audience(id: string, entry: string): string[] {
    const number = this.#under(entry) ?? this.#earlier(entry);
    return this.#sql
      .of<{ account: string }>(
        'SELECT DISTINCT account FROM room_terms WHERE conversation = ? AND joined <= ? AND (went IS NULL OR went > ?) ORDER BY account',
      )
      .all(id, number, number)
      .map((row) => row.account);
  }

  /** What earlier versions noted beside an entry. */
  #earlier(entry: string): number {
    return this.#sql.of<{ number: number }>('SELECT number FROM room_entries WHERE entry = ?').get(entry)?.number ?? 0;
  }

  /** Queues an own change, or (null) the room's creation. Throws `queue_full`. */
  queue(state: RoomState, change: Change | null): void {
    const count = this.#sql.of<{ n: number }>('SELECT count(*) AS n FROM room_waiting').get()?.n ?? 0;
    if (count >= (this.#isShared ? MOST_SHARED : MOST_WAITING)) {
      throw new Fault(
        'queue_full',
        `changing a room: ${count} changes wait for their trackers already; wait until they are up`,
      );
    }
    this.#sql
      .of('INSERT INTO room_waiting (conversation, home, change, author) VALUES (?, ?, ?, ?)')
      .run(state.id, state.creation.home, change && JSON.stringify(change), change?.author ?? state.creation.creator);
  }

  /** Own changes of a room that wait, in order. */
  waiting(room: string): WaitingChange[] {
    return this.#sql.of<WaitingRow>(`${WAITING} WHERE conversation = ? ORDER BY position`).all(room).map(waitingOf);
  }

  /** What waits of an account for a tracker, and comes next. */
  nextWaiting(home: string, account: string): WaitingChange | undefined {
    const row = this.#sql
      .of<WaitingRow>(`${WAITING} WHERE home = ? AND coalesce(author, ?2) = ?2 ORDER BY position LIMIT 1`)
      .get(home, account);
    return row && waitingOf(row);
  }

  /** Whether a change of an account waits for any tracker. */
  isWaiting(account: string): boolean {
    return (
      this.#sql.of('SELECT 1 FROM room_waiting WHERE coalesce(author, ?1) = ?1 LIMIT 1').get(account) !== undefined
    );
  }

  /** What waits at this place is ordered, or never will be. */
  settle(position: number): void {
    this.#sql.of('DELETE FROM room_waiting WHERE position = ?').run(position);
  }

  delay(position: number, fault: Fault): void {
    this.#sql
      .of('UPDATE room_waiting SET code = ?, message = ? WHERE position = ?')
      .run(fault.code, fault.message, position);
  }

  /** An own change that waits and is now ordered, by whichever way it came. */
  settleChange(change: Change): void {
    const id = changeId(change);
    for (const each of this.waiting(change.conversation)) {
      // Most that wait have another signature, which costs less to see than another id.
      if (each.change?.sig === change.sig && changeId(each.change) === id) this.settle(each.position);
    }
  }
}
