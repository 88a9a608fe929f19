/**
 * The hybrid logical clock of entries: microseconds since 1970-01-01 UTC in one integer. What a clock says is in whole
 * milliseconds; the last three digits count what happened within one, so that comparing integers is comparing times.
 * It stays below 2^53 until the year 2255.
 */
import { Fault } from '../base/fault.ts';

const PER_MS = 1000;

/** Milliseconds that an author's clock may be ahead of the reader's. [C-9] */
const AHEAD_MS = 5 * 60_000;

/** The time of a new entry: now, or just after the newest that its author has seen in the conversation. [C-8] */
export function tick(nowMs: number, last: number | undefined): number {
  return Math.max(Math.floor(nowMs) * PER_MS, (last ?? -1) + 1);
}

/** Unix milliseconds of an entry's time. */
export const msOf = (at: number): number => Math.floor(at / PER_MS);

/** The first time that is further in the future than two honest clocks can differ. */
export const aheadFrom = (nowMs: number): number => (Math.floor(nowMs) + AHEAD_MS + 1) * PER_MS;

/**
 * Throws `clock_ahead`, which says "try again": the entry is taken once this clock has come near enough, so that two
 * clocks that differ by six minutes cost one minute and no message.
 */
export function checkClock(at: number, nowMs: number): void {
  if (at < aheadFrom(nowMs)) return;
  const seconds = Math.round((msOf(at) - nowMs) / 1000);
  throw new Fault(
    'clock_ahead',
    `taking an entry: its time is ${seconds} s ahead of the clock here, at most ${AHEAD_MS / 1000} s are taken; check both clocks`,
    { data: { aheadSeconds: seconds } },
  );
}
