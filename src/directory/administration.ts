/** A node's side of administration: what an admin of a zone asks of its trackers. */
import { Fault } from '../base/fault.ts';
import type { Link } from '../link/link.ts';
import * as wire from './admin-wire.ts';
import { parseHandle, parseZone } from './handle.ts';
import { parseInvite } from './invite.ts';
import type { Policy } from './joining.ts';
import type { TrackerState } from './upstream.ts';

type Wait = { signal?: AbortSignal | undefined };

/** Pages of one list of handles: a million of them. A tracker that goes on after that lies. */
const MOST_PAGES = 2000;

/** A zone that is not this node's own tracker's is named whole; each method throws the tracker's fault, or `tracker_down`. */
export class Administration {
  readonly #trackers: () => readonly { state: TrackerState; link: Link | undefined }[];
  readonly #zone: () => string;

  constructor(options: {
    /** All trackers of this node, in their order. */
    trackers(): readonly { state: TrackerState; link: Link | undefined }[];
    /** The zone that is meant where none is named. */
    zone(): string;
  }) {
    this.#trackers = options.trackers;
    this.#zone = options.zone;
  }

  async policy(zone: string, policy: Policy | undefined, wait: Wait): Promise<{ zone: string; policy: Policy }> {
    const wanted = this.#zoneOf(zone);
    return await this.#each(wanted, (link) => link.request(wire.policy, { zone: wanted, policy }, wait));
  }

  /** An invite of the first tracker that serves the zone. */
  async invite(
    zone: string | undefined,
    { uses, ttlMs, ...wait }: Wait & { uses: number; ttlMs: number },
  ): Promise<{ zone: string; invite: string; uses: number; until: number }> {
    const wanted = this.#zoneOf(zone);
    const [link] = this.#linksOf(wanted);
    return { zone: wanted, ...(await link.request(wire.invite, { zone: wanted, uses, ttlMs }, wait)) };
  }

  /** Takes an invite link back, at each tracker of its zone. Throws `bad_invite`, `invalid_argument`. */
  async uninvite(invite: string, wait: Wait): Promise<{ zone: string; until: number }> {
    const { zone, token } = parseInvite(invite);
    if (token === undefined) {
      throw new Fault(
        'invalid_argument',
        `taking back an invite into "${zone}": this link only says where its tracker is`,
      );
    }
    return await this.#each(zone, (link) => link.request(wire.uninvite, { zone, token }, wait));
  }

  async handles(zone: string | undefined, wait: Wait): Promise<wire.HandleEntry[]> {
    const wanted = this.#zoneOf(zone);
    const [link] = this.#linksOf(wanted);
    const all: wire.HandleEntry[] = [];
    let after: string | undefined;
    for (let pages = 0; pages < MOST_PAGES; pages++) {
      const { handles, next } = await link.request(wire.list, { zone: wanted, after }, wait);
      all.push(...handles);
      if (next === null) return all;
      after = next;
    }
    throw new Fault('too_large', `listing the handles of "${wanted}": over ${MOST_PAGES} pages`);
  }

  async revoke(handle: string, wait: Wait): Promise<wire.HandleEntry> {
    const { handle: wanted, zone } = parseHandle(handle, this.#zone());
    return (await this.#each(zone, (link) => link.request(wire.revoke, { handle: wanted }, wait))).handle;
  }

  async rename(handle: string, to: string, wait: Wait): Promise<wire.HandleEntry> {
    const { handle: wanted, zone } = parseHandle(handle, this.#zone());
    const target = parseHandle(to, zone).handle;
    return (await this.#each(zone, (link) => link.request(wire.rename, { handle: wanted, to: target }, wait))).handle;
  }

  async free(handle: string, wait: Wait): Promise<{ handle: string }> {
    const { handle: wanted, zone } = parseHandle(handle, this.#zone());
    await this.#each(zone, (link) => link.request(wire.free, { handle: wanted }, wait));
    return { handle: wanted };
  }

  #zoneOf(zone: string | undefined): string {
    return zone === undefined ? this.#zone() : parseZone(zone);
  }

  /** Where several trackers keep the zone, each is told: a change that one of them missed would be none. */
  async #each<R>(zone: string, ask: (link: Link) => Promise<R>): Promise<R> {
    const [first, ...others] = this.#linksOf(zone);
    const answer = await ask(first);
    for (const link of others) await ask(link);
    return answer;
  }

  #linksOf(zone: string): [Link, ...Link[]] {
    const all = this.#trackers();
    const serving = all.filter(({ state }) => state.zone === zone);
    // A tracker may serve more zones than the one of its invite: it says itself whether this is one of them.
    const asked = serving.length > 0 ? serving : all;
    const down = asked.find(({ link }) => !link);
    if (down) {
      throw new Fault(
        'tracker_down',
        `administering "${zone}": its tracker at "${down.state.address}" does not answer, and nothing was changed; see that it runs, or leave it out of --tracker`,
      );
    }
    const [first, ...others] = asked.flatMap(({ link }) => link ?? []);
    if (first) return [first, ...(serving.length > 0 ? others : [])];
    throw new Fault('wrong_state', `administering "${zone}": this node has no tracker; join one with its invite link`);
  }
}
