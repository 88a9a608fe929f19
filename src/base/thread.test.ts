import { expect, test } from 'vitest';
import { Thread } from './thread.ts';

test('answers come in order; a question that fails fails alone, and one after the end starts another thread', async () => {
  const thread = new Thread<number | string, number>('fixture-thread', import.meta.url);
  const answers = await Promise.allSettled([1, 'no number', 3].map((question) => thread.ask(question)));
  expect(answers).toMatchObject([
    { status: 'fulfilled', value: 2 },
    { status: 'rejected', reason: { code: 'internal', message: expect.stringContaining('no number') } },
    { status: 'fulfilled', value: 6 },
  ]);
  const died = thread.ask('die');
  const after = thread.ask(4);
  await expect(died).rejects.toMatchObject({ code: 'internal' });
  await expect(after).rejects.toMatchObject({ code: 'internal' });
  expect(await thread.ask(5)).toBe(10);
  await thread[Symbol.asyncDispose]();
});
