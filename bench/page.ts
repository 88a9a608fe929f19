/**
 * Row "page": the page in a real browser. Until it can be used, beside an almost empty page of the same agent; with a hundred messages a
 * second arriving, from an entry's arrival at the agent to its pixels, beside a bare program that follows the same events; and the
 * memory of the page after that.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { Browser } from '../test/browser.ts';
import { start } from '../test/program.ts';
import { Columns } from './columns.ts';
import { percentile } from './message.ts';
import type { Measured, Row } from './run.ts';

/** Messages that arrive in a second. */
const PER_SECOND = 100;
/** Minutes for which they come. */
const MINUTES = 0.5;
/** Milliseconds at the beginning that do not count: code is compiled, caches fill. */
const WARM_MS = 3_000;

const MB = 1_000_000;

/** Told before the page's own scripts run: when it can be used, and when each entry was first in a frame that was shown. */
const WATCH = `{
  const drawn = (window.drawn = new Map());
  // The browser looks while it draws a frame, and tells behind it: what it tells of was in that frame, where it can be seen.
  const shown = new IntersectionObserver((entries) => {
    const now = Date.now();
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      shown.unobserve(target);
      const id = target.dataset.entry;
      if (!drawn.has(id)) drawn.set(id, now);
    }
  });
  const look = (records) => {
    if (window.usable === undefined && document.querySelector('nav[aria-label="Main"]') && document.querySelector('h1')) {
      window.usable = performance.now();
    }
    const fresh = [];
    for (const { addedNodes } of records) for (const node of addedNodes) {
      if (node.nodeType !== 1) continue;
      if (node.dataset.entry) fresh.push(node);
      fresh.push(...node.querySelectorAll('[data-entry]'));
    }
    for (const node of fresh) shown.observe(node);
  };
  new MutationObserver(look).observe(document, { childList: true, subtree: true });
}`;

async function run({ runs, minutes = MINUTES }: { runs: number; minutes?: number | undefined }): Promise<Measured> {
  const columns = new Columns();
  const folder = await mkdtemp(join(tmpdir(), 'netapp-bench-'));
  try {
    await using opened = new AsyncDisposableStack();
    const tracker = opened.use(await start(join(folder, 'tracker'), ['tracker', '--port', '0']));
    const up = ['--port', '0', '--join', tracker.text('invite')];
    const alice = opened.use(
      await start(join(folder, 'alice'), ['up', '--name', 'alice', '--http-port', '0', '--no-open', ...up]),
    );
    const bob = opened.use(await start(join(folder, 'bob'), ['up', '--name', 'bob', ...up]));
    await bob.client.messages.say({ handle: 'alice', text: 'the first one' });
    const browser = opened.use(await Browser.start());
    const page = await browser.open(alice.client);
    await page.addInitScript(WATCH);
    for (let n = 0; n < runs; n++) {
      columns.note('an almost empty page, ms', await loaded(page, `${alice.text('http')}/away.html`));
      columns.note('until it can be used, ms', await loaded(page, `${alice.text('http')}/`));
    }
    await page.goto(`${alice.text('http')}/#/chat/bob%40lab`);
    await page.getByText('the first one').last().waitFor();
    columns.note('heap before, MB', (await heapOf(page)).bytes / MB);
    const { page: drawn, bare, missed } = await stream({ alice, bob, page, ms: minutes * 60_000 });
    columns.note('arrival to pixels, p50 ms', percentile(drawn, 0.5));
    columns.note('arrival to pixels, p95 ms', percentile(drawn, 0.95));
    columns.note('arrival to a bare program, p95 ms', percentile(bare, 0.95));
    columns.note('messages that never were in a frame', missed);
    const after = await heapOf(page);
    columns.note('heap after, MB', after.bytes / MB);
    columns.note('elements after', after.elements);
    columns.note('load of the machine', loadavg()[0] ?? 0);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return {
    what: `${runs} loads, ${PER_SECOND} messages/s for ${minutes} min, Chromium`,
    columns: columns.all,
    ratios: {
      'usable / empty page': ['until it can be used, ms', 'an almost empty page, ms'],
      'pixels / bare program, p95': ['arrival to pixels, p95 ms', 'arrival to a bare program, p95 ms'],
      'heap after / before': ['heap after, MB', 'heap before, MB'],
    },
  };
}

/** Milliseconds from going there to what is wanted of it. */
async function loaded(page: Page, url: string): Promise<number> {
  await page.goto('about:blank');
  await page.goto(url);
  if (url.endsWith('.html')) return Number(await page.evaluate('performance.now()'));
  const usable = await page.waitForFunction('window.usable');
  return Number(await usable.jsonValue());
}

async function heapOf(page: Page): Promise<{ bytes: number; elements: number }> {
  const tools = await page.context().newCDPSession(page);
  await tools.send('HeapProfiler.collectGarbage');
  const { usedSize } = await tools.send('Runtime.getHeapUsage');
  await tools.detach();
  return { bytes: usedSize, elements: Number(await page.evaluate('document.querySelectorAll("*").length')) };
}

type Stream = {
  alice: Awaited<ReturnType<typeof start>>;
  bob: Awaited<ReturnType<typeof start>>;
  page: Page;
  ms: number;
};

/** Delays in milliseconds, the shortest first. */
async function stream({ alice, bob, page, ms }: Stream): Promise<{ page: number[]; bare: number[]; missed: number }> {
  const arrived = new Map<string, number>();
  const bare: number[] = [];
  const stop = new AbortController();
  const following = (async () => {
    const { last } = await alice.client.events.last();
    const options = { signal: stop.signal };
    for await (const { at, data } of await alice.client.events.follow(
      { from: last, match: 'message.received' },
      options,
    )) {
      bare.push(Date.now() - Date.parse(at));
      arrived.set(String(data.id), Date.parse(at));
    }
  })().catch((error: unknown) => {
    if (!stop.signal.aborted) throw error;
  });
  const began = performance.now();
  const said: Promise<unknown>[] = [];
  for (let n = 0; performance.now() - began < ms; n++) {
    const due = began + (n * 1000) / PER_SECOND - performance.now();
    if (due > 0) await new Promise((done) => setTimeout(done, due));
    said.push(
      bob.client.messages.say({ handle: 'alice', text: `message ${n}, as long as what people say to each other` }),
    );
    if (said.length >= PER_SECOND) await Promise.all(said.splice(0));
  }
  await Promise.all(said);
  await page.waitForTimeout(1_000);
  stop.abort();
  await following;
  const drawn = new Map(await page.evaluate<[string, number][]>('[...window.drawn]'));
  const first = Math.min(...arrived.values());
  const counted = [...arrived].filter(([, at]) => at - first > WARM_MS);
  const delays = counted.flatMap(([id, at]) => {
    const seen = drawn.get(id);
    return seen === undefined ? [] : [seen - at];
  });
  return {
    page: delays.sort((a, b) => a - b),
    bare: bare.sort((a, b) => a - b),
    missed: counted.length - delays.length,
  };
}

export const pageRow: Row = { name: 'page', run };
