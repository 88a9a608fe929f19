/** Which of two links between the same two nodes is used: both nodes come to the same answer, each by itself. [N-72] */
import type { Link } from '../link/link.ts';
import { isBetter } from '../link/rung.ts';

export type Rival = Pick<Link, 'open' | 'peer' | 'dialled' | 'since' | 'way'>;

/**
 * Milliseconds after which a link is no rival of a new one: nobody dials for so long, so that whoever dialled the new one did not
 * have the old one any more.
 */
const SETTLED_MS = 20_000;

/** Whether a new link takes the place of the one there is. `self`: id of this node. `now`: by the clock of `since`. */
export function winsOver(link: Rival, present: Rival, { self, now }: { self: string; now: number }): boolean {
  if (!present.open || present.peer !== link.peer) return true;
  // By the lower node id: where both dialled at once, and with a node that says no more. [L-30]
  const isWorse = present.dialled !== link.dialled && present.dialled === self < present.peer;
  if (!link.way || !present.way) return !isWorse;
  if (now - present.since >= SETTLED_MS) return true;
  if (link.way.instead !== present.way.instead) return link.way.instead;
  if (link.way.rung !== present.way.rung) return isBetter(link.way.rung, present.way.rung);
  return !isWorse;
}
