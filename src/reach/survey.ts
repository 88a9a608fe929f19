/** Every way to a peer tried to its end, where `climb` stops at the first that leads there: so that one can see why. */
import { deadline } from '../base/async.ts';
import { toFault } from '../base/fault.ts';
import { nearestFirst, type Rung } from '../link/rung.ts';
import type { Way } from './ladder.ts';

/** Milliseconds that a way has: more than any way takes that a person would wait for. */
const TRY_MS = 15_000;

/** What came of one way. */
export type Tried = {
  rung: Rung;
  label: string;
  /** Milliseconds until it came about, or failed. */
  ms: number;
  /** Why it did not come about; null where it did. */
  reason: string | null;
};

/**
 * Tries all ways at once and ends each that comes about with `discard`; settles when the last one is over, in the order of the
 * ladder. A way that fails is no fault; throws only the signal's reason.
 */
export async function survey<T>(
  ways: readonly Way<T>[],
  { discard, signal, tryMs = TRY_MS }: { discard(made: T): void; signal?: AbortSignal | undefined; tryMs?: number },
): Promise<Tried[]> {
  const tried = await Promise.all(
    ways.map(async ({ rung, label, attempt }): Promise<Tried> => {
      const began = performance.now();
      const over = (reason: string | null): Tried => ({ rung, label, ms: performance.now() - began, reason });
      using limit = deadline(tryMs, `trying ${label}`, signal);
      try {
        discard(await attempt(limit));
        return over(null);
      } catch (error) {
        if (signal?.aborted) throw error;
        return over(toFault(error).message);
      }
    }),
  );
  return tried.sort(nearestFirst);
}
