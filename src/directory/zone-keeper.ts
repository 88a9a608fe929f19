/** A tracker's links to the zone above and to the tracker that has its zone's key: what they sign is fetched in good time. [Z-5] [Z-6] */
import { Backoff, sleep } from '../base/async.ts';
import type { Clock } from '../base/clock.ts';
import { Fault, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { KeptLink } from '../link/keep.ts';
import type { Link } from '../link/link.ts';
import type { Router } from '../link/router.ts';
import type { Delegation } from './delegation.ts';
import type { Invite } from './invite.ts';
import * as messages from './zone-messages.ts';
import type { Zones } from './zones.ts';

/** Dials one address of a tracker and gives a greeted link to the key `expect`. */
type DialTracker = (address: string, expect: string, signal: AbortSignal) => Promise<Link>;

/** Waits after a refusal: the zone above may have to be told first by its admin. */
const RETRY = { firstMs: 1000, mostMs: 60_000 };
/** Milliseconds from one look to the next where nothing is due; whoever is linked is told of changes at once. */
const LOOK_MS = 3600_000;
/** Pages of a copy: a tracker that goes on after that lies. */
const MOST_PAGES = 200;

/** Milliseconds by which processes of a cluster that could renew the same at the same time differ: one does, and the others see it. */
const SPREAD_MS = 60_000;

/** `isAsked`: the other side told of news, or the link is new; what another process did meanwhile does not do then. */
type Task = { zone: string; work(link: Link, isAsked: boolean): Promise<void>; dueAt(): number };
const TOLD = 'told';

type Fellow = { invite: Invite; tasks: Task[]; kept: KeptLink; wake: AbortController };

export class ZoneKeeper implements AsyncDisposable {
  readonly #zones: Zones;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #stop = new AbortController();
  readonly #fellows = new Map<string, Fellow>();
  readonly #running = new Set<Promise<void>>();

  constructor(options: { zones: Zones; dial: DialTracker; clock: Clock; log: Log }) {
    const { zones, dial, clock, log } = options;
    this.#zones = zones;
    this.#clock = clock;
    this.#log = log;
    for (const { zone, parent, primary } of zones.served) {
      if (parent && parent.peer !== zones.self.peer) this.#add(parent, this.#attaching(zone), dial);
      if (primary) this.#add(primary, this.#copying(zone, primary.peer), dial);
    }
  }

  #add(invite: Invite, task: Task, dial: DialTracker): void {
    const known = this.#fellows.get(invite.peer);
    if (known) {
      known.tasks.push(task);
      return;
    }
    const fellow: Fellow = {
      invite,
      tasks: [task],
      wake: new AbortController(),
      kept: new KeptLink({
        dial: (signal) => dialAny(invite, dial, signal),
        onUp: (link) => {
          for (const each of fellow.tasks) this.#run(fellow, each, link);
        },
        log: this.#log,
      }),
    };
    this.#fellows.set(invite.peer, fellow);
  }

  /** Takes what fellow trackers say on links that share `router`. */
  attach(router: Router): this {
    router.on(messages.zonesChanged, (_params, { link }) => {
      this.#fellows.get(link.peer)?.wake.abort(TOLD); // of nobody else it is of interest
    });
    return this;
  }

  start(): void {
    for (const { kept } of this.#fellows.values()) kept.start();
  }

  /** What is served here changed: the zone above is to sign it anew. */
  changed(): void {
    for (const { wake } of this.#fellows.values()) wake.abort();
  }

  #run(fellow: Fellow, task: Task, link: Link): void {
    const running = this.#keep(fellow, task, link).finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  async #keep(fellow: Fellow, task: Task, link: Link): Promise<void> {
    const backoff = new Backoff(RETRY);
    let isAsked = true;
    const signal = AbortSignal.any([this.#stop.signal, link.signal]);
    while (!signal.aborted) {
      if (fellow.wake.signal.aborted) fellow.wake = new AbortController();
      const wake = fellow.wake.signal;
      let ms: number;
      try {
        await task.work(link, isAsked);
        isAsked = false;
        backoff.reset();
        ms = Math.min(Math.max(1000, task.dueAt() - this.#clock.now()), LOOK_MS);
      } catch (error) {
        const { code, message } = toFault(error, `keeping "${task.zone}"`);
        ms = backoff.next();
        if (!signal.aborted) this.#log.warn({ zone: task.zone, code, reason: message, againInMs: ms }, 'a zone waits');
      }
      await sleep(ms, AbortSignal.any([signal, wake])).catch(() => {}); // stopped, cut or told of news
      isAsked ||= wake.reason === TOLD;
    }
  }

  /** Proves the zone's key to the zone above, and takes what that signs. [Z-5] */
  #attaching(zone: string): Task {
    const zones = this.#zones;
    return {
      zone,
      dueAt: () => zones.renewAt(zone) + (zones.isShared ? Math.random() * SPREAD_MS : 0),
      work: async (link, isAsked) => {
        if (zones.isShared && !isAsked && zones.isAttached(zone)) return; // another process did [K-15]
        try {
          const given = await link.request(messages.attach, { apex: zones.apex(zone) });
          await zones.write(() => zones.takeParent(zone, given));
        } catch (error) {
          const fault = toFault(error, `attaching "${zone}"`);
          // Its admin has taken the zone back, or has not given it yet.
          if (fault.code === 'unknown_zone' || fault.code === 'forbidden')
            await zones.write(() => zones.dropParent(zone));
          throw fault;
        }
      },
    };
  }

  /** Takes what the tracker with the zone's key says of it. [Z-6] */
  #copying(zone: string, key: string): Task {
    const zones = this.#zones;
    return {
      zone,
      dueAt: () => this.#clock.now() + LOOK_MS,
      work: async (link) => {
        const delegations: Delegation[] = [];
        let after: string | undefined;
        for (let page = 0; page < MOST_PAGES; page++) {
          const said = await link.request(messages.copy, { zone, ...(after !== undefined && { after }) });
          delegations.push(...said.delegations);
          if (said.next === null) return zones.takeCopy(zone, key, said.apex, delegations);
          after = said.next;
        }
        throw new Fault('too_large', `copying "${zone}": over ${MOST_PAGES} pages`);
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Fault('cancelled', 'the tracker is stopping'));
    await Promise.all([...this.#fellows.values()].map(({ kept }) => kept[Symbol.asyncDispose]()));
    await Promise.all(this.#running);
  }
}

async function dialAny({ addresses, peer }: Invite, dial: DialTracker, signal: AbortSignal): Promise<Link> {
  let last = new Fault('peer_unreachable', `dialling the tracker "${peer}": it has no address`);
  for (const address of addresses) {
    try {
      return await dial(address, peer, signal);
    } catch (error) {
      last = toFault(error, `dialling the tracker at "${address}"`, 'peer_unreachable');
      if (signal.aborted) break;
    }
  }
  throw last;
}
