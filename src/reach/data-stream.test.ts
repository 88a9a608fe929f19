import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { buffer } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { type Channel, DataStream, WINDOW_BYTES } from './data-stream.ts';

/** One end of a data channel in memory: what is sent is there at once. */
class End implements Channel {
  other: End | undefined;
  open = true;
  /** Bytes of data that were sent on it. */
  sent = 0;
  hear: (message: string | Buffer) => void = () => {};
  #closed = (): void => {};

  sendMessage(text: string): boolean {
    this.other?.hear(text);
    return true;
  }
  sendMessageBinary(bytes: Buffer): boolean {
    this.sent += bytes.length;
    this.other?.hear(Buffer.from(bytes));
    return true;
  }
  bufferedAmount = (): number => 0;
  setBufferedAmountLowThreshold(): void {}
  onBufferedAmountLow(): void {}
  onMessage(listener: (message: string | Buffer) => void): void {
    this.hear = listener;
  }
  onClosed(listener: () => void): void {
    this.#closed = listener;
  }
  isOpen(): boolean {
    return this.open;
  }
  close(): void {
    if (!this.open) return;
    this.open = false;
    const { other } = this;
    this.#closed();
    other?.close();
  }
}

function pair() {
  const [left, right] = [new End(), new End()];
  [left.other, right.other] = [right, left];
  const ended: string[] = [];
  const streams = [
    new DataStream(left, () => ended.push('left')),
    new DataStream(right, () => ended.push('right')),
  ] as const;
  return { left, right, streams, ended };
}

test('bytes come whole and in order, and the end after them [N-42]', async () => {
  const { streams, ended } = pair();
  const [here, there] = streams;
  const closed = Promise.all([once(here, 'close'), once(there, 'close')]);
  const bytes = randomBytes(3 * WINDOW_BYTES + 17);
  here.end(bytes);
  there.end('and back');
  const [got, back] = await Promise.all([buffer(there), buffer(here)]);
  expect(got.equals(bytes)).toBe(true);
  expect(String(back)).toBe('and back');
  await closed;
  await expect.poll(() => ended.toSorted(), { timeout: 10_000 }).toEqual(['left', 'right']);
});

test('who writes waits for who reads: no more than a window is under way [N-42]', async () => {
  const { streams, left } = pair();
  const [here, there] = streams;
  const bytes = randomBytes(2 * WINDOW_BYTES);
  here.end(bytes);
  await new Promise(setImmediate);
  expect(left.sent).toBeGreaterThan(0);
  expect(left.sent).toBeLessThanOrEqual(WINDOW_BYTES + there.readableHighWaterMark);
  expect((await buffer(there)).equals(bytes)).toBe(true);
});

test.each([
  ['more than the window', (end: End) => end.hear(Buffer.alloc(WINDOW_BYTES + 1))],
  ['a word that is none', (end: End) => end.hear('hello')],
  ['that it read what was never sent', (end: End) => end.hear('1')],
  [
    'bytes after the end',
    (end: End) => {
      end.hear('end');
      end.hear(Buffer.alloc(1));
    },
  ],
])('the other side that says %s is cut off [N-42]', async (_what, say) => {
  const { streams, right } = pair();
  const failed = once(streams[1], 'error');
  say(right);
  const [fault] = await failed;
  expect(fault).toMatchObject({ code: 'malformed' });
  expect(right.open).toBe(false);
});

test('a channel that is cut ends the stream with why', async () => {
  const { streams, left } = pair();
  const failed = once(streams[1], 'error');
  left.close();
  const [fault] = await failed;
  expect(fault).toMatchObject({ code: 'link_closed' });
});
