/** Somebody new, from the page alone: two machines that know nothing of each other, a link and a camera; and people of other zones. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { encode } from 'uqr';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { createClient } from '../src/api/client.ts';
import { parseInvite } from '../src/directory/invite.ts';
import { homePaths } from '../src/node/home.ts';
import { Browser, noBrowser } from './browser.ts';
import { type Running, start } from './program.ts';
import { TestNet, until } from './testnet.ts';

/** Milliseconds from two fresh agents to words that came and were answered, also on a busy machine. */
const A_MINUTE = 60_000;

let net: TestNet;
const opened = new AsyncDisposableStack();
const browsers: Browser[] = [];

const goTo = (page: Page, hash: string) => page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
const entry = (page: Page, text: string) =>
  page.getByRole('log', { name: 'Messages' }).getByRole('article').filter({ hasText: text });
const write = async (page: Page, to: string, text: string) => {
  await page.getByRole('combobox', { name: `Message ${to}` }).fill(text);
  await page.keyboard.press('Enter');
};

async function browse(args: readonly string[] = []): Promise<Browser> {
  const browser = opened.use(await Browser.start({ reducedMotion: 'reduce', args: [...args] }));
  browsers.push(browser);
  return browser;
}

/** An agent as somebody has it who has just begun: a name of the machine, and a network of its own. */
async function fresh(name: string): Promise<{ up: Running; page: (browser: Browser) => Promise<Page> }> {
  const home = join(net.folder, name);
  const listen = ['--host', '127.0.0.1', '--port', '0', '--tracker-port', '0', '--http-port', '0'];
  const up = opened.use(await start(home, ['up', '--name', name, ...listen, '--no-open', '--dns', 'none']));
  return { up, page: (browser) => browser.open(createClient({ socketPath: homePaths(home).socket })) };
}

beforeAll(async () => {
  if (!noBrowser) net = await TestNet.create();
});
afterAll(async () => {
  await opened.disposeAsync();
  await net?.[Symbol.asyncDispose]();
});
afterEach(() => {
  expect(browsers.flatMap(({ complaints }) => complaints)).toEqual([]);
});

test.skipIf(noBrowser)(
  'two fresh agents talk within a minute: one starts a network, the other pastes its link',
  async () => {
    const began = performance.now();
    const [one, two, browser] = await Promise.all([fresh('user1'), fresh('user2'), browse()]);
    const [hers, his] = await Promise.all([one.page(browser), two.page(browser)]);
    await hers.getByText('Start one here').click();
    await hers.getByRole('textbox', { name: 'Your name' }).fill('alice');
    await hers.getByRole('button', { name: 'Take this name' }).click();
    await hers.getByRole('heading', { name: 'Hello, alice' }).waitFor();
    await hers.getByRole('img', { name: 'The invite link as a QR code' }).waitFor();
    const link = await hers.getByRole('textbox', { name: 'Invite link' }).inputValue();

    await his.getByRole('textbox', { name: 'Your name there' }).fill('bob');
    await his.getByRole('textbox', { name: 'Invite link' }).fill(link);
    await his.getByRole('button', { name: 'Join', exact: true }).click();
    await his.getByRole('link', { name: /alice/ }).first().click();
    await write(his, 'alice', 'there you are');
    await hers.getByRole('link', { name: /bob/ }).first().click();
    await entry(hers, 'there you are').waitFor();
    await write(hers, 'bob', 'and you');
    await entry(his, 'and you').waitFor();
    expect(performance.now() - began).toBeLessThan(A_MINUTE);

    // What cannot be is said, and changes nothing.
    await his.getByRole('button', { name: /^You are bob@lab/ }).click();
    await his.getByRole('menuitem', { name: 'Join a network…' }).click();
    const dialog = his.getByRole('dialog');
    await dialog.getByRole('textbox', { name: 'Invite link' }).fill('netapp://nothing');
    await dialog.getByRole('button', { name: 'Join', exact: true }).click();
    await dialog.getByText('expected netapp://', { exact: false }).waitFor();
    await his.keyboard.press('Escape');
  },
);

test.skipIf(noBrowser)('a camera reads the invite from a screen', async () => {
  const tracker = await net.tracker({ name: 'filmed' });
  const carol = await net.member('carol', tracker);
  const film = join(net.folder, 'invite.y4m');
  await writeFile(film, filmOf(tracker.invite));
  const camera = ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'];
  const [dave, browser] = await Promise.all([
    fresh('dave'),
    browse([...camera, `--use-file-for-fake-video-capture=${film}`]),
  ]);
  const page = await dave.page(browser);
  await page.getByRole('button', { name: 'Read it with the camera' }).click();
  await until(
    () => page.getByRole('textbox', { name: 'Invite link' }).inputValue(),
    (text) => text === tracker.invite,
  );
  await page.getByRole('button', { name: 'Join', exact: true }).click();
  await page.getByRole('link', { name: /carol/ }).first().click();
  await write(page, 'carol', 'seen');
  await carol.event('message.received', ({ text }) => text === 'seen');
});

test.skipIf(noBrowser)('somebody of another zone is found, and each step shows', async () => {
  const top = await net.tracker({ name: 'top', zone: 'hcmut' });
  const [cse, ee] = await Promise.all(
    ['cse', 'ee'].map((zone) => net.tracker({ name: zone, zone: `${zone}.hcmut`, parents: [parseInvite(top.invite)] })),
  );
  if (!cse || !ee) expect.fail('a tracker is missing');
  for (const tracker of [cse, ee]) {
    const { peer, zone, addresses } = parseInvite(tracker.invite);
    top.zoning.zones.delegate(zone, { peer, addresses });
    await until(
      () => tracker.zoning.zones.apex(zone).parent,
      (parent) => parent !== null && parent !== undefined,
    );
  }
  const [erin, frank] = await Promise.all([net.member('erin', cse, { http: true }), net.member('frank', ee)]);
  const page = await (await browse()).open(erin.client);
  await goTo(page, '#/people');
  const find = async (who: string) => {
    await page.getByLabel('Find somebody by name, also in another zone').fill(who);
    await page.keyboard.press('Enter');
  };
  await find('frank@ee.hcmut');
  const steps = page.getByRole('region', { name: 'How they are found' }).getByRole('listitem');
  await steps.filter({ hasText: 'gave the signed record' }).waitFor();
  const lines = await steps.allInnerTexts();
  expect(lines.length).toBeGreaterThan(1);
  expect(lines.at(0)).toMatch(/refers (up )?to/);
  expect(lines.at(-1)).toMatch(/^ee\.hcmut gave the signed record[\s\S]*127\.0\.0\.1:\d+[\s\S]*ms/);

  await page.getByText('My tracker asks').click();
  await steps.filter({ hasText: 'asked to ask on' }).first().waitFor();
  await page.getByRole('button', { name: 'Write' }).click();
  await write(page, 'frank@ee.hcmut', 'across zones');
  await frank.event('message.received', ({ text }) => text === 'across zones');

  await goTo(page, '#/people');
  await find('nobody@ee.hcmut');
  await page.getByRole('heading', { name: 'Not found' }).waitFor();
  await steps.filter({ hasText: 'ee.hcmut does not know' }).waitFor();
  await find('not a handle!');
  await page.getByRole('heading', { name: 'Not found' }).filter({ hasText: 'not a handle' }).waitFor();
});

/** A film of one picture: a code in the middle of a room. */
function filmOf(text: string): Buffer {
  const { data, size } = encode(text, { border: 4 });
  const [width, height] = [640, 480];
  const scale = Math.floor(height / size);
  const [left, top] = [Math.floor((width - size * scale) / 2), Math.floor((height - size * scale) / 2)];
  const luma = Buffer.alloc(width * height, 150);
  data.forEach((row, y) => {
    row.forEach((dark, x) => {
      for (let line = 0; line < scale; line++) {
        const from = (top + y * scale + line) * width + left + x * scale;
        luma.fill(dark ? 20 : 235, from, from + scale);
      }
    });
  });
  const frame = Buffer.concat([Buffer.from('FRAME\n'), luma, Buffer.alloc((width * height) / 2, 128)]);
  return Buffer.concat([Buffer.from(`YUV4MPEG2 W${width} H${height} F10:1 Ip A1:1 C420jpeg\n`), frame, frame]);
}
