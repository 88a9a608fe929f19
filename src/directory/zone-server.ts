/** A tracker's side of zones: answers who asks, walks for its own people, and takes what admins, children and fellows say. */
import type { Clock } from '../base/clock.ts';
import { canonical, hash } from '../base/encoding.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { Rate } from '../base/rate.ts';
import { scopeOf } from '../link/address.ts';
import type { Link } from '../link/link.ts';
import type { Precondition, Router } from '../link/router.ts';
import { needsAccount } from '../link/router.ts';
import type { Finder } from './finder.ts';
import type { Guests } from './guests.ts';
import type { Asker } from './hiding.ts';
import type { DirectoryTable } from './table.ts';
import { entryFor, hostOf } from './view.ts';
import type { Walked } from './walk.ts';
import * as messages from './zone-messages.ts';
import type { Zones } from './zones.ts';

/** Questions of one link: a tracker asks for many people. */
const ASKS = { burst: 4000, perSecond: 1000 };
/** Walks that one link may have made in a second, and at once: each costs a few questions elsewhere. [Z-13] */
const WALKS = { burst: 500, perSecond: 100 };
const MOST_WALKS = 512;
/** Milliseconds that a record may be kept by who asked. A change is pushed to watchers alone. [Z-25] */
const ANSWER_MS = 15_000;

type Limits = { asks: Rate; walks: Rate };

export type ZoneTimes = { answerMs: number; unknownMs: number; referralMs: number };

export class ZoneServer {
  readonly #zones: Zones;
  readonly #table: DirectoryTable;
  readonly #finder: Finder;
  readonly #guests: Guests;
  readonly #needsAdmin: Precondition;
  readonly #times: { answerMs: number; unknownMs: number };
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #count: (kind: 'answer', outcome: string) => void;
  readonly #limits = new WeakMap<Link, Limits>();
  /** Trackers that are linked, to be told of changes. */
  readonly #trackers = new Set<Link>();
  #walks = 0;

  constructor(options: {
    zones: Zones;
    table: DirectoryTable;
    finder: Finder;
    guests: Guests;
    needsAdmin: Precondition;
    times?: ZoneTimes | undefined;
    clock: Clock;
    log: Log;
    /** Counts what others are answered, by its kind or fault. */
    count?: ((kind: 'answer', outcome: string) => void) | undefined;
  }) {
    this.#zones = options.zones;
    this.#table = options.table;
    this.#finder = options.finder;
    this.#guests = options.guests;
    this.#needsAdmin = options.needsAdmin;
    this.#times = options.times ?? { answerMs: ANSWER_MS, unknownMs: 10_000 };
    this.#clock = options.clock;
    this.#log = options.log;
    this.#count = options.count ?? (() => {});
  }

  /** Puts the methods into the tracker's table. */
  attach(router: Router): this {
    const zones = this.#zones;
    const admin = { needs: this.#needsAdmin };
    router
      .handle(messages.ask, (question, { link }) => {
        this.#limit(link, 'asks', 'asking about people of zones');
        const answer = this.answer(question, { host: hostOf(link.address), asker: link.account?.account });
        this.#count('answer', answer.kind === 'unknown' ? answer.code : answer.kind);
        return answer;
      })
      .handle(messages.resolve, (wanted, { link, signal }) => this.#resolve(wanted, link, signal))
      .handle(messages.showApex, ({ zone }, { link }) => {
        this.#limit(link, 'asks', 'asking about zones');
        return { apex: zones.apex(zone) };
      })
      .handle(
        messages.attach,
        ({ apex }, { link }) => {
          const peer = this.#tracker(link);
          return zones.write(() => zones.attach(apex, peer));
        },
        { needs: needsTracker },
      )
      .handle(messages.copy, ({ zone, after }, { link }) => zones.copyFor(zone, this.#tracker(link), after), {
        needs: needsTracker,
      })
      .handle(
        messages.guest,
        ({ account }, { link }) => {
          this.#limit(link, 'asks', 'asking about guests');
          const handle = this.#guests.handleOf(account);
          if (handle !== undefined) return { handle };
          throw new Fault('unknown_handle', `finding "${account}": this account is neither of a zone here nor a guest`);
        },
        { needs: needsAccount },
      )
      .handle(messages.delegate, ({ zone, to }) => zones.write(() => zones.delegate(zone, to)), admin)
      .handle(messages.revoke, ({ zone, peer }) => zones.write(() => zones.revoke(zone, peer)), admin)
      .handle(messages.list, ({ after }) => zones.lines(after), admin);
    return this;
  }

  #limit(link: Link, what: keyof Limits, doing: string): void {
    let limits = this.#limits.get(link);
    if (!limits) {
      limits = { asks: new Rate({ ...ASKS, clock: this.#clock }), walks: new Rate({ ...WALKS, clock: this.#clock }) };
      this.#limits.set(link, limits);
    }
    if (!limits[what].take()) throw new Fault('too_many', `${doing}: too often on this link; wait a second`);
  }

  #tracker(link: Link): string {
    this.#limit(link, 'asks', 'attaching a zone');
    if (!this.#trackers.has(link)) {
      this.#trackers.add(link);
      void link.closed.then(() => this.#trackers.delete(link));
    }
    return link.peer;
  }

  /** Tells the linked trackers whom it concerns that there is news of a zone. */
  changed(zone: string, concerns: (peer: string) => boolean): void {
    for (const link of this.#trackers) if (concerns(link.peer)) link.notify(messages.zonesChanged, { zone });
  }

  /** What this tracker itself knows. Throws `unknown_zone` for a zone that it does not serve. [Z-10] [Z-11] */
  answer({ handle, as, etag }: messages.Question, who: { host: string; asker: Asker }): messages.Answer {
    const elsewhere = this.#zones.route(as, handle);
    if (elsewhere) return elsewhere;
    const { answerMs: ttlMs, unknownMs } = this.#times;
    try {
      const entry = entryFor(this.#table.find(handle, who.asker), who.host);
      const { seq, until, sig, ...said } = entry.record;
      const { lastSeen, ...shown } = { ...entry, record: said };
      const tag = hash(canonical(shown)).slice(0, 26);
      if (tag !== etag) return { kind: 'record', entry, etag: tag, ttlMs };
      return { kind: 'unchanged', renewal: { seq, until, sig }, lastSeen, ttlMs };
    } catch (error) {
      if (toFault(error).code !== 'unknown_handle') throw error;
      return { kind: 'unknown', code: 'unknown_handle', ttlMs: unknownMs };
    }
  }

  /** The walk for somebody of a zone here; for nobody else. [Z-12] [Z-13] */
  async #resolve(
    { handle, hops, deadlineMs }: ReturnType<typeof messages.resolve.params.parse>,
    link: Link,
    signal: AbortSignal,
  ): Promise<ReturnType<typeof messages.resolve.result.parse>> {
    const what = `finding "${handle}" for another`;
    const account = link.account?.account;
    if (account === undefined || !this.#table.isBound(account)) {
      throw new Fault(
        'forbidden',
        `${what}: this tracker walks only for those who have a handle here; ask iteratively`,
      );
    }
    this.#limit(link, 'walks', what);
    if (this.#walks >= MOST_WALKS) throw new Fault('queue_full', `${what}: ${MOST_WALKS} walks are under way already`);
    this.#walks += 1;
    try {
      const walked = await this.#finder.find({ handle, hops, deadlineMs, signal });
      return told(walked, hostOf(link.address));
    } catch (error) {
      this.#log.error({ err: error }, 'a walk failed by a defect');
      throw error;
    } finally {
      this.#walks -= 1;
    }
  }
}

const needsTracker: Precondition = (link) => {
  if (link.remote.role === 'tracker') return;
  throw new Fault('forbidden', 'this is between trackers: say so in hello');
};

/** The tracker is near to others than the asker is: who is near to it says nothing to the asker. */
function told(walked: Walked, host: string): ReturnType<typeof messages.resolve.result.parse> {
  const { entry, by, fault, stale, ttlMs, steps } = walked;
  const isHere = scopeOf(host) === 'loopback';
  const shown = entry && {
    ...entry,
    near: false,
    observed: null,
    verified: entry.verified.filter((address) => isHere || scopeOf(hostOf(address)) !== 'loopback'),
  };
  return { entry: shown, by, fault: fault && { code: fault.code, message: fault.message }, stale, ttlMs, steps };
}
