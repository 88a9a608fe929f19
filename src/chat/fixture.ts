/** Accounts with a chat service each, joined in memory, whose links can be cut and whose processes can die. For tests. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { Store } from '../base/sqlite.ts';
import { bind } from '../link/binding.ts';
import type { HelloInfo } from '../link/hello.ts';
import { Key } from '../link/identity.ts';
import type { Link } from '../link/link.ts';
import { pair } from '../link/pair.ts';
import { Router } from '../link/router.ts';
import type { Reach } from './courier.ts';
import type { ChatEvent, RoomEvent, RoomEventType } from './ledger.ts';
import type { Post } from './mailbox.ts';
import type { Message } from './message.ts';
import { Orderer } from './orderer.ts';
import type { Room } from './rooms.ts';
import { ChatService, type ChatSignal } from './service.ts';

type SeenRoom = { type: RoomEventType; event: RoomEvent };

/** A tracker that orders rooms, whose process can die. */
export class Home {
  readonly key = Key.generate();
  readonly file: string;
  readonly #world: World;
  #store: Store | undefined;
  router = new Router();
  readonly links = new Set<Link>();

  constructor(world: World, file: string) {
    this.#world = world;
    this.file = file;
  }

  get up(): boolean {
    return this.#store !== undefined;
  }

  /** A new process on the same file; everybody who runs links to it. */
  async boot(): Promise<void> {
    const store = new Store(this.file);
    const log = pino({ level: 'silent' });
    const orderer = new Orderer({ key: this.key, store, clock: { now: () => this.#world.now }, log });
    orderer.start();
    this.router = new Router();
    orderer.attach(this.router);
    this.#store = store;
    for (const person of this.#world.people.values()) await person.meet(this);
  }

  stop(): void {
    for (const link of this.links) link.close();
    this.links.clear();
    this.#store?.[Symbol.dispose]();
    this.#store = undefined;
  }

  get hello(): HelloInfo {
    return { protocol: { min: 1, max: 1 }, software: 'test', role: 'tracker', account: null };
  }
}

type Seen = { type: ChatEvent; message: Message };

/** Where everybody can be reached by account id, or cannot. */
export class World implements AsyncDisposable {
  readonly people = new Map<string, Person>();
  readonly #folder = mkdtempSync(join(tmpdir(), 'netapp-chat-'));
  /** Unix ms; moves only when a test moves it. */
  now = Date.UTC(2026, 0, 1);
  home: Home | undefined;

  /** A home tracker for rooms; people who come later link to it as well. */
  async tracker(): Promise<Home> {
    this.home = new Home(this, join(this.#folder, 'tracker'));
    await this.home.boot();
    return this.home;
  }

  async person(name: string, options: PersonOptions = {}): Promise<Person> {
    const key = options.key ?? Key.generate();
    const person = new Person(this, key, join(this.#folder, name), options);
    this.people.set(key.id, person);
    if (options.boot !== false) person.boot();
    if (this.home && options.boot !== false) await person.meet(this.home);
    return person;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const person of this.people.values()) await person.stop();
    this.home?.stop();
    rmSync(this.#folder, { recursive: true });
  }
}

type PersonOptions = {
  clock?: Clock;
  key?: Key;
  /** The node's key. */
  node?: Key;
  /** Whether the process runs at once; default true. */
  boot?: boolean;
  /** Where letters are left. */
  post?: (person: Person) => Post;
  /** Milliseconds; see `ChatOptions`. */
  relayMs?: number;
};

export class Person {
  readonly key: Key;
  readonly id: string;
  readonly node: Key;
  readonly clock: Clock;
  readonly events: Seen[] = [];
  readonly roomEvents: SeenRoom[] = [];
  readonly signals: ChatSignal[] = [];
  /** What the entry listener was given, by message id; a test may make it throw. */
  onEntry: (message: Message) => void = () => {};
  /** Called with each event, inside its transaction. */
  onEvent: (seen: Seen) => void = () => {};
  /** How this person reaches others; in memory unless a test says otherwise. */
  dial: Reach;
  /** What was logged, without particulars. */
  readonly logged: string[] = [];
  /** Accounts of which this person takes nothing. */
  readonly blocked = new Set<string>();
  /** Whether others can reach this person. */
  online = true;
  router = new Router();
  #chat: ChatService | undefined;
  #store: Store | undefined;
  #waiting: { done: () => boolean; resolve: () => void }[] = [];
  readonly links = new Set<Link>();
  readonly #world: World;
  readonly #post: Post | undefined;
  readonly #relayMs: number;
  readonly file: string;

  constructor(world: World, key: Key, file: string, options: PersonOptions) {
    this.#world = world;
    this.key = key;
    this.id = key.id;
    this.file = file;
    this.clock = options.clock ?? { now: () => world.now };
    this.node = options.node ?? Key.generate();
    this.dial = (account) => this.#reach(account);
    this.#post = options.post?.(this);
    this.#relayMs = options.relayMs ?? 20;
  }

  get chat(): ChatService {
    return this.#chat ?? raise('this person has no running process');
  }

  get store(): Store {
    return this.#store ?? raise('this person has no running process');
  }

  /** A new process on the same file. */
  boot(): void {
    const store = new Store(this.file);
    const chat = new ChatService({
      account: this.key,
      store,
      clock: this.clock,
      log: pino(
        { level: 'info' },
        {
          write: (line: string) => {
            this.logged.push(String(JSON.parse(line).msg));
            this.#look(); // a try that failed is logged
          },
        },
      ),
      blocked: (account) => this.blocked.has(account),
      reach: (account, options) => this.dial(account, options),
      post: this.#post,
      homes: () => (this.#world.home ? [this.#world.home.key.id] : []),
      relayMs: this.#relayMs,
      readMs: 20,
      emitRoom: (type, event) =>
        store.afterCommit(() => {
          this.roomEvents.push({ type, event });
          this.#look();
        }),
      signal: (signal) => {
        this.signals.push(signal);
        this.#look();
      },
      emit: (type, message) => {
        const seen = { type, message };
        this.onEvent(seen);
        store.afterCommit(() => {
          this.events.push(seen);
          this.#look();
        });
      },
    });
    this.router = new Router();
    chat.attach(this.router);
    chat.onEntry((message) => this.onEntry(message));
    this.#store = store;
    this.#chat = chat;
    chat.start();
  }

  /** Ends the process: links are cut, what is on disk stays. */
  async stop(): Promise<void> {
    for (const link of this.links) link.close();
    await this.#chat?.[Symbol.asyncDispose]();
    this.#store?.[Symbol.dispose]();
    this.#chat = undefined;
    this.#store = undefined;
  }

  /** Takes rows out of the file of a process that has ended: as if it had died before it wrote them. */
  erase(table: string, which = '1'): void {
    using store = new Store(this.file);
    store.prepare(`DELETE FROM ${table} WHERE ${which}`).run();
  }

  async restart(): Promise<void> {
    await this.stop();
    this.boot();
    if (this.#world.home) await this.meet(this.#world.home);
  }

  /** Links to the tracker, if both run. */
  async meet(home: Home): Promise<void> {
    if (!home.up || !this.#chat) return;
    const [near, far] = await pair(
      { router: this.router, self: this.hello, id: this.node.id },
      { router: home.router, self: home.hello, id: home.key.id },
    );
    home.links.add(far);
    this.links.add(near);
    void near.closed.then(() => this.links.delete(near));
    this.chat.trackersUp([near]);
  }

  /** Settles once a room looks so here. */
  async room(id: string, fits: (room: Room) => boolean): Promise<Room> {
    await this.until(() => this.chat.rooms.has(id) && fits(this.chat.rooms.show(id)));
    return this.chat.rooms.show(id);
  }

  /** Texts in a room, in order. */
  said(id: string): unknown[] {
    return this.chat.list({ account: id, limit: 1000 }).map((message) => message.body.text);
  }

  get hello(): HelloInfo {
    const account = bind(this.key, 'somebody@test', this.node.id, Date.now());
    return { protocol: { min: 1, max: 1 }, software: 'test', role: 'node', account };
  }

  async #reach(account: string): Promise<Link> {
    const other = this.#world.people.get(account);
    if (!this.online || !other?.online || !other.#chat)
      throw new Fault('peer_unreachable', 'dialling: nobody is there');
    return (await this.link(other, () => this.online && other.online))[0];
  }

  /** Links to `other`; both sides are told, as by a node. `stands`: asked once it is up, for something may have happened meanwhile. */
  async link(other: Person, stands = (): boolean => true): Promise<[Link, Link]> {
    const processes = [this.#chat, other.#chat];
    const [near, far] = await pair(
      { router: this.router, self: this.hello, id: this.node.id },
      { router: other.router, self: other.hello, id: other.node.id },
    );
    const died = this.#chat !== processes[0] || other.#chat !== processes[1];
    if (died || !stands()) near.close();
    this.hold(near);
    other.hold(far);
    return [near, far];
  }

  /** What a node does with each greeted link. */
  hold(link: Link): void {
    if (!this.#chat) return link.close(); // the process ended while the link was greeted
    this.links.add(link);
    void link.closed.then(() => {
      this.links.delete(link);
      this.#look();
    });
    this.chat.linkUp(link);
  }

  cut(): void {
    for (const link of this.links) link.close();
  }

  /** Settles once `done` holds; looks after each event, each failed try, each end of a link, and now and then. */
  until(done: () => boolean): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ done, resolve });
    this.#look();
    // Some of what a test waits for has no event of its own, e.g. one recipient of several.
    const timer = setInterval(() => this.#look(), 20);
    return promise.finally(() => clearInterval(timer));
  }

  #look(): void {
    if (!this.#chat) return;
    this.#waiting = this.#waiting.filter(({ done, resolve }) => {
      if (!done()) return true;
      resolve();
      return false;
    });
  }

  /** Settles once `count` events of this type were seen. */
  seen(type: ChatEvent, count = 1): Promise<void> {
    return this.until(() => this.events.filter((event) => event.type === type).length >= count);
  }

  /** Texts of the messages with `other`, in order. */
  texts(other: Person): unknown[] {
    const all = [];
    for (let before: string | undefined; ; ) {
      const page = this.chat.list({ account: other.id, limit: 1000, before });
      if (page.length === 0) return all;
      all.unshift(...page.map((message) => message.body.text));
      before = page[0]?.id;
    }
  }

  states(other: Person): string[] {
    return this.chat.list({ account: other.id, limit: 1000 }).map((message) => message.state);
  }
}

function raise(message: string): never {
  throw new Error(message);
}
