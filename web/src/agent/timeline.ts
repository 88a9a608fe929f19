/** What is loaded of one conversation: a stretch of it without gaps, most often its newest end. */
import type { Message } from '../../../src/api/shapes.ts';
import { client } from './client.ts';

/** Messages in one answer: several screens, and quick to draw. */
const PAGE = 100;
/** Messages on either side of one that was looked for. */
const AROUND = 40;
/**
 * Messages that are kept while somebody only follows what comes, and how many are left when there are more: a page that is open for
 * days does not grow. Whoever scrolls back is given the older ones again.
 */
const MOST_KEPT = 1_500;
const LEFT = 1_000;
/**
 * Messages that are kept while somebody reads far back, and how many of the farther end are let go of when there are more: where each is put
 * is worked out of all of them, and a frame has no time for a hundred thousand. Who comes back to an end is given it again.
 */
const MOST_READ = 4_000;
const LET_GO = 1_000;

export class Timeline {
  readonly target: string;
  /** Oldest first. A new list with each change, so that whoever draws it sees that it changed. */
  messages: readonly Message[] = [];
  /** A first page is here. */
  loaded = false;
  /** There is nothing older. */
  complete = false;
  /** The newest message is here: what comes is put behind it. */
  live = true;
  /** Nobody reads further back than its newest end. */
  isFollowed = true;
  /** Why the last page did not come. */
  trouble: unknown;
  #known = new Set<string>();
  #loading: Promise<void> | undefined;
  readonly #listeners = new Set<() => void>();

  constructor(target: string) {
    this.target = target;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Its newest page, once. */
  open(): Promise<void> {
    return this.loaded ? Promise.resolve() : this.#once(() => this.#newest());
  }

  /** What was missed while nobody told: the newest page again, whatever stands here. */
  reload(): Promise<void> {
    return this.loaded && this.live ? this.#once(() => this.#newest()) : Promise.resolve();
  }

  /** Back to the newest message from wherever a search led. */
  toEnd(): Promise<void> {
    return this.live ? Promise.resolve() : this.#once(() => this.#newest());
  }

  older(): Promise<void> {
    const [first] = this.messages;
    if (this.complete || !first) return Promise.resolve();
    return this.#once(async () => {
      const page = await client.messages.list({ handle: this.target, before: first.id, limit: PAGE });
      this.complete = page.length < PAGE;
      const all = [...page, ...this.messages];
      if (all.length <= MOST_READ) return this.#show(all, page);
      this.live = false;
      this.#show(all.slice(0, -LET_GO));
    });
  }

  newer(): Promise<void> {
    const last = this.messages.at(-1);
    if (this.live || !last) return Promise.resolve();
    return this.#once(async () => {
      const page = await client.messages.list({ handle: this.target, after: last.id, limit: PAGE });
      this.live = page.length < PAGE;
      const all = [...this.messages, ...page];
      if (all.length <= MOST_READ) return this.#show(all, page);
      this.complete = false;
      this.#show(all.slice(LET_GO));
    });
  }

  /** Sees to it that this message is here, with what stands around it. */
  around(id: string): Promise<void> {
    if (this.#known.has(id)) return Promise.resolve();
    return this.#once(async () => {
      const [message, before, after] = await Promise.all([
        client.messages.show({ id }),
        client.messages.list({ handle: this.target, before: id, limit: AROUND }),
        client.messages.list({ handle: this.target, after: id, limit: AROUND }),
      ]);
      this.complete = before.length < AROUND;
      this.live = after.length < AROUND;
      this.loaded = true;
      this.#show([...before, message, ...after]);
    });
  }

  /** As they are now: each in its place, or where its time puts it. What lies beyond the ends of the stretch waits until it is loaded. */
  put(changed: readonly Message[]): void {
    if (!this.loaded) return;
    const messages = [...this.messages];
    for (const message of changed) {
      if (this.#known.has(message.id)) {
        messages[messages.findLastIndex(({ id }) => id === message.id)] = message;
        continue;
      }
      const before = messages.findLastIndex(({ at }) => at <= message.at);
      const beyond = before < 0 ? messages.length > 0 && !this.complete : before === messages.length - 1 && !this.live;
      if (beyond) continue;
      this.#known.add(message.id);
      messages.splice(before + 1, 0, message);
    }
    if (messages.length > MOST_KEPT && this.live && this.isFollowed) {
      messages.splice(0, messages.length - LEFT);
      this.complete = false;
    }
    this.#show(messages, []);
  }

  async #newest(): Promise<void> {
    const page = await client.messages.list({ handle: this.target, limit: PAGE });
    const [first] = page;
    // What was loaded before stays, where the new page joins it: nobody is thrown back from where they read.
    const joins = this.live && first !== undefined && this.#known.has(first.id);
    const older = joins
      ? this.messages.slice(
          0,
          this.messages.findIndex(({ id }) => id === first.id),
        )
      : [];
    if (!joins) this.complete = page.length < PAGE;
    this.live = true;
    this.loaded = true;
    this.#show([...older, ...page]);
  }

  /** `added`: what was not among them before; undefined: they may be all others. */
  #show(messages: readonly Message[], added?: readonly Message[]): void {
    this.messages = messages;
    for (const { id } of added ?? []) this.#known.add(id);
    if (!added || messages.length !== this.#known.size) this.#known = new Set(messages.map(({ id }) => id));
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  /** One page at a time; whoever asks meanwhile waits for that one. */
  #once(load: () => Promise<void>): Promise<void> {
    this.#loading ??= load()
      .then(
        () => {
          this.trouble = undefined;
        },
        (error: unknown) => {
          this.trouble = error;
          this.#tell();
        },
      )
      .finally(() => {
        this.#loading = undefined;
      });
    return this.#loading;
  }
}
