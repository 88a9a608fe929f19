/** One tracker at whichever of its addresses answers first: each has a head start over the next. */
import { type Fault, toFault } from '../base/fault.ts';
import { race } from '../base/race.ts';
import { retryAfterOf } from '../base/retry-after.ts';
import type { Link } from '../link/link.ts';
import type { Invite } from './invite.ts';

/** Dials one address of a tracker and gives a greeted link to the key `expect`. */
export type DialTracker = (address: string, expect: string, signal: AbortSignal) => Promise<Link>;

/** Milliseconds that one address has before the next is dialled beside it. */
const HEAD_START_MS = 300;

export class AnyAddress {
  readonly #invite: Invite;
  readonly #dial: DialTracker;
  readonly #dialled = new WeakMap<Link, string>();
  #last: string | undefined;
  #avoided: string | undefined;
  #named: readonly string[] = [];

  constructor(invite: Invite, dial: DialTracker) {
    this.#invite = invite;
    this.#dial = dial;
  }

  /** Addresses that the tracker itself named, tried before those of the invite; the last ones that it named count. */
  name(addresses: readonly string[]): void {
    this.#named = addresses;
  }

  /** The address of `link` was of no use: it comes last until another has answered. */
  avoid(link: Link): void {
    this.#avoided = this.#dialled.get(link);
  }

  addressOf(link: Link): string {
    return this.#dialled.get(link) ?? link.address;
  }

  /** Those besides the one of `link`. */
  others(link: Link): string[] {
    const own = this.#dialled.get(link);
    return this.#order(undefined).filter((address) => address !== own);
  }

  /** The last good one first; the one of `instead` last, for another one is wanted. */
  #order(instead: Link | undefined): string[] {
    const last = instead ? this.#dialled.get(instead) : this.#avoided;
    const all = [...this.#named, ...(this.#last === undefined ? [] : [this.#last]), ...this.#invite.addresses];
    const each = [...new Set(all)];
    return last === undefined || !each.includes(last) ? each : [...each.filter((address) => address !== last), last];
  }

  /** Throws a wrong key anywhere before the rest, then when to come back, then what the last one came to. */
  async dial(signal: AbortSignal, { instead }: { instead: Link | undefined }): Promise<Link> {
    const end = await race(
      this.#order(instead).map((address) => ({
        headStartMs: HEAD_START_MS,
        attempt: async (limit) => {
          try {
            const link = await this.#dial(address, this.#invite.peer, limit);
            this.#dialled.set(link, address);
            return link;
          } catch (error) {
            throw toFault(error, `dialling the tracker at "${address}"`, 'peer_unreachable');
          }
        },
      })),
      { signal, discard: (late) => late.close() },
    );
    if ('faults' in end) throw worst(end.faults);
    this.#last = this.#dialled.get(end.won);
    this.#avoided = undefined;
    return end.won;
  }
}

function worst(faults: readonly Fault[]): Fault {
  const found =
    faults.find(({ code }) => code === 'wrong_key') ??
    faults.find((fault) => retryAfterOf(fault) !== undefined) ??
    faults.at(-1);
  return found ?? toFault(new Error('no address'), 'dialling the tracker', 'peer_unreachable');
}
