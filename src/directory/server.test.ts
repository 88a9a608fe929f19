import { expect, test } from 'vitest';
import { Key } from '../link/identity.ts';
import type { Link } from '../link/link.ts';
import * as messages from './messages.ts';
import { signRecord } from './record.ts';
import { Guest, helloOf, Lab } from './testing.ts';

const fault = (code: string) => expect.objectContaining({ code });

async function announced(lab: Lab, name: string): Promise<{ guest: Guest; link: Link; far: Link }> {
  const guest = new Guest(name, lab.clock);
  const [link, far] = await lab.link(guest);
  await link.request(messages.announce, { record: guest.record() });
  return { guest, link, far };
}

test('an announced record is listed and found, by handle and by account [D-10]', async () => {
  const lab = new Lab();
  const { guest, link } = await announced(lab, 'alice');
  const page = await link.request(messages.list, {});
  expect(page).toMatchObject({ full: true, gone: [], next: null, version: lab.table.version });
  expect(page.entries).toEqual([
    { record: guest.record(), verified: [], observed: 'memory', near: true, online: true, lastSeen: lab.clock.now() },
  ]);
  const [entry] = page.entries;
  expect(await link.request(messages.find, { handle: 'alice@lab' })).toEqual({ entry });
  expect(await link.request(messages.find, { account: guest.account.id })).toEqual({ entry });
  await expect(link.request(messages.find, { handle: 'bob@lab' })).rejects.toEqual(fault('unknown_handle'));
  await expect(link.request(messages.find, { account: Key.generate().id })).rejects.toEqual(fault('unknown_handle'));
});

test('nobody announces for another account, another node, or without one [D-10]', async () => {
  const lab = new Lab();
  const [alice, bob] = [new Guest('alice', lab.clock), new Guest('bob', lab.clock)];
  const [link] = await lab.link(alice);
  await expect(link.request(messages.announce, { record: bob.record() })).rejects.toEqual(fault('forbidden'));
  const elsewhere = alice.record({ node: bob.node.id });
  await expect(link.request(messages.announce, { record: elsewhere })).rejects.toEqual(fault('forbidden'));
  const forged = { ...bob.record({ node: alice.node.id }), account: alice.account.id };
  await expect(link.request(messages.announce, { record: forged })).rejects.toEqual(fault('bad_signature'));
  const [bare] = await lab.link(alice, helloOf('node'));
  await expect(bare.request(messages.announce, { record: alice.record() })).rejects.toEqual(fault('unauthenticated'));
});

test('a handle of a zone that is not served here is unknown_zone [D-10]', async () => {
  const lab = new Lab();
  const alice = new Guest('alice', lab.clock);
  const [link] = await lab.link(alice);
  const record = alice.record({ handle: 'alice@elsewhere' });
  await expect(link.request(messages.announce, { record })).rejects.toMatchObject({
    code: 'unknown_zone',
    message: expect.stringContaining('serves lab'),
  });
});

test('two keys that race for a handle: one gets it, the other hears name_taken [D-5]', async () => {
  const lab = new Lab();
  const guests = [new Guest('alice', lab.clock), new Guest('alice', lab.clock)];
  const links = await Promise.all(guests.map((guest) => lab.link(guest)));
  const results = await Promise.allSettled(
    links.map(([link], n) => link.request(messages.announce, { record: guests[n]?.record() ?? expect.fail() })),
  );
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
  expect(results[1]).toMatchObject({ reason: { code: 'name_taken' } });
});

test('watchers hear what changes, all of one tick at once, and nothing of heartbeats [D-17] [D-18]', async () => {
  const lab = new Lab();
  const { guest: watcher, link: eyes } = await announced(lab, 'watcher');
  const { version } = await eyes.request(messages.list, {});
  expect(await eyes.request(messages.watch, { since: version })).toEqual({ version });
  const [alice, bob] = [new Guest('alice', lab.clock), new Guest('bob', lab.clock)];
  const [[a], [b]] = await Promise.all([lab.link(alice), lab.link(bob)]);
  await Promise.all([
    a.request(messages.announce, { record: alice.record() }),
    b.request(messages.announce, { record: bob.record() }),
  ]);
  await watcher.hears((heard) => heard.flatMap(({ entries }) => entries).length === 2);
  expect(watcher.heard.at(-1)).toMatchObject({ version: lab.table.version, gone: [], more: false });
  const heardBefore = watcher.heard.length;
  lab.clock.pass(30_000);
  const { seq, until, sig } = alice.record();
  await a.request(messages.renew, { seq, until, sig });
  lab.clock.pass(1);
  await a.request(messages.announce, { record: alice.record({ status: 'away', text: 'lunch' }) });
  await watcher.hears((heard) => heard.length > heardBefore);
  expect(watcher.heard.slice(heardBefore).flatMap(({ entries }) => entries)).toMatchObject([
    { record: { handle: 'alice@lab', status: 'away', text: 'lunch' }, online: true },
  ]);
  await b.request(messages.goodbye, {});
  await watcher.hears((heard) => heard.length > heardBefore + 1);
  expect(watcher.heard.at(-1)?.entries).toMatchObject([{ record: { handle: 'bob@lab' }, online: false }]);
});

test('a watch tells what changed since the version it names, or says to list first [D-17]', async () => {
  const lab = new Lab();
  const { link } = await announced(lab, 'alice');
  const { version } = await link.request(messages.list, {});
  await announced(lab, 'bob');
  const carol = new Guest('carol', lab.clock);
  const [late] = await lab.link(carol);
  await late.request(messages.watch, { since: version });
  await carol.hears((heard) => heard.length > 0);
  expect(carol.heard[0]?.entries).toMatchObject([{ record: { handle: 'bob@lab' } }]);
  await expect(late.request(messages.watch, { since: '1-1' })).rejects.toEqual(fault('wrong_state'));
});

test('a cut link shows as offline after the grace, to watchers too [D-13]', async () => {
  const lab = new Lab();
  const { guest: watcher, link: eyes } = await announced(lab, 'watcher');
  const { link, far } = await announced(lab, 'alice');
  await eyes.request(messages.watch, {});
  link.close();
  await far.closed;
  lab.clock.pass(2999);
  lab.server.sweep();
  expect(lab.table.find('alice@lab').online).toBe(true);
  lab.clock.pass(1);
  lab.server.sweep();
  await watcher.hears((heard) => heard.length > 0);
  expect(watcher.heard[0]?.entries).toMatchObject([{ record: { handle: 'alice@lab' }, online: false }]);
});

test('who says goodbye is offline at once, and whoever said nothing here cannot send others away [D-19]', async () => {
  const lab = new Lab();
  const { guest, link } = await announced(lab, 'alice');
  const [other] = await lab.link(guest);
  await other.request(messages.goodbye, {});
  expect(lab.table.find('alice@lab').online).toBe(true);
  await link.request(messages.goodbye, {});
  expect(lab.table.find('alice@lab').online).toBe(false);
});

test('who announces too often is told so, and may again after a minute [D-14]', async () => {
  const lab = new Lab();
  const { guest, link } = await announced(lab, 'alice');
  const again = (): Promise<unknown> => {
    lab.clock.pass(1);
    return link.request(messages.announce, { record: guest.record() });
  };
  for (let n = 1; n < 120; n++) await again();
  await expect(again()).rejects.toEqual(fault('too_many'));
  lab.clock.pass(60_000);
  await again();
});

test('a list that passes a page goes on in the next, and no answer passes a frame [D-16]', async () => {
  const lab = new Lab();
  const account = Key.generate();
  const most = 400;
  for (let n = 0; n < most; n++) {
    const key = Key.generate();
    const record = signRecord(key, {
      handle: `p${n}@lab`,
      node: account.id,
      addresses: Array.from({ length: 8 }, (_, a) => `${'host-'.repeat(40)}${a}.example:${n + 1}`),
      status: 'online',
      text: '☕'.repeat(200),
      seq: 1,
      until: lab.clock.now() + 90_000,
    });
    lab.table.announce(record, '192.0.2.1', {}, []);
  }
  const { link } = await announced(lab, 'alice');
  const pages: messages.Page[] = [];
  for (let after: string | undefined; ; ) {
    const page = await link.request(messages.list, after === undefined ? {} : { after });
    expect(Buffer.byteLength(JSON.stringify(page))).toBeLessThan(1024 * 1024);
    pages.push(page);
    if (page.next === null) break;
    after = page.next;
  }
  expect(pages.length).toBeGreaterThan(1);
  const handles = pages.flatMap(({ entries }) => entries.map(({ record }) => record.handle));
  expect(handles).toHaveLength(most + 1);
  expect(new Set(handles).size).toBe(most + 1);
});
