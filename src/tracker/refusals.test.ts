import { expect, test, vi } from 'vitest';
import { silentLog } from '../base/log.ts';
import { logRefusals } from './refusals.ts';

test('a flood is one line a minute with how much was refused, and quiet is none', () => {
  vi.useFakeTimers();
  const log = silentLog();
  const lines: unknown[] = [];
  log.warn = (said: unknown) => void lines.push(said);
  const refused = { connections: 0, handshakes: 0, late: 0, requests: 0, links: 0, calls: 0 };
  const telling = logRefusals(refused, log);
  vi.advanceTimersByTime(60_000);
  refused.connections += 5000;
  refused.calls += 1;
  vi.advanceTimersByTime(60_000);
  vi.advanceTimersByTime(60_000);
  refused.connections += 2;
  vi.advanceTimersByTime(60_000);
  telling[Symbol.dispose]();
  refused.connections += 2;
  vi.advanceTimersByTime(60_000);
  vi.useRealTimers();
  expect(lines).toEqual([{ refused: { connections: 5000, calls: 1 } }, { refused: { connections: 2 } }]);
});
