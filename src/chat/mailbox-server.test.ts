/** A tracker's mailboxes: their bounds, their words, and who may use them. */
import { expect, test } from 'vitest';
import { toBase64url } from '../base/encoding.ts';
import type { Link } from '../link/link.ts';
import { type Person, World } from './fixture.ts';
import { PostOffice } from './fixture-mail.ts';
import { holdVerified, letterId } from './letter.ts';
import type { MailLimits } from './mailbox-store.ts';
import { deposit, fetch, remove } from './mailbox-wire.ts';

const MB = 1024 * 1024;
const DAY_MS = 24 * 3600_000;

/** What looks like a letter; a tracker cannot tell. */
const bytes = (fill: number, size = 100) => ({
  enc: toBase64url(new Uint8Array(32).fill(fill)),
  data: toBase64url(new Uint8Array(size).fill(fill)),
});

async function setUp(limits?: Partial<MailLimits>) {
  const world = new World();
  const [alice, bob, carol] = [await world.person('alice'), await world.person('bob'), await world.person('carol')];
  const office = new PostOffice(world, limits && { limits });
  const links = new Map<Person, Link>();
  for (const person of [alice, bob, carol]) links.set(person, await office.link(person));
  const linkOf = (person: Person): Link => links.get(person) ?? expect.fail('not linked');
  const put = async (from: Person, to: Person, ...letters: ReturnType<typeof bytes>[]) =>
    (await linkOf(from).request(deposit, { to: to.id, letters })).results.map((result) =>
      'hold' in result ? result.hold : result.refused.code,
    );
  const get = async (person: Person, after = 0) => (await linkOf(person).request(fetch, { after })).letters;
  const release = new AsyncDisposableStack();
  release.use(world);
  release.use(office);
  return { world, office, alice, bob, carol, linkOf, put, get, [Symbol.asyncDispose]: () => release.disposeAsync() };
}

test('a letter is held with the tracker’s signed word, given to its recipient alone, and gone once deleted [M-5] [M-6] [M-11]', async () => {
  await using lab = await setUp();
  const { alice, bob, carol, office, world } = lab;
  const [hold] = await lab.put(alice, bob, bytes(1));
  const id = letterId({ from: alice.id, to: bob.id, ...bytes(1) });
  const until = world.now + 30 * DAY_MS;
  const claim = { holder: office.key.id, letter: id, from: alice.id, to: bob.id, at: world.now, until };
  expect(hold).toMatchObject(claim);
  expect(typeof hold === 'object' && holdVerified(hold)).toBe(true);
  expect(await lab.get(carol)).toEqual([]);
  expect(await lab.get(alice)).toEqual([]);
  const letters = await lab.get(bob);
  expect(letters).toEqual([{ place: expect.any(Number), from: alice.id, ...bytes(1) }]);
  expect(await lab.linkOf(carol).request(remove, { ids: [id] })).toEqual({ deleted: 0 });
  expect(await lab.linkOf(bob).request(remove, { ids: [id] })).toEqual({ deleted: 1 });
  expect(await lab.linkOf(bob).request(remove, { ids: [id] })).toEqual({ deleted: 0 });
  expect(await lab.get(bob)).toEqual([]);
  for (const who of [`to ${bob.id}`, `from ${alice.id}`, 'all']) expect(office.letters.totals(who).letters).toBe(0);
});

test('the same letter again is held once, with the same word [M-8]', async () => {
  await using lab = await setUp();
  const { alice, bob, world } = lab;
  const [first] = await lab.put(alice, bob, bytes(1));
  world.now += 5000;
  expect(await lab.put(alice, bob, bytes(1), bytes(1))).toEqual([first, first]);
  expect(await lab.get(bob)).toHaveLength(1);
});

test('who has no handle here neither leaves nor gets letters [M-7]', async () => {
  await using lab = await setUp();
  const { alice, bob, office } = lab;
  office.strangers.add(bob.id);
  await expect(lab.put(alice, bob, bytes(1))).rejects.toMatchObject({ code: 'unknown_handle' });
  await expect(lab.put(bob, alice, bytes(1))).rejects.toMatchObject({ code: 'forbidden' });
  await expect(lab.get(bob)).rejects.toMatchObject({ code: 'forbidden' });
});

test('each bound refuses with its code, and leaves room for others [M-4] [M-9]', async () => {
  await using lab = await setUp({
    recipient: { letters: 4, bytes: MB },
    sender: { letters: 3, bytes: 300_000 },
  });
  const { alice, bob, carol } = lab;
  const held = expect.objectContaining({ to: bob.id });
  const four = [1, 2, 3, 4].map((fill) => bytes(fill));
  expect(await lab.put(alice, bob, ...four)).toEqual([held, held, held, 'too_many']);
  expect(await lab.put(carol, bob, bytes(5), bytes(6))).toEqual([held, 'queue_full']);
  expect(await lab.put(carol, alice, bytes(7, 256 * 1024 + 1), bytes(8, 256 * 1024))).toEqual([
    'too_large',
    expect.objectContaining({ to: alice.id }),
  ]);
  expect(await lab.put(carol, alice, bytes(9, 60_000))).toEqual(['too_many']); // the sender’s bytes
  const ids = (await lab.get(bob)).map(({ from, enc, data }) => letterId({ from, to: bob.id, enc, data }));
  await lab.linkOf(bob).request(remove, { ids });
  expect(await lab.put(alice, bob, bytes(4))).toEqual([held]);
});

test('what all of them may hold has a bound too [M-9]', async () => {
  await using lab = await setUp({ total: { letters: 2, bytes: MB } });
  const { alice, bob, carol } = lab;
  await lab.put(alice, bob, bytes(1));
  await lab.put(bob, carol, bytes(2));
  expect(await lab.put(carol, alice, bytes(3))).toEqual(['queue_full']);
});

test('a letter whose time is over is not given any more, and then forgotten [M-9]', async () => {
  await using lab = await setUp();
  const { alice, bob, office, world } = lab;
  await lab.put(alice, bob, bytes(1));
  world.now += 15 * DAY_MS;
  await lab.put(alice, bob, bytes(2));
  world.now += 15 * DAY_MS - 1;
  expect(await lab.get(bob)).toHaveLength(2);
  world.now += 1;
  expect(await lab.get(bob)).toHaveLength(1);
  expect(office.letters.totals('all').letters).toBe(2);
  office.server.sweep();
  expect(office.letters.totals('all')).toEqual({ letters: 1, bytes: 100 });
});

test('letters come in pages, in order, from any place on [M-10]', async () => {
  await using lab = await setUp();
  const { alice, bob } = lab;
  for (let fill = 0; fill < 80; fill += 16) {
    await lab.put(alice, bob, ...Array.from({ length: 16 }, (_, n) => bytes(fill + n)));
  }
  const first = await lab.linkOf(bob).request(fetch, { after: 0 });
  expect(first).toMatchObject({ letters: { length: 64 }, more: true });
  const rest = await lab.linkOf(bob).request(fetch, { after: first.letters.at(-1)?.place ?? 0 });
  expect(rest).toMatchObject({ letters: { length: 16 }, more: false });
  const data = [...first.letters, ...rest.letters].map((letter) => letter.data);
  expect(data).toEqual(Array.from({ length: 80 }, (_, n) => bytes(n).data));
  for (const fill of [100, 101, 102]) await lab.put(alice, bob, bytes(fill, 250_000));
  const large = await lab.linkOf(bob).request(fetch, { after: rest.letters.at(-1)?.place ?? 0 });
  expect(large).toMatchObject({ letters: { length: 2 }, more: true });
});

test('a call that is too large, or one too many, is refused [M-10]', async () => {
  await using lab = await setUp();
  const { alice, bob } = lab;
  const three = [1, 2, 3].map((fill) => bytes(fill, 240_000));
  await expect(lab.put(alice, bob, ...three)).rejects.toMatchObject({ code: 'too_large' });
  const many = Array.from({ length: 17 }, (_, n) => bytes(n));
  await expect(lab.put(alice, bob, ...many)).rejects.toMatchObject({ code: 'invalid_argument' });
  const calls = Array.from({ length: 201 }, () =>
    lab.get(bob).then(
      () => 'ok',
      ({ code }) => code,
    ),
  );
  expect(new Set(await Promise.all(calls))).toEqual(new Set(['ok', 'too_many']));
});
