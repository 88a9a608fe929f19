import { describe, expect, test } from 'vitest';
import { type Line, turns } from './turns.ts';

const KIB = 1024;

/** Moves pieces until `total` is through; notes what was moved in each turn of the event loop. */
async function move(line: Line, piece: number, total: number, moved: () => void): Promise<void> {
  for (let at = 0; at < total; at += piece) {
    moved();
    const later = line.take(piece);
    if (later) await later;
    else await Promise.resolve();
  }
}

/** Bytes of each turn while all lines move. */
async function measure(lines: number, piece: number, total: number): Promise<number[]> {
  const counts: number[] = [];
  let count = 0;
  let isOver = false;
  const watch = (): void => {
    if (count > 0) counts.push(count);
    count = 0;
    if (!isOver) setImmediate(watch);
  };
  setImmediate(watch);
  const opened = Array.from({ length: lines }, () => turns.line());
  await Promise.all(
    opened.map((line) =>
      move(line, piece, total, () => {
        count += piece;
      }),
    ),
  );
  for (const line of opened) line[Symbol.dispose]();
  isOver = true;
  await new Promise((done) => setImmediate(done));
  await new Promise((done) => setImmediate(done));
  return counts;
}

describe('turns', () => {
  test('many lines together move little in one turn, and all of them come to their end', async () => {
    const counts = await measure(16, 16 * KIB, 512 * KIB);
    expect(counts.reduce((sum, each) => sum + each, 0)).toBe(16 * 512 * KIB);
    // The first turn has a piece of each line, for none was told to wait before it moved one.
    expect(Math.max(...counts.slice(1))).toBeLessThanOrEqual(4 * 64 * KIB);
    expect(counts.length).toBeGreaterThan(16);
  });

  test('a line or two go on for a mebibyte', async () => {
    const counts = await measure(2, 64 * KIB, 4096 * KIB);
    expect(counts.length).toBeLessThanOrEqual(10);
  });

  test('who waits longest goes on first', async () => {
    const lines = Array.from({ length: 5 }, () => turns.line());
    const order: number[] = [];
    await Promise.all(lines.map(async (line, n) => line.take(64 * KIB)?.then(() => order.push(n))));
    expect(order).toEqual([0, 1, 2, 3, 4]);
    for (const line of lines) line[Symbol.dispose]();
  });

  test('a line that is closed twice counts once', async () => {
    const lines = [turns.line(), turns.line(), turns.line()];
    for (const line of [...lines.slice(1), ...lines.slice(1)]) line[Symbol.dispose]();
    expect(lines[0]?.take(128 * KIB)).toBeUndefined();
    lines[0]?.[Symbol.dispose]();
    await new Promise((done) => setImmediate(done));
  });
});
