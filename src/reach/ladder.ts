/** How one gets to a peer: its addresses tried in order of promise, in parallel with head starts (RFC 8305, section 5). */
import { Fault, toFault } from '../base/fault.ts';
import { race } from '../base/race.ts';
import { parseAddress, scopeOf } from '../link/address.ts';

/** Which step of the ladder a connection stands on. */
export type Rung = 'local' | 'lan' | 'direct';

/** Milliseconds that one address has before the next is tried beside it (RFC 8305 recommends 250). */
const HEAD_START_MS = 250;

/** Addresses tried for one peer; a record names at most 8, and the tracker may add one. */
const MOST_ADDRESSES = 10;

const order: Record<Rung, number> = { local: 0, lan: 1, direct: 2 };

export function rungOf(address: string): Rung {
  const scope = scopeOf(parseAddress(address).host);
  if (scope === 'loopback') return 'local';
  return scope === 'private' ? 'lan' : 'direct';
}

/** The addresses, nearest rung first, each once. */
function rungs(addresses: readonly string[]): string[] {
  return [...new Set(addresses)].sort((a, b) => order[rungOf(a)] - order[rungOf(b)]).slice(0, MOST_ADDRESSES);
}

export type ClimbOptions<T> = {
  addresses: readonly string[];
  /** Connects to one address; must end when its signal aborts. */
  attempt(address: string, signal: AbortSignal): Promise<T>;
  /** Ends a connection that was made, but later than another. */
  discard(late: T): void;
  signal?: AbortSignal | undefined;
  headStartMs?: number;
};

/**
 * The first connection that comes about. Throws `peer_unreachable` with what happened at each address, or the signal's
 * fault. An address that answers with a wrong key counts as no answer: somebody else lives there now.
 */
export async function climb<T>(options: ClimbOptions<T>): Promise<T> {
  const addresses = rungs(options.addresses);
  if (addresses.length === 0) {
    throw new Fault('peer_unreachable', 'reaching the peer: no address of it is known to work');
  }
  const failures: string[] = [];
  const end = await race(
    addresses.map((address) => ({
      headStartMs: options.headStartMs ?? HEAD_START_MS,
      attempt: async (signal) => {
        try {
          return await options.attempt(address, signal);
        } catch (error) {
          failures.push(`${address}: ${toFault(error).message}`);
          throw error;
        }
      },
    })),
    { signal: options.signal, discard: options.discard },
  );
  if ('won' in end) return end.won;
  throw new Fault('peer_unreachable', `reaching the peer: no address answers (${failures.join('; ')})`);
}
