/** Many accounts on one node: one store, one replica of each conversation, one connection to each other node and tracker. */
import { Budget } from '../base/async.ts';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { Store } from '../base/sqlite.ts';
import type { ChatEvent, RoomEvent, RoomEventType } from '../chat/ledger.ts';
import type { Stored } from '../chat/log.ts';
import { Replica } from '../chat/replica.ts';
import { ChatService } from '../chat/service.ts';
import type { Person } from '../directory/client.ts';
import { parseHandle } from '../directory/handle.ts';
import { Router } from '../link/router.ts';
import { EventLog, type Follow, type NodeEvent } from './events.ts';
import { homePaths } from './home.ts';
import { HostedAccount } from './hosted-account.ts';
import { HostedKeys } from './hosted-keys.ts';
import type { Node } from './node.ts';
import { matcher } from './patterns.ts';
import { personView, roomEventView } from './views.ts';

/** What happened, told once for all hosted accounts. */
export type HouseEvent =
  | { type: 'message'; stored: Stored; to: readonly string[] }
  | { type: 'invited'; event: RoomEvent; account: string }
  | { type: 'room'; event: RoomEvent; to: readonly string[] }
  | { type: 'people'; person: Person };

/** Channels to trackers that are opened at once: each costs both sides a signature and a check of one. */
const OPENING = 64;
/** Channels that may wait for that. */
const MOST_WAITING = 100_000;

/** Milliseconds between two looks for accounts whose ends of conversations may rest. */
const REST_CHECK_MS = 1000;

/** Events of a message that concern all hosted members of its conversation; what one of them sent the others have received. */
const FOR_ALL = new Set<ChatEvent>([
  'message.sent',
  'message.received',
  'message.edited',
  'message.deleted',
  'message.reaction',
]);

/** What people decide about each other is their nodes'; a hosted account has decided nothing. */
const viewOf = ({ node, handleOf }: Pick<House, 'node' | 'handleOf'>, person: Person) =>
  personView(person, {
    autoAccept: null,
    autoAcceptInto: null,
    mark: { verified: null, blocked: false },
    keyChanged: node.directory.conflict(person.handle)?.shown ?? null,
    handle: handleOf(person.account),
  });

export type HouseOptions = { clock: Clock; log: Log };

export class House implements AsyncDisposable {
  readonly node: Node;
  readonly zone: string;
  readonly store: Store;
  readonly replica: Replica;
  readonly events: EventLog;
  readonly keys: HostedKeys;
  readonly router: Router;
  readonly clock: Clock;
  readonly log: Log;
  readonly opening = new Budget(OPENING, { queue: MOST_WAITING });
  /** Accounts that have their ends of conversations in memory. */
  readonly talking = new Set<HostedAccount>();
  readonly #byName = new Map<string, HostedAccount>();
  readonly #byAccount = new Map<string, HostedAccount>();
  readonly #claims = new Map<string, Promise<HostedAccount>>();
  readonly #listeners = new Set<(event: HouseEvent) => void>();
  /** Hosted accounts among the members of a conversation, kept as long as these are. */
  readonly #hosted = new WeakMap<readonly string[], readonly string[]>();
  readonly #resources = new AsyncDisposableStack();

  private constructor(node: Node, { clock, log }: HouseOptions, store: Store) {
    this.node = node;
    this.zone = parseHandle(node.handle, '').zone;
    this.clock = clock;
    this.log = log.child({ room: 'hosting' });
    this.store = store;
    this.keys = new HostedKeys(store, node.accountKey.derive('hosting'));
    this.events = new EventLog(store, clock);
    this.replica = new Replica(store, {
      hosts: (account) => this.#byAccount.has(account),
      ledger: (account) => this.#account(account).chat.ledger,
      signature: (entry) => this.#account(entry.author).signature(entry),
    });
    this.router = new Router({ admit: (link) => node.introduce(link), settled: () => store.settled() });
    ChatService.attachAll(this.router, (link) => this.#account(link.own?.account ?? '').chat);
  }

  /** Opens the store beside that of the node, which is to be ended after this. Throws `corrupt`, `unwritable`, `disk_full`. */
  static async start(node: Node, options: HouseOptions): Promise<House> {
    const store = new Store(homePaths(node.home).hosted);
    const house = new House(node, options, store);
    try {
      house.#start();
      return house;
    } catch (error) {
      await house[Symbol.asyncDispose]();
      throw error;
    }
  }

  #start(): void {
    this.#resources.use(this.store);
    this.#resources.use(this.events);
    this.keys.migrate();
    this.replica.migrate();
    for (const row of this.keys.all()) this.#seat(new HostedAccount(this, row));
    this.node.hosts = (account) => this.#byAccount.get(account)?.end;
    this.#resources.defer(() => {
      this.node.hosts = () => undefined;
    });
    this.#resources.defer(async () => {
      await Promise.all([...this.#byAccount.values()].map((account) => account[Symbol.asyncDispose]()));
    });
    this.#resources.defer(
      this.node.onTrackers(() => {
        for (const account of this.#byAccount.values()) account.trackersChanged();
      }),
    );
    this.#resources.defer(
      this.node.onMoved(() => {
        for (const account of this.#byAccount.values()) account.moved();
      }),
    );
    this.#resources.defer(
      this.node.directory.onChange((change) => {
        if (change.type === 'key_changed') return;
        this.#tell({ type: 'people', person: change.person });
        if (change.person.status === 'offline' || this.#byAccount.has(change.person.account)) return;
        this.#isThere(change.person.account);
      }),
    );
    const resting = setInterval(() => {
      for (const account of this.talking) account.rest();
    }, REST_CHECK_MS).unref();
    this.#resources.defer(() => clearInterval(resting));
    for (const account of this.replica.waiting()) this.#byAccount.get(account)?.resume();
  }

  #seat(account: HostedAccount): void {
    this.#byName.set(account.name, account);
    this.#byAccount.set(account.account, account);
  }

  #account(id: string): HostedAccount {
    const found = this.#byAccount.get(id);
    if (found) return found;
    throw new Fault('unknown_id', `looking for the hosted account "${id}": there is none`);
  }

  /** What waits for somebody on another node is tried now. */
  #isThere(account: string): void {
    for (const author of this.replica.authorsWaitingFor(account)) {
      this.#byAccount.get(author)?.chat.peerOnline(account);
    }
  }

  /** See `Hosting.open`. */
  async open(given: string): Promise<HostedAccount> {
    const { handle, zone } = parseHandle(given, this.zone); // throws what is wrong with it
    if (zone !== this.zone) {
      throw new Fault('invalid_argument', `hosting "${given}": names of the zone "${this.zone}" are hosted here`);
    }
    const name = handle.slice(0, handle.indexOf('@'));
    const known = this.#byName.get(name);
    if (known?.row.isClaimed) return known;
    let claiming = this.#claims.get(name);
    if (!claiming) {
      claiming = this.#claim(name, known).finally(() => this.#claims.delete(name));
      this.#claims.set(name, claiming);
    }
    return await claiming;
  }

  async #claim(name: string, known: HostedAccount | undefined): Promise<HostedAccount> {
    // Before the tracker hears of the key: one that it has bound to the name and that is lost here is lost for good.
    const account = known ?? new HostedAccount(this, this.keys.add(name, this.clock.now()));
    await this.store.settled();
    this.#seat(account);
    try {
      await account.claim();
    } catch (error) {
      if (error instanceof Fault && error.code === 'name_taken') {
        this.keys.remove(name);
        this.#byName.delete(name);
        this.#byAccount.delete(account.account);
        await account[Symbol.asyncDispose]();
      }
      throw error;
    }
    this.keys.claimed(name);
    account.row.isClaimed = true;
    return account;
  }

  get(account: string): HostedAccount | undefined {
    return this.#byAccount.get(account);
  }

  names(): string[] {
    return [...this.#byName.values()]
      .filter(({ row }) => row.isClaimed)
      .map(({ name }) => name)
      .sort();
  }

  readonly handleOf = (account: string): string => this.#byAccount.get(account)?.handle ?? this.node.handleOf(account);

  /** A hosted account by its id, its handle or its name. */
  personOf(who: string): Person | undefined {
    const text = who.trim().toLowerCase();
    const [name = '', zone = this.zone] = text.split('@');
    const found = this.#byAccount.get(text) ?? (zone === this.zone ? this.#byName.get(name) : undefined);
    return found?.row.isClaimed ? found.me : undefined;
  }

  /** As nobody in particular sees somebody. */
  readonly personView = (person: Person) => viewOf(this, person);

  /** Everybody whom the trackers list. */
  people(): Person[] {
    return this.node.directory
      .list()
      .map((person) => this.#byAccount.get(person.account)?.me ?? { ...person, me: false });
  }

  /** Who looks after a room that changed: the one who heard of it where they are in it, else another who is. */
  speaker(account: HostedAccount, conversation: string): HostedAccount {
    const members = this.replica.entries.conversation(conversation)?.members ?? [];
    if (members.includes(account.account)) return account;
    const seats = this.#hostedOf(members).flatMap((id) => this.#byAccount.get(id) ?? []);
    return seats.find(({ online }) => online) ?? seats[0] ?? account;
  }

  #hostedOf(members: readonly string[]): readonly string[] {
    let hosted = this.#hosted.get(members);
    if (!hosted) {
      hosted = members.filter((account) => this.#byAccount.has(account));
      this.#hosted.set(members, hosted);
    }
    return hosted;
  }

  /** Something became of an entry, in the transaction that makes it so. One row of the log is for all whom it concerns. */
  told(account: HostedAccount, type: ChatEvent, stored: Stored): void {
    const entry = stored.id; // which says the rest
    this.events.emit(type, FOR_ALL.has(type) ? { entry } : { entry, account: account.account });
    if (type !== 'message.sent' && type !== 'message.received') return;
    const to = this.#hostedOf(this.replica.entries.conversation(stored.entry.conversation)?.members ?? []);
    this.store.afterCommit(() => this.#tell({ type: 'message', stored, to }));
  }

  roomChanged(type: RoomEventType, event: RoomEvent): void {
    const { conversation, by, target } = event;
    const one = type === 'room.invited' ? target : type === 'room.created' || type === 'room.refused' ? by : null;
    this.events.emit(type, { conversation, room: event, ...(one !== null && { account: one }) });
    if (type === 'room.invited' && target !== null) {
      return this.store.afterCommit(() => this.#tell({ type: 'invited', event, account: target }));
    }
    const state = this.replica.rooms.state(conversation);
    const about = new Set([...(state?.members.keys() ?? []), ...(state?.invited.keys() ?? []), by, target ?? by]);
    const to = [...about].filter((each) => this.#byAccount.has(each));
    this.store.afterCommit(() => this.#tell({ type: 'room', event, to }));
  }

  /** Hears of everything once. The result ends it. */
  on(listener: (event: HouseEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tell(event: HouseEvent): void {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        this.log.error({ err: error, type: event.type }, 'a door failed at what it was told'); // others still hear of it
      }
    }
  }

  /** Events of one account, each with the view that it has now. */
  async *follow(account: HostedAccount, { match, ...options }: Follow): AsyncGenerator<NodeEvent, void, void> {
    const fits = matcher(match);
    for await (const event of this.events.follow(options)) {
      const seen = this.#view(account, event, fits);
      if (seen) yield { ...event, ...seen };
    }
  }

  /** An event as an account sees it; undefined where it does not concern it, or does not fit. */
  #view(
    account: HostedAccount,
    { type, data }: NodeEvent,
    fits: ReturnType<typeof matcher>,
  ): Pick<NodeEvent, 'type' | 'data'> | undefined {
    const { account: only, conversation, entry, room } = data;
    if (only !== undefined && only !== account.account) return undefined;
    if (typeof entry === 'string') {
      const stored = account.chat.history.find(entry);
      const isOwn = stored?.entry.author === account.account;
      if (!stored || (type === 'message.received' && isOwn)) return undefined;
      const seen = type === 'message.sent' && !isOwn ? 'message.received' : type;
      if (!fits({ type: seen, data: { conversation: stored.entry.conversation } })) return undefined;
      return { type: seen, data: account.messageView(account.chat.history.show(entry)) };
    }
    if (!fits({ type, data: { id: conversation } }) || !account.chat.rooms.has(String(conversation))) return undefined;
    return { type, data: roomEventView(room as RoomEvent, this.handleOf) }; // as `roomChanged` wrote it
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}
