/** The order of rooms as their trackers give it: own changes on their way there, and what comes from there and from members. */
import { Backoff, deadline, sleep } from '../base/async.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Link } from '../link/link.ts';
import type { Ledger } from './ledger.ts';
import {
  type Creation,
  changeId,
  creationVerified,
  gather,
  mayRead,
  type Ordered,
  type RoomState,
  roomId,
} from './membership.ts';
import type { WaitingChange } from './room-book.ts';
import { changeRoom, createRoom, giveOrder, LOG_PAGE, myRooms, roomLog } from './room-wire.ts';

/** Milliseconds that a change waits for its tracker's answer before it is shown as waiting. */
const ANSWER_MS = 5000;
/** Waits between tries of what a tracker, although it is there, does not take now. */
const RETRY = { firstMs: 2000, mostMs: 60_000 };
/** Pages of one room's order, or of one list of rooms, in one go: a tracker that goes on after that lies. */
const MOST_PAGES = 1000;

export type RoomOrderOptions = {
  ledger: Ledger;
  /** Peer ids of the trackers that this node announces to, the preferred one first. */
  homes: () => readonly string[];
  log: Log;
  /** Something new is to be given to others. */
  onOrder: (state: RoomState) => void;
};

export class RoomOrder implements AsyncDisposable {
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
  /** What a tracker pushed in this tick, by room. */
  readonly #pushed = new Map<string, Ordered[]>();
  /** Rooms whose order is to be fetched, and up to which number. */
  readonly #queued = new Map<string, { number: number }>();
  #under = 0;
  readonly #stop = new AbortController();

  constructor({ ledger, homes, log, onOrder }: RoomOrderOptions) {
    this.#ledger = ledger;
    this.#homes = homes;
    this.#log = log;
    this.#onOrder = onOrder;
  }

  /** Tries now what waits for a tracker. Throws what the own change was refused with; else it is ordered, or waits on. */
  async attempt(home: string, id: string): Promise<void> {
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

  /** Whether nothing is under way, and nothing to be tried again. */
  get isQuiet(): boolean {
    const waiting = [this.#refused, this.#retries, this.#pushed, this.#queued];
    return this.#under === 0 && waiting.every(({ size }) => size === 0);
  }

  /** Runs `work` after all that is under way with this tracker. What fails is logged, and tried again with its cause. */
  #turn(home: string, work: (link: Link) => Promise<void>): Promise<void> {
    const before = this.#turns.get(home) ?? Promise.resolve();
    this.#under += 1;
    const turn = before.then(async () => {
      const link = this.#links.get(home);
      try {
        if (!link?.open || this.#stop.signal.aborted) return;
        await work(link);
        this.#retries.delete(home);
      } catch (error) {
        const fault = toFault(error, 'talking about rooms');
        if (fault.code === 'internal') this.#log.error({ err: error, tracker: home }, 'rooms failed by a defect');
        else this.#log.info({ tracker: home, code: fault.code, reason: fault.message }, 'rooms wait for a tracker');
        if (link?.open && fault.retry) void this.#again(home);
      } finally {
        this.#under -= 1;
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
      const next = this.#ledger.rooms.nextWaiting(link.peer, this.#ledger.self);
      if (!next) return;
      const state = this.#ledger.rooms.state(next.conversation);
      if (!state) throw new Fault('corrupt', `ordering a change: the room "${next.conversation}" is not known here`);
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
    for (const id of this.#ledger.replica.roomsOf(this.#ledger.self)) {
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
    if (first) this.#takePushed(link.peer, first.conversation); // came before it
    const known = first && this.#ledger.rooms.state(first.conversation);
    // What was ordered in between by others comes first.
    if (known && first.number > known.number + 1) return await this.#fetch(link, first.conversation, known.number);
    this.#take(creation, given);
  }

  #take(creation: Creation, given: readonly Ordered[]): RoomState {
    const known = this.#ledger.rooms.state(roomId(creation));
    const state = this.#ledger.takeOrder(creation, given);
    // Where many share the room, the others hear of it from the same tracker; they have it by now.
    if (!this.#ledger.replica.isShared || state !== known) this.#onOrder(state);
    return state;
  }

  /** Takes what a home tracker pushes: all of one tick together. */
  pushed(link: Link, home: string, ordered: Ordered): void {
    if (link.peer !== home || this.#links.get(home) !== link) return; // only a tracker of this node is listened to
    const id = ordered.conversation;
    const state = this.#ledger.rooms.state(id);
    if (state && state.creation.home !== home) return;
    const given = this.#pushed.get(id);
    if (given) {
      // What does not fit is fetched, with the last one that came.
      if (given.length >= LOG_PAGE) given.pop();
      given.push(ordered);
      return;
    }
    this.#pushed.set(id, [ordered]);
    setImmediate(() => {
      if (!this.#stop.signal.aborted) this.#takePushed(home, id);
    });
  }

  #takePushed(home: string, id: string): void {
    const given = this.#pushed.get(id) ?? [];
    this.#pushed.delete(id);
    const state = this.#ledger.rooms.state(id);
    const gap = given.findIndex(({ number }, at) => number > (given[at - 1]?.number ?? state?.number ?? 0) + 1);
    const next = gap < 0 ? given : given.slice(0, gap);
    try {
      if (state && next.length > 0) this.#take(state.creation, next);
    } catch (error) {
      const { code, message } = toFault(error, 'taking a change of a room');
      this.#log.warn({ tracker: home, code, reason: message }, 'a tracker’s change of a room is not taken');
      return;
    }
    const last = given.at(-1)?.number ?? 0;
    if (!state || gap >= 0) this.#fetchSoon(home, id, last);
  }

  /** Fetches a room's order up to a number, once for all that is wanted of it until then. */
  #fetchSoon(home: string, id: string, number: number): void {
    const queued = this.#queued.get(id);
    if (queued) {
      queued.number = Math.max(queued.number, number);
      return;
    }
    const wanted = { number };
    this.#queued.set(id, wanted);
    const begin = (): void => {
      if (this.#queued.get(id) === wanted) this.#queued.delete(id);
    };
    void this.#turn(home, async (link) => {
      begin(); // what is pushed from now on may be ordered after the answer was made
      const known = this.#ledger.rooms.state(id)?.number ?? 0;
      if (known < wanted.number) await this.#fetch(link, id, known);
    }).finally(begin);
  }

  /**
   * Takes a part of the order from anybody: it proves itself. A room that is not known yet only where its home is one of
   * this node's trackers, and the part shows that this account has to do with it. Throws `forbidden` and what `takeOrder`
   * throws.
   */
  given(creation: Creation, ordered: readonly Ordered[]): { conversation: string; number: number } {
    if (!this.#ledger.rooms.state(roomId(creation))) {
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

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Fault('cancelled', 'the node stops'));
    await Promise.all(this.#turns.values());
  }
}
