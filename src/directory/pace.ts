/** How soon a tracker whose link ended is dialled again. [D-72] [D-75] */
import type { Pace } from '../link/keep.ts';

/** At once where nobody else answers, else at leisure. */
const URGENT: Pace = { firstMs: 200, mostMs: 30_000 };
const LEISURE: Pace = { firstMs: 5000, mostMs: 60_000 };

/**
 * `returnWithinMs`: over how long the tracker wants its nodes to come back; whoever comes in vain waits twice as long, for then all wait, and
 * come as often on average. A link that fell silent is most often this machine's own trouble, of which its tracker's other nodes
 * know nothing.
 */
export function paceOf(options: { hasOthers: boolean; returnWithinMs: number; silent: boolean }): Pace {
  const { firstMs, mostMs } = options.hasOthers ? LEISURE : URGENT;
  const spread = options.silent ? 0 : options.returnWithinMs;
  return { firstMs: Math.max(firstMs, spread), mostMs: Math.max(mostMs, 2 * spread) };
}
