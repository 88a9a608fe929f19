/** How a tracker that stops sends its nodes elsewhere: each at a time of its own, and with a bounded wait. */
import { sleep } from '../base/async.ts';
import type { Clock } from '../base/clock.ts';
import { moving } from '../directory/messages.ts';
import type { Link } from '../link/link.ts';

/** Links that one core takes up in a second with a third of its time to spare: a join is 2.7 ms of it. */
const LINKS_PER_SECOND = 250;
/** Milliseconds over which even a few links are spread, for others may stop at the same time. */
const LEAST_SPREAD_MS = 1000;
/** Milliseconds that the last ones have to go, after they were to. */
const GRACE_MS = 1000;

/** Milliseconds over which so many nodes come back without one that has to wait for a handshake. [D-75] */
export const returnWithinMs = (links: number): number => Math.ceil((links / LINKS_PER_SECOND) * 1000);

/**
 * Settles when all links have gone, or after the wait, of which `mostMs` is the most; or when `signal` aborts. Gives how many
 * links are left.
 */
export async function sendAway(options: {
  links: ReadonlySet<Link>;
  /** Where else a tracker with the same key answers, at most 8. */
  to: readonly string[];
  mostMs: number;
  clock: Clock;
  signal?: AbortSignal | undefined;
}): Promise<number> {
  const { links, to, mostMs, clock, signal } = options;
  const told = shuffled([...links].filter(({ open }) => open));
  const wanted = Math.max(LEAST_SPREAD_MS, returnWithinMs(told.length)) + GRACE_MS;
  const waitMs = Math.min(mostMs, wanted);
  const spreadMs = (waitMs * (wanted - GRACE_MS)) / wanted;
  const until = clock.now() + waitMs;
  for (const [at, link] of told.entries()) {
    // Each in a slice of its own: evenly, and not by a clock that all share.
    const afterMs = Math.floor(((at + Math.random()) / told.length) * spreadMs);
    link.notify(moving, { afterMs, until, to: [...to] });
  }
  const gone = Promise.all(told.map(({ closed }) => closed));
  if (told.length > 0) await Promise.race([gone, sleep(waitMs, signal).catch(() => {})]);
  return told.filter(({ open }) => open).length;
}

/** Fisher and Yates: links stand in the order in which they came, and those of one place came together. */
function shuffled<T>(items: T[]): T[] {
  for (let last = items.length - 1; last > 0; last--) {
    const other = Math.floor(Math.random() * (last + 1));
    const [a, b] = [items[last], items[other]];
    if (a !== undefined && b !== undefined) [items[last], items[other]] = [b, a];
  }
  return items;
}
