/** What the chat knows of the agent, kept up to date by its events. The screen reads it, and asks it to do things. */
import { type Client, createClient } from '../api/client.ts';
import {
  type AgentEvent,
  type Conversation,
  type FileInfo,
  file,
  type Message,
  message,
  type Person,
  person,
  type Room,
  type Status,
} from '../api/shapes.ts';
import { Backoff, sleep } from '../base/async.ts';
import { toFault } from '../base/fault.ts';
import { type Place, placesOf } from './places.ts';
import { Timeline } from './timeline.ts';

/** Messages loaded at once: a few screens. */
const PAGE = 100;
/** Milliseconds in which the same "is writing" is said once. */
const TYPING_MS = 3000;
/** Milliseconds that changes are gathered before a list is asked for again. */
const GATHER_MS = 100;
/** Milliseconds between two drawings, at least. */
const FRAME_MS = 10;

export type Note = { text: string; bad: boolean };

export class Model {
  readonly client: Client;
  me: Status | undefined;
  /** Why there is nothing new; undefined while events flow. */
  trouble: string | undefined = 'asking the agent';
  /** What the last thing that was asked for came to. */
  note: Note | undefined;
  /** Grows with every change. */
  version = 0;
  readonly files = new Map<string, FileInfo>();
  readonly #signal: AbortSignal;
  readonly #people = new Map<string, Person>();
  readonly #timelines = new Map<string, Timeline>();
  readonly #typing = new Map<string, Map<string, number>>();
  readonly #listeners = new Set<() => void>();
  readonly #gathering = new Set<() => Promise<void>>();
  readonly #reading = new Set<string>();
  #conversations: readonly Conversation[] = [];
  #rooms: readonly Room[] = [];
  #places: { version: number; list: Place[] } = { version: -1, list: [] };
  #typed = { target: '', at: 0 };
  #cursor: number | undefined;
  #telling = false;

  constructor(socketPath: string, signal: AbortSignal) {
    this.client = createClient({ socketPath });
    this.#signal = signal;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Told once for all that changes within a frame: a burst of events is drawn once. */
  changed(): void {
    this.version += 1;
    if (this.#telling) return;
    this.#telling = true;
    setTimeout(() => {
      this.#telling = false;
      for (const listener of this.#listeners) listener();
    }, FRAME_MS).unref();
  }

  say(note: Note | undefined): void {
    this.note = note;
    this.changed();
  }

  get places(): readonly Place[] {
    if (this.#places.version !== this.version) {
      const people = [...this.#people.values()];
      const known = { me: this.me?.handle ?? '', conversations: this.#conversations, rooms: this.#rooms, people };
      this.#places = { version: this.version, list: placesOf(known) };
    }
    return this.#places.list;
  }

  timeline(target: string): Timeline {
    const known = this.#timelines.get(target) ?? new Timeline();
    this.#timelines.set(target, known);
    return known;
  }

  /** Handles of those who write there just now. */
  typing(conversation: string | undefined): string[] {
    const now = Date.now();
    const there = conversation === undefined ? undefined : this.#typing.get(conversation);
    return [...(there ?? [])].filter(([, until]) => until > now).map(([handle]) => handle);
  }

  /** Offers to me that wait for an answer, the newest last. */
  get offers(): FileInfo[] {
    return [...this.files.values()].filter(({ direction, state }) => direction === 'in' && state === 'offered');
  }

  /** Follows the agent until the signal, also over its restarts. Throws what the first answer came to, if it is a fault. */
  async start(): Promise<void> {
    const events = await this.#follow();
    this.#live(events);
  }

  async #follow(): Promise<AsyncIterable<AgentEvent>> {
    const signal = this.#signal;
    const from = this.#cursor === undefined ? {} : { from: this.#cursor };
    const events = await this.client.events.follow(from, { signal });
    this.me = await this.client.status.show(undefined, { signal });
    await Promise.all([this.#loadConversations(), this.#loadRooms(), this.#loadFiles()]);
    this.#gather(this.#loadPeople); // asks the trackers, for whom nothing waits
    // After a while without events, also what none of them tells any more.
    await Promise.all([...this.#timelines].map(([target, timeline]) => this.#catchUp(target, timeline)));
    this.trouble = undefined;
    this.changed();
    return events;
  }

  async #live(first: AsyncIterable<AgentEvent>): Promise<void> {
    let events: AsyncIterable<AgentEvent> | undefined = first;
    const waits = new Backoff({ firstMs: 250, mostMs: 5000 });
    while (!this.#signal.aborted) {
      try {
        events ??= await this.#follow();
        for await (const event of events) {
          this.#cursor = event.cursor;
          this.#take(event);
          waits.reset();
        }
      } catch (error) {
        if (this.#signal.aborted) return;
        this.trouble = toFault(error).message;
        this.changed();
      }
      events = undefined;
      await sleep(waits.next(), this.#signal).catch(() => {});
    }
  }

  #take({ type, data }: AgentEvent): void {
    if (type === 'message.typing') return this.#takeTyping(data);
    const [noun] = type.split('.');
    if (noun === 'message') this.#takeMessage(data);
    if (type === 'message.received' || type === 'message.sent' || type === 'conversation.read' || noun === 'room') {
      this.#gather(this.#loadConversations);
    }
    if (noun === 'room') this.#gather(this.#loadRooms);
    if (noun === 'file') {
      const changed = file.safeParse(data);
      if (changed.success) this.files.set(changed.data.id, changed.data);
    }
    if (noun === 'person') {
      const changed = person.safeParse(data);
      if (changed.success) this.#people.set(changed.data.handle, changed.data);
      else this.#gather(this.#loadPeople);
    }
    this.changed();
  }

  #takeMessage(data: Record<string, unknown>): void {
    const found = message.safeParse(data);
    if (found.success && found.data.target === null) return this.#put(found.data);
    // An edit, a deletion or a reaction: what it is about is asked for as it is now.
    const id = found.data?.target ?? data.id;
    if (typeof id !== 'string') return;
    void this.attempt(async () => this.#put(await this.client.messages.show({ id }, { signal: this.#signal })));
  }

  #put(found: Message): void {
    const direct = found.from === this.me?.handle ? found.to : found.from;
    this.timeline(found.room === null ? direct : found.conversation).put(found);
    this.#typing.get(found.conversation)?.delete(found.from);
    this.changed();
  }

  #takeTyping({ conversation, from, on, until }: Record<string, unknown>): void {
    if (typeof conversation !== 'string' || typeof from !== 'string') return;
    const there = this.#typing.get(conversation) ?? new Map<string, number>();
    this.#typing.set(conversation, there);
    const ends = Date.parse(String(until));
    if (on === true) there.set(from, ends);
    else there.delete(from);
    this.changed();
    if (on === true) setTimeout(() => this.changed(), Math.max(0, ends - Date.now()) + 50).unref();
  }

  /** Once for all that changes within a moment. */
  #gather(load: () => Promise<void>): void {
    if (this.#gathering.has(load)) return;
    this.#gathering.add(load);
    setTimeout(() => {
      this.#gathering.delete(load);
      load().then(
        () => this.changed(),
        () => {}, // The agent has gone, which its events tell.
      );
    }, GATHER_MS).unref();
  }

  readonly #loadConversations = async (): Promise<void> => {
    this.#conversations = await this.client.conversations.list(undefined, { signal: this.#signal });
  };

  readonly #loadRooms = async (): Promise<void> => {
    this.#rooms = await this.client.rooms.list(undefined, { signal: this.#signal });
  };

  readonly #loadPeople = async (): Promise<void> => {
    for (const each of await this.client.people.list(undefined, { signal: this.#signal })) {
      this.#people.set(each.handle, each);
    }
  };

  readonly #loadFiles = async (): Promise<void> => {
    for (const each of await this.client.files.list(undefined, { signal: this.#signal })) this.files.set(each.id, each);
  };

  /** Does what it is given; what that comes to is told, and thrown to nobody. */
  async attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (!this.#signal.aborted) this.say({ text: toFault(error).message, bad: true });
      return undefined;
    }
  }

  /** Loads the newest page, once. */
  async open(target: string): Promise<void> {
    const timeline = this.timeline(target);
    if (timeline.loaded || timeline.loading) return;
    await this.#page(target, timeline, undefined);
  }

  async older(target: string): Promise<void> {
    const timeline = this.timeline(target);
    const [first] = timeline.messages;
    if (timeline.complete || timeline.loading || !first) return;
    await this.#page(target, timeline, first.id);
  }

  async #page(target: string, timeline: Timeline, before: string | undefined): Promise<void> {
    timeline.loading = true;
    const input = { handle: target, limit: PAGE, ...(before !== undefined && { before }) };
    const page = await this.attempt(() => this.client.messages.list(input, { signal: this.#signal }));
    timeline.loading = false;
    if (page && before === undefined) timeline.replace(page, page.length < PAGE);
    else if (page) timeline.prepend(page, page.length < PAGE);
    this.changed();
  }

  async #catchUp(target: string, timeline: Timeline): Promise<void> {
    if (!timeline.loaded) return;
    const page = await this.client.messages.list({ handle: target, limit: PAGE }, { signal: this.#signal });
    const overlaps = page.some(({ id }) => timeline.messages.some((known) => known.id === id));
    if (overlaps || page.length === 0) for (const message of page) timeline.put(message);
    else timeline.replace(page, page.length < PAGE);
  }

  /** Tells the authors that all of it was seen. */
  async read({ target, conversation, unread }: Place): Promise<void> {
    if (unread === 0 || conversation === undefined || this.#reading.has(target)) return;
    this.#reading.add(target);
    const now = await this.attempt(() => this.client.messages.read({ target: conversation }, { signal: this.#signal }));
    this.#reading.delete(target);
    if (!now) return;
    this.#conversations = this.#conversations.map((each) => (each.id === now.id ? now : each));
    this.changed();
  }

  write(target: string): void {
    const now = Date.now();
    if (this.#typed.target === target && now - this.#typed.at < TYPING_MS) return;
    this.#typed = { target, at: now };
    // A word that is lost is said again with the next key.
    this.client.messages.typing({ target }, { signal: this.#signal }).catch(() => {});
  }
}
