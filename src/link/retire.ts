/** The end of a link whose place another one has taken. */
import { sleep } from '../base/async.ts';
import { PROBE_MS } from './keep.ts';
import type { Link } from './link.ts';

/** Milliseconds that it has to finish what is under way on it: at least, and at most; and between two looks. */
const LEAST_MS = 5000;
const MOST_MS = 60_000;
const LOOK_MS = 250;

/**
 * A link that lost against another one is ended once nothing is under way on it; where it is dead, at once, so that what waits on it
 * is said again. [N-77]
 */
export async function retire(link: Link): Promise<void> {
  link.retiring = true;
  const end = performance.now() + MOST_MS;
  void link.probe(PROBE_MS);
  await sleep(LEAST_MS, link.signal).catch(() => {}); // it has ended
  while (link.underWay > 0 && performance.now() < end && (await link.probe(PROBE_MS))) {
    await sleep(LOOK_MS, link.signal).catch(() => {});
  }
  link.close();
}
