/** The page in a real browser: two people, their agents and a tracker, and what a person sees of all that. */
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import axe from 'axe-core';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Tracker } from '../src/tracker/tracker.ts';
import { Browser, noBrowser } from './browser.ts';
import { type Member, TestNet, until } from './testnet.ts';

/** Bytes of a file that is sent from one page to the other: many pieces on the way to the agent. */
const FILE_BYTES = 20_000_000;

let net: TestNet;
let tracker: Tracker;
let alice: Member;
let bob: Member;
let browser: Browser;
let hers: Page;
let his: Page;

const member = (name: string, http: boolean | number = true) => net.member(name, tracker, { http });
const goTo = (page: Page, hash: string) => page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
const log = (page: Page) => page.getByRole('log', { name: 'Messages' });
const write = async (page: Page, to: string, text: string) => {
  await page.getByRole('combobox', { name: `Message ${to}` }).fill(text);
  await page.keyboard.press('Enter');
};
const entry = (page: Page, text: string) => log(page).getByRole('article').filter({ hasText: text });

beforeAll(async () => {
  if (noBrowser) return;
  net = await TestNet.create();
  tracker = await net.tracker({ name: 'tracker' });
  [alice, bob, browser] = await Promise.all([
    member('alice'),
    member('bob'),
    Browser.start({ reducedMotion: 'reduce' }),
  ]);
  [hers, his] = await Promise.all([browser.open(alice.client), browser.open(bob.client)]);
});
afterAll(async () => {
  await browser?.[Symbol.asyncDispose]();
  await net?.[Symbol.asyncDispose]();
});
afterEach(() => {
  expect(browser?.complaints ?? []).toEqual([]);
});

describe.skipIf(noBrowser)('two people', () => {
  test('talk, and each sees where the words are', async () => {
    await hers.getByRole('complementary', { name: 'Conversations' }).getByRole('link', { name: 'bob' }).click();
    await write(hers, 'bob', 'hello **Bob**');
    await his.getByRole('link', { name: /alice/ }).first().click();
    await entry(his, 'hello Bob').waitFor();
    expect(await entry(his, 'hello Bob').locator('strong').textContent()).toBe('Bob');
    await entry(hers, 'hello Bob')
      .getByRole('button', { name: /^Read: show the evidence/ })
      .click();
    const facts = hers.getByRole('complementary', { name: 'Where it is' });
    await facts.getByText('the other side’s signed receipt says so').waitFor();
    await hers.keyboard.press('Escape');
  });

  test('answer, react, change and take back', async () => {
    await entry(his, 'hello Bob').hover();
    await entry(his, 'hello Bob').getByRole('button', { name: 'Answer' }).click();
    await write(his, 'alice', 'hello yourself');
    await entry(hers, 'hello yourself')
      .getByRole('link', { name: /You hello/ })
      .waitFor();
    await entry(hers, 'hello yourself').hover();
    await entry(hers, 'hello yourself').getByRole('button', { name: 'React' }).click();
    await hers.getByRole('button', { name: 'rocket ship launch' }).click();
    await entry(his, 'hello yourself').getByRole('button', { name: '🚀 1' }).waitFor();
    await his.getByRole('combobox', { name: 'Message alice' }).press('ArrowUp');
    await write(his, 'alice', 'hello to you');
    await entry(hers, 'hello to you').getByText('edited').waitFor();
    await entry(his, 'hello to you').hover();
    await entry(his, 'hello to you').getByRole('button', { name: 'More of this message' }).click();
    await his.getByRole('menuitem', { name: 'Take back' }).click();
    await entry(hers, 'Taken back').waitFor();
  });

  test('any emoji is found, by words, in groups and with the keyboard alone, and the last ones stand first', async () => {
    const box = hers.getByRole('combobox', { name: 'Message bob' });
    const open = () => hers.getByRole('button', { name: 'Put in an emoji' }).click();
    await box.fill('');
    await open();
    const find = hers.getByRole('textbox', { name: 'Find an emoji' });
    await hers.getByRole('button', { name: 'Animals and nature', disabled: false }).waitFor(); // all are here
    await find.fill('giraffe');
    await hers.getByRole('button', { name: /^giraffe/ }).waitFor();
    await find.press('Enter');
    await until(
      () => box.inputValue(),
      (text) => text === '🦒',
    );
    await open();
    await hers.getByRole('button', { name: 'Food and drink', disabled: false }).click();
    await hers.getByRole('button', { name: /^grapes/ }).waitFor();
    expect(
      await hers.getByRole('toolbar', { name: 'Emoji to choose from' }).getByRole('button').count(),
    ).toBeGreaterThan(100);
    await hers.getByRole('button', { name: 'Often used' }).click();
    await find.press('ArrowDown'); // into the grid: what was used last stands there first
    expect(await hers.evaluate('document.activeElement.textContent')).toBe('🦒');
    await hers.keyboard.press('ArrowRight');
    await hers.keyboard.press('ArrowLeft');
    await hers.keyboard.press('Enter');
    await until(
      () => box.inputValue(),
      (text) => text === '🦒🦒',
    );
    await box.fill('');
  });

  test('a draft is kept over a reload, and a name is completed', async () => {
    const box = () => hers.getByRole('combobox', { name: 'Message bob' });
    await box().fill('not yet');
    await hers.reload();
    await until(
      () => box().inputValue(),
      (text) => text === 'not yet',
    );
    await box().fill('');
    await box().pressSequentially('ask @bo');
    await hers.getByRole('option', { name: /bob/ }).waitFor();
    await hers.keyboard.press('Enter');
    await until(
      () => box().inputValue(),
      (text) => text === 'ask @bob ',
    );
    await box().fill('');
  });

  test('make a room and join it', async () => {
    await hers.getByRole('button', { name: 'New conversation or room' }).click();
    await hers.getByText('A room', { exact: true }).click();
    await hers.getByRole('textbox', { name: 'Name' }).fill('team');
    await hers.getByRole('combobox', { name: 'Members' }).fill('bob@lab');
    await hers.keyboard.press('Enter');
    await hers.getByRole('button', { name: 'Make the room' }).click();
    await his.getByRole('link', { name: /team/ }).click();
    await his.getByRole('button', { name: 'Join' }).click();
    await write(his, '#team', 'here I am, @alice');
    await entry(hers, 'here I am').locator('.mention-me').waitFor();
  });

  test('find words, and where they were said', async () => {
    await hers.getByLabel('Search people, rooms and words').fill('hello');
    const found = hers
      .getByRole('region', { name: 'Messages found' })
      .getByRole('link', { name: /hello Bob|hello \*\*Bob/ });
    expect(await found.locator('mark').first().textContent()).toBe('hello');
    await found.click();
    await entry(hers, 'hello Bob').waitFor();
    await hers.getByRole('button', { name: 'Clear the search' }).click();
  });

  test('send a file from one page and take it on the other', async () => {
    const bytes = Buffer.alloc(FILE_BYTES, 'a whole file, and not a byte less. ');
    await writeFile(join(net.folder, 'big.bin'), bytes);
    await goTo(hers, '#/chat/bob%40lab');
    await hers.getByRole('heading', { name: 'bob' }).waitFor();
    await hers.getByLabel('Files to send').setInputFiles(join(net.folder, 'big.bin'));
    await goTo(his, '#/chat/alice%40lab');
    await entry(his, 'alice, not verified yet').waitFor();
    await entry(his, 'big.bin').getByRole('button', { name: 'Accept' }).click();
    await entry(his, '20.0 MB, verified').waitFor();
    await entry(hers, 'arrived and verified there').waitFor();
    const done = await bob.event('file.done', ({ name }) => name === 'big.bin');
    const sum = (data: Buffer) => createHash('sha256').update(data).digest('hex');
    expect(sum(await readFile(String(done.data.path)))).toBe(sum(bytes));
    await goTo(his, '#/files');
    await his.getByRole('article', { name: 'big.bin' }).waitFor();
  });

  test('a picture is seen where it was sent, a drawing with a script is text, and both come from another origin', async () => {
    const dot = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==';
    await goTo(hers, '#/chat/bob%40lab');
    await hers.getByLabel('Files to send').setInputFiles([
      { name: 'dot.png', mimeType: 'image/png', buffer: Buffer.from(dot, 'base64') },
      {
        name: 'evil.svg',
        mimeType: 'image/svg+xml',
        buffer: Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" onload="top.hit=1"/>'),
      },
    ]);
    const picture = entry(hers, 'dot.png').getByRole('img', { name: 'dot.png' });
    await until(
      () => picture.evaluate((img: { naturalWidth: number }) => img.naturalWidth),
      (width) => width === 1,
    );
    expect(new URL((await picture.getAttribute('src')) ?? '').origin).not.toBe(alice.agent.origin);
    await entry(hers, 'evil.svg').getByRole('button', { name: 'Look at it' }).click();
    await hers.frameLocator('iframe').getByText('onload="top.hit=1"').waitFor();
    expect(await hers.evaluate('window.hit')).toBeUndefined();
    await hers.keyboard.press('Escape');
  });

  test('a PDF opens in a tab of its own, at another origin, where it can fetch nothing; or it is saved', async () => {
    const pdf = Buffer.from(
      '%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n' +
        '3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n',
    );
    await goTo(hers, '#/chat/bob%40lab');
    await hers
      .getByLabel('Files to send')
      .setInputFiles([{ name: 'plan.pdf', mimeType: 'application/pdf', buffer: pdf }]);
    const look = () => entry(hers, 'plan.pdf').getByRole('button', { name: 'Look at it' }).click();
    await look();
    const link = hers.getByRole('link', { name: /Open it in a tab of its own|Save it/ });
    const address = (await link.getAttribute('href')) ?? '';
    expect(new URL(address).origin).not.toBe(alice.agent.origin);
    expect(await link.getAttribute('rel')).toContain('noopener');
    const response = await fetch(address);
    expect(Buffer.from(await response.arrayBuffer()).equals(pdf)).toBe(true);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'application/pdf',
      'content-disposition': 'inline',
      'x-content-type-options': 'nosniff',
      'content-security-policy': expect.stringContaining("default-src 'none'"),
      'cross-origin-opener-policy': 'same-origin',
    });
    const asked = hers.context().waitForEvent('request', (request) => request.url() === address);
    const [tab] = await Promise.all([hers.context().waitForEvent('page'), link.click()]);
    expect((await (await asked).response())?.status()).toBe(200);
    expect(await tab.evaluate('window.opener')).toBeNull();
    await tab.close();
    await hers.keyboard.press('Escape');

    for (const [has, name] of [
      [true, 'Open it in a tab of its own'],
      [false, 'Save it: this browser shows no PDF'],
    ] as const) {
      await hers.evaluate(
        `Object.defineProperty(navigator, 'pdfViewerEnabled', { value: ${has}, configurable: true })`,
      );
      await look();
      await hers.getByRole('link', { name }).waitFor();
      await hers.keyboard.press('Escape');
    }
    await hers.evaluate('delete navigator.pdfViewerEnabled');
  });

  test('verify each other', async () => {
    await goTo(hers, '#/people/bob%40lab');
    await hers.getByRole('button', { name: 'Verify' }).click();
    await hers.getByRole('img', { name: 'The safety number as a QR code' }).waitFor();
    const { number } = await bob.client.people.verify({ handle: 'alice' });
    await hers.getByLabel('What the other side shows').fill(number);
    await hers.getByRole('button', { name: 'Compare' }).click();
    await hers.getByRole('heading', { name: /bob/ }).getByRole('img', { name: 'verified' }).waitFor();
  });

  test('lose the tracker and go on, lose each other and wait, and come back', async () => {
    const { port } = tracker;
    await goTo(hers, '#/chat/bob%40lab');
    await goTo(his, '#/chat/alice%40lab');
    await net.stop(tracker);
    await hers.getByText('No tracker answers').waitFor();
    await write(hers, 'bob', 'still linked?');
    await entry(his, 'still linked?').waitFor();
    tracker = await net.tracker({ name: 'tracker', port });
    await hers.getByText('No tracker answers').waitFor({ state: 'detached' });

    const door = Number(new URL(bob.agent.origin ?? '').port);
    await net.stop(bob);
    await his.getByText('does not answer').waitFor();
    await write(hers, 'bob', 'are you away?');
    await entry(hers, 'are you away?')
      .getByRole('button', { name: /^Held, sealed/ })
      .waitFor();
    bob = await member('bob', door);
    await entry(his, 'are you away?').waitFor();
    await his.getByText('does not answer').waitFor({ state: 'detached' });
    await entry(hers, 'are you away?').getByRole('button', { name: /^Read/ }).waitFor();
  });

  test('a long conversation: only what is seen is drawn, and going back holds the place', async () => {
    const many = 250;
    await Promise.all(Array.from({ length: many }, (_, at) => bob.backend.messages.say('alice', `number ${at}`, {})));
    await entry(hers, `number ${many - 1}`).waitFor();
    expect(await log(hers).getByRole('article').count()).toBeLessThan(80);
    await hers.reload();
    await entry(hers, `number ${many - 1}`).waitFor();
    const box = log(hers);
    await until(
      async () => {
        await box.evaluate((element: { scrollTop: number }) => {
          element.scrollTop = 0;
        });
        return await box.getByText('This is the beginning').count();
      },
      (count) => count > 0,
    );
    expect(await box.getByRole('article').count()).toBeLessThan(80);
    await hers.getByRole('button', { name: 'To the newest message' }).click();
    await entry(hers, `number ${many - 1}`).waitFor();
  });
});

describe.skipIf(noBrowser)('what others wrote is text', () => {
  const hostile: Record<string, string> = {
    'a script': '<script>window.hit = 1</script><img src=x onerror="window.hit = 1">',
    'a link that runs': '[click](javascript:window.hit=1) <a href="javascript:window.hit=1">x</a>',
    'a picture from elsewhere': '![x](https://example.org/x.png) <iframe src="https://example.org"></iframe>',
    'other order': 'report\u202Egnp.exe and \u2066isolated',
    'a terminal': '\u001b[2J\u001b[31mred\u001b[0m',
    zalgo: `z${'\u0351\u0308\u0330'.repeat(400)}algo`,
    'no end': 'w'.repeat(60_000),
  };

  test.each(Object.entries(hostile))('%s', async (_name, text) => {
    const asked: string[] = [];
    hers.on('request', (request) => asked.push(request.url()));
    await goTo(hers, '#/chat/bob%40lab');
    const { id } = await bob.client.messages.say({ handle: 'alice', text });
    const shown = hers.locator(`[data-entry="${id}"]`);
    await shown.waitFor();
    for (const link of await shown.getByRole('link').all()) {
      expect((await link.getAttribute('href')) ?? '').not.toMatch(/^javascript/i);
    }
    expect(await shown.locator('script, iframe, img').count()).toBe(0);
    expect(await hers.evaluate('window.hit')).toBeUndefined();
    expect(await shown.innerText()).not.toMatch(/[\u202a-\u202e\u2066-\u2069\u001b]/);
    expect(asked.filter((url) => !url.startsWith(alice.agent.origin ?? '-'))).toEqual([]);
    const [wide, page] = await Promise.all([
      shown.boundingBox(),
      hers.evaluate('document.documentElement.scrollWidth'),
    ]);
    expect(Number(page)).toBeLessThanOrEqual(1280);
    expect((wide?.x ?? 0) + (wide?.width ?? 0)).toBeLessThanOrEqual(1280);
    await bob.client.messages.delete({ id });
    await shown.getByText('Taken back').waitFor();
  });

  test('names of rooms and files', async () => {
    const name = '<b>bold</b> & co';
    const room = await bob.client.rooms.create({ name, members: ['alice'] });
    await alice.event('room.invited', (data) => data.id === room.id);
    await hers.getByRole('link', { name }).first().click();
    await hers.getByRole('button', { name: 'Decline' }).click();
    await writeFile(join(net.folder, 'plain'), 'x');
    await bob.client.files.send({
      handle: 'alice',
      path: join(net.folder, 'plain'),
      name: '<img src=x onerror=alert(1)>.svg',
    });
    await goTo(hers, '#/files');
    await hers.getByRole('article', { name: '<img src=x onerror=alert(1)>.svg' }).waitFor();
    expect(await hers.evaluate('window.hit')).toBeUndefined();
  });
});

test.skipIf(noBrowser)(
  'the network is a picture, with the doctor’s findings in words',
  { timeout: 180_000 },
  async () => {
    await goTo(hers, '#/network');
    // Links that have ended are dialled anew when they are wanted; one to a tracker after a while.
    await until(
      async () => {
        for (const { node } of [alice, bob]) node.directory.nudge();
        await Promise.allSettled([
          alice.client.links.connect({ target: 'bob' }),
          bob.client.links.connect({ target: 'alice' }),
        ]);
        return (await alice.client.links.list()).length;
      },
      (links) => links > 1,
    );
    await until(
      () => hers.getByRole('img', { name: /^You, / }).getAttribute('aria-label'),
      (words) => /linked to lab \(.*linked to bob@lab \(/.test(words ?? '') && !words?.includes('not linked'),
    );
    await hers.getByText(/the tracker of lab sees this node at 127/).waitFor({ timeout: 120_000 });
    await hers.getByText(/this node answers at 127\.0\.0\.1/).waitFor({ timeout: 120_000 }); // it looks at much
  },
);

describe.skipIf(noBrowser)('without a pointer or without eyes', () => {
  const VIEWS = {
    chats: '#/chat',
    conversation: '#/chat/bob%40lab',
    people: '#/people/bob%40lab',
    files: '#/files',
    network: '#/network',
  };

  test.each(['light', 'dark'] as const)('no serious finding of axe, %s', async (colorScheme) => {
    await hers.emulateMedia({ colorScheme });
    await hers.locator(`html[data-mantine-color-scheme="${colorScheme}"]`).waitFor();
    for (const [name, hash] of Object.entries(VIEWS)) {
      await goTo(hers, hash);
      await hers.locator('main h1, main h2').first().waitFor();
      // Its own text is no script of the page: it comes by the browser's door for tools.
      if (!(await hers.evaluate('"axe" in window'))) await hers.evaluate(axe.source);
      const found = await hers.evaluate(
        `axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa'] }).then(({ violations }) => violations
          .filter(({ impact }) => impact === 'serious' || impact === 'critical')
          .map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html.slice(0, 200)).join(' | ')))`,
      );
      expect(found, name).toEqual([]);
    }
    await hers.emulateMedia({ colorScheme: null });
  });

  test('Tab comes to the content first, and Ctrl+K to the search', async () => {
    await goTo(hers, '#/chat');
    await hers.reload();
    await hers.getByRole('heading', { name: 'Chats' }).waitFor();
    await hers.keyboard.press('Tab');
    expect(await hers.evaluate('document.activeElement.textContent')).toBe('Skip to the content');
    await hers.keyboard.press('Control+k');
    expect(await hers.evaluate('document.activeElement.type')).toBe('search');
  });
});

test.skipIf(noBrowser)('whoever has no session is told how to get one, also when it ends', async () => {
  const stranger = await browser.context.newPage();
  await browser.context.clearCookies();
  await stranger.goto(alice.agent.origin ?? '');
  await stranger.getByText('netapp open').waitFor();
  const { id } =
    (await alice.client.sessions.list()).find(({ state }) => state === 'open') ?? expect.fail('no session');
  await alice.client.sessions.end({ id });
  await hers.getByText('Your session is over').waitFor();
});
