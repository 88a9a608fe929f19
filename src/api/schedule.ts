/** When a schedule runs next, by cron words in this machine's time zone. */
import { Cron } from 'croner';
import { Fault } from '../base/fault.ts';

/** Missed runs that are counted one by one; a machine that was off for longer missed "many". */
const MOST_COUNTED = 10_000;

/** Throws `invalid_argument` for words that are no cron, or that never come. */
export function checkCron(words: string): void {
  if (nextRun(words, Date.now()) === undefined) {
    throw new Fault('invalid_argument', `scheduling "${words}": these times never come`);
  }
}

/** Unix ms of the first run after `after`; undefined where there is none. */
export function nextRun(words: string, after: number): number | undefined {
  return cron(words).nextRun(new Date(after))?.getTime();
}

/** Runs after `after` up to and with `until`. */
export function runsBetween(words: string, after: number, until: number): number {
  const times = cron(words);
  let count = 0;
  for (let at = times.nextRun(new Date(after)); at && at.getTime() <= until && count < MOST_COUNTED; count++) {
    at = times.nextRun(at);
  }
  return count;
}

function cron(words: string): Cron {
  try {
    return new Cron(words, { paused: true, mode: '5-part' });
  } catch (error) {
    throw new Fault(
      'invalid_argument',
      `scheduling "${words}": expected five cron words (minute, hour, day, month, weekday) such as "0 9 * * 1-5", or @daily`,
      { cause: error },
    );
  }
}
