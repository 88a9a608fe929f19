/** A tracker's side of signals: it passes a small request from one node to another, and the answer back. [N-1] to [N-6] */
import { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import { Fault, isFaultCode, toFault } from '../base/fault.ts';
import { Rate } from '../base/rate.ts';
import type { Siblings } from '../base/shared-log.ts';
import type { Link } from '../link/link.ts';
import { needsAccount, type Router } from '../link/router.ts';
import { type Endpoint, endpoint, type Json, json, kindText, signal, signalled, TRACKERS_OWN } from './signal-wire.ts';
import { nobody } from './signals.ts';

/** Signals of one account, and to one node: this many at once, and this many each second after. [N-3] */
const CALLER = { burst: 300, perSecond: 20 };
const CALLEE = { burst: 300, perSecond: 20 };
/** Accounts and nodes whose rate is remembered; past it the eldest start anew. */
const MOST_REMEMBERED = 50_000;
/** Signals to one node that wait for its answer. [N-3] */
const MOST_UNDER_WAY = 32;
/** What processes of a cluster ask each other under. */
const TOPIC = 'signal';

/** Where an account is: `process`, in a cluster, the one whose link announced it. */
export type Whereabouts = { node: string; process: string | undefined };

const passed = z.object({ from: endpoint, to: endpoint, kind: kindText, body: json });
type Passed = z.infer<typeof passed>;
const came = z.union([z.object({ body: json }), z.object({ code: z.string(), message: z.string() })]);

type Callee = { links: Link[]; underWay: number };

export class SignalServer {
  readonly #admit: (link: Link) => void | Promise<void>;
  readonly #find: (account: string, asker: string) => Whereabouts | undefined;
  readonly #siblings: Siblings | undefined;
  readonly #clock: Clock;
  readonly #callees = new Map<string, Callee>();
  readonly #callerRates = new Map<string, Rate>();
  readonly #calleeRates = new Map<string, Rate>();

  constructor(options: {
    /** Lets the account behind the link ask, or throws `forbidden`: members of the zones, and guests whom theirs confirms. [N-3] */
    admit(link: Link): void | Promise<void>;
    /** Where an account is, as far as `asker` may see it; undefined: away. [N-4] */
    find(account: string, asker: string): Whereabouts | undefined;
    /** The other processes of the cluster. [N-6] */
    siblings?: Siblings | undefined;
    clock: Clock;
  }) {
    this.#admit = options.admit;
    this.#find = options.find;
    this.#siblings = options.siblings;
    this.#clock = options.clock;
    this.#siblings?.answer(TOPIC, (text) => this.#answerSibling(text));
  }

  /** A link that was greeted: signals to its node go by it. */
  take(link: Link): void {
    if (link.carrier || link.remote.role !== 'node' || !link.open) return;
    const callee = this.#callees.get(link.peer) ?? { links: [], underWay: 0 };
    callee.links.push(link);
    this.#callees.set(link.peer, callee);
    void link.closed.then(() => {
      callee.links.splice(callee.links.indexOf(link), 1);
      if (callee.links.length === 0 && this.#callees.get(link.peer) === callee) this.#callees.delete(link.peer);
    });
  }

  attach(router: Router): this {
    router.handle(
      signal,
      async ({ to, kind, body }, { link, signal: ends }) => {
        if (TRACKERS_OWN.has(kind))
          throw new Fault('forbidden', `signalling "${kind}": that kind is the tracker’s own`);
        const from = await this.enter(link, to);
        return { body: await this.pass({ from, to, kind, body }, ends) };
      },
      { needs: needsAccount },
    );
    return this;
  }

  /** Who asks, if they may now. Throws `forbidden`, `too_many`, what keeps that from being known. [N-3] */
  async enter(link: Link, to: Endpoint): Promise<Endpoint> {
    const account = link.account?.account ?? '';
    take(this.#callerRates, account, CALLER, this.#clock, `signalling "${to.account}"`);
    const admitted = this.#admit(link);
    if (admitted) await admitted;
    return { account, node: link.peer };
  }

  /**
   * Has the node of `to` answer. Throws `peer_unreachable` where nobody is there for `from`, `too_many`, what the node refuses it
   * with.
   */
  async pass(asked: Passed, ends: AbortSignal | undefined): Promise<Json> {
    const { from, to } = asked;
    const where = this.#find(to.account, from.account);
    if (where?.node !== to.node) throw nobody(to.account); // [N-4]
    const siblings = this.#siblings;
    if (!siblings || where.process === undefined || where.process === siblings.self)
      return await this.#here(asked, ends);
    const answer = came.parse(JSON.parse(await siblings.ask(where.process, TOPIC, JSON.stringify(asked))));
    if ('body' in answer) return answer.body;
    throw new Fault(isFaultCode(answer.code) ? answer.code : 'internal', answer.message);
  }

  async #answerSibling(text: string): Promise<string> {
    try {
      return JSON.stringify({ body: await this.#here(passed.parse(JSON.parse(text)), undefined) });
    } catch (error) {
      const { code, message } = toFault(error, 'passing a signal on');
      return JSON.stringify({ code, message });
    }
  }

  async #here({ from, to, kind, body }: Passed, ends: AbortSignal | undefined): Promise<Json> {
    const callee = this.#callees.get(to.node);
    const link = callee?.links.findLast(({ open }) => open);
    if (!callee || !link) throw nobody(to.account);
    const what = `signalling "${to.account}"`;
    take(this.#calleeRates, to.node, CALLEE, this.#clock, what);
    if (callee.underWay >= MOST_UNDER_WAY) {
      throw new Fault('queue_full', `${what}: ${MOST_UNDER_WAY} signals wait for its answer already`);
    }
    callee.underWay += 1;
    try {
      const answer = await link.request(signalled, { from, to: to.account, kind, body }, { signal: ends });
      return answer.body;
    } catch (error) {
      const fault = toFault(error, what);
      throw fault.code === 'peer_unreachable' || fault.code === 'link_closed' ? nobody(to.account) : fault;
    } finally {
      callee.underWay -= 1;
    }
  }
}

/** Throws `too_many`. */
function take(
  rates: Map<string, Rate>,
  key: string,
  bound: { burst: number; perSecond: number },
  clock: Clock,
  what: string,
): void {
  let rate = rates.get(key);
  if (!rate) {
    rate = new Rate({ ...bound, clock });
    rates.set(key, rate);
    const [eldest] = rates.keys();
    if (rates.size > MOST_REMEMBERED && eldest !== undefined) rates.delete(eldest);
  }
  if (rate.take()) return;
  throw new Fault('too_many', `${what}: at most ${bound.perSecond} signals a second`, {
    data: { retryAfterMs: rate.waitMs },
  });
}
