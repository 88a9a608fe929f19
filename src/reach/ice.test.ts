import { expect, test } from 'vitest';
import { Ice } from './ice.ts';

const signal = AbortSignal.timeout(50_000);

test('two sides that have told each other who they are get a channel; its end is the end of both [N-40]', async () => {
  using ice = new Ice();
  const [asker, asked] = [await ice.open(undefined), await ice.open(undefined)];
  const offer = await asker.offer(signal);
  const answer = await asked.answer(offer, signal);
  asker.accept(answer);
  asked.begin(offer);
  const [here, there] = await Promise.all([asker.stream(signal), asked.stream(signal)]);
  const heard = new Promise((resolve) => there.once('data', resolve));
  here.write('through');
  expect(String(await heard)).toBe('through');
  const closed = new Promise((resolve) => there.once('close', resolve));
  here.destroy();
  await closed;
  expect([asker.isOpen, asked.isOpen]).toEqual([false, false]);
});

test('a side with another certificate than was told gets no channel [N-40]', async () => {
  using ice = new Ice();
  const [asker, asked] = [await ice.open(undefined), await ice.open(undefined)];
  const offer = await asker.offer(signal);
  const answer = await asked.answer(offer, signal);
  asker.accept({ ...answer, fingerprint: Array<string>(32).fill('00').join(':') });
  asked.begin(offer);
  await expect(asker.stream(signal)).rejects.toMatchObject({ code: 'peer_unreachable' });
});
