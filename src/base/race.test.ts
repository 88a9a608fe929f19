import { expect, test, vi } from 'vitest';
import { Fault } from './fault.ts';
import { type Racer, race } from './race.ts';

const never = (log: string[], name: string, headStartMs: number): Racer<string> => ({
  headStartMs,
  attempt: (signal) =>
    new Promise((_resolve, reject) => {
      log.push(name);
      signal.addEventListener('abort', () => {
        log.push(`${name} no more`);
        reject(new Fault('cancelled', 'no longer wanted'));
      });
    }),
});
const gives = (log: string[], name: string): Racer<string> => ({
  headStartMs: 60_000,
  attempt: async () => {
    log.push(name);
    return name;
  },
});
const fails = (log: string[], name: string): Racer<string> => ({
  headStartMs: 60_000,
  attempt: async () => {
    log.push(name);
    throw new Fault('unknown_handle', name);
  },
});

test('who answers in time is the only one that is asked', async () => {
  const log: string[] = [];
  expect(await race([gives(log, 'a'), gives(log, 'b')])).toEqual({ won: 'a' });
  expect(log).toEqual(['a']);
});

test('the second is asked when the first is late, which is then told that it is no longer wanted', async () => {
  const log: string[] = [];
  expect(await race([never(log, 'a', 5), gives(log, 'b')])).toEqual({ won: 'b' });
  expect(log).toEqual(['a', 'b', 'a no more']);
});

test('the second is asked at once when the first fails; all faults are told where nobody knows', async () => {
  const log: string[] = [];
  expect(await race([fails(log, 'a'), gives(log, 'b')])).toEqual({ won: 'b' });
  const end = await race([fails(log, 'c'), fails(log, 'd')]);
  expect(end).toMatchObject({ faults: [{ message: 'c' }, { message: 'd' }] });
  expect(log).toEqual(['a', 'b', 'c', 'd']);
});

test('who no longer wants the answer gets their own reason', async () => {
  const asker = new AbortController();
  const log: string[] = [];
  const asked = race([never(log, 'a', 60_000)], { signal: asker.signal });
  asker.abort(new Fault('timeout', 'enough'));
  await expect(asked).rejects.toMatchObject({ code: 'timeout', message: 'enough' });
});

test('what came about all the same, but later, is discarded', async () => {
  const late = Promise.withResolvers<string>();
  const discarded: string[] = [];
  const end = await race([{ headStartMs: 0, attempt: () => late.promise }, gives([], 'b')], {
    discard: (made) => discarded.push(made),
  });
  expect(end).toEqual({ won: 'b' });
  late.resolve('a');
  await vi.waitFor(() => expect(discarded).toEqual(['a']));
});
