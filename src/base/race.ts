/** Several ways to one end, each with a head start over the next: the first that gets there wins (RFC 8305, section 5). */
import { reasonOf, sleep } from './async.ts';
import { type Fault, toFault } from './fault.ts';

export type Racer<T> = {
  /** Must end when its signal aborts. */
  attempt(signal: AbortSignal): Promise<T>;
  /** Milliseconds until the next one is tried beside it; where it fails before, the next one is tried at once. */
  headStartMs: number;
};

/**
 * What the first gave; those under way then are told that they are no longer wanted, and what they give all the same is given to
 * `discard`. Where all fail, their faults in the order in which they came. Rejects with the signal's reason.
 */
export async function race<T>(
  racers: readonly Racer<T>[],
  options: { signal?: AbortSignal | undefined; discard?: (late: T) => void } = {},
): Promise<{ won: T } | { faults: Fault[] }> {
  const { signal, discard } = options;
  const over = new AbortController();
  const limit = signal ? AbortSignal.any([signal, over.signal]) : over.signal;
  const faults: Fault[] = [];
  const winner = Promise.withResolvers<{ won: T }>();
  let isWon = false;
  const run = async (racer: Racer<T>): Promise<void> => {
    try {
      const made = await racer.attempt(limit);
      if (isWon) return discard?.(made);
      isWon = true;
      winner.resolve({ won: made });
    } catch (error) {
      faults.push(toFault(error));
    }
  };
  const runAll = async (): Promise<{ won: T } | { faults: Fault[] }> => {
    const running: Promise<void>[] = [];
    for (const racer of racers) {
      if (isWon || limit.aborted) break;
      const current = run(racer);
      running.push(current);
      await Promise.race([current, sleep(racer.headStartMs, limit).catch(() => {})]); // over: the loop looks
    }
    await Promise.all(running);
    return isWon ? winner.promise : { faults };
  };
  try {
    const end = await Promise.race([winner.promise, runAll()]);
    if ('faults' in end && signal?.aborted) throw reasonOf(signal);
    return end;
  } finally {
    over.abort();
  }
}
