/** How one gets to a peer: its addresses tried in order of promise, in parallel with head starts (RFC 8305, section 5). */
import { reasonOf, sleep } from '../base/async.ts';
import { Fault, toFault } from '../base/fault.ts';
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
  const over = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, over.signal]) : over.signal;
  const failures: string[] = [];
  const winner = Promise.withResolvers<T>();
  let won = false;
  /** One attempt; whatever its end, the next address need not wait any longer. */
  const attempt = async (address: string): Promise<void> => {
    try {
      const made = await options.attempt(address, signal);
      if (won) return options.discard(made);
      won = true;
      winner.resolve(made);
    } catch (error) {
      failures.push(`${address}: ${toFault(error).message}`);
    }
  };
  const climbAll = async (): Promise<void> => {
    const running: Promise<void>[] = [];
    for (const address of addresses) {
      if (won || signal.aborted) break;
      const current = attempt(address);
      running.push(current);
      await Promise.race([current, sleep(options.headStartMs ?? HEAD_START_MS, signal).catch(() => {})]);
    }
    await Promise.all(running);
    if (won) return;
    if (options.signal?.aborted) return winner.reject(reasonOf(options.signal));
    winner.reject(new Fault('peer_unreachable', `reaching the peer: no address answers (${failures.join('; ')})`));
  };
  void climbAll();
  try {
    return await winner.promise;
  } finally {
    over.abort(new Fault('cancelled', 'another address was quicker'));
  }
}
