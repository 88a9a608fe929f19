/**
 * Row "scroll": somebody scrolls back through a long room on the page, from its newest message to its first one, as fast as messages come.
 * Frames beside those of a plain page as tall as that, scrolled in the same steps.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { Browser } from '../test/browser.ts';
import { start } from '../test/program.ts';
import { Child } from './child.ts';
import { Columns } from './columns.ts';
import { percentile } from './message.ts';
import type { Measured, Row } from './run.ts';

/** Entries, in thousands, unless `--size` says otherwise. */
const THOUSANDS = 100;
/** Pixels of one step, with each frame: a page and a half. */
const STEP_PX = 1200;
/** Frames of the plain page. */
const PLAIN_FRAMES = 600;
/** A task of so many milliseconds is one that people feel: what browsers call a long one. */
const LONG_MS = 50;
const PATIENCE_MS = 30 * 60_000;
const MB = 1_000_000;

/** In the page: steps up with each frame until `isOver`, and says how long each frame took, and each long task. */
const scroll = (element: string, isOver: string): string => `new Promise((resolve) => {
  const element = ${element};
  const [frames, long] = [[], []];
  new PerformanceObserver((list) => long.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: 'longtask' });
  let before = performance.now();
  const frame = (now) => {
    frames.push(now - before);
    before = now;
    if (${isOver}) return resolve({ frames: frames.slice(1), long });
    element.scrollTop -= ${STEP_PX};
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
})`;

type Scrolled = { frames: number[]; long: number[] };

async function run({ size = THOUSANDS }: { size?: number | undefined }): Promise<Measured> {
  const count = Math.round(size * 1000);
  const columns = new Columns();
  const folder = await mkdtemp(join(tmpdir(), 'netapp-bench-'));
  try {
    await using opened = new AsyncDisposableStack();
    const child = (): Child => opened.use(new Child(join(import.meta.dirname, 'room-peer.ts'), [folder]));
    const [tracker, filler] = [child(), child()];
    const invite = await tracker.ask<string>('tracker');
    await filler.ask('up', 'alice', invite);
    const room = await filler.ask<string>('create', 'alice', 'team', []);
    await filler.ask('down', 'alice');
    await filler.ask('fill', 'alice', room, count);
    const words = ['up', '--name', 'alice', '--port', '0', '--join', invite, '--http-port', '0', '--no-open'];
    const alice = opened.use(await start(join(folder, 'alice'), words));
    const browser = opened.use(await Browser.start());
    const page = await browser.open(alice.client);

    const other = await browser.context.newPage();
    await other.setContent('<div style="height: 4000000px"></div>');
    const plain = await other.evaluate<Scrolled>(`{
      document.scrollingElement.scrollTop = 4_000_000;
      let left = ${PLAIN_FRAMES};
      ${scroll('document.scrollingElement', '--left === 0')};
    }`);
    await other.close();
    note(columns, 'plain page', plain);

    await page.goto(`${alice.text('http')}/#/chat/${encodeURIComponent('#team')}`);
    const log = page.getByRole('log', { name: 'Messages' });
    await log.getByText(`message ${count - 1}:`).waitFor();
    columns.note('heap before, MB', await heapOf(page));
    const began = performance.now();
    page.setDefaultTimeout(PATIENCE_MS);
    const isFirst = `element.scrollTop === 0 && element.textContent.includes('message 0:')`;
    const there = await page.evaluate<Scrolled>(scroll(`document.querySelector('[role="log"]')`, isFirst));
    columns.note('entries scrolled/s', count / ((performance.now() - began) / 1000));
    note(columns, 'page', there);
    await page.getByRole('button', { name: 'To the newest message' }).click();
    await log.getByText(`message ${count - 1}:`).waitFor();
    columns.note('heap after, MB', await heapOf(page));
    columns.note('elements', Number(await page.evaluate('document.querySelectorAll("*").length')));
    columns.note('load of the machine', loadavg()[0] ?? 0);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return {
    what: `${count} entries, ${STEP_PX} px a frame, Chromium`,
    columns: columns.all,
    ratios: {
      'frames, p95, page / plain': ['page, frame p95 ms', 'plain page, frame p95 ms'],
      'heap after / before': ['heap after, MB', 'heap before, MB'],
    },
  };
}

function note(columns: Columns, what: string, { frames, long }: Scrolled): void {
  const sorted = frames.toSorted((a, b) => a - b);
  columns.note(`${what}, frame p50 ms`, percentile(sorted, 0.5));
  columns.note(`${what}, frame p95 ms`, percentile(sorted, 0.95));
  columns.note(`${what}, frame p99 ms`, percentile(sorted, 0.99));
  columns.note(`${what}, longest frame ms`, sorted.at(-1) ?? 0);
  columns.note(`${what}, tasks of ${LONG_MS} ms and more`, long.length);
  columns.note(`${what}, longest task ms`, Math.max(0, ...long));
}

async function heapOf(page: Page): Promise<number> {
  const tools = await page.context().newCDPSession(page);
  await tools.send('HeapProfiler.collectGarbage');
  const { usedSize } = await tools.send('Runtime.getHeapUsage');
  await tools.detach();
  return usedSize / MB;
}

export const scrollRow: Row = { name: 'scroll', run };
