import { expect, test } from 'vitest';
import { abortable } from '../base/async.ts';
import { Fault } from '../base/fault.ts';
import type { Way } from './ladder.ts';
import { survey } from './survey.ts';

const way = (rung: Way<string>['rung'], label: string, attempt: Way<string>['attempt']): Way<string> => ({
  rung,
  label,
  attempt,
});
const never = (signal: AbortSignal): Promise<string> => abortable(new Promise<string>(() => {}), signal);

test('every way is tried to its end, and what comes about is ended', async () => {
  const discarded: string[] = [];
  const tried = await survey(
    [
      way('relay', 'relay by lab', async () => 'relayed'),
      way('lan', '10.0.0.7:1', async () => Promise.reject(new Fault('peer_unreachable', 'nobody answers'))),
      way('punched', 'tcp', never),
      way('lan', '10.0.0.8:1', async () => 'near'),
    ],
    { discard: (made) => discarded.push(made), tryMs: 50 },
  );
  expect(tried.map(({ rung, label, reason }) => [rung, label, reason])).toEqual([
    ['lan', '10.0.0.7:1', 'nobody answers'],
    ['lan', '10.0.0.8:1', null],
    ['punched', 'tcp', 'trying tcp: no answer within 50 ms'],
    ['relay', 'relay by lab', null],
  ]);
  expect(discarded.sort()).toEqual(['near', 'relayed']);
  expect(tried[2]?.ms).toBeGreaterThanOrEqual(45);
});

test('it ends when it is told to', async () => {
  const stop = new AbortController();
  const surveying = survey([way('punched', 'tcp', never)], { discard: () => {}, signal: stop.signal });
  stop.abort(new Fault('cancelled', 'enough'));
  await expect(surveying).rejects.toMatchObject({ code: 'cancelled', message: 'enough' });
});

test('no ways are no fault', async () => {
  expect(await survey([], { discard: () => {} })).toEqual([]);
});
