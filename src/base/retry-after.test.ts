import { expect, test } from 'vitest';
import { retryAfterMs } from './retry-after.ts';

test('Retry-After is seconds or a date, at most an hour; anything else says nothing', () => {
  expect(retryAfterMs('5')).toBe(5000);
  expect(retryAfterMs('999999')).toBe(3_600_000);
  expect(retryAfterMs(new Date(Date.now() + 20_000).toUTCString())).toBeGreaterThan(15_000);
  expect(retryAfterMs(new Date(Date.now() - 20_000).toUTCString())).toBe(0);
  for (const wrong of ['', 'soon', '-5', undefined]) expect(retryAfterMs(wrong), String(wrong)).toBeUndefined();
});
