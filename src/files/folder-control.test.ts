/** What one may say of a folder beside sending and taking it: its name, its room, links to it, what is kept, and its mending. */
import { randomBytes } from 'node:crypto';
import {
  cp,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { request } from 'node:https';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { hash as hashOf } from '../base/encoding.ts';
import { eachWithTwo, type Person } from './fixture.ts';
import { CHUNK_BYTES } from './manifest.ts';
import type { Transfer } from './transfer.ts';

const MiB = 1024 * 1024;

let alice: Person;
let bob: Person;
eachWithTwo((two) => {
  ({ alice, bob } = two);
});

async function offer(files: Record<string, string | Buffer>, name = 'photos') {
  const root = join(alice.home, 'own', name);
  await mkdir(root, { recursive: true });
  for (const [path, data] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), data);
  }
  const { id } = await alice.service.send(bob.id, root);
  const sent = await alice.until(id, 'offered');
  const got = await bob.when(() => bob.service.list().find(({ entry }) => entry === sent.entry));
  return { sent, got, root };
}

async function arrived(files: Record<string, string | Buffer>) {
  const made = await offer(files);
  await bob.service.accept(made.got.id);
  return { ...made, done: await bob.until(made.got.id, 'done') };
}

const gc = (person: Person) => person.service.control.gc({ dryRun: false });
const verify = (person: Person, refetch = false) => Array.fromAsync(person.service.control.verify({ refetch }));

function get(path: string): Promise<{ status: number; body: Buffer; disposition: string | undefined }> {
  const [host = '', port = ''] = alice.address.split(':');
  return new Promise((resolve, reject) => {
    request({ host, port, path, rejectUnauthorized: false }, (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.on('error', reject);
      const disposition = response.headers['content-disposition'];
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(pieces), disposition }));
    })
      .on('error', reject)
      .end();
  });
}

test('a folder whose name is taken is declined, if the user wants it skipped [F-22]', async () => {
  const { got } = await offer({ a: '1' });
  await mkdir(join(bob.downloads, 'photos'), { recursive: true });
  const declined = await bob.service.accept(got.id, { conflict: 'skip' });
  expect(declined).toMatchObject({ state: 'declined', error: { code: 'exists' } });
  expect(await readdir(bob.downloads)).toEqual(['photos']);
});

test.each(['file', 'folder', 'empty folder', 'link'])('a folder replaces nothing, also no %s [F-22]', async (what) => {
  const { got } = await offer({ a: 'new' });
  const place = join(bob.downloads, 'photos');
  await mkdir(bob.downloads, { recursive: true });
  if (what === 'file') await writeFile(place, 'old');
  else if (what === 'link') await symlink('/nowhere', place);
  else await mkdir(place);
  if (what === 'folder') await writeFile(join(place, 'a'), 'old');
  const before = await stat(what === 'link' ? bob.downloads : place, { bigint: true });
  await bob.service.accept(got.id, { conflict: 'overwrite' });
  expect(await bob.until(got.id, 'failed')).toMatchObject({ error: { code: 'exists' } });
  if (what !== 'link') expect((await stat(place, { bigint: true })).ino).toBe(before.ino);
  if (what === 'folder') expect(await readFile(join(place, 'a'), 'utf8')).toBe('old');
  await bob.service.accept(got.id); // what was fetched is kept
  const { path } = await bob.until(got.id, 'done');
  expect(path).toBe(join(bob.downloads, 'photos (2)'));
  expect(await readFile(join(path, 'a'), 'utf8')).toBe('new');
});

test('a link to a folder gives its manifest and each of its files, by name [F-51]', async () => {
  const { sent } = await offer({ 'a.txt': 'one', 'b/c.txt': 'two', 'd.txt': '' });
  const link = await alice.service.control.link(sent.id, 60_000);
  expect(link.path).toBe(link.manifestPath);
  const manifest = await get(link.manifestPath);
  expect(hashOf(manifest.body)).toBe(sent.hash);
  expect(link.files.map(({ name }) => name)).toEqual(['a.txt', 'b/c.txt', 'd.txt']);
  const bodies = await Promise.all(link.files.map(({ path }) => get(path)));
  expect(bodies.map(({ status, body }) => [status, body.toString()])).toEqual([
    [200, 'one'],
    [200, 'two'],
    [200, ''],
  ]);
  expect(bodies[1]?.disposition).toBe("attachment; filename*=UTF-8''c.txt");
  const [, query = ''] = link.path.split('?');
  expect((await get(`/blobs/${sent.hash}/all?${query}`)).body.toString()).toBe('onetwo');
  expect((await get(`/blobs/${sent.hash}/3?${query}`)).status).toBe(404);
  alice.service.control.revoke(link.id);
  expect((await get(link.manifestPath)).status).toBe(403);
});

test('a quota counts a folder by its bytes and its entries', async () => {
  const { got } = await offer({ a: Buffer.alloc(1000), b: '', c: '' });
  const room = 1000 + 3 * 4096;
  bob.service.control.setLimits({ quota: room - 1 });
  await expect(bob.service.accept(got.id)).rejects.toMatchObject({ code: 'too_large' });
  bob.service.control.setLimits({ quota: room });
  await bob.service.accept(got.id);
  const { path } = await bob.until(got.id, 'done');
  expect(await bob.service.control.usage()).toMatchObject({ received: room, spooled: 0 });
  await rm(path, { recursive: true });
  expect(await bob.service.control.usage()).toMatchObject({ received: 0 });
});

test('what a folder has left goes: its large manifest, its stamps, and the part of a declined one', async () => {
  const files: Record<string, string> = {};
  for (let n = 0; n < 6000; n++) files[`${n}`.padStart(60, 'x')] = `${n}`;
  const { sent, got } = await offer(files);
  const count = (person: Person, table: string): unknown =>
    person.store.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.n;
  expect(count(alice, 'file_manifest_pieces')).toBeGreaterThan(1);
  expect(await gc(alice)).toEqual([]);
  await mkdir(join(bob.downloads, `.netapp-${got.id}.part`, 'x'), { recursive: true });
  await writeFile(join(bob.downloads, `.netapp-${got.id}.part`, 'x', 'y'), 'z'.repeat(10_000));
  bob.service.decline(got.id);
  expect(await gc(bob)).toMatchObject([{ kind: 'part', bytes: 10_000 }]);
  expect(await readdir(bob.downloads)).toEqual([]);
  await alice.until(sent.id, 'declined');
  const [manifest] = await gc(alice);
  expect(manifest).toMatchObject({ kind: 'manifest', what: sent.hash });
  expect(manifest?.bytes).toBeGreaterThan(MiB / 2);
  for (const table of ['file_manifests', 'file_manifest_pieces', 'file_folders']) expect(count(alice, table)).toBe(0);
  // Pieces that a kill left have no manifest.
  alice.store.prepare("INSERT INTO file_manifest_pieces (hash, piece, bytes) VALUES ('h', 0, x'0102')").run();
  expect(await gc(alice)).toMatchObject([{ kind: 'manifest', what: 'h', bytes: 2 }]);
  expect(count(alice, 'file_manifest_pieces')).toBe(0);
});

test('what was piped in stays while a link leads to it, and goes with the link', async () => {
  await mkdir(alice.spool, { recursive: true });
  const path = join(alice.spool, 'piped');
  await writeFile(path, 'x');
  const { id } = await alice.service.send(bob.id, path);
  const { entry } = await alice.until(id, 'offered');
  const got = await bob.when(() => bob.service.list().find((each) => each.entry === entry));
  const link = await alice.service.control.link(id, 60_000);
  await bob.service.accept(got.id);
  await alice.until(id, 'done');
  expect(await gc(alice)).toEqual([]);
  expect((await get(link.path)).body.toString()).toBe('x');
  alice.service.control.revoke(link.id);
  expect((await gc(alice)).map(({ kind }) => kind)).toContain('spool');
  expect(await readdir(alice.spool)).toEqual([]);
});

test('a folder is read again at both ends, by the names under which it was written', async () => {
  const { done, root } = await arrived({
    'a:b\u202e.txt': 'one',
    'con/x': 'two',
    large: randomBytes(CHUNK_BYTES + 5),
    nil: '',
  });
  expect(await readdir(done.path)).not.toEqual(await readdir(root));
  expect(await verify(bob)).toMatchObject([{ state: 'ok', badBytes: 0 }]);
  expect(await verify(alice)).toMatchObject([{ state: 'ok', badBytes: 0 }]);
  await writeFile(join(done.path, 'a note of mine'), 'stays');
  expect(await verify(bob)).toMatchObject([{ state: 'ok' }]);
  await rm(join(done.path, 'nil'));
  expect(await verify(bob)).toMatchObject([{ state: 'damaged', badBytes: 0 }]);
  await rm(join(done.path, '_con'), { recursive: true });
  expect(await verify(bob)).toMatchObject([{ state: 'damaged', badBytes: 3 }]);
  await truncate(join(done.path, 'large'), CHUNK_BYTES + 1);
  expect(await verify(bob)).toMatchObject([{ state: 'damaged', badBytes: 8 }]);
  await rm(done.path, { recursive: true });
  expect(await verify(bob)).toMatchObject([{ state: 'missing', badBytes: 11 + CHUNK_BYTES }]);
  await rm(join(root, 'con/x'));
  expect(await verify(alice)).toMatchObject([{ state: 'damaged', badBytes: 3 }]);
});

test('a damaged folder is mended where it is: what is right is not fetched, what is the user’s stays', async () => {
  const large = randomBytes(3 * CHUNK_BYTES + 9);
  const { done, got, root } = await arrived({
    'a/one': 'one',
    'a/two': 'two',
    large,
    long: 'abc',
    'b/kept': 'kept',
    nil: '',
  });
  const kept = await stat(join(done.path, 'b/kept'), { bigint: true });
  await writeFile(join(done.path, 'mine'), 'my own');
  await writeFile(join(done.path, 'a/one'), 'eno');
  await rm(join(done.path, 'a/two'));
  await rm(join(done.path, 'nil'));
  await writeFile(join(done.path, 'long'), 'abcdef');
  const file = await open(join(done.path, 'large'), 'r+');
  await file.write(Buffer.from([(large[CHUNK_BYTES] ?? 0) ^ 1]), 0, 1, CHUNK_BYTES);
  await file.close();
  alice.served.length = 0;
  expect(await verify(bob, true)).toMatchObject([{ state: 'damaged', badBytes: 9 + CHUNK_BYTES, refetch: true }]);
  const mended = await bob.until(got.id, 'done');
  expect(mended.path).toBe(done.path);
  expect(alice.served.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(9 + CHUNK_BYTES);
  for (const path of ['a/one', 'a/two', 'large', 'long', 'nil', 'b/kept']) {
    expect((await readFile(join(done.path, path))).equals(await readFile(join(root, path)))).toBe(true);
  }
  expect(await readFile(join(done.path, 'mine'), 'utf8')).toBe('my own');
  expect((await stat(join(done.path, 'b/kept'), { bigint: true })).ino).toBe(kept.ino);
  expect(await readdir(bob.downloads)).toEqual(['photos']);
  expect(await verify(bob)).toMatchObject([{ state: 'ok' }]);
});

test('mending writes through no link that stands in the way, and goes on after a restart', async () => {
  const { done, got } = await arrived({ 'a/one': 'one', large: randomBytes(2 * CHUNK_BYTES) });
  const victim = join(bob.home, 'victim');
  await mkdir(victim);
  await writeFile(join(victim, 'one'), 'precious');
  await rm(join(done.path, 'a'), { recursive: true });
  await symlink(victim, join(done.path, 'a'));
  expect(await verify(bob, true)).toMatchObject([{ state: 'damaged', refetch: true }]);
  expect(await bob.until(got.id, 'failed')).toMatchObject({ error: { code: 'unwritable' } });
  expect(await readFile(join(victim, 'one'), 'utf8')).toBe('precious');
  await rm(join(done.path, 'a'));
  await alice.down();
  await bob.service.accept(got.id);
  await bob.when(() => bob.service.show(got.id).error?.code === 'peer_unreachable');
  await bob.down();
  await alice.up();
  await bob.up();
  expect(await bob.until(got.id, 'done')).toMatchObject({ path: done.path });
  expect(await readFile(join(done.path, 'a/one'), 'utf8')).toBe('one');
  expect(await readdir(bob.downloads)).toEqual(['photos']);
});

test('a folder that is gone, or was moved before it was mended, is fetched again under a free name', async () => {
  const { done, got } = await arrived({ a: 'one', b: 'two' });
  await rm(done.path, { recursive: true });
  expect(await verify(bob, true)).toMatchObject([{ state: 'missing', refetch: true }]);
  await bob.until(got.id, 'done');
  expect(await readFile(join(done.path, 'a'), 'utf8')).toBe('one');
  await rm(join(done.path, 'a'));
  await alice.down();
  await verify(bob, true);
  await bob.when(() => bob.service.show(got.id).error?.code === 'peer_unreachable');
  await rename(done.path, join(bob.home, 'moved'));
  await cp(join(bob.home, 'moved'), done.path, { recursive: true });
  await utimes(done.path, 1, 1);
  await alice.up();
  bob.service.peerOnline(alice.id);
  const again: Transfer = await bob.until(got.id, 'done');
  expect(again.path).toBe(join(bob.downloads, 'photos (2)'));
  expect((await readdir(again.path)).sort()).toEqual(['a', 'b']);
  expect(await readdir(done.path)).toEqual(['b']);
});
