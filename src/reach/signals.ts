/** A node's side of signals: it asks other nodes by way of trackers, and answers what they ask. [N-1] to [N-5] */
import type { z } from 'zod';
import { reasonOf } from '../base/async.ts';
import { Fault, type FaultCode, toFault } from '../base/fault.ts';
import type { Link } from '../link/link.ts';
import type { Router } from '../link/router.ts';
import { type Endpoint, type Json, signal, signalled } from './signal-wire.ts';

type Wait = { signal?: AbortSignal | undefined };

/** What answers a signal. `tracker`: the link that it came on. What it throws, the asker is told. */
export type SignalHandler<B> = (
  from: Endpoint,
  body: B,
  context: { signal: AbortSignal; tracker: Link; to: string },
) => Json | Promise<Json>;

type Row = {
  schema: z.ZodType;
  run(from: Endpoint, body: unknown, context: Parameters<SignalHandler<unknown>>[2]): Json | Promise<Json>;
};

/** After these another tracker may do better. */
const ELSEWHERE: readonly FaultCode[] = [
  'peer_unreachable',
  'tracker_down',
  'link_closed',
  'timeout',
  'unknown_operation',
  'too_many',
  'queue_full',
  'forbidden',
];

/** As it is said of somebody who is away, hides, or has blocked the asker: none is told from the others. [N-4] */
export const nobody = (account: string): Fault =>
  new Fault('peer_unreachable', `signalling "${account}": nobody is there now`);

export class Signals {
  readonly #trackersOf: (account: string, wait: Wait) => Promise<readonly Link[]>;
  readonly #isOwnTracker: (link: Link) => boolean;
  readonly #hosts: (account: string) => boolean;
  readonly #blocked: (account: string) => boolean;
  readonly #kinds = new Map<string, Row>();

  constructor(options: {
    /** Links to trackers at which the account is, the likeliest first; some may have to be dialled. */
    trackersOf(account: string, wait: Wait): Promise<readonly Link[]>;
    /** Whether this node announces itself on that link: none but such a tracker is believed. */
    isOwnTracker(link: Link): boolean;
    /** Whether the account is at this node. */
    hosts(account: string): boolean;
    /** Whether the user is there for nobody of that name. */
    blocked(account: string): boolean;
  }) {
    this.#trackersOf = options.trackersOf;
    this.#isOwnTracker = options.isOwnTracker;
    this.#hosts = options.hosts;
    this.#blocked = options.blocked;
  }

  /** Takes what trackers ask on links that share `router`. */
  attach(router: Router): this {
    router.handle(signalled, async ({ from, to, kind, body }, { link, signal }) => {
      if (!this.#isOwnTracker(link)) {
        throw new Fault('forbidden', `taking the signal "${kind}": this link is not to a tracker of ours`);
      }
      if (!this.#hosts(to) || this.#blocked(from.account)) throw nobody(to);
      const row = this.#kinds.get(kind);
      if (!row) throw new Fault('unknown_operation', `taking the signal "${kind}": this node knows no such kind`);
      const parsed = row.schema.safeParse(body);
      if (!parsed.success) {
        throw new Fault('malformed', `taking the signal "${kind}": ${parsed.error.issues[0]?.message ?? 'its form'}`);
      }
      return { body: await row.run(from, parsed.data, { signal, tracker: link, to }) };
    });
    return this;
  }

  /** Answers signals of `kind` with what `handler` gives. Each kind is answered by one. */
  answer<B>(kind: string, schema: z.ZodType<B>, handler: SignalHandler<B>): this {
    if (this.#kinds.has(kind)) throw new Error(`signals "${kind}" are answered already`);
    this.#kinds.set(kind, { schema, run: (from, body, context) => handler(from, body as B, context) }); // parsed above
    return this;
  }

  /**
   * Asks the account at that node, by whichever tracker reaches it, and gives what it answers. Throws `peer_unreachable` (nobody is
   * there, or no tracker to ask), what the other node refuses it with, `too_large`, `too_many`.
   */
  async ask(to: Endpoint, kind: string, body: Json, wait: Wait = {}): Promise<Json> {
    const links = await this.#trackersOf(to.account, wait);
    let last = new Fault('peer_unreachable', `signalling "${to.account}": no tracker that knows it is linked now`);
    for (const link of links) {
      if (wait.signal?.aborted) throw reasonOf(wait.signal);
      try {
        const answer = await link.request(signal, { to, kind, body }, wait);
        return answer.body;
      } catch (error) {
        last = toFault(error, `signalling "${to.account}"`);
        if (!ELSEWHERE.includes(last.code)) throw last;
      }
    }
    throw last;
  }
}
