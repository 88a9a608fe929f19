/** Which of the transfers that want to be fetched are, and which give way. Pure. */
import { type Control, DEFAULT_CONTROL, PRIORITIES } from './settings.ts';

export type Plan = {
  /** To be started now, in this order. */
  start: string[];
  /** To give their place to others. */
  stop: string[];
  /** Milliseconds until it is worth to look again, where only time is missing. */
  againInMs: number | undefined;
};

/**
 * `waiting` in the order in which they came, each with the milliseconds until it may be tried; `running` in the order of
 * their start, each with whether it was told to give way already. At most `atOnce` run. What is more urgent goes first,
 * and takes the place of what is less so; what is as urgent goes by order; what is paused does not go.
 */
export function plan(options: {
  waiting: readonly { id: string; inMs: number }[];
  running: readonly { id: string; yielding: boolean }[];
  controls: ReadonlyMap<string, Control>;
  atOnce: number;
}): Plan {
  const { waiting, running, controls, atOnce } = options;
  const rank = (id: string): number => PRIORITIES.indexOf((controls.get(id) ?? DEFAULT_CONTROL).priority);
  const awake = waiting.filter(({ id }) => !controls.get(id)?.paused);
  const ready = awake.filter(({ inMs }) => inMs <= 0).map(({ id }) => id);
  ready.sort((a, b) => rank(a) - rank(b)); // stable
  const start = ready.splice(0, Math.max(0, atOnce - running.length));

  // The least urgent gives way first, of those the one that started last.
  const staying = running.filter(({ yielding }) => !yielding).map(({ id }) => id);
  staying.reverse().sort((a, b) => rank(b) - rank(a));
  const stop = staying.splice(0, Math.max(0, staying.length - atOnce));
  // Places that are about to be free are the first ones' already.
  ready.splice(0, Math.max(0, atOnce - staying.length - start.length));
  for (const id of ready) {
    const [least] = staying;
    if (least === undefined || rank(least) <= rank(id)) break;
    stop.push(least);
    staying.shift();
  }
  const soonest = Math.min(...awake.filter(({ inMs }) => inMs > 0).map(({ inMs }) => inMs));
  return { start, stop, againInMs: Number.isFinite(soonest) ? soonest : undefined };
}
