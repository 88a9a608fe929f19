/** Rooms for one account, as doors ask for them. */
import { randomBytes } from 'node:crypto';
import { toBase32 } from '../base/encoding.ts';
import { Fault } from '../base/fault.ts';
import { type Key, peerId } from '../link/identity.ts';
import type { Ledger } from './ledger.ts';
import {
  type Change,
  type ChangeType,
  changeId,
  type History,
  history as historyForm,
  judge,
  MOST_MEMBERS,
  type Role,
  type RoomState,
  roomName,
  signChange,
  signCreation,
} from './membership.ts';
import type { Reason } from './room-book.ts';
import { RoomOrder, type RoomOrderOptions } from './room-order.ts';

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

export type RoomsOptions = RoomOrderOptions & { account: Key };

type Wish = { type: ChangeType; target?: string; role?: Role; upTo?: number };

/** `kept` is told the room's id in the transaction that keeps the change. */
type Kept = { kept?: ((id: string) => void) | undefined };

export class Rooms implements AsyncDisposable {
  readonly order: RoomOrder;
  readonly #key: Key;
  readonly #ledger: Ledger;
  readonly #homes: () => readonly string[];

  constructor({ account, ...options }: RoomsOptions) {
    this.order = new RoomOrder(options);
    this.#key = account;
    this.#ledger = options.ledger;
    this.#homes = options.homes;
  }

  /** All but invitations by people who are blocked: these are back once they are let in again. */
  list(): Room[] {
    return this.#ledger.replica.roomsOf(this.#ledger.self).flatMap((id) => {
      const state = this.#known(id);
      const by = state?.invited.get(this.#ledger.self)?.by;
      return state && !(by !== undefined && this.#ledger.blocked(by)) ? [this.#view(state)] : [];
    });
  }

  /** By id, or by name with or without `#`. Throws `unknown_id`, `invalid_argument` where a name means several. */
  find(text: string): Room {
    const byId = this.#known(text);
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
    return this.#known(id) !== undefined;
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
    await this.order.attempt(state.creation.home, state.id);
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

  /** A room that has to do with this account. */
  #known(id: string): RoomState | undefined {
    const state = this.#ledger.rooms.state(id);
    return state && this.#ledger.replica.concerns(state, this.#ledger.self) ? state : undefined;
  }

  #state(id: string): RoomState {
    const state = this.#known(id);
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
        .waiting(id)
        .some(
          (each) =>
            each.change?.type === change.type &&
            each.change.target === change.target &&
            each.change.author === change.author,
        );
      if (same) throw new Fault('exists', `changing the room "${state.creation.name}": the same change waits already`);
      this.#ledger.rooms.queue(state, change);
      kept?.(id);
    });
    await this.order.attempt(state.creation.home, changeId(change));
    return this.show(id);
  }

  #view(state: RoomState): Room {
    const { id, creation, number, members, invited, closed } = state;
    const self = this.#ledger.self;
    const own = this.#ledger.rooms.waiting(id).filter(({ author }) => author === null || author === self);
    const waiting = own.map(({ change, reason }) => ({
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
    await this.order[Symbol.asyncDispose]();
  }
}

export const isPresent = (standing: Standing): boolean =>
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
