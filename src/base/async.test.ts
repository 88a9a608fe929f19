import { expect, test } from 'vitest';
import { abortable, Backoff, Budget, deadline, sleep } from './async.ts';
import { Fault } from './fault.ts';

test('a deadline aborts with a timeout that says what was waited for', async () => {
  using limit = deadline(1, 'asking for "x"');
  await expect(sleep(10_000, limit)).rejects.toMatchObject({ code: 'timeout', message: /asking for "x"/ });
});

test('a deadline follows the signal that it was given', async () => {
  const controller = new AbortController();
  using limit = deadline(60_000, 'waiting', controller.signal);
  controller.abort(new Fault('cancelled', 'stop'));
  await expect(sleep(60_000, limit)).rejects.toMatchObject({ code: 'cancelled', message: 'stop' });
});

test('what is abortable ends with the signal, and otherwise as the promise does', async () => {
  const controller = new AbortController();
  expect(await abortable(Promise.resolve(1), controller.signal)).toBe(1);
  const hanging = abortable(new Promise(() => {}), controller.signal);
  controller.abort();
  await expect(hanging).rejects.toMatchObject({ code: 'cancelled' });
});

test('backoff doubles to its bound, with at least half of each step, and starts again after a reset', () => {
  const backoff = new Backoff({ firstMs: 100, mostMs: 400 });
  for (const step of [100, 200, 400, 400]) {
    const wait = backoff.next();
    expect(wait).toBeGreaterThanOrEqual(step / 2);
    expect(wait).toBeLessThanOrEqual(step);
  }
  backoff.reset();
  expect(backoff.next()).toBeLessThanOrEqual(100);
});

test('a budget is never overdrawn, serves in order, and takes back what an aborted waiter did not get', async () => {
  const budget = new Budget(10, { queue: 2 });
  const first = await budget.take(8);
  const order: string[] = [];
  const controller = new AbortController();
  const large = budget.take(6, controller.signal).then(
    () => order.push('large'),
    () => order.push('gone'),
  );
  const small = budget.take(2).then((held) => {
    order.push('small');
    return held;
  });
  await expect(budget.take(1)).rejects.toMatchObject({ code: 'queue_full' });
  controller.abort();
  await large;
  first[Symbol.dispose]();
  first[Symbol.dispose](); // twice gives back once
  (await small)[Symbol.dispose]();
  expect(order).toEqual(['gone', 'small']);
  using whole = await budget.take(99);
  expect(whole).toBeDefined();
});

test('what is given up before it began may fail later without a trace', async () => {
  const unhandled: unknown[] = [];
  const note = (error: unknown): void => void unhandled.push(error);
  process.on('unhandledRejection', note);
  const late = Promise.withResolvers<void>();
  await expect(abortable(late.promise, AbortSignal.abort())).rejects.toMatchObject({ code: 'cancelled' });
  late.reject(new Error('later'));
  await new Promise((done) => setImmediate(done)); // Node tells of unhandled ones after each turn
  process.off('unhandledRejection', note);
  expect(unhandled).toEqual([]);
});
