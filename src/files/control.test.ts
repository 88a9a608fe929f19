/** What a user says of transfers: to rest, in which order, how fast, in place of what; and that it outlives a restart. */
import { randomBytes } from 'node:crypto';
import { link, lstat, mkdir, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { eachWithTwo, type Person } from './fixture.ts';
import type { Transfer } from './transfer.ts';

const MiB = 1024 * 1024;

let alice: Person;
let bob: Person;
eachWithTwo((two) => {
  ({ alice, bob } = two);
});

/** Offers a file from alice to bob. */
async function offer(name: string, size: number): Promise<{ sent: Transfer; got: Transfer; data: Buffer }> {
  const data = randomBytes(size);
  const path = join(alice.home, 'own', name);
  await writeFile(path, data);
  const { id } = await alice.service.send(bob.id, path);
  const sent = await alice.until(id, 'offered');
  const got = await bob.when(() => bob.service.list().find(({ entry }) => entry === sent.entry));
  return { sent, got, data };
}

/** Fetches at a crawl, until somebody says otherwise. */
const crawl = (): unknown => bob.service.control.setLimits({ down: 800_000 });
const run = (): unknown => bob.service.control.setLimits({ down: null });
const moves = (id: string) => bob.when(() => bob.service.show(id).progress > 0);

test('a paused fetch rests, also across a restart, and goes on from where it was', async () => {
  const { got, data } = await offer('a', 8 * MiB);
  crawl();
  await bob.service.accept(got.id);
  await moves(got.id);
  const paused = await bob.service.control.pause(got.id);
  expect(paused).toMatchObject({ state: 'accepted', error: null });
  expect(bob.service.control.of(got.id).paused).toBe(true);
  run();
  await bob.down();
  await bob.up();
  bob.service.peerOnline(alice.id);
  const other = await offer('b', 10);
  await bob.service.accept(other.got.id);
  await bob.until(other.got.id, 'done'); // the queue has run, and left it out
  expect(bob.service.show(got.id)).toMatchObject({ state: 'accepted' });
  const before = bob.service.show(got.id).progress;
  alice.served.length = 0;
  bob.service.control.resume(got.id);
  const done = await bob.until(got.id, 'done');
  expect((await readFile(done.path)).equals(data)).toBe(true);
  const again = alice.served.reduce((sum, { bytes }) => sum + bytes, 0);
  expect(again).toBeLessThanOrEqual(8 * MiB - before + 5000); // and the manifest
});

test('a paused fetch can be cancelled, and stays cancelled', async () => {
  const { got, sent } = await offer('a', 4 * MiB);
  crawl();
  await bob.service.accept(got.id);
  await moves(got.id);
  await bob.service.control.pause(got.id);
  await bob.service.cancel(got.id);
  expect(() => bob.service.control.resume(got.id)).toThrow(expect.objectContaining({ code: 'wrong_state' }));
  await alice.until(sent.id, 'cancelled');
  await bob.down();
  await bob.up();
  run();
  expect(bob.service.show(got.id).state).toBe('cancelled');
  expect(await readdir(bob.downloads)).toEqual([]);
});

test('a sender may let a file rest; the receiver waits, and goes on when it is told [F-31]', async () => {
  const { sent, got, data } = await offer('a', 4 * MiB);
  await alice.service.control.pause(sent.id);
  await bob.service.accept(got.id);
  await bob.when(() => bob.service.show(got.id).error?.code === 'queue_full');
  expect(bob.service.show(got.id).state).toBe('accepted');
  await alice.down();
  await alice.up();
  expect(alice.service.control.of(sent.id).paused).toBe(true);
  alice.service.control.resume(sent.id);
  const done = await bob.until(got.id, 'done');
  expect((await readFile(done.path)).equals(data)).toBe(true);
});

test('a sender’s pause cuts what is served now [F-31]', async () => {
  const { sent, got } = await offer('a', 8 * MiB);
  alice.service.control.setLimits({ up: 2_000_000 });
  await bob.service.accept(got.id);
  await moves(got.id);
  await alice.service.control.pause(sent.id);
  await bob.when(() => bob.service.show(got.id).error?.code === 'queue_full');
  alice.service.control.setLimits({ up: null });
  alice.service.control.resume(sent.id);
  await bob.until(got.id, 'done');
});

test('what is more urgent takes the place of what is less so, which goes on afterwards', async () => {
  bob.service.control.setLimits({ atOnce: 1 });
  crawl();
  const slow = await offer('slow', 4 * MiB);
  const next = await offer('next', 100);
  const urgent = await offer('urgent', 100);
  await bob.service.accept(slow.got.id);
  await moves(slow.got.id);
  await bob.service.accept(next.got.id);
  await bob.service.accept(urgent.got.id);
  bob.service.control.prioritize(urgent.got.id, 'high');
  await bob.until(urgent.got.id, 'done');
  run();
  await bob.until(slow.got.id, 'done');
  await bob.until(next.got.id, 'done');
  const ends = bob.events.filter(({ type }) => type === 'file.done').map(({ transfer }) => transfer.name);
  expect(ends[0]).toBe('urgent');
  expect(() => alice.service.control.prioritize(slow.sent.id, 'low')).toThrow(
    expect.objectContaining({ code: 'wrong_state' }),
  );
});

test('limits hold for what is served and what is fetched, are kept, and change while it moves', async () => {
  alice.service.control.setLimits({ up: 1_000_000 });
  const one = await offer('one', MiB);
  await bob.service.accept(one.got.id);
  const at = performance.now();
  await bob.until(one.got.id, 'done');
  expect(performance.now() - at).toBeGreaterThan(700); // all but the burst and the last piece is waited for
  await alice.down();
  await alice.up();
  expect(alice.service.control.limits).toMatchObject({ up: 1_000_000, down: null });
  alice.service.control.setLimits({ up: null });

  const two = await offer('two', 40 * MiB);
  bob.service.control.limit(two.got.id, 800_000);
  await bob.service.accept(two.got.id); // would take most of a minute
  await moves(two.got.id);
  bob.service.control.limit(two.got.id, null);
  await bob.until(two.got.id, 'done');
  expect(() => bob.service.control.setLimits({ down: 1 })).toThrow(
    expect.objectContaining({ code: 'invalid_argument' }),
  );
});

test('what is fetched keeps to its limit, also with what TLS has read already', async () => {
  const { got } = await offer('a', 2 * MiB);
  bob.service.control.setLimits({ down: 1_000_000 });
  await bob.service.accept(got.id);
  const at = performance.now();
  await bob.until(got.id, 'done');
  expect(performance.now() - at).toBeGreaterThan(1700);
});

test('what is said of an offer is news of it, and no second offer', async () => {
  const { sent, got } = await offer('a', 10);
  bob.service.control.prioritize(got.id, 'high');
  await alice.service.control.pause(sent.id);
  for (const person of [alice, bob]) {
    const types = person.events.map(({ type }) => type);
    expect(types.filter((type) => type === 'file.offered')).toHaveLength(1);
    expect(types.at(-1)).toBe('file.progress');
  }
});

test('while it moves, each side shows over which connection', async () => {
  const { sent, got } = await offer('a', 4 * MiB);
  alice.service.control.setLimits({ up: 2_000_000 });
  await bob.service.accept(got.id);
  await moves(got.id);
  expect(bob.service.control.moving(got.id)).toMatchObject([{ peer: alice.id, address: alice.address }]);
  expect(alice.service.control.moving(sent.id)).toMatchObject([
    { peer: bob.id, address: expect.stringMatching(/^127\.0\.0\.1:/) },
  ]);
  alice.service.control.setLimits({ up: null });
  await bob.until(got.id, 'done');
  expect(bob.service.control.moving(got.id)).toEqual([]);
});

test('all that moves can be watched until nothing is under way', async () => {
  const { got } = await offer('a', 3 * MiB);
  const other = await offer('b', 3 * MiB);
  const seen = new Map<string, string[]>();
  await bob.service.accept(got.id);
  await bob.service.accept(other.got.id);
  for await (const { name, state } of bob.service.control.watch({ untilIdle: true })) {
    seen.set(name, [...(seen.get(name) ?? []), state]);
  }
  expect([...seen.keys()].sort()).toEqual(['a', 'b']);
  for (const states of seen.values()) expect(states.at(-1)).toBe('done');
});

test('skip declines what is there already, overwrite replaces it whole, rename is the default [F-22]', async () => {
  await mkdir(bob.downloads, { recursive: true });
  const path = join(bob.downloads, 'a');
  const old = join(bob.home, 'old');
  await writeFile(path, 'mine');
  await link(path, old);
  const first = await offer('a', 100);
  const skipped = await bob.service.accept(first.got.id, { conflict: 'skip' });
  expect(skipped).toMatchObject({ state: 'declined', error: { code: 'exists' } });
  await alice.until(first.sent.id, 'declined');
  const second = await offer('a', 200);
  await bob.service.accept(second.got.id, { conflict: 'overwrite' });
  expect((await bob.until(second.got.id, 'done')).path).toBe(path);
  expect((await readFile(path)).equals(second.data)).toBe(true);
  expect(await readFile(old, 'utf8')).toBe('mine'); // the other name of the old file is as it was
  const third = await offer('a', 300);
  await bob.service.accept(third.got.id);
  expect((await bob.until(third.got.id, 'done')).path).toBe(join(bob.downloads, 'a (2)'));
});

test('overwrite replaces a symlink, not what it leads to, and never a folder [F-22]', async () => {
  await mkdir(join(bob.downloads, 'b'), { recursive: true });
  const victim = join(bob.home, 'victim');
  await writeFile(victim, 'precious');
  await symlink(victim, join(bob.downloads, 'a'));
  const { got, data } = await offer('a', 100);
  await bob.service.accept(got.id, { conflict: 'overwrite' });
  await bob.until(got.id, 'done');
  expect((await lstat(join(bob.downloads, 'a'))).isFile()).toBe(true);
  expect((await readFile(join(bob.downloads, 'a'))).equals(data)).toBe(true);
  expect(await readFile(victim, 'utf8')).toBe('precious');
  const other = await offer('b', 100);
  await bob.service.accept(other.got.id, { conflict: 'overwrite' });
  expect((await bob.until(other.got.id, 'failed')).error).toMatchObject({ code: 'exists' });
});

test('with skip, what appears while it is fetched is not touched [F-22]', async () => {
  const { got } = await offer('a', 3 * MiB);
  crawl();
  await bob.service.accept(got.id, { conflict: 'skip' });
  await moves(got.id);
  await symlink('/nowhere', join(bob.downloads, 'a'));
  run();
  expect((await bob.until(got.id, 'failed')).error).toMatchObject({ code: 'exists' });
  expect(await readlink(join(bob.downloads, 'a'))).toBe('/nowhere');
});

test('what comes unasked goes to the folder of its sender, also after a restart', async () => {
  const folder = join(bob.home, 'from-alice');
  bob.service.setAutoAccept(alice.id, 1000);
  bob.service.control.setFolderFor(alice.id, folder);
  await bob.down();
  await bob.up();
  const { got } = await offer('a', 100);
  expect((await bob.until(got.id, 'done')).path).toBe(join(folder, 'a'));
  bob.service.control.setFolderFor(alice.id, null);
  const other = await offer('b', 100);
  expect((await bob.until(other.got.id, 'done')).path).toBe(join(bob.downloads, 'b'));
});

test('past a quota nothing more is taken; spooled files count, and what was moved away does not', async () => {
  const { control } = bob.service;
  control.setLimits({ quota: 1000 });
  const first = await offer('a', 600);
  await bob.service.accept(first.got.id);
  const { path } = await bob.until(first.got.id, 'done');
  const second = await offer('b', 500);
  await expect(bob.service.accept(second.got.id)).rejects.toMatchObject({ code: 'too_large' });
  expect(bob.service.show(second.got.id).state).toBe('offered');
  expect((await control.usage()).byContact.get(alice.id)).toBe(600);
  await writeFile(path, ''); // still there
  await expect(bob.service.accept(second.got.id)).rejects.toMatchObject({ code: 'too_large' });
  control.setLimits({ quota: 1100 });
  await mkdir(join(bob.spool, 'x'), { recursive: true });
  await writeFile(join(bob.spool, 'x', 'y'), Buffer.alloc(10));
  await expect(bob.service.accept(second.got.id)).rejects.toMatchObject({ code: 'too_large' });
  control.setLimits({ quota: 1110 });
  await bob.service.accept(second.got.id);
  await bob.until(second.got.id, 'done');
});

test('a contact’s own quota bounds what comes unasked, too; two at once do not both take the last room', async () => {
  bob.service.control.setQuota(alice.id, 1000);
  const [one, two] = [await offer('one', 600), await offer('two', 600)];
  const taken = await Promise.allSettled([one, two].map(({ got }) => bob.service.accept(got.id)));
  expect(taken.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  bob.service.setAutoAccept(alice.id, 1000);
  const three = await offer('three', 500);
  const four = await offer('four', 100);
  await bob.until(four.got.id, 'done');
  expect(bob.service.show(three.got.id).state).toBe('offered');
});
