import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { seal, unseal } from './sealed.ts';

const CHEAP = { N: 2 ** 10, r: 8, p: 1 };
const PIECE = 64 * 1024;

async function* given(bytes: Buffer, step = 10_000): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += step) yield bytes.subarray(at, at + step);
}
const all = async (source: AsyncIterable<Uint8Array>): Promise<Buffer> => Buffer.concat(await Array.fromAsync(source));
const sealed = (bytes: Buffer): Promise<Buffer> => all(seal(given(bytes), 'right words', CHEAP));
const opened = (bytes: Buffer, words: string | undefined = 'right words'): Promise<Buffer> =>
  all(unseal(given(bytes, 777), async () => words));
const code = (expected: string) => expect.objectContaining({ code: expected });

test.each([0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])('%i bytes come out as they went in [H-13]', async (size) => {
  const bytes = randomBytes(size);
  const hidden = await sealed(bytes);
  // A single random byte stands somewhere in anything that is long enough; sixteen do not.
  if (size >= 16) expect(hidden.includes(bytes.subarray(0, 16))).toBe(false);
  expect((await opened(hidden)).equals(bytes)).toBe(true);
});

test('a file that is not sealed is given as it is, and no passphrase is asked for', async () => {
  const bytes = randomBytes(200_000);
  const asked = unseal(given(bytes), () => Promise.reject(new Error('asked')));
  expect((await all(asked)).equals(bytes)).toBe(true);
});

test('without the right passphrase nothing comes out', async () => {
  const hidden = await sealed(randomBytes(10));
  await expect(opened(hidden, 'wrong words')).rejects.toThrow(code('unauthenticated'));
  const none = all(unseal(given(hidden), async () => undefined));
  await expect(none).rejects.toThrow(code('unauthenticated'));
});

test('what was changed, moved, or cut off is noticed [H-13]', async () => {
  const hidden = await sealed(randomBytes(3 * PIECE + 5));
  const start = hidden.indexOf('\n') + 1;
  const piece = PIECE + 16;
  const flipped = Buffer.from(hidden);
  flipped[start + piece + 9] = (flipped[start + piece + 9] ?? 0) ^ 1;
  const moved = Buffer.concat([
    hidden.subarray(0, start + piece),
    hidden.subarray(start + 2 * piece, start + 3 * piece),
    hidden.subarray(start + piece, start + 2 * piece),
    hidden.subarray(start + 3 * piece),
  ]);
  for (const bad of [flipped, moved, hidden.subarray(0, start + 2 * piece), hidden.subarray(0, -1)]) {
    await expect(opened(bad)).rejects.toThrow(code('corrupt'));
  }
});

test('a first line that asks for too much memory is refused', async () => {
  const hidden = await sealed(randomBytes(10));
  const greedy = Buffer.from(hidden.toString('latin1').replace('"N":1024', '"N":1e12'), 'latin1');
  await expect(opened(greedy)).rejects.toThrow(code('corrupt'));
});
