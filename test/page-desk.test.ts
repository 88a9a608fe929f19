/** What a page does with the desk around it: files that are pasted and dropped, notifications, a place among the programs, an agent that is away. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Tracker } from '../src/tracker/tracker.ts';
import { Browser, noBrowser } from './browser.ts';
import { type Member, TestNet, until } from './testnet.ts';

const LARGE = 200_000_000;

let net: TestNet;
let tracker: Tracker;
let alice: Member;
let bob: Member;
let browser: Browser;
let page: Page;

const goTo = (hash: string) => page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
const entry = (text: string) =>
  page.getByRole('log', { name: 'Messages' }).getByRole('article').filter({ hasText: text });
const box = () => page.getByRole('combobox', { name: 'Message bob' });

beforeAll(async () => {
  if (noBrowser) return;
  net = await TestNet.create();
  tracker = await net.tracker();
  [alice, bob, browser] = await Promise.all([
    net.member('alice', tracker, { http: true }),
    net.member('bob', tracker),
    Browser.start({ reducedMotion: 'reduce' }),
  ]);
  page = await browser.open(alice.client);
  await goTo('#/chat/bob%40lab');
  await box().waitFor();
});
afterAll(async () => {
  await browser?.[Symbol.asyncDispose]();
  await net?.[Symbol.asyncDispose]();
});
afterEach(() => {
  expect(browser?.complaints ?? []).toEqual([]);
});

/** As from a file manager: the browser is told of the paths, and the page of what stands there. */
async function drop(...files: string[]): Promise<void> {
  const tools = await browser.context.newCDPSession(page);
  const data = { items: [], files, dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
    await tools.send('Input.dispatchDragEvent', { type, x: 640, y: 300, data });
    if (type === 'dragOver') await page.getByText('Drop to send').waitFor();
  }
  await tools.detach();
}

async function taken(name: string): Promise<string> {
  const offer = await bob.event('file.offered', (data) => data.name === name && data.direction === 'in');
  await bob.client.files.accept({ id: String(offer.data.id) });
  const done = await bob.event('file.done', (data) => data.id === offer.data.id);
  return String(done.data.path);
}

async function sumOf(path: string): Promise<string> {
  const sum = createHash('sha256');
  for await (const chunk of createReadStream(path)) sum.update(chunk);
  return sum.digest('hex');
}

describe.skipIf(noBrowser)('files', () => {
  test('a picture that is pasted is sent', async () => {
    await box().focus();
    await page.evaluate(`{
      const clipboardData = new DataTransfer();
      clipboardData.items.add(new File(['a picture'], 'shot.png', { type: 'image/png' }));
      document.activeElement.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }));
    }`);
    await entry('shot.png').waitFor();
    expect(await readFile(await taken('shot.png'), 'utf8')).toBe('a picture');
  });

  test('a file that is dropped is sent, and a folder as a folder', async () => {
    const folder = join(net.folder, 'trip');
    await mkdir(join(folder, '2026/may'), { recursive: true });
    await writeFile(join(folder, 'readme.txt'), 'where we were');
    await writeFile(join(folder, '2026/may/one.jpg'), 'one');
    await writeFile(join(folder, '2026/empty.txt'), '');
    const single = join(net.folder, 'single.txt');
    await writeFile(single, 'by itself');
    await drop(single, folder);
    await entry('single.txt').waitFor();
    await entry('trip').waitFor();
    expect(await readFile(await taken('single.txt'), 'utf8')).toBe('by itself');
    const there = await taken('trip');
    expect(await readFile(join(there, 'readme.txt'), 'utf8')).toBe('where we were');
    expect(await readFile(join(there, '2026/may/one.jpg'), 'utf8')).toBe('one');
    expect(await readFile(join(there, '2026/empty.txt'), 'utf8')).toBe('');
  });

  test('200 MB go from the page to the disk of the other, and the page shows how far they are', async () => {
    const path = join(net.folder, 'large.bin');
    {
      await using file = await open(path, 'w');
      const part = Buffer.alloc(1_000_000, 'a large file, and each part of it another one. ');
      for (let at = 0; at < LARGE; at += part.length) {
        part.writeUInt32BE(at >>> 8);
        await file.write(part);
      }
    }
    await page.getByLabel('Files to send').setInputFiles(path);
    await page.getByRole('region', { name: 'On the way to the agent' }).getByText('large.bin').waitFor();
    await entry('large.bin').waitFor({ timeout: 200_000 });
    expect(await sumOf(await taken('large.bin'))).toBe(await sumOf(path));
    await entry('arrived and verified there').filter({ hasText: 'large.bin' }).waitFor();
  }, 300_000);
});

test.skipIf(noBrowser)(
  'a message is shown on the desktop while nobody looks at the page, and leads to it',
  async () => {
    await browser.context.grantPermissions(['notifications'], { origin: alice.agent.origin ?? '' });
    await goTo('#/files');
    await page.evaluate(`{
    const shown = (window.shown = []);
    document.hasFocus = () => false; // the browser of a test believes that it is looked at
    window.Notification = class extends Notification {
      constructor(title, options) {
        super(title, options);
        shown.push({ title, body: options.body, click: () => this.onclick() });
      }
    };
  }`);
    await bob.client.messages.say({ handle: 'alice', text: 'look \u202Eup' });
    const shown = await until(
      () => page.evaluate('window.shown.map(({ title, body }) => [title, body])'),
      (list) => Array.isArray(list) && list.length > 0,
    );
    expect(shown).toEqual([['bob@lab', 'look up']]);
    await page.evaluate('window.shown[0].click()');
    await entry('look up').waitFor();
  },
);

test.skipIf(noBrowser)('it can be installed', async () => {
  const tools = await browser.context.newCDPSession(page);
  const { errors, data = '{}' } = await tools.send('Page.getAppManifest');
  expect(errors).toEqual([]);
  expect(JSON.parse(data)).toMatchObject({ name: 'NetApp', display: 'standalone', start_url: '/' });
  // A profile of a test keeps nothing: that is no fault of the page's.
  const { installabilityErrors } = await tools.send('Page.getInstallabilityErrors');
  expect(installabilityErrors.filter(({ errorId }) => errorId !== 'in-incognito')).toEqual([]);
  await tools.detach();
});

test.skipIf(noBrowser)('a reload while the agent is down says so, and comes back by itself', async () => {
  await page.evaluate('navigator.serviceWorker.ready.then(() => true)');
  await goTo('#/chat/bob%40lab');
  const port = Number(new URL(alice.agent.origin ?? '').port);
  await net.stop(alice);
  await page.reload();
  await page.getByRole('heading', { name: 'The agent on this machine does not answer' }).waitFor();
  alice = await net.member('alice', tracker, { http: port });
  await entry('look up').waitFor();
});
