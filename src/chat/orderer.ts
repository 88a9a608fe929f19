/** A tracker's side of rooms: it orders who belongs to them, keeps the order, and tells those whom it concerns. */
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { Rate } from '../base/rate.ts';
import type { SharedLog } from '../base/shared-log.ts';
import type { Store } from '../base/sqlite.ts';
import type { Key } from '../link/identity.ts';
import type { Link } from '../link/link.ts';
import { encodeNotice } from '../link/message.ts';
import { needsAccount, type Router } from '../link/router.ts';
import {
  type Change,
  type Creation,
  changeId,
  changeVerified,
  creationVerified,
  follow,
  founded,
  judge,
  mayRead,
  type Ordered,
  type RoomState,
  roomId,
  signOrdered,
  step,
} from './membership.ts';
import {
  changeRoom,
  createRoom,
  giveOrder,
  LOG_PAGE,
  MINE_PAGE,
  myRooms,
  orderedNotice,
  roomLog,
} from './room-wire.ts';
import { type OrderItem, SharedOrder } from './shared-order.ts';
import { Statements } from './tables.ts';

const STEPS = [
  `CREATE TABLE rooms_ordered (
     conversation TEXT PRIMARY KEY, creation TEXT NOT NULL, creator TEXT NOT NULL,
     number INTEGER NOT NULL, last TEXT NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX rooms_ordered_creator ON rooms_ordered (creator);
   CREATE TABLE rooms_order (
     conversation TEXT NOT NULL, number INTEGER NOT NULL, change TEXT NOT NULL, ordered TEXT NOT NULL,
     PRIMARY KEY (conversation, number)
   ) STRICT, WITHOUT ROWID;
   CREATE UNIQUE INDEX rooms_order_change ON rooms_order (conversation, change);
   -- Who may read which room.
   CREATE TABLE rooms_readers (
     account TEXT NOT NULL, conversation TEXT NOT NULL, waits INTEGER NOT NULL, PRIMARY KEY (account, conversation)
   ) STRICT, WITHOUT ROWID;`,
] as const;

/** Rooms that one account may make, and may be in or asked into. */
const MOST_CREATED = 500;
const MOST_ROOMS = 2000;
/** Invitations that may wait for one account's answer. */
const MOST_INVITATIONS = 200;
/** Changes of one account: so many at once, so many a minute after; invitations among them. */
const CHANGES = { burst: 120, perMinute: 120 };
const INVITATIONS = { burst: 100, perMinute: 30 };
/** Questions of one link. */
const READS = { burst: 2000, perMinute: 12_000 };
/** Accounts whose rates are remembered; past it all start anew, which costs a flood of accounts more than it gains. */
const MOST_RATES = 50_000;
/** Rooms whose state is kept in memory. */
const MOST_STATES = 2000;
/** Times that another process may be first with the same room before a change is refused; each time, one of them got further. */
const MOST_TRIES = 20;

type Rates = { changes: Rate; invitations: Rate };

export class Orderer {
  readonly #key: Key;
  readonly #store: Store;
  readonly #sql: Statements;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #states = new Map<string, RoomState>();
  readonly #rates = new Map<string, Rates>();
  readonly #reads = new WeakMap<Link, Rate>();
  readonly #links = new Map<string, Set<Link>>();
  readonly #shared: SharedOrder | undefined;

  readonly #met: (link: Link) => void;

  /**
   * `shared`: the log in which several processes with this key keep one order; `store` is then this one's copy. `met`: told of
   * each link on which an account asks for rooms.
   */
  constructor(options: {
    key: Key;
    store: Store;
    clock: Clock;
    log: Log;
    shared?: SharedLog | undefined;
    met?: ((link: Link) => void) | undefined;
  }) {
    this.#met = options.met ?? (() => {});
    this.#key = options.key;
    this.#store = options.store;
    this.#sql = new Statements(options.store);
    this.#clock = options.clock;
    this.#log = options.log;
    this.#shared = options.shared && this.#sharedOn(options.shared);
  }

  /** Makes its tables where they are missing. In a cluster it settles when the copy has all that there was. */
  start(): Promise<void> | undefined {
    this.#store.migrate('rooms-ordered', STEPS);
    return this.#shared?.start();
  }

  #sharedOn(shared: SharedLog): SharedOrder {
    return new SharedOrder({
      shared,
      store: this.#store,
      take: (item) => this.#take(item),
      undo: (id) => this.#states.delete(id),
      log: this.#log,
    });
  }

  attach(router: Router): this {
    const needs = { needs: needsAccount };
    router
      .handle(createRoom, ({ creation }, { link }) => this.#create(creation, this.#asker(link)), needs)
      .handle(
        changeRoom,
        ({ change }, { link }) => {
          const ordered = this.#change(change, this.#asker(link));
          return ordered instanceof Promise ? ordered.then((ordered) => ({ ordered })) : { ordered };
        },
        needs,
      )
      .handle(roomLog, ({ conversation, after }, { link }) => this.#page(conversation, after, this.#asker(link)), needs)
      .handle(myRooms, ({ after }, { link }) => this.#mine(this.#asker(link), after ?? ''), needs)
      .handle(
        giveOrder,
        ({ creation, ordered }, { link }) => this.#relearn(creation, ordered, this.#asker(link)),
        needs,
      );
    return this;
  }

  /** The account behind a link, which from now on is told what concerns it. Throws `too_many`. */
  #asker(link: Link): string {
    const account = link.account?.account ?? '';
    let rate = this.#reads.get(link);
    if (!rate) {
      rate = new Rate({ burst: READS.burst, perSecond: READS.perMinute / 60, clock: this.#clock });
      this.#reads.set(link, rate);
      const links = this.#links.get(account) ?? new Set();
      this.#links.set(account, links.add(link));
      this.#met(link);
      void link.closed.then(() => {
        links.delete(link);
        if (links.size === 0 && this.#links.get(account) === links) this.#links.delete(account);
      });
    }
    if (!rate.take()) throw new Fault('too_many', 'asking for rooms: too often on this link; wait a second');
    return account;
  }

  #ratesOf(account: string): Rates {
    let rates = this.#rates.get(account);
    if (!rates) {
      if (this.#rates.size >= MOST_RATES) this.#rates.clear();
      const rate = ({ burst, perMinute }: { burst: number; perMinute: number }): Rate =>
        new Rate({ burst, perSecond: perMinute / 60, clock: this.#clock });
      rates = { changes: rate(CHANGES), invitations: rate(INVITATIONS) };
      this.#rates.set(account, rates);
    }
    return rates;
  }

  /** Before anything is looked up or verified: what is too often must cost next to nothing. */
  #limit(account: string, type: string): void {
    const { changes, invitations } = this.#ratesOf(account);
    if (changes.take() && (type !== 'invite' || invitations.take())) return;
    throw new Fault(
      'too_many',
      `changing a room (${type}): at most ${type === 'invite' ? INVITATIONS.perMinute : CHANGES.perMinute} a minute; wait`,
    );
  }

  #count(sql: string, account: string): number {
    return this.#sql.of<{ n: number }>(sql).get(account)?.n ?? 0;
  }

  #create(creation: Creation, account: string): { number: number } | Promise<{ number: number }> {
    const what = `creating the room "${creation.name}"`;
    this.#limit(account, 'create');
    if (creation.creator !== account) throw new Fault('forbidden', `${what}: its creator is another account`);
    if (creation.home !== this.#key.id) throw new Fault('forbidden', `${what}: its home is another tracker`);
    const id = roomId(creation);
    const known = this.#state(id);
    if (known) return { number: known.number };
    if (!creationVerified(creation)) throw new Fault('bad_signature', `${what}: its creator did not sign it`);
    if (this.#count('SELECT count(*) AS n FROM rooms_ordered WHERE creator = ?', account) >= MOST_CREATED) {
      throw new Fault('too_many', `${what}: you made ${MOST_CREATED} rooms here, which is the most`);
    }
    this.#checkRooms(account, what, 0);
    if (this.#shared) return this.#shared.append(id, { creation }).then(() => ({ number: this.#numberOf(id) }));
    this.#store.transaction(() => this.#found(creation));
    return { number: 0 };
  }

  #found(creation: Creation): RoomState {
    const state = founded(creation);
    this.#sql
      .of('INSERT INTO rooms_ordered (conversation, creation, creator, number, last) VALUES (?, ?, ?, 0, ?)')
      .run(state.id, JSON.stringify(creation), creation.creator, state.id);
    this.#noteReaders(state, [creation.creator]);
    return state;
  }

  #checkRooms(account: string, what: string, waits: number): void {
    const rooms = this.#count('SELECT count(*) AS n FROM rooms_readers WHERE account = ?', account);
    const open = this.#count('SELECT count(*) AS n FROM rooms_readers WHERE account = ? AND waits = 1', account);
    if (rooms < MOST_ROOMS && open + waits <= MOST_INVITATIONS) return;
    throw new Fault(
      'too_many',
      `${what}: "${account}" is in ${rooms} rooms and asked into ${open} of them; at most ${MOST_ROOMS} and ${MOST_INVITATIONS}`,
    );
  }

  #change(change: Change, account: string): Ordered | Promise<Ordered> {
    this.#limit(account, change.type);
    const judged = this.#judged(change, account);
    if ('before' in judged) return judged.before;
    if (this.#shared) return this.#share(this.#shared, change, account, judged.ordered);
    const { state, ordered } = judged;
    const next = this.#keep(step(state, ordered), ordered);
    void this.#tellWhenSafe(next, ordered);
    return ordered;
  }

  /** Of several processes that order at the same number, one is first; the others judge anew after it. [K-7] */
  async #share(shared: SharedOrder, change: Change, account: string, first: Ordered): Promise<Ordered> {
    let ordered = first;
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      await shared.append(change.conversation, { ordered });
      const judged = this.#judged(change, account);
      if ('before' in judged) return judged.before;
      ordered = judged.ordered;
    }
    throw new Fault(
      'tracker_down',
      'changing a room: other trackers of the cluster were first again and again; try again',
    );
  }

  /** The place that the change has already, or the one that it would get now. */
  #judged(change: Change, account: string): { before: Ordered } | { state: RoomState; ordered: Ordered } {
    const id = changeId(change);
    const state = this.#readable(change.conversation, account);
    const before = this.#sql
      .of<{ ordered: string }>('SELECT ordered FROM rooms_order WHERE conversation = ? AND change = ?')
      .get(change.conversation, id);
    if (before) return { before: JSON.parse(before.ordered) }; // as it was written
    if (change.author !== account) {
      throw new Fault('forbidden', `changing a room: the change is of another account than this link’s`);
    }
    const fault = judge(state, change);
    if (fault) throw fault;
    if (change.type === 'invite') this.#checkRooms(change.target ?? '', 'inviting', 1);
    if (!changeVerified(change))
      throw new Fault('bad_signature', 'changing a room: its author did not sign the change');
    const ordered = signOrdered(this.#key, {
      conversation: state.id,
      number: state.number + 1,
      prev: state.last,
      change,
      at: Math.max(this.#clock.now(), state.at),
    });
    return { state, ordered };
  }

  /** What was agreed upon, by whichever process: whoever is concerned and linked to this one is told. */
  #take(item: OrderItem): void {
    if ('creation' in item) {
      const id = roomId(item.creation);
      const isOurs = item.creation.home === this.#key.id && creationVerified(item.creation);
      if (!isOurs) throw new Fault('bad_signature', `taking the room "${id}": it is none of this tracker's`);
      if (!this.#state(id)) this.#found(item.creation);
      return;
    }
    const { ordered } = item;
    const state = this.#state(ordered.conversation);
    if (!state)
      throw new Fault('wrong_state', `taking a change of the room "${ordered.conversation}": it was not founded`);
    if (ordered.number <= state.number) return; // another one was first, or it is the same once more
    const next = this.#keep(follow(state, ordered), ordered);
    this.#store.afterCommit(() => this.#tell(next, ordered));
  }

  #numberOf(id: string): number {
    return this.#state(id)?.number ?? 0;
  }

  /** Durable before anybody is told: a tracker that dies here has ordered it, and answers so when it is asked again. */
  #keep(next: RoomState, ordered: Ordered): RoomState {
    const { id, number, last } = next;
    this.#store.transaction(() => {
      this.#sql
        .of('INSERT INTO rooms_order (conversation, number, change, ordered) VALUES (?, ?, ?, ?)')
        .run(id, number, changeId(ordered.change), JSON.stringify(ordered));
      this.#sql.of('UPDATE rooms_ordered SET number = ?, last = ? WHERE conversation = ?').run(number, last, id);
      this.#noteReaders(next, [ordered.change.author, ordered.change.target ?? ordered.change.author]);
    });
    this.#states.set(id, next);
    return next;
  }

  #noteReaders(state: RoomState, accounts: readonly string[]): void {
    for (const account of accounts) {
      if (!mayRead(state, account)) continue;
      this.#sql
        .of('INSERT OR REPLACE INTO rooms_readers (account, conversation, waits) VALUES (?, ?, ?)')
        .run(account, state.id, state.invited.has(account) ? 1 : 0);
    }
  }

  /** A number that others have seen must not be given again, also after a power cut. */
  async #tellWhenSafe(state: RoomState, ordered: Ordered): Promise<void> {
    try {
      await this.#store.settled();
      this.#tell(state, ordered);
    } catch (error) {
      this.#log.error({ err: error }, 'an ordered change may not be on the disk: nobody is told of it');
    }
  }

  /** Members, the invited, and who just went: each once, encoded once. */
  #tell(state: RoomState, ordered: Ordered): void {
    const text = encodeNotice(orderedNotice.name, { home: this.#key.id, ordered });
    const { target, author } = ordered.change;
    const accounts = new Set([...state.members.keys(), ...state.invited.keys(), target ?? author, author]);
    // A node that hosts many of them keeps one order for all: one of its channels is enough.
    const told = new Set<Link>();
    for (const account of accounts) {
      for (const link of this.#links.get(account) ?? []) {
        if (link.carrier && told.has(link.carrier)) continue;
        if (link.carrier) told.add(link.carrier);
        link.notifyEncoded(text);
      }
    }
    this.#log.debug({ conversation: state.id, number: ordered.number }, 'a change of a room was ordered');
  }

  #state(id: string): RoomState | undefined {
    const known = this.#states.get(id);
    if (known) return known;
    const row = this.#sql.of<{ creation: string }>('SELECT creation FROM rooms_ordered WHERE conversation = ?').get(id);
    if (!row) return undefined;
    let state = founded(JSON.parse(row.creation)); // checked when it was written
    const rows = this.#sql.of<{ ordered: string }>(
      'SELECT ordered FROM rooms_order WHERE conversation = ? ORDER BY number',
    );
    for (const { ordered } of rows.all(id)) state = step(state, JSON.parse(ordered));
    if (this.#states.size >= MOST_STATES) this.#states.clear();
    this.#states.set(id, state);
    return state;
  }

  /** One answer for a room that is not there and for one that is none of the asker's concern. */
  #readable(id: string, account: string): RoomState {
    const state = this.#state(id);
    if (state && mayRead(state, account)) return state;
    throw new Fault(
      'forbidden',
      `asking for the room "${id}": it is not known here, or you are neither in it nor invited`,
    );
  }

  #page(id: string, after: number, account: string) {
    const { creation, number } = this.#readable(id, account);
    const ordered = this.#sql
      .of<{ ordered: string }>(
        `SELECT ordered FROM rooms_order WHERE conversation = ? AND number > ? ORDER BY number LIMIT ${LOG_PAGE}`,
      )
      .all(id, after)
      .map((row): Ordered => JSON.parse(row.ordered));
    return { creation, ordered, number };
  }

  #mine(account: string, after: string) {
    const rooms = this.#sql
      .of<{ conversation: string; number: number; last: string }>(
        `SELECT o.conversation, o.number, o.last FROM rooms_readers r JOIN rooms_ordered o USING (conversation)
         WHERE r.account = ? AND r.conversation > ? ORDER BY r.conversation LIMIT ${MINE_PAGE}`,
      )
      .all(account, after);
    return { rooms, next: rooms.length === MINE_PAGE ? (rooms.at(-1)?.conversation ?? null) : null };
  }

  /** A tracker whose disk was lost or restored learns its own order again from members: it knows its signature. */
  #relearn(
    creation: Creation,
    given: readonly Ordered[],
    account: string,
  ): { number: number } | Promise<{ number: number }> {
    this.#limit(account, 'give');
    const what = `giving the order of the room "${creation.name}"`;
    if (creation.home !== this.#key.id) throw new Fault('forbidden', `${what}: its home is another tracker`);
    if (!creationVerified(creation)) throw new Fault('bad_signature', `${what}: its creator did not sign it`);
    if (this.#shared) return this.#relearnShared(this.#shared, creation, given, { account, what });
    return this.#store.transaction(() => {
      const id = roomId(creation);
      try {
        const known = this.#state(id);
        if (!known && given.length === 0) throw new Fault('wrong_state', `${what}: it has no change; create it`);
        let state = known ?? this.#found(creation);
        for (const ordered of given) {
          if (ordered.number <= state.number) continue;
          state = this.#keep(follow(state, ordered), ordered);
        }
        if (!mayRead(state, account)) throw new Fault('forbidden', `${what}: you are neither in it nor invited`);
        return { number: state.number };
      } catch (error) {
        this.#states.delete(id); // what was kept in this transaction is not
        throw error;
      }
    });
  }

  async #relearnShared(
    shared: SharedOrder,
    creation: Creation,
    given: readonly Ordered[],
    { account, what }: { account: string; what: string },
  ): Promise<{ number: number }> {
    const id = roomId(creation);
    const known = this.#state(id);
    if (!known && given.length === 0) throw new Fault('wrong_state', `${what}: it has no change; create it`);
    const later = given.filter(({ number }) => number > (known?.number ?? 0));
    const state = later.reduce(follow, known ?? founded(creation));
    if (!mayRead(state, account)) throw new Fault('forbidden', `${what}: you are neither in it nor invited`);
    if (!known) await shared.append(id, { creation });
    for (const ordered of later) if (ordered.number > this.#numberOf(id)) await shared.append(id, { ordered });
    return { number: this.#numberOf(id) };
  }
}
