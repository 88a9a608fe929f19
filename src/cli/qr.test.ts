import jsqr from 'jsqr';
import { expect, test } from 'vitest';
import { qrLines } from './qr.ts';

/** The picture of what a terminal with light characters on a dark ground shows, eight points for each module. */
function picture(lines: readonly string[]): { points: Uint8ClampedArray; width: number; height: number } {
  const POINTS = 8;
  const columns = lines[0]?.length ?? 0;
  const [width, height] = [columns * POINTS, lines.length * 2 * POINTS];
  const points = new Uint8ClampedArray(width * height * 4);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const row = Math.floor(y / POINTS);
      const char = lines[Math.floor(row / 2)]?.[Math.floor(x / POINTS)] ?? ' ';
      const light = char === '█' || char === (row % 2 === 0 ? '▀' : '▄');
      points.fill(light ? 255 : 0, (y * width + x) * 4, (y * width + x) * 4 + 3);
      points[(y * width + x) * 4 + 3] = 255;
    }
  }
  return { points, width, height };
}

test.each([
  'netapp://verify/qe4xodvipulv6vvdkrtmgtd6ztfy3curwtxdpis56yhvxd6jwoka/rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oa',
  'netapp://qe4xodvipulv6vvdkrtmgtd6ztfy3curwtxdpis56yhvxd6jwoka@192.0.2.1:22236/?zone=cse.hcmut&addr=[2001:db8::1]:22236',
])('a reader that sees the terminal reads %s', (text) => {
  const lines = qrLines(text);
  expect(new Set(lines.map((line) => line.length)).size).toBe(1);
  expect(lines[0]?.length).toBeLessThanOrEqual(80);
  const { points, width, height } = picture(lines);
  expect(jsqr.default(points, width, height)?.data).toBe(text);
});
