/** One of many accounts of a node: its key, its ends of conversations, its presence. Most of it is made when it is first needed. */

import { Fault } from '../base/fault.ts';
import type { Store } from '../base/sqlite.ts';
import type { Unsigned } from '../chat/entry.ts';
import type { Summary } from '../chat/history.ts';
import { msOf } from '../chat/hlc.ts';
import type { Message } from '../chat/message.ts';
import type { Room } from '../chat/rooms.ts';
import { ChatService } from '../chat/service.ts';
import type { DirectoryClient, Person } from '../directory/client.ts';
import { OwnRecord } from '../directory/own.ts';
import { type PresentStatus, statusText } from '../directory/record.ts';
import { ticket } from '../files/wire.ts';
import { type Binding, bind } from '../link/binding.ts';
import { type HelloInfo, PROTOCOL } from '../link/hello.ts';
import type { Key } from '../link/identity.ts';
import type { Link } from '../link/link.ts';
import { type HostedFile, hostedFile } from './hosted-file.ts';
import type { HostedRow } from './hosted-keys.ts';
import { HostedPresence } from './hosted-presence.ts';
import type { House } from './hosting.ts';
import type { HostedEnd } from './node.ts';
import { Peers } from './peers.ts';
import { conversationView, linkView, messageView, roomView } from './views.ts';

/** A binding is made anew when so much of its time is left: a day. */
const BINDING_LEFT_MS = 24 * 3600_000;

type Wait = { signal?: AbortSignal | undefined };

/**
 * Milliseconds since it was last asked for anything, after which its ends of conversations rest: most who come say nothing for a
 * long time, and who has said something will say more.
 */
const REST_MS = { silent: 3000, talkative: 300_000 };

/** What is made when the account is first used. */
type Awake = { key: Key; own: OwnRecord; presence: HostedPresence };

/** Its ends of conversations: most who are here say nothing at the moment, and what comes for them needs none of it. */
type Talk = { chat: ChatService; peers: Peers; usedAt: number; restMs: number };

export class HostedAccount implements AsyncDisposable {
  readonly name: string;
  readonly account: string;
  readonly handle: string;
  readonly row: HostedRow;
  readonly #house: House;
  #awake: Awake | undefined;
  #talk: Talk | undefined;
  #binding: Binding | undefined;

  constructor(house: House, row: HostedRow) {
    this.#house = house;
    this.row = row;
    this.name = row.name;
    this.account = row.account;
    this.handle = `${row.name}@${house.zone}`;
  }

  get store(): Store {
    return this.#house.store;
  }

  get chat(): ChatService {
    return this.#talking().chat;
  }

  /** Its own signature of an entry. */
  signature(entry: Unsigned): string {
    return this.#wake().key.sign('entry', entry);
  }

  get online(): boolean {
    return this.#awake?.presence.isWanted ?? false;
  }

  /** As whoever opens a channel to it meets it. */
  get end(): HostedEnd {
    return {
      router: this.#house.router,
      self: this.#self,
      onLink: (link) => this.#talking().peers.take(link),
    };
  }

  readonly #self = (): HelloInfo => ({
    protocol: PROTOCOL,
    software: this.#house.node.software,
    role: 'node',
    account: this.#bound(),
  });

  #bound(): Binding {
    const now = this.#house.clock.now();
    const { key } = this.#wake();
    if (!this.#binding || this.#binding.until - now < BINDING_LEFT_MS) {
      this.#binding = bind(key, this.handle, this.#house.node.id, now);
    }
    return this.#binding;
  }

  #wake(): Awake {
    this.#awake ??= this.#make();
    return this.#awake;
  }

  #make(): Awake {
    const house = this.#house;
    const { node, router, clock, log } = house;
    const key = house.keys.key(this.row);
    const { directory } = node;
    const addresses = (): string[] => node.addresses;
    const own = new OwnRecord({ account: key, handle: this.handle, node: node.id, addresses, clock, hosted: true });
    const presence = new HostedPresence({
      own,
      directory,
      router,
      self: this.#self,
      opening: house.opening,
      clock,
      log,
      // Letters may have come, and changes of rooms.
      onLinks: (links) => {
        if (this.#talk) tellTrackers(this.#talk, links);
        else if (links.length > 0) this.#talking();
      },
    });
    return { key, own, presence };
  }

  #talking(): Talk {
    const { key, presence } = this.#wake();
    let talk = this.#talk;
    if (!talk) {
      talk = this.#makeTalk(key, presence);
      this.#talk = talk;
      this.#house.talking.add(this);
      talk.chat.start();
      tellTrackers(talk, presence.links);
    }
    talk.usedAt = performance.now();
    return talk;
  }

  /** Lets go of its ends of conversations where it was not asked for them for a while, and nothing is under way on them. */
  rest(): void {
    const talk = this.#talk;
    if (!talk || performance.now() - talk.usedAt < talk.restMs || !talk.peers.isQuiet || !talk.chat.isQuiet()) return;
    void this.#endTalk();
  }

  async #endTalk(): Promise<void> {
    const talk = this.#talk;
    this.#talk = undefined;
    this.#house.talking.delete(this);
    await talk?.chat[Symbol.asyncDispose]();
    await talk?.peers[Symbol.asyncDispose]();
  }

  #makeTalk(key: Key, presence: HostedPresence): Talk {
    const house = this.#house;
    const { node, router, clock, log, store, replica } = house;
    const { directory, identity } = node;
    const peers = new Peers({
      identity,
      router,
      self: this.#self,
      clock,
      log,
      locate: async (who, wait) => {
        const { node: at, addresses: known } = await directory.find(who, wait);
        return { node: at, addresses: known };
      },
      carrier: (to, wait) => node.peers.carrier(to, wait),
      onUp: (link) => chat.linkUp(link),
      onDown: () => {},
    });
    const lookUp = async (who: string, signal: AbortSignal | undefined): Promise<void> => {
      if (!directory.get(who)) await node.lookUp(who, signal);
    };
    const chat: ChatService = new ChatService({
      account: key,
      handle: () => this.handle,
      store,
      clock,
      log,
      replica,
      reach: (who, wait) => peers.reach(who, wait),
      post: {
        isAway: (who) => directory.isAway(who),
        mailbox: async (who, { signal }) => {
          await lookUp(who, signal);
          const { sealingKey, links } = await directory.mailboxOf(who, { signal });
          return { sealingKey, links: await Promise.all(links.map((link) => presence.channel(link))) };
        },
        introduce: async (who, { signal }, claim) => {
          if (claim !== undefined) await directory.meet(who, claim, { signal });
          await lookUp(who, signal);
        },
      },
      abroad: (who) => directory.isForeign(who),
      emit: () => {}, // `told` hears of it
      told: (type, stored) => house.told(this, type, stored),
      emitRoom: (type, event) => house.roomChanged(type, event),
      homes: () => directory.trackers(),
      handleOf: house.handleOf,
      speaker: (conversation) => house.speaker(this, conversation).chat,
    });
    return { chat, peers, usedAt: 0, restMs: REST_MS.silent };
  }

  /** Goes on with what waits of it from before. */
  resume(): void {
    this.#talking();
  }

  /** Has a tracker bind the name to the account. Throws `name_taken`, `tracker_down`. */
  claim(): Promise<void> {
    return this.#wake().presence.claim();
  }

  async setOnline(status: PresentStatus, text: string): Promise<void> {
    const parsed = statusText.safeParse(text);
    if (!parsed.success) {
      throw new Fault('invalid_argument', `setting the status: expected ${parsed.error.issues[0]?.message}`);
    }
    const { own, presence } = this.#wake();
    own.status = status;
    own.text = text;
    await presence.online();
  }

  async setOffline(): Promise<void> {
    const awake = this.#awake;
    if (!awake) return;
    await awake.presence.offline();
    // Nobody is here, and nothing waits: it is made anew when somebody comes, or something does.
    if (this.#awake !== awake || awake.presence.isWanted || (this.#talk && !this.#talk.chat.isIdle())) return;
    this.#awake = undefined;
    await this.#end(awake);
  }

  /** The node has other addresses now. */
  moved(): void {
    this.#awake?.presence.moved();
  }

  trackersChanged(): void {
    this.#awake?.presence.trackersChanged();
  }

  /** See `Hosted.say`: many that come in one turn of the event loop share a commit, and one call to the disk. */
  async say(conversation: string, text: string): Promise<{ id: string; at: number }> {
    const talk = this.#talking();
    talk.restMs = REST_MS.talkative;
    const { id, entry } = await this.store.grouped(() => talk.chat.post(conversation, text), { again: true });
    await this.store.settled();
    return { id, at: msOf(entry.at) };
  }

  /** What a message of somebody on a node offers. Throws `unknown_id`, `wrong_state`. */
  file(message: string): HostedFile {
    const stored = this.chat.history.find(message);
    const parsed = ticket.safeParse(stored?.entry.body);
    if (stored?.entry.kind !== 'file' || !parsed.success) {
      throw new Fault('unknown_id', `looking for the file of the message "${message}": there is none`);
    }
    const { author } = stored.entry;
    return hostedFile(parsed.data, {
      author,
      bulk: (who, wait) => this.#talking().peers.bulk(who, wait),
      binding: () => this.#bound(),
    });
  }

  readonly handleOf = (account: string): string => this.#house.handleOf(account);

  readonly messageView = (message: Message) => messageView(message, this.#house.handleOf, () => undefined);

  readonly roomView = (room: Room) => roomView(room, this.#house.handleOf);

  readonly conversationView = (summary: Summary) => conversationView(summary, this.#house.handleOf, this.messageView);

  readonly personView = (person: Person) => ({
    ...this.#house.personView(person),
    me: person.account === this.account,
  });

  /** The link of this account to another one, if there is one. */
  linkTo(account: string): ReturnType<typeof linkView> | null {
    const link = this.#talk?.peers.links.get(account);
    return link?.open ? linkView(link, this.handleOf) : null;
  }

  readonly directory = {
    find: async (who: string, wait: Wait): Promise<Person> => {
      return this.#house.personOf(who) ?? (await this.#house.node.directory.find(who, wait));
    },
    trace: (who: string, options: Parameters<DirectoryClient['trace']>[1]) =>
      this.#house.node.directory.trace(who, options),
    known: (who: string): Person | undefined => this.#house.personOf(who) ?? this.#house.node.directory.known(who),
    list: (): Person[] => this.#house.people(),
  };

  /** As the account presents itself. */
  get me(): Person {
    const own = this.#awake?.own;
    const { node, clock } = this.#house;
    return {
      handle: this.handle,
      account: this.account,
      node: node.id,
      status: this.online ? (own?.status ?? 'online') : 'offline',
      text: own?.text ?? '',
      addresses: node.addresses,
      lastSeen: clock.now(),
      me: false,
      former: false,
      hosted: true,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#awake) await this.#end(this.#awake);
  }

  async #end({ presence }: Awake): Promise<void> {
    await presence[Symbol.asyncDispose]();
    await this.#endTalk();
  }
}

function tellTrackers({ chat }: Talk, links: readonly Link[]): void {
  for (const link of links) chat.trackerUp(link);
  chat.trackersUp(links);
}
