/** Tells the log, once in a while, that limits refused somebody: one line for a flood, not one for each of its parts. */
import type { Log } from '../base/log.ts';
import type { Refusals } from '../link/guard.ts';

/** Milliseconds from line to line. */
const EVERY_MS = 60_000;

export function logRefusals(refused: Readonly<Refusals>, log: Log, everyMs = EVERY_MS): Disposable {
  let told = { ...refused };
  const timer = setInterval(() => {
    const now = { ...refused };
    const grown = Object.entries(now).flatMap(([limit, count]) => {
      const more = count - (told[limit as keyof Refusals] ?? 0); // keys of the same record
      return more > 0 ? [[limit, more] as const] : [];
    });
    told = now;
    if (grown.length > 0) log.warn({ refused: Object.fromEntries(grown) }, 'limits refused what was too much');
  }, everyMs).unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
