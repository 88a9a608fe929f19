/** A node: its keys, its port, its links, and the protocols on them. The composition root; it alone knows everyone. */
import { deadline, sleep } from '../base/async.ts';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { interfaceIps, watchInterfaces } from '../base/interfaces.ts';
import { Lock } from '../base/lock.ts';
import type { Log } from '../base/log.ts';
import { Store } from '../base/sqlite.ts';
import type { Summary } from '../chat/history.ts';
import type { Message } from '../chat/message.ts';
import { isPresent, type Room } from '../chat/rooms.ts';
import { ChatService, type ChatSignal } from '../chat/service.ts';
import { DirectoryClient, type Person } from '../directory/client.ts';
import { BAD_MS } from '../directory/dialback.ts';
import type { ChosenTracker } from '../directory/invite.ts';
import { MOST_ADDRESSES, type PresentStatus } from '../directory/record.ts';
import type { TierTimes } from '../directory/tiers.ts';
import { dialZonesWith, namesWith } from '../directory/zone-dial.ts';
import { FileService } from '../files/service.ts';
import type { Transfer } from '../files/transfer.ts';
import { ACCOUNT_HEADER, encodeAccount, ticket } from '../files/wire.ts';
import { formatAddress, scopeOf } from '../link/address.ts';
import { type Binding, bind } from '../link/binding.ts';
import { type Identity, loadIdentity } from '../link/certificate.ts';
import { acceptChannels, type ChannelEnd } from '../link/channel.ts';
import { dialTracker } from '../link/dial-tracker.ts';
import { type HelloInfo, PROTOCOL } from '../link/hello.ts';
import { type Key, loadOrCreateKey, pinOf } from '../link/identity.ts';
import type { Link } from '../link/link.ts';
import { Listener } from '../link/listen.ts';
import { MOST_BATCH } from '../link/message.ts';
import { Router } from '../link/router.ts';
import { Sessions } from '../link/sessions.ts';
import type { AscentPace } from '../reach/ascents.ts';
import { hear } from '../reach/hearing.ts';
import type { Advert } from '../reach/lan.ts';
import { PortMapping } from '../reach/mapping.ts';
import { natSeenBy } from '../reach/nat-seen.ts';
import { networks } from '../reach/networks.ts';
import { Punch } from '../reach/punch.ts';
import { Relay, type RelayTracker } from '../reach/relay.ts';
import { Signals } from '../reach/signals.ts';
import { type Backup, sweepDrafts, writeBackup } from './backup.ts';
import { Contacts, type PresenceScope } from './contacts.ts';
import { Doorkeeper } from './doorkeeper.ts';
import { EventLog } from './events.ts';
import { createHome, homePaths } from './home.ts';
import { Marks } from './marks.ts';
import { Neighbours } from './neighbours.ts';
import { NetworkDesk } from './network.ts';
import { Peers, type Whereabouts } from './peers.ts';
import { Presence } from './presence.ts';
import { type InsideTracker, TrackerDesk } from './trackers.ts';
import { conversationView, fileView, linkView, messageView, personView, roomEventView, roomView } from './views.ts';
import { Webhooks } from './webhooks.ts';
import { ZoneDesk } from './zones.ts';

export type NodeOptions = {
  /** Folder of everything that the node knows and is. */
  home: string;
  /** `name@zone`. */
  handle: string;
  /** IP to listen on; default: all of this machine's. */
  host?: string | undefined;
  /** 0 for any free one. */
  port: number;
  trackers: readonly ChosenTracker[];
  /** Where the one tracker runs in this process. */
  inside?: InsideTracker | undefined;
  /** PEM of an authority that signed for the proxy of a tracker, beside the known ones. */
  trackerCa?: string | undefined;
  /** For tests. */
  tierTimes?: TierTimes | undefined;
  /** For tests: how soon nearer ways to a peer are tried again. */
  ascents?: Partial<AscentPace> | undefined;
  /** DNS servers, IP or IP:port, that are asked for zones out in the world; default: the machine's; null: none. */
  dns?: readonly string[] | null | undefined;
  /** Who may see that the user is here; default: the zone. */
  presence?: PresenceScope | undefined;
  /** Milliseconds without a use of any door after which the user is away; null, the default: never. */
  awayAfterMs?: number | null | undefined;
  /** Hosts beside this machine to which webhooks may post: `hooks.example.org`, or with a port. */
  webhookTargets?: readonly string[] | undefined;
  /** Whether nodes and trackers of its networks are looked for, and hear of this one; default: they do not. */
  lan?: boolean | undefined;
  /** Who else is to be found there in this process, such as a tracker inside. */
  alsoHere?: (() => readonly Advert[]) | undefined;
  /** Whether the router is asked to let others in from outside; default: it is not. */
  portMapping?: boolean | undefined;
  /** Name and version, said in hello. */
  software: string;
  clock: Clock;
  log: Log;
};

/** Another account that is hosted here, as whoever opens a channel to it meets it. */
export type HostedEnd = ChannelEnd & { onLink(link: Link): void };

/** Milliseconds by which two clocks may disagree about a minute. */
const SLACK_MS = 2000;

/** Milliseconds that the first request of an unknown account waits for the directory to say who it is. */
const INTRODUCE_MS = 2000;

/** Everything inside a running node, for its doors. */
export class Node implements AsyncDisposable {
  readonly account: string;
  readonly id: string;
  readonly home: string;
  readonly since: number;
  /** This node's key as TLS clients without an authority pin it: `sha256//` and base64. */
  readonly pin: string;
  readonly directory: DirectoryClient;
  readonly chat: ChatService;
  readonly files: FileService;
  readonly peers: Peers;
  readonly neighbours: Neighbours;
  /** Undefined where the router is not asked. */
  readonly mapping: PortMapping | undefined;
  readonly events: EventLog;
  readonly marks: Marks;
  readonly contacts: Contacts;
  readonly presence: Presence;
  readonly doorkeeper: Doorkeeper;
  readonly webhooks: Webhooks;
  readonly zones: ZoneDesk;
  readonly network: NetworkDesk;
  readonly trackers: TrackerDesk;
  /** What nodes ask each other by way of trackers. */
  readonly signals: Signals;
  /** Holes in what stands between this node and others. */
  readonly punch: Punch;
  /** Settles when all that was written so far survives a power cut; undefined if it does already. */
  readonly settled: () => Promise<void> | undefined;
  readonly #listener: Listener;
  readonly #relay: Relay;
  readonly #binding: () => Binding;
  readonly #options: NodeOptions;
  readonly store: Store;
  readonly identity: Identity;
  readonly accountKey: Key;
  #backingUp = false;
  readonly #resources: AsyncDisposableStack;
  readonly #stop = new AbortController();
  readonly #introductions = new WeakMap<Link, Promise<void>>();
  readonly #trackersShown = new Map<string, string>();
  #announcedTo: ReadonlySet<string> = new Set();
  readonly #trackerListeners = new Set<() => void>();
  readonly #moveListeners = new Set<() => void>();
  /** Who else is hosted here, beside the account that is this node's own. */
  hosts: (account: string) => HostedEnd | undefined = () => undefined;

  private constructor(parts: {
    options: NodeOptions;
    identity: Identity;
    account: Key;
    store: Store;
    resources: AsyncDisposableStack;
  }) {
    const { options, identity, account, store, resources } = parts;
    const { clock, log, handle } = options;
    this.#options = options;
    this.store = store;
    this.identity = identity;
    this.accountKey = account;
    this.#resources = resources;
    this.account = account.id;
    this.id = identity.id;
    this.home = options.home;
    this.since = clock.now();
    this.pin = pinText(identity.id);

    const binding = (): Binding => bind(account, this.handle, identity.id, clock.now());
    const self = (): HelloInfo => ({
      protocol: PROTOCOL,
      software: options.software,
      role: 'node',
      account: binding(),
      batch: MOST_BATCH,
    });
    const sessions = new Sessions();
    const router = new Router({ admit: (link) => this.introduce(link), settled: () => store.settled() });

    this.#binding = binding;
    this.settled = () => store.settled();
    this.events = new EventLog(store, clock);
    this.doorkeeper = new Doorkeeper({ store, clock, account: account.id });
    this.webhooks = new Webhooks({
      store,
      events: this.events,
      targets: options.webhookTargets ?? [],
      clock,
      log: log.child({ room: 'webhooks' }),
    });
    this.marks = new Marks(store, clock);
    const blocked = (who: string): boolean => this.marks.of(who).blocked;
    const own: HostedEnd = {
      router,
      self,
      refuses: (info) => info.account !== null && blocked(info.account.account),
      onLink: (link) => this.peers.take(link),
    };
    this.#listener = new Listener({ host: options.host, port: options.port, identity, clock, log, ...own });
    this.peers = new Peers({
      identity,
      sessions: new Sessions(),
      router,
      self,
      clock,
      log,
      blocked,
      locate: (who, wait) => this.#locate(who, wait),
      detours: (to) => [...this.punch.ways(to), ...this.#relay.ways(to)],
      pace: options.ascents,
      onUp: (link, who, before) => {
        if (this.directory.nearby.isMet(who)) void this.neighbours.metBy(link);
        this.chat.linkUp(link);
        this.files.linkUp(link);
        const shown = { ...this.linkView(link), account: who };
        if (before && before.rung !== link.rung) this.events.emit('link.rung', { ...shown, before: before.rung });
        else this.events.emit('link.up', shown);
      },
      onDown: (link, who) => {
        this.directory.nearby.parted(who);
        this.events.emit('link.down', { ...this.linkView(link), account: who });
      },
    });
    this.directory = new DirectoryClient({
      trackers: options.trackers,
      dial: (address, expect, signal) =>
        dialTracker({ address, expect, identity, router, self, clock, log, signal, sessions, ca: options.trackerCa }),
      needed: (peer) => this.#isHome(peer),
      tierTimes: options.tierTimes,
      account,
      handle,
      node: identity.id,
      addresses: () => this.addresses,
      zones: {
        dial: dialZonesWith({ identity, router, self, clock, log }),
        names: namesWith({ dns: options.dns, identity }),
      },
      store,
      clock,
      log: log.child({ room: 'directory' }),
      onTrackers: () => this.#trackersChanged(),
      onRenamed: () => {
        this.neighbours.changed();
        this.events.emit('person.changed', this.personView(this.directory.me()));
      },
      neighboursOf: (name) => this.neighbours.named(name),
      meetNearby: (wanted, wait) => this.neighbours.meet(wanted, wait),
    }).attach(router);
    this.signals = new Signals({
      trackersOf: (who, wait) => this.directory.trackersOf(who, wait),
      isOwnTracker: (link) => this.directory.isOwnTracker(link),
      hosts: (who) => who === account.id || this.hosts(who) !== undefined,
      blocked,
    }).attach(router);
    const placed = (link: Link): RelayTracker => {
      const { address, zone } = this.directory.placeOf(link);
      return { link, address, name: zone ?? address };
    };
    this.#relay = new Relay({
      identity,
      signals: this.signals,
      trackersOf: async (who, wait) => (await this.directory.trackersOf(who, wait)).map(placed),
      likeliest: (who) => this.directory.mailbox(who).links.map(placed)[0],
      trackerOf: (link) => (this.directory.isOwnTracker(link) ? placed(link) : undefined),
      take: (stream, origin) => this.#listener.take(stream, origin),
      ca: options.trackerCa,
      sessions,
      log: log.child({ room: 'reach' }),
    });
    this.punch = new Punch({
      identity,
      signals: this.signals,
      trackersOf: (who, wait) => this.directory.trackersOf(who, wait),
      own: () => this.directory.ownLinks(),
      take: (stream, origin) => this.#listener.take(stream, origin),
      clock,
      log: log.child({ room: 'punch' }),
    }).attach();
    this.neighbours = new Neighbours({
      directory: this.directory,
      peers: this.peers,
      on: options.lan ?? false,
      host: options.host,
      adverts: () => this.#adverts(),
      heard: (who) => {
        this.chat.peerOnline(who);
        this.files.peerOnline(who);
      },
      clock,
      log: log.child({ room: 'lan' }),
    });
    this.mapping = this.#maps()
      ? new PortMapping({
          port: () => this.port,
          onChange: () => void this.#mapped(this.#stop.signal),
          clock,
          log: log.child({ room: 'mapping' }),
        })
      : undefined;
    this.zones = new ZoneDesk(this.directory);
    this.trackers = new TrackerDesk({ home: options.home, directory: this.directory, inside: options.inside });
    this.chat = new ChatService({
      account,
      handle: () => this.handle,
      store,
      clock,
      log: log.child({ room: 'chat' }),
      blocked,
      reach: (who, wait) => this.peers.reach(who, wait),
      post: {
        isAway: (who) => this.directory.isAway(who),
        mailbox: async (who, wait) => {
          if (!this.directory.get(who)) await this.lookUp(who, wait.signal);
          return await this.directory.mailboxOf(who, wait);
        },
        introduce: async (who, { signal }, claim) => {
          if (this.directory.get(who)) return;
          if (claim !== undefined) await this.directory.meet(who, claim, { signal });
          else await this.lookUp(who, signal);
        },
      },
      emit: (type, message) => {
        this.events.emit(type, this.messageView(message));
        if (type === 'message.sent') store.afterCommit(() => this.contacts.wrote(message.to));
      },
      emitRoom: (type, change) => this.events.emit(type, roomEventView(change, this.handleOf)),
      abroad: (who) => this.directory.isForeign(who),
      homes: () => this.directory.trackers(),
      handleOf: this.handleOf,
      signal: (signal) => this.#signalled(signal),
    });
    this.files = new FileService({
      binding,
      store,
      downloads: homePaths(options.home).downloads,
      key: identity.key,
      outgoing: homePaths(options.home).outgoing,
      bulk: (who, wait) => this.peers.bulk(who, wait),
      reach: (who, wait) => this.peers.reach(who, wait),
      messages: () => this.peers.traffic,
      offer: async (who, ticket, { recorded }) =>
        store.transaction(() => {
          const { id } = this.chat.offerFile(who, ticket);
          recorded(id);
          return { entryId: id };
        }),
      audience: this.chat.rooms,
      members: (entry) => this.chat.membersOf(entry),
      clock,
      log: log.child({ room: 'files' }),
      blocked,
      emit: (type, transfer) => this.events.emit(type, this.fileView(transfer)),
    });
    this.network = new NetworkDesk({
      directory: this.directory,
      peers: this.peers,
      chat: this.chat,
      files: this.files,
      addresses: () => this.addresses,
      hear: (wait) => hear({ networks: options.lan ? networks(options.host) : [], log, ...wait }),
      nat: ({ signal = new AbortController().signal }) => {
        const trackers = this.directory
          .ownLinks()
          .map((link) => ({ ...this.directory.placeOf(link), peer: link.peer }));
        return natSeenBy(trackers, { identity, log, signal });
      },
    });
    this.contacts = new Contacts({
      self: account.id,
      store,
      marks: this.marks,
      directory: this.directory,
      chat: this.chat,
      files: this.files,
      peers: this.peers,
      scope: options.presence ?? 'zone',
      log,
      emit: (type, data) => this.events.emit(type, data),
      changed: (who) => {
        const person = this.directory.get(who);
        if (person) this.events.emit('person.changed', this.personView(person));
      },
    });
    this.presence = new Presence({
      store,
      clock,
      awayAfterMs: options.awayAfterMs ?? null,
      apply: ({ status, text }) => {
        this.directory.setStatus(status, text).catch((error: unknown) => {
          log.info({ err: error }, 'trackers hear of the status when they take the next record');
        });
        try {
          this.events.emit('person.changed', this.personView(this.directory.me()));
        } catch (error) {
          log.error({ err: error }, 'an event was not kept'); // a full disk is no reason to stop the clock
        }
      },
    });
    this.chat.attach(router);
    this.files.attach(router);
    acceptChannels(router, {
      end: (to) => (to === account.id ? own : this.hosts(to ?? '')),
      clock,
      log,
    });
    this.#listener.route('/blobs/', this.files.handler);
  }

  /**
   * Opens the home and starts. Throws `agent_running`, `corrupt`, `unwritable`, `disk_full`, `port_taken`; what is open
   * by then is closed again.
   */
  static async start(options: NodeOptions): Promise<Node> {
    await using opened = new AsyncDisposableStack();
    const paths = homePaths(options.home);
    await createHome(options.home);
    opened.use(Lock.take(paths.lock, 'agent'));
    await sweepDrafts(options.home);
    const [identity, account] = await Promise.all([loadIdentity(paths.nodeKey), loadOrCreateKey(paths.accountKey)]);
    const store = opened.use(new Store(paths.store));
    const node = new Node({ options, identity, account, store, resources: opened.move() });
    try {
      await node.#start();
      return node;
    } catch (error) {
      await node[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #start(): Promise<void> {
    this.chat.onEntry((message) => {
      const parsed = ticket.safeParse(message.body);
      // A ticket of a later version, or a broken one, is shown as a message and offers nothing.
      if (message.kind !== 'file' || !parsed.success || this.marks.of(message.author).blocked) return;
      this.files.takeTicket({ entryId: message.id, from: message.author, ticket: parsed.data });
    });
    this.#resources.use(this.events);
    this.#resources.use(this.doorkeeper);
    this.#resources.use(this.webhooks);
    this.webhooks.start();
    this.directory.open();
    this.chat.start();
    await this.files.start();
    // Each is stopped before what it stands on: the directory first, the store and the lock last.
    this.#resources.use(this.chat);
    this.#resources.use(this.files);
    this.#resources.use(this.#listener);
    await this.#listener.start();
    this.#resources.use(this.#relay);
    this.#resources.use(this.punch);
    this.#resources.use(this.peers);
    this.directory.onChange((change) => {
      if (change.type === 'key_changed') return this.events.emit('person.key_changed', { ...change });
      const { person } = change;
      if (this.marks.of(person.account).blocked) return;
      this.events.emit(`person.${change.type}`, this.personView(person));
      if (person.status === 'offline') return;
      this.peers.heard(person.account, person.addresses);
      this.chat.peerOnline(person.account);
      this.files.peerOnline(person.account);
    });
    this.presence.start();
    this.#resources.use(this.presence);
    const { status, text } = this.presence.shown;
    this.directory.present(status, text);
    await this.contacts.start();
    this.#resources.use(this.directory);
    this.#resources.defer(() => this.#stop.abort());
    if (this.mapping) {
      const mapping = this.#resources.use(this.mapping);
      mapping.start(); // before the first announce: most routers answer sooner than a tracker dials back
    }
    this.directory.start();
    const { signal } = this.#stop;
    watchInterfaces({ onChange: (ips, why) => this.#moved(ips, why), signal, clock: this.#options.clock });
    this.#resources.use(this.neighbours);
    await this.neighbours.start();
    void this.directory
      .ready({ signal })
      .then(() => this.directory.followKnown(signal))
      .catch((error: unknown) => this.#options.log.debug({ err: error }, 'people of other zones are not followed'));
  }

  /** Tells trackers and peers, and finds out whether the ways to them still stand. [N-74] to [N-76] */
  #moved(ips: readonly string[], why: 'addresses' | 'slept'): void {
    this.#options.log.info({ ips, why }, 'this machine has moved: trackers and peers are told');
    const isHere = (ip: string): boolean => scopeOf(ip) === 'loopback' || /^fe80:/i.test(ip) || ips.includes(ip);
    this.mapping?.renew();
    this.directory.moved(isHere);
    this.peers.moved(isHere);
    for (const listener of this.#moveListeners) listener();
  }

  /** Name and version, said in hello. */
  get software(): string {
    return this.#options.software;
  }

  /** As the zone's tracker knows it: an admin may have renamed it. */
  get handle(): string {
    return this.directory.handle;
  }

  get port(): number {
    return this.#listener.port;
  }

  /** `host:port` at which others may try this node: of its interfaces, and the last one where its router lets them in. */
  get addresses(): string[] {
    const { host } = this.#options;
    const own = (isEverywhere(host) ? interfaceIps() : [host]).map((ip) =>
      formatAddress({ host: ip, port: this.port }),
    );
    const mapped = this.mapping?.address;
    return mapped === undefined ? own : [...own.slice(0, MOST_ADDRESSES - 1), mapped];
  }

  /** A router that maps a port maps it to an address that it sees. */
  #maps(): boolean {
    const { host, portMapping = false } = this.#options;
    return portMapping && (isEverywhere(host) || scopeOf(host) === 'private');
  }

  /**
   * The router lets others in elsewhere than before. A tracker that has tried just there before, in vain, tries again when it has
   * forgotten that.
   */
  async #mapped(signal: AbortSignal): Promise<void> {
    for (const waitMs of [0, BAD_MS + SLACK_MS]) {
      try {
        await sleep(waitMs, signal);
        await this.directory.announceNow({ signal });
      } catch (error) {
        if (signal.aborted) return;
        this.#options.log.info({ err: error }, 'trackers hear of the address when they take the next record');
      }
    }
  }

  /**
   * Handle of an account as the directory knows it, else the account id. One that has lost its handle to another key is
   * not to be taken for who has it now.
   */
  readonly handleOf = (account: string): string => {
    if (account === this.account) return this.handle;
    const person = this.directory.get(account);
    if (!person) return account;
    return person.former ? `${person.handle} (old key ${account.slice(0, 8)})` : person.handle;
  };

  /** How the user presents themself from now on, by hand. Throws as `DirectoryClient.setStatus` does. */
  async setStatus(status: PresentStatus, text: string, wait: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    this.directory.present(status, text); // throws before it is kept
    this.presence.say({ status, text });
    await this.directory.setStatus(status, text, wait);
  }

  /** Id of the file whose ticket a message carries. */
  readonly #fileOf = ({ id, author, to, conversation }: Message): string | undefined => {
    const recipient = this.chat.rooms.has(conversation) ? conversation : to[0];
    const [direction, peer] = author === this.account ? (['out', recipient] as const) : (['in', author] as const);
    return peer === undefined ? undefined : this.files.ofEntry(direction, peer, id)?.id;
  };

  readonly messageView = (message: Message) => messageView(message, this.handleOf, this.#fileOf);

  readonly roomView = (room: Room) => roomView(room, this.handleOf);

  readonly fileView = (transfer: Transfer) =>
    fileView(transfer, {
      self: this.account,
      handleOf: (id) => (this.chat.rooms.has(id) ? `#${this.chat.rooms.show(id).name}` : this.handleOf(id)),
      isVerified: (id) => this.marks.of(id).verified !== null && !this.#isKeyChanged(id),
      conversation: transfer.entry === null ? null : (this.chat.conversationOf(transfer.entry) ?? null),
      control: this.files.control.of(transfer.id),
      moving: this.files.control.moving(transfer.id),
    });

  #isKeyChanged(account: string): boolean {
    const person = this.directory.get(account);
    return person !== undefined && !person.former && this.directory.conflict(person.handle) !== undefined;
  }

  readonly conversationView = (summary: Summary) => conversationView(summary, this.handleOf, this.messageView);

  #signalled(signal: ChatSignal): void {
    if (signal.type === 'conversation.read') {
      const { last: _, ...shown } = this.conversationView(this.chat.history.conversation(signal.conversation));
      return this.events.emit(signal.type, { ...shown, upTo: signal.upTo });
    }
    const { type, conversation, account, on, until } = signal;
    this.events.emit(type, { conversation, from: this.handleOf(account), on, until: new Date(until).toISOString() });
  }

  readonly linkView = (link: Link) => linkView(link, this.handleOf, this.peers.missed(link));

  /** The link to an account, if there is one. */
  linkTo(account: string): ReturnType<typeof linkView> | null {
    const link = this.peers.links.get(account);
    return link?.open ? this.linkView(link) : null;
  }

  readonly personView = (person: Person) =>
    personView(person, {
      autoAccept: person.me ? null : this.files.autoAccept(person.account),
      autoAcceptInto: this.files.control.folderFor(person.account),
      mark: this.marks.of(person.account),
      keyChanged: (!person.me && !person.former && this.directory.conflict(person.handle)?.shown) || null,
      handle: this.handleOf(person.account),
    });

  /** Where the directory knows that an account is, and where it was heard of on this node's networks. */
  async #locate(who: string, wait: { signal?: AbortSignal | undefined }): Promise<Whereabouts> {
    const known = await this.directory.find(who, wait).catch((error: unknown) => {
      if (this.neighbours.of(who).length === 0) throw error;
      return undefined;
    });
    const heard = this.neighbours.of(who);
    const same = heard.filter(({ id }) => id === known?.node).flatMap(({ addresses }) => addresses);
    const addresses = [...new Set([...same, ...(known?.addresses ?? [])])];
    if (known && addresses.length > 0) return { node: known.node, addresses };
    const [other] = heard; // its node has another key than before, or somebody says so: the account shows in the handshake
    return other ? { node: other.id, addresses: other.addresses } : { node: known?.node ?? '', addresses };
  }

  /** What is said of this node on its networks: nothing where only those may see it to whom the user has written. [N-58] */
  #adverts(): Advert[] {
    const { software, presence, alsoHere } = this.#options;
    const { account, handle, id, port } = this;
    const own: Advert[] = presence === 'contacts' ? [] : [{ id, role: 'node', port, account, handle, software }];
    return [...own, ...(alsoHere?.() ?? [])];
  }

  /** All links: to trackers and to people. */
  links(): Link[] {
    return [...this.directory.links(), ...this.peers.links.values()];
  }

  /** So that a message of somebody new is shown with a handle that a tracker confirmed, if one can be asked. */
  introduce(link: Link): Promise<void> | undefined {
    const account = link.account?.account;
    if (account === undefined || this.directory.get(account)) return undefined;
    let introduced = this.#introductions.get(link);
    if (!introduced) {
      introduced = this.#whoIs(link, account);
      this.#introductions.set(link, introduced);
    }
    return introduced;
  }

  /** Whom no tracker knows says it themselves, where no tracker is to know them, or where they were heard of nearby. [N-57] */
  async #whoIs(link: Link, account: string): Promise<void> {
    await this.lookUp(account, link.signal, link.account?.handle);
    if (this.directory.get(account)) return;
    const isNear = this.neighbours.of(account).some(({ id }) => id === link.peer);
    if (isNear || this.directory.chosen.length === 0) await this.neighbours.metBy(link, { signal: link.signal });
  }

  /** Asks the trackers who an account is; what they do not know stays unknown. `claim`: the handle that it says of itself. */
  async lookUp(account: string, signal: AbortSignal | undefined, claim?: string): Promise<void> {
    using limit = deadline(INTRODUCE_MS, 'looking somebody up', signal);
    if (claim !== undefined) await this.directory.meet(account, claim, { signal: limit });
    if (this.directory.get(account)) return;
    try {
      await this.directory.find(account, { signal: limit });
    } catch (error) {
      this.#options.log.info({ account, err: error }, 'somebody is linked whom the directory does not know');
    }
  }

  /** Whether a tracker orders a room of this account's: what changes there is to be heard of at once. */
  #isHome(peer: string): boolean {
    return this.chat.rooms
      .list()
      .some(
        ({ home, closed, standing, waiting }) =>
          home === peer && !closed && (isPresent(standing) || waiting.length > 0),
      );
  }

  /** Tells of what changed for those who look at trackers from outside; an upstream's own steps are not their concern. */
  #trackersChanged(): void {
    for (const listener of this.#trackerListeners) listener();
    for (const link of this.directory.ownLinks()) this.chat.trackerUp(link);
    this.chat.trackersUp([...this.directory.links(), ...this.directory.foreignLinks()]);
    this.#trackersBack();
    for (const { peer, address, zone, tier, state, used, error } of this.directory.states()) {
      const [words, code] = [error?.message ?? null, error?.code ?? null];
      const shown = { peer, address, zone, tier, state, used, error: words, code };
      const text = JSON.stringify(shown);
      if (this.#trackersShown.get(peer) === text) continue;
      this.#trackersShown.set(peer, text);
      this.events.emit('tracker.changed', shown);
    }
  }

  /** Who is reached by a tracker alone is tried as soon as it has taken the record. */
  #trackersBack(): void {
    const now = this.directory.states().flatMap(({ peer, announced }) => (announced ? peer : []));
    const isMore = now.some((peer) => !this.#announcedTo.has(peer));
    this.#announcedTo = new Set(now);
    if (isMore) this.chat.wayBack();
  }

  /** Calls `listener` when a tracker came up or went down. The result ends it. */
  onTrackers(listener: () => void): () => void {
    this.#trackerListeners.add(listener);
    return () => this.#trackerListeners.delete(listener);
  }

  /** Calls `listener` when this machine has other addresses, or has slept. The result ends it. */
  onMoved(listener: () => void): () => void {
    this.#moveListeners.add(listener);
    return () => this.#moveListeners.delete(listener);
  }

  /** Writes all of this home to one file, while it is used. Throws `exists`, `unwritable`, `disk_full`, `too_many`. */
  async backup(file: string, passphrase: string | undefined): Promise<Backup> {
    if (this.#backingUp) throw new Fault('too_many', `writing the backup "${file}": another one is being written`);
    this.#backingUp = true;
    try {
      const { home, account, handle } = this;
      return await writeBackup({
        home,
        file,
        account,
        handle,
        store: this.store,
        passphrase,
        at: this.#options.clock.now(),
      });
    } finally {
      this.#backingUp = false;
    }
  }

  /** With what another program may fetch as this node, and where an offered file is. Throws `wrong_state`. */
  async certificate(offered: Transfer | undefined, wait: { signal?: AbortSignal | undefined }) {
    const { nodeKey } = homePaths(this.home);
    const binding = this.#binding();
    const own = {
      certificate: `${nodeKey}.crt`,
      key: nodeKey,
      header: `${ACCOUNT_HEADER}: ${encodeAccount(binding)}`,
      until: new Date(binding.until).toISOString(),
    };
    if (!offered) return { ...own, urls: [], files: [], pin: null };
    const { id, direction, peer } = offered;
    if (direction !== 'in') throw new Fault('wrong_state', `fetching the file "${id}": it is one that you send`);
    const { addresses, node } = await this.directory.find(peer, wait);
    const { path, files } = await this.files.control.addresses(id);
    const [first = ''] = addresses;
    return {
      ...own,
      urls: addresses.map((address) => `https://${address}${path}`),
      files: files.map((file) => ({ path: file.name, url: `https://${first}${file.path}` })),
      pin: pinText(node),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

const isEverywhere = (host: string | undefined): host is undefined | '::' | '0.0.0.0' =>
  host === undefined || host === '::' || host === '0.0.0.0';

const pinText = (node: string): string => `sha256//${pinOf(node) ?? ''}`;
