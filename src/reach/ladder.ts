/** How one gets to a peer: its addresses tried in order of promise, in parallel with head starts (RFC 8305, section 5). */
import { abortable, reasonOf, sleep } from '../base/async.ts';
import { Fault, toFault } from '../base/fault.ts';
import { isBetter, nearestFirst, type Rung, rungOf } from '../link/rung.ts';

/** Milliseconds that one address has before the next is tried beside it (RFC 8305 recommends 250). */
const HEAD_START_MS = 250;

/**
 * Milliseconds in all for one that has answered, though nothing is agreed yet: it is there, and is only slow, as a machine is that
 * has much to do. To try others beside it would give both more to do.
 */
const ANSWERED_MS = 1500;

/** Milliseconds that nearer ways have to come about after a farther one did; then they are tried again another time. */
const LATE_MS = 15_000;

/** Addresses tried for one peer; a record names at most 8, and the tracker may add one. */
const MOST_ADDRESSES = 10;

/** One way to a peer. */
export type Way<T> = {
  readonly rung: Rung;
  /** What people know it by: an address, or e.g. `relay by lab`. */
  readonly label: string;
  /** Milliseconds until the next way is tried beside it. */
  readonly headStartMs?: number;
  /** Must end when its signal aborts. Calls `answered` once there is somebody, where it hears of that earlier than of the end. */
  attempt(signal: AbortSignal, answered?: () => void): Promise<T>;
};

/** Why a way was not gone. */
export type Failure = { rung: Rung; label: string; reason: string };

/** What was reached, by which way, and what has failed: of ways that were under way then, that is known only later. */
export type Climbed<T> = { won: T; rung: Rung; label: string; failures: Failure[] };

/** A way for each address, nearest first, each once. */
export function waysTo<T>(
  addresses: readonly string[],
  attempt: (address: string, signal: AbortSignal, answered?: () => void) => Promise<T>,
): Way<T>[] {
  return [...new Set(addresses)]
    .map(
      (label): Way<T> => ({
        rung: rungOf(label),
        label,
        attempt: (signal, answered) => attempt(label, signal, answered),
      }),
    )
    .sort(nearestFirst)
    .slice(0, MOST_ADDRESSES);
}

export type ClimbOptions<T> = {
  ways: readonly Way<T>[];
  /** Label of the way that is gone first, for it is known to lead there; else the nearest is. */
  first?: string | undefined;
  /** Ends a connection that was made, but later than another. */
  discard(late: T): void;
  /**
   * Told of a connection on a nearer rung than the last one, that came about later [N-71]; without it, all others are given up once
   * there is one.
   */
  better?: ((climbed: Climbed<T>) => void) | undefined;
  /** Takes what failed, as it does. */
  failures?: Failure[];
  signal?: AbortSignal | undefined;
  headStartMs?: number;
  answeredMs?: number;
};

/**
 * The first connection that comes about. Throws `peer_unreachable` with what happened on each way, or the signal's
 * fault. An address that answers with a wrong key counts as no answer: somebody else lives there now. [N-70]
 */
export async function climb<T>(options: ClimbOptions<T>): Promise<Climbed<T>> {
  const { signal, first, headStartMs = HEAD_START_MS } = options;
  const ways = [...options.ways].sort(nearestFirst).sort((a, b) => rankOf(a, first) - rankOf(b, first));
  if (ways.length === 0) {
    throw new Fault('peer_unreachable', 'reaching the peer: no address of it is known to work');
  }
  if (signal?.aborted) throw reasonOf(signal);
  const run = new Climb(options);
  return await abortable(run.all(ways, headStartMs), signal);
}

const rankOf = ({ label }: { label: string }, first: string | undefined): number => (label === first ? 0 : 1);

class Climb<T> {
  readonly #options: ClimbOptions<T>;
  readonly #underWay = new Map<Way<T>, AbortController>();
  readonly #failures: Failure[];
  readonly #first = Promise.withResolvers<Climbed<T>>();
  #reached: Rung | undefined;

  constructor(options: ClimbOptions<T>) {
    this.#options = options;
    this.#failures = options.failures ?? [];
  }

  /** Settles with the first; what is nearer goes on. */
  async all(ways: readonly Way<T>[], headStartMs: number): Promise<Climbed<T>> {
    const { signal } = this.#options;
    const end = (): void => {
      for (const stop of this.#underWay.values()) stop.abort(signal?.reason);
    };
    signal?.addEventListener('abort', end, { once: true });
    let late: NodeJS.Timeout | undefined;
    void this.#first.promise.then(() => {
      late = setTimeout(end, LATE_MS).unref();
    });
    const gone = this.#goAll(ways, headStartMs).finally(() => {
      signal?.removeEventListener('abort', end);
      clearTimeout(late);
    });
    return await Promise.race([
      this.#first.promise,
      gone.then(() => {
        if (this.#reached) return this.#first.promise;
        const reasons = this.#failures.map(({ label, reason }) => `${label}: ${reason}`).join('; ');
        throw new Fault('peer_unreachable', `reaching the peer: no address answers (${reasons})`);
      }),
    ]);
  }

  /** Whether a way is still wanted. */
  #isWanted({ rung }: { rung: Rung }): boolean {
    if (this.#options.signal?.aborted) return false;
    return this.#reached === undefined || (this.#options.better !== undefined && isBetter(rung, this.#reached));
  }

  async #goAll(ways: readonly Way<T>[], headStartMs: number): Promise<void> {
    const running: Promise<void>[] = [];
    for (const way of ways) {
      if (!this.#isWanted(way)) continue;
      let isThere = false;
      const going = this.#go(way, () => {
        isThere = true;
      });
      running.push(going);
      const wait = way.headStartMs ?? headStartMs;
      const isOver = await this.#settled(going, wait);
      if (!isOver && isThere) await this.#settled(going, Math.max(0, (this.#options.answeredMs ?? ANSWERED_MS) - wait));
    }
    await Promise.all(running);
  }

  /** Whether this way has ended, or any has led there, within some milliseconds. */
  async #settled(going: Promise<void>, ms: number): Promise<boolean> {
    const over = new AbortController();
    const ended = Promise.race([going, this.#first.promise]).then(() => true);
    const isOver = await Promise.race([ended, sleep(ms, over.signal).then(() => false)]);
    over.abort();
    return isOver;
  }

  async #go(way: Way<T>, answered: () => void): Promise<void> {
    const stop = new AbortController();
    this.#underWay.set(way, stop);
    const { rung, label } = way;
    try {
      const won = await way.attempt(stop.signal, answered);
      if (!this.#isWanted(way)) return this.#options.discard(won);
      const isFirst = this.#reached === undefined;
      this.#reached = rung;
      for (const [other, others] of this.#underWay) {
        if (other !== way && !this.#isWanted(other)) others.abort(new Fault('cancelled', 'another way was found'));
      }
      const climbed = { won, rung, label, failures: this.#failures };
      if (isFirst) this.#first.resolve(climbed);
      else this.#options.better?.(climbed);
    } catch (error) {
      if (!stop.signal.aborted) this.#failures.push({ rung, label, reason: toFault(error).message });
    } finally {
      this.#underWay.delete(way);
    }
  }
}
