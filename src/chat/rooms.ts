/** Rooms for one account: what doors ask for, and own changes on their way to the trackers that order them. */
import { randomBytes } from 'node:crypto';
import { Backoff, deadline, sleep } from '../base/async.ts';
import { toBase32 } from '../base/encoding.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { type Key, peerId } from '../link/identity.ts';
import type { Link } from '../link/link.ts';
import type { Ledger } from './ledger.ts';
import {
  type Change,
  type ChangeType,
  type Creation,
  changeId,
  creationVerified,
  gather,
  type History,
  history as historyForm,
  judge,
  MOST_MEMBERS,
  mayRead,
  type Ordered,
  type Role,
  type RoomState,
  roomId,
  roomName,
  signChange,
  signCreation,
} from './membership.ts';
import type { Reason, WaitingChange } from './room-book.ts';
import { changeRoom, createRoom, giveOrder, LOG_PAGE, myRooms, roomLog } from './room-wire.ts';

/** Milliseconds that a change waits for its tracker's answer before it is shown as waiting. */
const ANSWER_MS = 5000;
/** Waits between tries of what a tracker, although it is there, does not take now. */
const RETRY = { firstMs: 2000, mostMs: 60_000 };
/** Pages of one room's order, or of one list of rooms, in one go: a tracker that goes on after that lies. */
const MOST_PAGES = 1000;

/** How this account stands to a room. */
type Standing = Role | 'invited' | 'left' | 'removed' | 'declined' | 'none';

export type Room = {
  id: string;
  name: string;
  creator: string;
  /** Peer id of the tracker that orders its membership. */
  home: string;
  history: History;
  /** Unix ms. */
  at: number;
  /** Changes that were ordered. */
  number: number;
  standing: Standing;
  invitedBy: string | null;
  members: { account: string; role: Role }[];
  invited: { account: string; role: Role; by: string }[];
  closed: boolean;
  /** Own changes that are not ordered yet; `create` is the room itself. */
  waiting: { type: ChangeType | 'create'; target: string | null; role: Role | null; reason: Reason | null }[];
  /** Why its membership stands still. */
  error: Reason | null;
};

export type RoomsOptions = {
  account: Key;
  ledger: Ledger;
  /** Peer ids of the trackers that this node announces to, the preferred one first. */
  homes: () => readonly string[];
  log: Log;
  /** Something new is to be given to others. */
  onOrder: (state: RoomState) => void;
};

type Wish = { type: ChangeType; target?: string; role?: Role; upTo?: number };

/** `kept` is told the room's id in the transaction that keeps the change. */
type Kept = { kept?: ((id: string) => void) | undefined };

export class Rooms implements AsyncDisposable {
  readonly #key: Key;
  readonly #ledger: Ledger;
  readonly #homes: () => readonly string[];
  readonly #log: Log;
  readonly #onOrder: (state: RoomState) => void;
  readonly #links = new Map<string, Link>();
  /** What is under way with each tracker; each waits for the one before it. */
  readonly #turns = new Map<string, Promise<void>>();
  /** Who waits for what becomes of an own change, by its id; the room's id for its creation. */
  readonly #refused = new Map<string, Fault>();
  readonly #retries = new Map<string, Backoff>();
  readonly #stop = new AbortController();

  constructor({ account, ledger, homes, log, onOrder }: RoomsOptions) {
    this.#key = account;
    this.#ledger = ledger;
    this.#homes = homes;
    this.#log = log;
    this.#onOrder = onOrder;
  }

  /** All but invitations by people who are blocked: these are back once they are let in again. */
  list(): Room[] {
    return this.#ledger.rooms.ids().flatMap((id) => {
      const state = this.#ledger.rooms.state(id);
      const by = state?.invited.get(this.#ledger.self)?.by;
      return state && !(by !== undefined && this.#ledger.blocked(by)) ? [this.#view(state)] : [];
    });
  }

  /** By id, or by name with or without `#`. Throws `unknown_id`, `invalid_argument` where a name means several. */
  find(text: string): Room {
    const byId = this.#ledger.rooms.state(text);
    if (byId) return this.#view(byId);
    const name = text.startsWith('#') ? text.slice(1) : text;
    const named = this.list().filter((room) => room.name === name);
    const present = named.filter(({ standing }) => isPresent(standing));
    const [found, another] = present.length > 0 ? present : named;
    if (!found) throw new Fault('unknown_id', `looking for the room "${text}": none of this name or id is known here`);
    if (!another) return found;
    const ids = (present.length > 0 ? present : named).map(({ id }) => id).join(', ');
    throw new Fault(
      'invalid_argument',
      `looking for the room "${text}": several have this name; say which by its id: ${ids}`,
    );
  }

  show(id: string): Room {
    return this.#view(this.#state(id));
  }

  has(id: string): boolean {
    return this.#ledger.rooms.state(id) !== undefined;
  }

  /** Whether somebody is a member of a room now. */
  isMember(id: string, account: string): boolean {
    return this.#ledger.rooms.state(id)?.members.has(account) ?? false;
  }

  /**
   * Makes a room and asks people into it; answers once that is durable here, and at its home tracker where that is up.
   * Throws `invalid_argument`, `tracker_down` (this node has none), `too_many`, `queue_full`.
   */
  async create(name: string, options: Kept & { history?: History; members?: readonly string[] } = {}): Promise<Room> {
    const parsed = roomName.safeParse(name);
    if (!parsed.success) {
      throw new Fault(
        'invalid_argument',
        `creating the room "${name.slice(0, 100)}": expected ${parsed.error.issues[0]?.message}`,
      );
    }
    const policy = historyForm.safeParse(options.history ?? 'all');
    if (!policy.success) {
      throw new Fault(
        'invalid_argument',
        `creating the room "${name}": expected as history "all", "none" or 1 to 10000 entries`,
      );
    }
    const [home] = this.#homes();
    if (home === undefined) {
      throw new Fault(
        'tracker_down',
        `creating the room "${name}": this node has no tracker that could order who is in it; join one`,
      );
    }
    const members = [...new Set(options.members ?? [])].filter((account) => account !== this.#ledger.self);
    for (const account of members) checkAccount(account);
    if (members.length >= MOST_MEMBERS) {
      throw new Fault('too_many', `creating the room "${name}": at most ${MOST_MEMBERS} members`);
    }
    const creation = signCreation(this.#key, {
      name,
      home,
      history: policy.data,
      at: this.#ledger.clock.now(),
      nonce: toBase32(randomBytes(16)),
    });
    const state = this.#ledger.store.transaction(() => {
      const state = this.#ledger.openRoom(creation);
      this.#ledger.rooms.queue(state, null);
      for (const target of members)
        this.#ledger.rooms.queue(state, this.#sign(state, { type: 'invite', target, role: 'member' }));
      this.#ledger.emitRoom('room.created', {
        conversation: state.id,
        name,
        number: 0,
        type: 'create',
        by: this.#ledger.self,
        target: null,
        error: null,
      });
      options.kept?.(state.id);
      return state;
    });
    await this.#attempt(state.creation.home, state.id);
    return this.show(state.id);
  }

  /** Throws `unknown_id`, `forbidden`, `exists`, `wrong_state`, `too_many`, `queue_full`. So do all below. */
  invite(id: string, account: string, role: Role = 'member', options: Kept = {}): Promise<Room> {
    checkAccount(account);
    return this.#submit(id, { type: 'invite', target: account, role }, options);
  }

  join(id: string, options: Kept = {}): Promise<Room> {
    return this.#submit(id, { type: 'join' }, options);
  }

  decline(id: string, options: Kept = {}): Promise<Room> {
    return this.#submit(id, { type: 'decline' }, options);
  }

  leave(id: string, options: Kept = {}): Promise<Room> {
    const upTo = this.#ledger.entries.head(id, this.#ledger.self)?.seq ?? 0;
    return this.#submit(id, { type: 'leave', upTo }, options);
  }

  /** What they wrote as far as it is here stands; what is not here by now never will. */
  remove(id: string, account: string, options: Kept = {}): Promise<Room> {
    checkAccount(account);
    const upTo = this.#ledger.entries.head(id, account)?.seq ?? 0;
    return this.#submit(id, { type: 'remove', target: account, upTo }, options);
  }

  role(id: string, account: string, role: Role, options: Kept = {}): Promise<Room> {
    checkAccount(account);
    return this.#submit(id, { type: 'role', target: account, role }, options);
  }

  close(id: string, options: Kept = {}): Promise<Room> {
    return this.#submit(id, { type: 'close' }, options);
  }

  #state(id: string): RoomState {
    const state = this.#ledger.rooms.state(id);
    if (state) return state;
    throw new Fault('unknown_id', `looking for the room "${id}": it is not known here`);
  }

  #sign(state: RoomState, { type, target, role, upTo }: Wish): Change {
    return signChange(this.#key, {
      conversation: state.id,
      type,
      target: target ?? null,
      role: role ?? null,
      base: state.number,
      upTo: upTo ?? null,
      at: this.#ledger.clock.now(),
    });
  }

  async #submit(id: string, wish: Wish, { kept }: Kept): Promise<Room> {
    const state = this.#state(id);
    const error = this.#ledger.rooms.trouble(id);
    if (error) throw new Fault('forked', `changing the room "${state.creation.name}": ${error.message}`);
    const change = this.#sign(state, wish);
    const fault = judge(state, change);
    if (fault) throw fault;
    this.#ledger.store.transaction(() => {
      const same = this.#ledger.rooms
        .waiting({ room: id })
        .some((each) => each.change?.type === change.type && each.change.target === change.target);
      if (same) throw new Fault('exists', `changing the room "${state.creation.name}": the same change waits already`);
      this.#ledger.rooms.queue(state, change);
      kept?.(id);
    });
    await this.#attempt(state.creation.home, changeId(change));
    return this.show(id);
  }

  /** Tries now what waits for a tracker. Throws what the own change was refused with; else it is ordered, or waits on. */
  async #attempt(home: string, id: string): Promise<void> {
    if (!this.#links.get(home)?.open) return;
    using limit = deadline(ANSWER_MS, 'ordering a change', this.#stop.signal);
    const timedOut = new Promise<void>((resolve) => limit.addEventListener('abort', () => resolve(), { once: true }));
    await Promise.race([this.#turn(home, (link) => this.#flush(link)), timedOut]);
    const fault = this.#refused.get(id);
    this.#refused.delete(id);
    if (fault) throw fault;
  }

  /** The links to this node's trackers; a new one is asked for news, and given what waits. */
  trackers(links: readonly Link[]): void {
    for (const link of links) {
      if (!link.open || this.#links.get(link.peer) === link) continue;
      this.#links.set(link.peer, link);
      void this.#turn(link.peer, async (present) => {
        await this.#catchUp(present);
        await this.#flush(present);
      });
    }
  }

  /** Runs `work` after all that is under way with this tracker. What fails is logged, and tried again with its cause. */
  #turn(home: string, work: (link: Link) => Promise<void>): Promise<void> {
    const before = this.#turns.get(home) ?? Promise.resolve();
    const turn = before.then(async () => {
      const link = this.#links.get(home);
      if (!link?.open || this.#stop.signal.aborted) return;
      try {
        await work(link);
        this.#retries.delete(home);
      } catch (error) {
        const fault = toFault(error, 'talking about rooms');
        if (fault.code === 'internal') this.#log.error({ err: error, tracker: home }, 'rooms failed by a defect');
        else this.#log.info({ tracker: home, code: fault.code, reason: fault.message }, 'rooms wait for a tracker');
        if (link.open && fault.retry) void this.#again(home);
      }
    });
    this.#turns.set(home, turn);
    return turn;
  }

  async #again(home: string): Promise<void> {
    const backoff = this.#retries.get(home) ?? new Backoff(RETRY);
    this.#retries.set(home, backoff);
    await sleep(backoff.next(), this.#stop.signal).catch(() => {}); // stopped: the turn looks
    await this.#turn(home, async (link) => {
      await this.#catchUp(link);
      await this.#flush(link);
    });
  }

  /** Gives a tracker what waits for it, in order. Throws what holds it up. */
  async #flush(link: Link): Promise<void> {
    for (;;) {
      const [next] = this.#ledger.rooms.waiting({ home: link.peer });
      if (!next) return;
      const state = this.#state(next.conversation);
      try {
        if (next.change === null)
          await link.request(createRoom, { creation: state.creation }, { signal: this.#stop.signal });
        else {
          const { ordered } = await link.request(changeRoom, { change: next.change }, { signal: this.#stop.signal });
          if (changeId(ordered.change) !== changeId(next.change))
            throw new Fault('malformed', 'ordering a change: the tracker ordered another');
          await this.#takeFrom(link, state.creation, [ordered]);
        }
        this.#ledger.rooms.settle(next.position);
      } catch (error) {
        const fault = toFault(error, 'ordering a change');
        if (fault.retry || this.#stop.signal.aborted) {
          this.#ledger.rooms.delay(next.position, fault);
          throw fault;
        }
        this.#refuse(next, state, fault);
      }
    }
  }

  #refuse({ position, change }: WaitingChange, state: RoomState, fault: Fault): void {
    const { id, creation } = state;
    this.#ledger.store.transaction(() => {
      this.#ledger.rooms.settle(position);
      if (change === null) this.#ledger.rooms.setTrouble(id, fault);
      this.#ledger.emitRoom('room.refused', {
        conversation: id,
        name: creation.name,
        number: state.number,
        type: change?.type ?? 'create',
        by: this.#ledger.self,
        target: change?.target ?? null,
        error: { code: fault.code, message: fault.message },
      });
    });
    if (this.#refused.size >= MOST_PAGES) this.#refused.clear();
    this.#refused.set(change ? changeId(change) : id, fault);
  }

  /** Asks a tracker which rooms concern this account, and how they went on. Teaches it what it has lost. */
  async #catchUp(link: Link): Promise<void> {
    const signal = this.#stop.signal;
    const listed = new Set<string>();
    let after: string | null = null;
    for (let page = 0; page < MOST_PAGES; page++) {
      const answer: { rooms: { conversation: string; number: number; last: string }[]; next: string | null } =
        await link.request(myRooms, { after }, { signal });
      for (const { conversation, number, last } of answer.rooms) {
        listed.add(conversation);
        const state = this.#ledger.rooms.state(conversation);
        if (state && state.creation.home !== link.peer) continue;
        if (!state || number > state.number) await this.#fetch(link, conversation, state?.number ?? 0);
        else if (number < state.number) await this.#teach(link, state, number);
        else if (last !== state.last && number > 0) await this.#fetch(link, conversation, number - 1);
      }
      after = answer.next;
      if (after === null) break;
    }
    for (const id of this.#ledger.rooms.ids()) {
      const state = this.#ledger.rooms.state(id);
      if (!state || state.creation.home !== link.peer || listed.has(id) || state.number === 0) continue;
      await this.#teach(link, state, 0);
    }
  }

  async #teach(link: Link, { id, creation, number }: RoomState, from: number): Promise<void> {
    for (let after = from; after < number; ) {
      const ordered = this.#ledger.rooms.page(id, after, LOG_PAGE);
      await link.request(giveOrder, { creation, ordered }, { signal: this.#stop.signal });
      after += ordered.length;
      if (ordered.length === 0) return;
    }
  }

  async #fetch(link: Link, conversation: string, from: number): Promise<void> {
    let after = from;
    for (let page = 0; page < MOST_PAGES; page++) {
      const { creation, ordered, number } = await link.request(
        roomLog,
        { conversation, after },
        { signal: this.#stop.signal },
      );
      await this.#takeFrom(link, creation, ordered);
      const last = ordered.at(-1)?.number;
      if (last === undefined || last >= number) return;
      after = last;
    }
  }

  async #takeFrom(link: Link, creation: Creation, given: readonly Ordered[]): Promise<void> {
    if (creation.home !== link.peer)
      throw new Fault('forbidden', 'taking the order of a room: this tracker is not its home');
    const [first] = given;
    const known = first && this.#ledger.rooms.state(first.conversation);
    // What was ordered in between by others comes first.
    if (known && first.number > known.number + 1) return await this.#fetch(link, first.conversation, known.number);
    this.#take(creation, given);
  }

  #take(creation: Creation, given: readonly Ordered[]): RoomState {
    const state = this.#ledger.takeOrder(creation, given);
    this.#onOrder(state);
    return state;
  }

  /** Takes what a home tracker pushes. */
  pushed(link: Link, home: string, ordered: Ordered): void {
    if (link.peer !== home || this.#links.get(home) !== link) return; // only a tracker of this node is listened to
    const state = this.#ledger.rooms.state(ordered.conversation);
    if (state && state.creation.home !== home) return;
    if (state && ordered.number <= state.number + 1) {
      try {
        this.#take(state.creation, [ordered]);
      } catch (error) {
        const { code, message } = toFault(error, 'taking a change of a room');
        this.#log.warn({ tracker: home, code, reason: message }, 'a tracker’s change of a room is not taken');
      }
      return;
    }
    void this.#turn(home, (present) => this.#fetch(present, ordered.conversation, state?.number ?? 0));
  }

  /**
   * Takes a part of the order from anybody: it proves itself. A room that is not known yet only where its home is one of
   * this node's trackers, and the part shows that this account has to do with it. Throws `forbidden` and what `takeOrder`
   * throws.
   */
  given(creation: Creation, ordered: readonly Ordered[]): { conversation: string; number: number } {
    if (!this.has(roomId(creation))) {
      const what = `taking the order of the room "${creation.name}"`;
      if (!this.#homes().includes(creation.home)) {
        throw new Fault('forbidden', `${what}: its home is no tracker of this node`);
      }
      if (!creationVerified(creation) || !mayRead(gather(creation, ordered), this.#ledger.self)) {
        throw new Fault('forbidden', `${what}: nothing in it says that this account is in it or invited`);
      }
    }
    const { id, number } = this.#take(creation, ordered);
    return { conversation: id, number };
  }

  #view(state: RoomState): Room {
    const { id, creation, number, members, invited, closed } = state;
    const self = this.#ledger.self;
    const waiting = this.#ledger.rooms.waiting({ room: id }).map(({ change, reason }) => ({
      type: change?.type ?? ('create' as const),
      target: change?.target ?? null,
      role: change?.role ?? null,
      reason,
    }));
    return {
      id,
      name: creation.name,
      creator: creation.creator,
      home: creation.home,
      history: creation.history,
      at: creation.at,
      number,
      standing: standingOf(state, self),
      invitedBy: invited.get(self)?.by ?? null,
      members: [...members].map(([account, { role }]) => ({ account, role })),
      invited: [...invited].map(([account, { role, by }]) => ({ account, role, by })),
      closed: closed !== null,
      waiting,
      error: this.#ledger.rooms.trouble(id),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Fault('cancelled', 'the node stops'));
    await Promise.all(this.#turns.values());
  }
}

const isPresent = (standing: Standing): boolean =>
  standing === 'owner' || standing === 'moderator' || standing === 'member' || standing === 'invited';

function standingOf({ members, invited, former }: RoomState, account: string): Standing {
  const member = members.get(account);
  if (member) return member.role;
  if (invited.has(account)) return 'invited';
  const gone = former.get(account)?.type;
  return gone === 'leave' ? 'left' : gone === 'remove' ? 'removed' : gone === 'decline' ? 'declined' : 'none';
}

function checkAccount(account: string): void {
  if (peerId.safeParse(account).success) return;
  throw new Fault(
    'invalid_argument',
    `changing a room for "${account}": expected an account id, 52 characters of base32`,
  );
}
