/** Keeps what the page shows as it is at the agent: follows its events by cursor, over cuts and restarts. */
import type { QueryClient } from '@tanstack/react-query';
import type { AgentEvent, FileInfo, Message, Person } from '../../../src/api/shapes.ts';
import { client, isObject, troubleOf } from './client.ts';
import { keys } from './queries.ts';
import { Timeline } from './timeline.ts';

/** Milliseconds between two tries to reach an agent that does not answer: it is often back within a second. */
const RETRY_FIRST_MS = 300;
const RETRY_MOST_MS = 4_000;
/** Milliseconds that changes of lists are gathered before the lists are asked for again. */
const GATHER_MS = 120;
/** Points of a transfer's curve that are kept: a minute and a half at four a second. */
const CURVE_POINTS = 360;

/** `live`: events flow. `lost`: the agent does not answer, and is tried again. `signed-out`: this browser has no session any more. */
export type Standing = 'connecting' | 'live' | 'lost' | 'signed-out';

export type Rate = { at: number; progress: number; rate: number };

/**
 * Milliseconds over which a speed is told: chunks come whole, and under a limit nothing comes for seconds between two of them.
 */
const RATE_OVER_MS = 5_000;
/** Milliseconds that must have gone by before the page's own count is better than what the agent says. */
const RATE_LEAST_MS = 1_500;

type Heard = (message: Message) => void;

export class Live {
  standing: Standing = 'connecting';
  /** What was said of why there is nothing new. */
  why = '';
  readonly curves = new Map<string, Rate[]>();
  readonly #queries: QueryClient;
  readonly #timelines = new Map<string, Timeline>();
  readonly #typing = new Map<string, Map<string, number>>();
  readonly #listeners = new Set<() => void>();
  readonly #heard = new Set<Heard>();
  readonly #stale = new Set<readonly string[]>();
  #arrived: AgentEvent[] = [];
  #cursor: number | undefined;
  #gathering = false;
  #drawing = false;
  #version = 0;

  constructor(queries: QueryClient) {
    this.#queries = queries;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Grows with each change of what is not in a query or a timeline. */
  readonly version = (): number => this.#version;

  timeline(target: string): Timeline {
    const known = this.#timelines.get(target) ?? new Timeline(target);
    this.#timelines.set(target, known);
    return known;
  }

  /** Calls for each message of others as it comes. */
  onReceived(heard: Heard): () => void {
    this.#heard.add(heard);
    return () => this.#heard.delete(heard);
  }

  /** Handles of those who write there just now. */
  typing(conversation: string | undefined): string[] {
    const there = conversation === undefined ? undefined : this.#typing.get(conversation);
    const now = Date.now();
    return [...(there ?? [])].filter(([, until]) => until > now).map(([handle]) => handle);
  }

  async follow(signal: AbortSignal): Promise<void> {
    let wait = RETRY_FIRST_MS;
    while (!signal.aborted) {
      try {
        this.#cursor ??= (await client.events.last(undefined, { signal })).last;
        const events = await client.events.follow({ from: this.#cursor }, { signal });
        this.#say('live');
        this.#refresh();
        for await (const event of events) {
          wait = RETRY_FIRST_MS;
          this.#cursor = event.cursor;
          this.#arrived.push(event);
          this.#draw();
        }
        this.#say('lost', 'The agent ended.');
      } catch (error) {
        if (signal.aborted) return;
        const { code, message } = troubleOf(error);
        if (code === 'unauthenticated') return this.#say('signed-out', message);
        if (code === 'cursor_gone') this.#cursor = undefined;
        else this.#say('lost', message);
      }
      await pause(wait, signal);
      wait = Math.min(RETRY_MOST_MS, wait * 1.6);
    }
  }

  /** After a time without events, also what none of them tells any more. */
  #refresh(): void {
    void this.#queries.invalidateQueries();
    for (const timeline of this.#timelines.values()) void timeline.reload();
  }

  #say(standing: Standing, why = ''): void {
    this.standing = standing;
    this.why = why;
    this.#changed();
  }

  #changed(): void {
    this.#version += 1;
    for (const listener of this.#listeners) listener();
  }

  /** All that came since the last picture is taken in at once: a hundred messages a second are drawn sixty times. */
  #draw(): void {
    if (this.#drawing) return;
    this.#drawing = true;
    const take = () => {
      this.#drawing = false;
      const arrived = this.#arrived;
      this.#arrived = [];
      this.#take(arrived);
    };
    // A hidden page is given no frames.
    if (document.hidden) setTimeout(take, GATHER_MS);
    else requestAnimationFrame(take);
  }

  #take(events: readonly AgentEvent[]): void {
    const messages = new Map<string, Message[]>();
    let files: Map<string, FileInfo> | undefined;
    for (const { type, data } of events) {
      const [noun] = type.split('.');
      if (type === 'message.typing') this.#takeTyping(data);
      else if (noun === 'message') this.#takeMessage(type, data, messages);
      else if (noun === 'file') {
        files ??= new Map((this.#queries.getQueryData<FileInfo[]>(keys.files) ?? []).map((file) => [file.id, file]));
        this.#takeFile(data, files);
      } else if (noun === 'person') this.#takePerson(data);
      if (type === 'message.received' || type === 'message.sent' || type === 'conversation.read') {
        this.#ask(keys.conversations);
      }
      if (noun === 'room') this.#ask(keys.rooms, keys.conversations);
      if (noun === 'link' || noun === 'tracker') this.#ask(keys.links, keys.status);
      if (noun === 'tracker') this.#ask(keys.people);
      if (noun === 'message') this.#ask(keys.status);
      if (type === 'message.held' || type === 'message.delivered') this.#ask(keys.held);
    }
    for (const [target, changed] of messages) this.timeline(target).put(changed);
    if (files) this.#queries.setQueryData(keys.files, [...files.values()]);
    this.#changed();
  }

  #takeMessage(type: string, data: Record<string, unknown>, into: Map<string, Message[]>): void {
    const target = typeof data.target === 'string' ? data.target : undefined;
    if (!isMessage(data) || target !== undefined) {
      // An edit, a deletion or a reaction: what it is about is asked for as it is now.
      const id = target ?? data.id;
      if (typeof id === 'string') void this.refetch(id);
      return;
    }
    const place = this.placeOf(data);
    into.set(place, [...(into.get(place) ?? []), data]);
    this.#typing.get(data.conversation)?.delete(data.from);
    if (type === 'message.received') for (const heard of this.#heard) heard(data);
  }

  /** A message as it is now, wherever it stands. */
  async refetch(id: string): Promise<void> {
    const { history: _, ...message } = await client.messages.show({ id });
    this.timeline(this.placeOf(message)).put([message]);
  }

  /** What operations call the conversation of a message: a room's id, or the other's handle. */
  placeOf({ room, conversation, from, to }: Message): string {
    if (room !== null) return conversation;
    const me = this.#queries.getQueryData<{ handle: string }>(keys.status)?.handle;
    return from === me ? to : from;
  }

  #takeTyping({ conversation, from, on, until }: Record<string, unknown>): void {
    if (typeof conversation !== 'string' || typeof from !== 'string') return;
    const there = this.#typing.get(conversation) ?? new Map<string, number>();
    this.#typing.set(conversation, there);
    const ends = Date.parse(String(until));
    if (on !== true) there.delete(from);
    else {
      there.set(from, ends);
      setTimeout(() => this.#changed(), Math.max(0, ends - Date.now()) + 50);
    }
  }

  #takeFile(data: Record<string, unknown>, files: Map<string, FileInfo>): void {
    if (!isFile(data)) return;
    const moving = (data.state === 'fetching' || data.state === 'serving') && !data.paused;
    if (!moving) {
      files.set(data.id, data);
      return;
    }
    const curve = this.curves.get(data.id) ?? [];
    const rate = steady(curve, data);
    this.curves.set(data.id, [...curve, { at: Date.now(), progress: data.progress, rate }].slice(-CURVE_POINTS));
    files.set(data.id, { ...data, rate, eta: rate > 0 ? (data.size - data.progress) / rate : data.eta });
  }

  #takePerson(data: Record<string, unknown>): void {
    if (isPerson(data)) {
      this.#queries.setQueryData<Person[]>(keys.people, (known = []) => [
        ...known.filter(({ handle, id }) => handle !== data.handle || id !== data.id),
        data,
      ]);
      if (data.me) this.#ask(keys.status);
    } else this.#ask(keys.people);
  }

  /** These lists have changed: each is asked for once for all that changes within a moment. */
  #ask(...stale: (readonly string[])[]): void {
    for (const key of stale) this.#stale.add(key);
    if (this.#gathering) return;
    this.#gathering = true;
    setTimeout(() => {
      this.#gathering = false;
      const asked = [...this.#stale];
      this.#stale.clear();
      for (const queryKey of asked) void this.#queries.invalidateQueries({ queryKey });
    }, GATHER_MS);
  }
}

/** Bytes a second over the last seconds. */
function steady(curve: readonly Rate[], { progress, rate }: FileInfo): number {
  const now = Date.now();
  const since = curve.find(({ at }) => now - at <= RATE_OVER_MS);
  if (!since || now - since.at < RATE_LEAST_MS || progress < since.progress) return rate;
  return ((progress - since.progress) * 1000) / (now - since.at);
}

// Events carry what the operations answer; the agent has checked it. Its other data is told apart by what each must have.
const isMessage = (data: Record<string, unknown>): data is Record<string, unknown> & Message =>
  typeof data.id === 'string' &&
  typeof data.text === 'string' &&
  typeof data.from === 'string' &&
  isObject(data.reactions);

const isFile = (data: Record<string, unknown>): data is Record<string, unknown> & FileInfo =>
  typeof data.id === 'string' && typeof data.direction === 'string' && typeof data.progress === 'number';

const isPerson = (data: Record<string, unknown>): data is Record<string, unknown> & Person =>
  typeof data.handle === 'string' && typeof data.status === 'string' && typeof data.me === 'boolean';

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      done();
    });
  });
}
