/**
 * Takes pictures of each view, light and dark, wide and on a phone, into docs/images: `npm run pictures`. What stands in them is made
 * here, by real nodes that talk to each other.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Page } from 'playwright-core';
import { parseInvite } from '../src/directory/invite.ts';
import { Browser } from '../test/browser.ts';
import { type Member, TestNet, until } from '../test/testnet.ts';

const folder = resolve(import.meta.dirname, '../docs/images');
const PHONE = { width: 390, height: 844 };
const DESK = { width: 1280, height: 800 };
const [only] = process.argv.slice(2);

await using net = await TestNet.create();
const top = await net.tracker({ name: 'top', zone: 'hcmut' });
const below = (zone: string) => net.tracker({ name: zone, zone: `${zone}.hcmut`, parents: [parseInvite(top.invite)] });
const [tracker, others] = await Promise.all([below('cse'), below('ee')]);
for (const each of [tracker, others]) {
  const { peer, zone, addresses } = parseInvite(each.invite);
  top.zoning.zones.delegate(zone, { peer, addresses });
  await until(
    () => each.zoning.zones.apex(zone).parent,
    (parent) => parent !== null && parent !== undefined,
  );
}
await net.member('gina', others);
const newcomer = await net.member('hannah', await net.tracker({ name: 'own' }), { http: true });
const [alice, bob, carol, dave] = await Promise.all([
  net.member('alice', tracker, { http: true }),
  net.member('bob', tracker),
  net.member('carol', tracker),
  net.member('dave', tracker),
]);
const { room } = await talk();
await mkdir(folder, { recursive: true });

for (const theme of ['light', 'dark'] as const) {
  for (const [shape, viewport] of [
    ['desk', DESK],
    ['phone', PHONE],
  ] as const) {
    await using browser = await Browser.start({ viewport, colorScheme: theme, deviceScaleFactor: 1, isMobile: false });
    const page = await browser.open(alice.client);
    for (const [name, show] of Object.entries(views())) {
      if (only !== undefined && !`${name}-${theme}-${shape}`.includes(only)) continue;
      await show(page, shape);
      await page.waitForTimeout(450); // what slides in has come to rest
      await page.screenshot({ path: join(folder, `${name}-${theme}-${shape}.png`) });
    }
    const welcome = `welcome-${theme}-${shape}`;
    if (only === undefined || welcome.includes(only)) {
      const fresh = await browser.open(newcomer.client);
      await fresh.getByRole('heading', { name: 'Hello, hannah' }).waitFor();
      await fresh.screenshot({ path: join(folder, `${welcome}.png`) });
    }
    for (const complaint of browser.complaints) console.error(`${theme} ${shape}: ${complaint}`);
  }
}

function views(): Record<string, (page: Page, shape: 'desk' | 'phone') => Promise<void>> {
  const at = async (page: Page, hash: string) => {
    await page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
  };
  return {
    chats: async (page) => {
      await at(page, '#/chat');
      await page.getByRole('heading', { name: 'Chats' }).waitFor();
    },
    room: async (page) => {
      await at(page, `#/chat/${room}`);
      await page.getByText('shall we ship on Friday').first().waitFor();
    },
    direct: async (page) => {
      await at(page, '#/chat/bob%40cse.hcmut');
      await page.getByText('holiday.zip').first().waitFor();
    },
    evidence: async (page) => {
      await at(page, '#/chat/erin%40cse.hcmut');
      await page
        .getByRole('button', { name: /Held.*show the evidence/ })
        .first()
        .click();
      await page.getByText('Its signature').waitFor();
    },
    search: async (page, shape) => {
      await at(page, '#/chat');
      if (shape === 'phone') await page.getByRole('heading', { name: 'Chats' }).waitFor();
      await page.getByLabel('Search people, rooms and words').fill('trac');
      await page.getByRole('region', { name: 'Messages found' }).getByRole('link').first().waitFor();
    },
    members: async (page) => {
      await page
        .getByLabel('Search people, rooms and words')
        .fill('')
        .catch(() => {});
      await at(page, `#/chat/${room}`);
      await page.getByRole('button', { name: 'About the room' }).click();
      await page.getByText('Members', { exact: true }).waitFor();
    },
    files: async (page) => {
      await at(page, '#/files');
      await page.getByText('holiday.zip').first().waitFor();
    },
    people: async (page) => {
      await at(page, '#/people/bob%40cse.hcmut');
      await page.getByText('How you reach them').waitFor();
    },
    verify: async (page) => {
      await page.getByRole('button', { name: /^(Verify|Safety number)$/ }).click();
      await page.getByRole('img', { name: 'The safety number as a QR code' }).waitFor();
    },
    lookup: async (page) => {
      await page.keyboard.press('Escape');
      await at(page, '#/people/gina%40ee.hcmut');
      const way = page.getByRole('region', { name: 'How they are found' });
      await way.getByText('My tracker asks').click();
      const look = way.getByRole('button', { name: /^Look/ });
      if ((await look.textContent()) === 'Look now') await look.click();
      await way.getByText(/^Found in/).waitFor();
      await way.getByText(/^Found in/).scrollIntoViewIfNeeded();
    },
    network: async (page) => {
      await at(page, '#/network');
      await page.getByText('people linked').waitFor();
    },
  };
}

/** What people would say, so that one sees how a day looks. */
async function talk(): Promise<{ room: string }> {
  const say = (who: Member, handle: string, text: string) => who.client.messages.say({ handle, text });
  const heard = (who: Member, id: string) => who.event('message.received', (data) => data.id === id);
  await carol.client.people.status({ status: 'busy', text: 'in a lecture until four' });
  const { id } = await alice.client.rooms.create({ name: 'release', members: ['bob', 'carol', 'dave'] });
  for (const each of [bob, carol, dave]) {
    await each.event('room.invited', (data) => data.id === id);
    await each.client.rooms.join({ room: id });
  }
  await until(
    () => alice.client.rooms.show({ room: id }),
    ({ members }) => members.length === 4,
  );
  const steps: [Member, string][] = [
    [carol, 'Morning! The tracker has been up for **41 days** now, no restart.'],
    [
      bob,
      'nice. I measured the new fetch again:\n\n| path | GB/s |\n|---|---|\n| one holder | 1.31 |\n| four holders | 2.87 |',
    ],
    [alice, '@bob that is better than the plain copy was last week 🎉'],
    [
      dave,
      'Here is what changed in the picker:\n```ts\nconst next = rarest(holders).find((chunk) => !taken.has(chunk));\nif (next !== undefined) ask(next);\n```\nSee https://example.org/notes for the rest.',
    ],
    [
      carol,
      'One thing left: who checks the restore on a second machine?\n- backup with a passphrase\n- restore, then `netapp doctor`',
    ],
    [alice, 'I do it after lunch.'],
    [bob, '@alice shall we ship on Friday, then?'],
  ];
  const said: string[] = [];
  for (const [who, text] of steps) {
    const message = await say(who, id, text);
    await Promise.all([alice, bob, carol, dave].map((each) => each !== who && heard(each, message.id)));
    said.push(message.id);
  }
  const quoted = said[4] ?? '';
  await alice.client.messages.react({ id: said[1] ?? '', emoji: '🚀' });
  await carol.client.messages.react({ id: said[1] ?? '', emoji: '🚀' });
  await carol.client.messages.react({ id: said[2] ?? '', emoji: '❤️' });
  const reply = await dave.client.messages.reply({ id: quoted, text: 'I can lend you mine, it is idle today.' });
  await heard(alice, reply.id);
  await files();
  const hello = await say(carol, 'alice', 'Are you coming at three?');
  await heard(alice, hello.id);
  await say(alice, 'carol', 'On my way 🚲');
  const erin = await net.member('erin', tracker);
  await say(alice, 'erin', 'Welcome!');
  await until(
    () => erin.client.messages.list({}),
    (list) => list.length === 1,
  );
  await net.stop(erin);
  await until(
    () => alice.client.people.find({ handle: 'erin' }),
    ({ status }) => status === 'offline',
  );
  await say(alice, 'erin', 'The keys are at the reception; ask for Carol.');
  await alice.event('message.held');
  const frank = await net.member('frank', tracker);
  const invited = await frank.client.rooms.create({ name: 'board games', members: ['alice'] });
  await alice.event('room.invited', (data) => data.id === invited.id);
  await until(
    () => alice.client.messages.show({ id: said[5] ?? '' }),
    ({ state }) => state === 'delivered' || state === 'read',
  );
  return { room: id };
}

async function files(): Promise<void> {
  const path = (name: string) => join(net.folder, name);
  await writeFile(path('holiday.zip'), Buffer.alloc(48_000_000, 7));
  await writeFile(path('report.pdf'), Buffer.alloc(1_400_000, 3));
  await writeFile(path('talk.mp4'), Buffer.alloc(9_000_000, 4));
  await bob.client.messages.say({ handle: 'alice', text: 'Here are the pictures, and the report.' });
  const { uri } = await alice.client.people.verify({ handle: 'bob' });
  await alice.client.people.verify({ handle: 'bob', confirm: uri });
  const offered = (name: string, who: Member) =>
    who.event('file.offered', (data) => data.name === name && data.direction === 'in');
  await bob.client.files.send({ handle: 'alice', path: path('report.pdf') });
  const report = await offered('report.pdf', alice);
  await alice.client.files.accept({ id: String(report.data.id) });
  await alice.event('file.done', (data) => data.id === report.data.id);
  await bob.client.files.send({ handle: 'alice', path: path('talk.mp4') });
  await offered('talk.mp4', alice);
  await bob.client.files.send({ handle: 'alice', path: path('holiday.zip') });
  const zip = await offered('holiday.zip', alice);
  await alice.client.messages.say({ handle: 'bob', text: 'Thanks, taking them now.' });
  await alice.client.files.limit({ id: String(zip.data.id), rate: 600_000 }).catch(() => {});
  await alice.client.files.limits({ down: 600_000 });
  await alice.client.files.accept({ id: String(zip.data.id) });
  await until(
    () => alice.client.files.show({ id: String(zip.data.id) }),
    ({ progress }) => progress > 1_000_000,
  );
}
