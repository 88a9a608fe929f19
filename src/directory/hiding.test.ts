import { expect, test } from 'vitest';
import { Key } from '../link/identity.ts';
import type { Link } from '../link/link.ts';
import * as messages from './messages.ts';
import { Guest, helloOf, Lab } from './testing.ts';

type Here = { guest: Guest; link: Link };

async function here(lab: Lab, name: string): Promise<Here> {
  const guest = new Guest(name, lab.clock);
  const [link] = await lab.link(guest);
  await link.request(messages.announce, { record: guest.record() });
  return { guest, link };
}

/** Everything that `asker` can be told of `who`, by every question. */
async function told(asker: Here, who: Here): Promise<messages.Entry[]> {
  const { entries } = await asker.link.request(messages.list, {});
  const listed = entries.filter(({ record }) => record.account === who.guest.account.id);
  const byHandle = await asker.link.request(messages.find, { handle: `${who.guest.name}@lab` });
  const byAccount = await asker.link.request(messages.find, { account: who.guest.account.id });
  return [...listed, byHandle.entry, byAccount.entry];
}

async function says(lab: Lab, { guest, link }: Here, text: string): Promise<void> {
  lab.clock.pass(1);
  await link.request(messages.announce, { record: guest.record({ text, status: 'busy' }) });
}

const hide = ({ link }: Here, from: Here[], only: Here[] | null = null): Promise<unknown> =>
  link.request(messages.hide, {
    from: from.map(({ guest }) => guest.account.id),
    only: only?.map(({ guest }) => guest.account.id) ?? null,
  });

test('whom an account hides from is shown it as it was, offline, whatever it does after [D-50] [D-51]', async () => {
  const lab = new Lab();
  const [alice, bob, carol] = [await here(lab, 'alice'), await here(lab, 'bob'), await here(lab, 'carol')];
  const last = alice.guest.record();
  lab.clock.pass(5000);
  await hide(alice, [bob]);
  const hiddenAt = lab.clock.now();
  await says(lab, alice, 'not for bob');
  const asBobSees = { record: last, online: false, lastSeen: hiddenAt };
  expect(await told(bob, alice)).toMatchObject([asBobSees, asBobSees, asBobSees]);
  expect(await told(carol, alice)).toMatchObject(Array(3).fill({ record: { text: 'not for bob' }, online: true }));
  expect(await told(alice, alice)).toMatchObject(Array(3).fill({ record: { text: 'not for bob' }, online: true }));
  await hide(alice, []);
  expect(await told(bob, alice)).toMatchObject(Array(3).fill({ record: { text: 'not for bob' }, online: true }));
});

test('who is hidden from hears once that it went, then nothing, until it shows itself again [D-51]', async () => {
  const lab = new Lab();
  const [alice, bob, carol] = [await here(lab, 'alice'), await here(lab, 'bob'), await here(lab, 'carol')];
  await bob.link.request(messages.watch, {});
  await carol.link.request(messages.watch, {});
  const heard = ({ guest }: Here) => guest.heard.flatMap(({ entries }) => entries);
  await hide(alice, [bob]);
  await bob.guest.hears(() => heard(bob).length > 0);
  expect(heard(bob)).toMatchObject([{ record: { handle: 'alice@lab' }, online: false }]);
  for (const text of ['one', 'two', 'three']) await says(lab, alice, text);
  await carol.guest.hears(() => heard(carol).at(-1)?.record.text === 'three');
  await says(lab, carol, 'a mark'); // what bob would have heard stands before it
  await bob.guest.hears(() => heard(bob).at(-1)?.record.text === 'a mark');
  expect(heard(bob).map(({ record }) => record.handle)).toEqual(['alice@lab', 'carol@lab']);
  const { entries } = await bob.link.request(messages.list, { since: bob.guest.heard[0]?.version });
  expect(entries.map(({ record }) => record.handle)).not.toContain('alice@lab');
  await hide(alice, []);
  await bob.guest.hears(() => heard(bob).at(-1)?.online === true && heard(bob).at(-1)?.record.text === 'three');
});

test('a change in the same turn as the hiding is not shown, and the going is [D-51]', async () => {
  const lab = new Lab();
  const [alice, bob] = [await here(lab, 'alice'), await here(lab, 'bob')];
  await bob.link.request(messages.watch, {});
  lab.clock.pass(1);
  lab.table.hide(alice.guest.account.id, { from: [bob.guest.account.id], only: null });
  lab.table.announce(alice.guest.record({ text: 'secret' }), 'memory', {}, []);
  await bob.guest.hears((heard) => heard.length > 0);
  expect(bob.guest.heard.flatMap(({ entries }) => entries)).toMatchObject([{ record: { text: '' }, online: false }]);
});

test('it is kept over a restart of the tracker, before its account is back [D-52]', async () => {
  const lab = new Lab();
  const [alice, bob] = [await here(lab, 'alice'), await here(lab, 'bob')];
  await hide(alice, [bob]);
  await says(lab, alice, 'later');
  lab.table.flush();
  lab.clock.pass(1);
  const again = new Lab({ clock: lab.clock, store: lab.store });
  const [link] = await again.link(bob.guest);
  const { entry } = await link.request(messages.find, { handle: 'alice@lab' });
  expect(entry).toMatchObject({ record: { text: '' }, online: false });
});

test('an account that hid before it came is not there at all for whom it hides from [D-51]', async () => {
  const lab = new Lab();
  const bob = await here(lab, 'bob');
  const guest = new Guest('alice', lab.clock);
  const [link] = await lab.link(guest);
  await hide({ guest, link }, [bob]);
  await link.request(messages.announce, { record: guest.record() });
  await expect(bob.link.request(messages.find, { handle: 'alice@lab' })).rejects.toMatchObject({
    code: 'unknown_handle',
  });
  const { entries } = await bob.link.request(messages.list, {});
  expect(entries.map(({ record }) => record.handle)).toEqual(['bob@lab']);
});

test('who shows itself to some alone can be found by strangers, as offline, at its present addresses [D-53]', async () => {
  const lab = new Lab();
  const [alice, bob, carol] = [await here(lab, 'alice'), await here(lab, 'bob'), await here(lab, 'carol')];
  await hide(alice, [], [carol]);
  await says(lab, alice, 'for carol');
  expect(await told(carol, alice)).toMatchObject(Array(3).fill({ record: { text: 'for carol' }, online: true }));
  expect(await told(bob, alice)).toMatchObject(Array(3).fill({ record: { text: '' }, online: false }));
  const seen = (await told(bob, alice))[0]?.lastSeen;
  lab.clock.pass(1000);
  await alice.link.request(messages.announce, { record: alice.guest.record({ addresses: ['192.0.2.9:1'] }) });
  expect(await told(bob, alice)).toMatchObject(
    Array(3).fill({ record: { addresses: ['192.0.2.9:1'] }, online: false, lastSeen: seen }),
  );
});

test('strangers hear that it went when it begins to show itself to some alone, also after it hid from one [D-51]', async () => {
  const lab = new Lab();
  const [alice, bob, carol] = [await here(lab, 'alice'), await here(lab, 'bob'), await here(lab, 'carol')];
  await hide(alice, [bob]);
  await says(lab, alice, 'news');
  await carol.link.request(messages.watch, {});
  await hide(alice, [bob], []);
  await carol.guest.hears((heard) => heard.length > 0);
  expect(carol.guest.heard[0]?.entries).toMatchObject([{ record: { text: 'news' }, online: false }]);
  expect(await told(bob, alice)).toMatchObject(Array(3).fill({ record: { text: '' }, online: false }));
});

test('who asks without an account sees nobody who hides [D-54]', async () => {
  const lab = new Lab();
  const [alice, bob] = [await here(lab, 'alice'), await here(lab, 'bob')];
  const [bare] = await lab.link(bob.guest, helloOf('node'));
  const ask = () => bare.request(messages.find, { handle: 'alice@lab' });
  expect((await ask()).entry.online).toBe(true);
  await hide(alice, [bob]);
  expect((await ask()).entry.online).toBe(false);
  await expect(bare.request(messages.hide, { from: [], only: null })).rejects.toMatchObject({
    code: 'unauthenticated',
  });
});

test('over HTTP an asker is the account whose record names its node [D-55]', async () => {
  const lab = new Lab();
  const [alice, bob] = [await here(lab, 'alice'), await here(lab, 'bob')];
  expect(lab.table.accountAt(bob.guest.node.id)).toBe(bob.guest.account.id);
  await hide(alice, [bob]);
  await says(lab, alice, 'x');
  const seenBy = (node: string) => lab.table.find('alice@lab', lab.table.accountAt(node)).online;
  expect(seenBy(bob.guest.node.id)).toBe(false);
  expect(seenBy(Key.generate().id)).toBe(false);
  expect(seenBy(alice.guest.node.id)).toBe(true);
});

test('lastSeen is when the tracker last heard of a node: its goodbye, or the end of its link [D-13]', async () => {
  const lab = new Lab();
  const [alice, bob] = [await here(lab, 'alice'), await here(lab, 'bob')];
  const start = lab.clock.now();
  lab.clock.pass(20_000);
  await alice.link.request(messages.goodbye, {});
  expect(lab.table.find('alice@lab', bob.guest.account.id)).toMatchObject({ online: false, lastSeen: start + 20_000 });
  lab.clock.pass(10_000);
  lab.table.linkEnded(bob.guest.account.id, {}); // another link's end is no news
  bob.link.close();
  await bob.link.closed;
  await new Promise((done) => setImmediate(() => setImmediate(done)));
  expect(lab.table.find('bob@lab', alice.guest.account.id).lastSeen).toBe(start + 30_000);
});
