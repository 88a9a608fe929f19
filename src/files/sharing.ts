/** What this node gives to members of a conversation although it did not send it: files that came, and those that come. */
import type { Clock } from '../base/clock.ts';
import type { Fault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { Bitmap } from './bitmap.ts';
import type { Content } from './content.ts';
import { Exchange, type Topic } from './exchange.ts';
import { Held } from './held.ts';
import type { Lines } from './lines.ts';
import { LivePart } from './live.ts';
import type { Outgoing } from './outgoing.ts';
import type { Part } from './part.ts';
import type { Reach } from './reports.ts';
import type { Offered } from './serve.ts';
import type { FileStore } from './store.ts';
import { fetchSwarm } from './swarm.ts';

export type SharingOptions = {
  store: FileStore;
  reach: Reach;
  /** Members of the conversation in which an entry stands. */
  members(entry: string): readonly string[];
  /** What this node sends, and all that is whole here. */
  outgoing: Pick<Outgoing, 'offered' | 'content' | 'whole' | 'keep'>;
  onWanted(hash: string): void;
  clock: Clock;
  log: Log;
  signal: AbortSignal;
};

export class Sharing {
  readonly exchange: Exchange;
  readonly #options: SharingOptions;
  readonly #live = new Map<string, LivePart>();

  constructor(options: SharingOptions) {
    this.#options = options;
    const { reach, onWanted, clock, log, signal } = options;
    this.exchange = new Exchange({
      reach,
      mayHave: (account, hash) =>
        options.outgoing.offered(account, hash) !== undefined || this.#copyFor(account, hash) !== undefined,
      wholeHere: (hash) => options.outgoing.whole(hash),
      membersOf: (hash) => this.membersOf(hash),
      onWanted,
      clock,
      log,
      signal,
    });
  }

  /** Members of all conversations in which a ticket of this hash stands. */
  membersOf(hash: string): ReadonlySet<string> {
    const { store, members } = this.#options;
    return new Set(store.entriesOf(hash).flatMap((entry) => members(entry)));
  }

  /** Who else may have it, in any order. */
  othersOf(hash: string, author: string, self: string): string[] {
    const others = [...this.membersOf(hash)].filter((account) => account !== author && account !== self);
    return others
      .map((account) => ({ account, at: Math.random() }))
      .sort((a, b) => a.at - b.at)
      .map(({ account }) => account);
  }

  /** The transfer by which this node may give a content to an account, which is a member where its ticket stands. [F-10] */
  #copyFor(account: string, hash: string): string | undefined {
    const { store, members } = this.#options;
    return store.copies(hash).find(({ entry }) => members(entry).includes(account))?.id;
  }

  /** What `account` may have of what was sent to this node. */
  offered(account: string, hash: string): Offered | undefined {
    const transfer = this.#copyFor(account, hash);
    if (transfer === undefined) return undefined;
    const { manifest, open } = this.#options.outgoing.content(hash);
    const openNow: Offered['open'] = async (which, signal) => {
      const live = this.#live.get(hash); // [F-40]
      return live ? live.bytes(which) : await open(which, signal);
    };
    return { transfer, manifest, open: openNow };
  }

  /** It is whole and has its name: from now on it is served from there. `stamps`: of a folder. */
  async keep(hash: string, path: string, stamps: Uint8Array | undefined): Promise<void> {
    await this.#options.outgoing.keep(hash, path, stamps);
  }

  /** A part is fetched from now on, and served as far as it is there. */
  begin(content: Content, options: { hash: string; have: Bitmap; part: Part }): Share {
    const held = new Held(content.chunks, options.have.bytes());
    const live = new LivePart({ content, held, part: options.part });
    this.#live.set(options.hash, live);
    const forget = (): void => {
      if (this.#live.get(options.hash) === live) this.#live.delete(options.hash);
    };
    return new Share({ ...options, content, held, live, exchange: this.exchange, log: this.#options.log, forget });
  }
}

type ShareOptions = {
  hash: string;
  content: Content;
  have: Bitmap;
  held: Held;
  part: Part;
  live: LivePart;
  exchange: Exchange;
  log: Log;
  forget(): void;
};

/** One part that is fetched and served at once. */
class Share {
  readonly #options: ShareOptions;
  readonly #stop = new AbortController();
  #topic: Topic | undefined;

  constructor(options: ShareOptions) {
    this.#options = options;
  }

  /** These chunks are here too. */
  know(have: Bitmap): void {
    for (let chunk = 0; chunk < have.size; chunk++) if (have.has(chunk)) this.#options.held.gain(chunk);
  }

  /** See `fetchSwarm`. */
  async fetch(options: {
    author: string;
    holders: readonly string[];
    banned: Set<string>;
    lines: Lines;
    onAsk(first: number, count: number): void;
    onChunks(indexes: readonly number[], bytes: number): void;
    signal: AbortSignal;
  }): Promise<void> {
    const { hash, content, have, held, part, exchange, log } = this.#options;
    const { author, holders, banned, lines, onAsk, onChunks, signal } = options;
    await fetchSwarm({
      content,
      author,
      have,
      held,
      part,
      banned,
      connect: (account) => lines.use(account),
      open: (listener) => {
        this.#topic = exchange.open({ hash, shape: content, held, listener, members: holders });
        return this.#topic;
      },
      onAsk,
      onChunks,
      onCut: (account, client) => lines.forget(account, client),
      hasMoved: (client) => lines.hasMoved(client),
      log,
      signal: AbortSignal.any([signal, this.#stop.signal]),
    });
  }

  /** Ends the fetch: the disk cannot be written. */
  fail(fault: Fault): void {
    this.#stop.abort(fault);
  }

  /** The part is closed next. */
  async end({ whole }: { whole: boolean }): Promise<void> {
    this.#topic?.end({ whole });
    this.#options.forget();
    await this.#options.live.close();
  }
}
