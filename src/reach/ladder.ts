/** How one gets to a peer: its addresses tried in order of promise, in parallel with head starts (RFC 8305, section 5). */
import { Fault, toFault } from '../base/fault.ts';
import { race } from '../base/race.ts';
import { isBetter, type Rung, rungOf } from '../link/rung.ts';

/** Milliseconds that one address has before the next is tried beside it (RFC 8305 recommends 250). */
const HEAD_START_MS = 250;

/** Addresses tried for one peer; a record names at most 8, and the tracker may add one. */
const MOST_ADDRESSES = 10;

/** One way to a peer. */
export type Way<T> = {
  readonly rung: Rung;
  /** What people know it by: an address, or e.g. `relay by lab`. */
  readonly label: string;
  /** Milliseconds until the next way is tried beside it. */
  readonly headStartMs?: number;
  /** Must end when its signal aborts. */
  attempt(signal: AbortSignal): Promise<T>;
};

/** Why a way was not gone. */
type Failure = { rung: Rung; label: string; reason: string };

/** What was reached, by which way, and what had failed by then. */
export type Climbed<T> = { won: T; rung: Rung; label: string; failures: Failure[] };

/** A way for each address, nearest first, each once. */
export function waysTo<T>(
  addresses: readonly string[],
  attempt: (address: string, signal: AbortSignal) => Promise<T>,
): Way<T>[] {
  return [...new Set(addresses)]
    .map((label) => ({ rung: rungOf(label), label, attempt: (signal: AbortSignal) => attempt(label, signal) }))
    .sort(nearestFirst)
    .slice(0, MOST_ADDRESSES);
}

function nearestFirst(a: { rung: Rung }, b: { rung: Rung }): number {
  if (isBetter(a.rung, b.rung)) return -1;
  return isBetter(b.rung, a.rung) ? 1 : 0;
}

export type ClimbOptions<T> = {
  ways: readonly Way<T>[];
  /** Ends a connection that was made, but later than another. */
  discard(late: T): void;
  signal?: AbortSignal | undefined;
  headStartMs?: number;
};

/**
 * The first connection that comes about. Throws `peer_unreachable` with what happened on each way, or the signal's
 * fault. An address that answers with a wrong key counts as no answer: somebody else lives there now.
 */
export async function climb<T>(options: ClimbOptions<T>): Promise<Climbed<T>> {
  const ways = [...options.ways].sort(nearestFirst);
  if (ways.length === 0) {
    throw new Fault('peer_unreachable', 'reaching the peer: no address of it is known to work');
  }
  const failures: Failure[] = [];
  const end = await race(
    ways.map(({ rung, label, headStartMs, attempt }) => ({
      headStartMs: headStartMs ?? options.headStartMs ?? HEAD_START_MS,
      attempt: async (signal) => {
        try {
          return { won: await attempt(signal), rung, label };
        } catch (error) {
          failures.push({ rung, label, reason: toFault(error).message });
          throw error;
        }
      },
    })),
    { signal: options.signal, discard: (late) => options.discard(late.won) },
  );
  if ('won' in end) return { ...end.won, failures: [...failures] };
  const reasons = failures.map(({ label, reason }) => `${label}: ${reason}`).join('; ');
  throw new Fault('peer_unreachable', `reaching the peer: no address answers (${reasons})`);
}
