import { expect, test } from 'vitest';
import { checkCron, nextRun, runsBetween } from './schedule.ts';

const at = (text: string): number => new Date(text).getTime(); // this machine's time zone, as schedules have it

test('cron words say when it runs next', () => {
  expect(nextRun('30 9 * * 1-5', at('2026-03-06T09:30:00'))).toBe(at('2026-03-09T09:30:00'));
  expect(nextRun('@daily', at('2026-03-06T09:30:00'))).toBe(at('2026-03-07T00:00:00'));
});

test('runs that were missed are counted, the last one with them', () => {
  expect(runsBetween('*/10 * * * *', at('2026-03-06T09:00:00'), at('2026-03-06T09:30:00'))).toBe(3);
  expect(runsBetween('*/10 * * * *', at('2026-03-06T09:00:00'), at('2026-03-06T09:09:59'))).toBe(0);
  expect(runsBetween('* * * * *', at('2020-01-01T00:00:00'), at('2026-01-01T00:00:00'))).toBe(10_000);
});

test.each(['', 'tomorrow', '* * * *', '* * * * * *', '61 * * * *', '0 0 31 2 *'])('"%s" is refused', (words) => {
  expect(() => checkCron(words)).toThrow(expect.objectContaining({ code: 'invalid_argument' }));
});
