/** What is kept, and what is not: garbage, damage, and its mending. */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
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

async function offer(
  name: string,
  size: number,
): Promise<{ sent: Transfer; got: Transfer; data: Buffer; path: string }> {
  const data = randomBytes(size);
  const path = join(alice.home, 'own', name);
  await writeFile(path, data);
  const { id } = await alice.service.send(bob.id, path);
  const sent = await alice.until(id, 'offered');
  const got = await bob.when(() => bob.service.list().find(({ entry }) => entry === sent.entry));
  return { sent, got, data, path };
}

async function arrived(name: string, size: number) {
  const made = await offer(name, size);
  await bob.service.accept(made.got.id);
  const { path } = await bob.until(made.got.id, 'done');
  await alice.until(made.sent.id, 'done');
  return { ...made, path };
}

const gc = (person: Person, dryRun = false) => person.service.control.gc({ dryRun });
const id16 = (letter: string): string => letter.repeat(16);

test('what has ended leaves nothing, what may go on keeps all, and a dry run only says so', async () => {
  const ended = await offer('ended', 10);
  const kept = await offer('kept', 10);
  bob.service.decline(ended.got.id);
  await alice.until(ended.sent.id, 'declined');
  const expected = [{ kind: 'manifest', what: ended.sent.hash, bytes: expect.any(Number), why: expect.any(String) }];
  expect(await gc(alice, true)).toEqual(expected);
  expect(await gc(alice)).toEqual(expected);
  expect(await gc(alice)).toEqual([]);
  await bob.service.accept(kept.got.id);
  await bob.until(kept.got.id, 'done');
});

test('a part that nobody resumes goes; of one that waits, or of another home, nothing is touched', async () => {
  const waits = await offer('waits', 4 * MiB);
  bob.cutAfter = 2 * MiB;
  await bob.service.accept(waits.got.id);
  await bob.when(
    () => bob.service.show(waits.got.id).progress > 0 && bob.service.show(waits.got.id).state === 'accepted',
  );
  await bob.service.control.pause(waits.got.id);
  const shared = join(bob.home, 'shared');
  const other = await offer('other', 10);
  await bob.service.accept(other.got.id, { to: shared });
  await bob.until(other.got.id, 'done');
  const foreign = `.netapp-${id16('a')}.part`;
  for (const folder of [bob.downloads, shared]) await writeFile(join(folder, foreign), 'x'.repeat(5000));
  await writeFile(join(shared, `.netapp-${other.got.id}.part`), 'left behind');
  await writeFile(join(bob.downloads, '.netapp-notes.part'), 'not ours');
  const removed = await gc(bob);
  expect(removed.map(({ kind, what }) => [kind, what])).toEqual([
    ['part', join(bob.downloads, foreign)],
    ['part', join(shared, `.netapp-${other.got.id}.part`)],
  ]);
  expect(removed[0]?.bytes).toBeGreaterThanOrEqual(4096);
  expect((await readdir(bob.downloads)).sort()).toEqual([`.netapp-${waits.got.id}.part`, '.netapp-notes.part'].sort());
  expect((await readdir(shared)).sort()).toEqual([foreign, 'other'].sort());
  bob.service.control.resume(waits.got.id);
  const { path } = await bob.until(waits.got.id, 'done');
  expect((await readFile(path)).equals(waits.data)).toBe(true);
});

test('a spooled file goes when nothing offers it any more', async () => {
  const held = join(alice.spool, 'held', 'stdin');
  await mkdir(join(alice.spool, 'held'), { recursive: true });
  await writeFile(held, 'x');
  const { id } = await alice.service.send(bob.id, held);
  await alice.until(id, 'offered');
  await mkdir(join(alice.spool, 'loose'));
  await writeFile(join(alice.spool, 'loose', 'stdin'), 'xyz');
  expect(await gc(alice)).toEqual([]); // it may be about to be sent
  await utimes(join(alice.spool, 'loose'), 1, 1);
  expect(await gc(alice)).toMatchObject([{ kind: 'spool', what: join(alice.spool, 'loose'), bytes: 3 }]);
  await alice.service.cancel(id);
  expect((await gc(alice)).map(({ kind }) => kind).sort()).toEqual(['manifest', 'spool']);
  expect(await readdir(alice.spool)).toEqual([]);
});

test('links that ended and settings of what has ended go; links that hold stay', async () => {
  const { sent } = await offer('a', 10);
  const ended = await alice.service.control.link(sent.id, 1);
  alice.service.control.limit(sent.id, 50_000);
  await new Promise((done) => setTimeout(done, 5));
  expect(await gc(alice, true)).toMatchObject([{ kind: 'link', what: ended.id }]);
  const holds = await alice.service.control.link(sent.id, 60_000);
  await gc(alice);
  expect(alice.service.control.links().map(({ id }) => id)).toEqual([holds.id]);
  expect(alice.service.control.of(sent.id).limit).toBe(50_000);
  await alice.service.cancel(sent.id);
  await gc(alice);
  expect(alice.service.control.of(sent.id).limit).toBeNull();
});

const verify = (person: Person, options: { id?: string; refetch?: boolean } = {}) =>
  Array.fromAsync(person.service.control.verify({ refetch: false, ...options }));

test('what is whole is ok at both ends; a wrong byte, a missing end, one byte more, and a gap are damage', async () => {
  const one = await arrived('one', 3 * MiB + 7);
  expect(await verify(bob)).toMatchObject([{ state: 'ok', badBytes: 0, refetch: false }]);
  expect(await verify(alice)).toMatchObject([{ state: 'ok' }]);
  const file = await open(one.path, 'r+');
  await file.write(Buffer.from([(one.data[MiB] ?? 0) ^ 1]), 0, 1, MiB);
  await file.close();
  expect(await verify(bob)).toMatchObject([{ state: 'damaged', badBytes: MiB }]);
  await writeFile(one.path, one.data);
  await truncate(one.path, 3 * MiB);
  expect(await verify(bob)).toMatchObject([{ state: 'damaged', badBytes: 7 }]);
  await writeFile(one.path, Buffer.concat([one.data, Buffer.from('x')]));
  expect(await verify(bob)).toMatchObject([{ state: 'damaged', badBytes: 0 }]);
  await rm(one.path);
  expect(await verify(bob)).toMatchObject([{ state: 'missing', badBytes: 3 * MiB + 7 }]);
  await symlink('/dev/zero', one.path); // nothing is read through it
  expect(await verify(bob)).toMatchObject([{ state: 'missing' }]);
  await writeFile(join(alice.home, 'own', 'one'), 'edited');
  expect(await verify(alice)).toMatchObject([{ state: 'damaged' }]);
});

test('a damaged file is mended with what is right of it; only the rest is fetched', async () => {
  const one = await arrived('one', 12 * MiB);
  await arrived('other', 10);
  const file = await open(one.path, 'r+');
  await file.write(Buffer.from([(one.data[5 * MiB] ?? 0) ^ 1]), 0, 1, 5 * MiB);
  await file.close();
  alice.served.length = 0;
  expect((await verify(bob, { refetch: true })).map(({ state, refetch }) => [state, refetch])).toEqual([
    ['damaged', true],
    ['ok', false],
  ]);
  const { path } = await bob.until(one.got.id, 'done');
  expect(path).toBe(one.path);
  expect((await readFile(path)).equals(one.data)).toBe(true);
  expect((await readdir(bob.downloads)).sort()).toEqual(['one', 'other']);
  expect(alice.served.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(MiB);
});

test('a missing file is fetched again whole; what is not here cannot be verified', async () => {
  const one = await arrived('one', 2 * MiB);
  await rm(one.path);
  expect(await verify(bob, { id: one.got.id, refetch: true })).toMatchObject([{ state: 'missing', refetch: true }]);
  await bob.until(one.got.id, 'done');
  expect((await readFile(one.path)).equals(one.data)).toBe(true);
  const { got } = await offer('two', 10);
  await expect(verify(bob, { id: got.id })).rejects.toMatchObject({ code: 'wrong_state' });
  await rm(one.path);
  await gc(bob);
  expect(await verify(bob)).toMatchObject([{ state: 'unknown' }]);
});

test('a file that was written under another name is mended there, and the one that had its name stays', async () => {
  await mkdir(bob.downloads, { recursive: true });
  await writeFile(join(bob.downloads, 'one'), 'not ours');
  const one = await arrived('one', 100);
  expect(one.path).toBe(join(bob.downloads, 'one (2)'));
  await writeFile(one.path, Buffer.alloc(100));
  expect(await verify(bob, { refetch: true })).toMatchObject([{ state: 'damaged', refetch: true }]);
  expect((await bob.until(one.got.id, 'done')).path).toBe(one.path);
  expect((await readFile(one.path)).equals(one.data)).toBe(true);
  expect(await readFile(join(bob.downloads, 'one'), 'utf8')).toBe('not ours');
});
