/** Folders from one to another, over real TLS: what comes is what was there, and nothing else. */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmod,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { eachWithTwo, type Person } from './fixture.ts';
import { CHUNK_BYTES, encodeManifest, type Manifest } from './manifest.ts';
import { partName } from './paths.ts';
import type { Transfer } from './transfer.ts';

let alice: Person;
let bob: Person;
eachWithTwo((two) => {
  ({ alice, bob } = two);
});

type Files = Record<string, string | Buffer>;

async function make(files: Files): Promise<string> {
  const root = join(await mkdtemp(join(alice.home, 'own', 'f-')), 'photos');
  await mkdir(root);
  for (const [path, data] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    if (path.endsWith('/')) await mkdir(join(root, path), { recursive: true });
    else await writeFile(join(root, path), data);
  }
  return root;
}

/** Everything below a folder: files by their bytes, links by their target, empty folders by nothing. */
async function shown(root: string): Promise<Files> {
  const files: Files = {};
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const name = path.slice(root.length + 1);
    if (entry.isSymbolicLink()) files[name] = `-> ${await readlink(path)}`;
    else if (entry.isFile()) files[name] = (await readFile(path)).toString('base64');
    else files[`${name}/`] = '';
  }
  return files;
}

async function sent(root: string): Promise<{ out: Transfer; offer: Transfer }> {
  const { id } = await alice.service.send(bob.id, root);
  const out = await alice.until(id, 'offered');
  return { out, offer: await bob.when(() => bob.service.list().find(({ entry }) => entry === out.entry)) };
}

async function fetched(root: string): Promise<Transfer> {
  const { offer } = await sent(root);
  await bob.service.accept(offer.id);
  return await bob.until(offer.id, 'done');
}

test('a folder comes as it is: structure, empty folders and files, times, what may be run, links that stay inside', async () => {
  const root = await make({
    'a.txt': 'one',
    'sub/deep/b.bin': randomBytes(2 * CHUNK_BYTES + 7),
    'sub/c.bin': randomBytes(CHUNK_BYTES),
    'sub/tool.sh': '#!/bin/sh\n',
    'sub/nothing': '',
    'bare/': '',
    'bare/barer/': '',
    'a-b': 'between',
  });
  await chmod(join(root, 'sub/tool.sh'), 0o755);
  await symlink('../a.txt', join(root, 'sub/link'));
  await symlink('nowhere', join(root, 'dangling'));
  await utimes(join(root, 'a.txt'), 1_000_000, 1_000_000.5);
  await utimes(join(root, 'sub/deep/b.bin'), 2_000_000, 2_000_000);
  await utimes(join(root, 'sub/c.bin'), 1_700_000_000, 1_700_000_000.1234);
  await utimes(join(root, 'a-b'), 1_700_000_000, 1_700_000_000.123);
  await utimes(join(root, 'bare'), 3_000_000, 3_000_000);
  const { out, offer } = await sent(root);
  expect(offer).toMatchObject({ name: 'photos', size: out.size, contents: { entries: 12 } });
  expect(out.contents).toMatchObject({ entries: 12, files: 6, leftOut: { count: 0 } });
  await bob.service.accept(offer.id);
  const done = await bob.until(offer.id, 'done');
  expect(done.path).toBe(join(bob.downloads, 'photos'));
  expect(await shown(done.path)).toEqual(await shown(root));
  expect(done.contents).toMatchObject({ files: 6, filesDone: 6, leftOut: { count: 0 } });
  expect((await stat(join(done.path, 'sub/tool.sh'))).mode & 0o111).not.toBe(0);
  expect((await stat(join(done.path, 'a.txt'))).mode & 0o111).toBe(0);
  for (const path of ['a.txt', 'sub/deep/b.bin', 'bare', 'sub/c.bin', 'a-b']) {
    const [own, theirs] = [join(root, path), join(done.path, path)].map((each) => stat(each, { bigint: true }));
    expect((await theirs)?.mtimeMs).toBe((await own)?.mtimeMs);
  }
  expect(await readdir(bob.downloads)).toEqual(['photos']);
  await alice.when(() => alice.service.show(out.id).state === 'done');
  expect(alice.service.show(out.id).contents).toMatchObject({ filesDone: 6 });
  expect(alice.served.map(({ path }) => path.split('/')[3]).filter(Boolean)).toEqual(['all']);
});

test('an empty folder is one too', async () => {
  const done = await fetched(await make({}));
  expect(await readdir(done.path)).toEqual([]);
  expect((await lstat(done.path)).isDirectory()).toBe(true);
});

test('a second folder of the same name stands beside the first [F-22]', async () => {
  const first = await fetched(await make({ a: '1' }));
  const second = await fetched(await make({ a: '2' }));
  expect([first.path, second.path].map((path) => path.slice(bob.downloads.length + 1))).toEqual([
    'photos',
    'photos (2)',
  ]);
  expect(await readFile(join(first.path, 'a'), 'utf8')).toBe('1');
  await rm(second.path, { recursive: true });
});

/** A folder of many small files, and one large: 4 MiB and 200 files. */
async function plenty(): Promise<string> {
  const files: Files = { 'zz/large': randomBytes(2 * CHUNK_BYTES + 1) };
  for (let n = 0; n < 200; n++) files[`d${n % 7}/file-${n}`] = randomBytes(10_000);
  return await make(files);
}

const staging = (id: string): string => join(bob.downloads, partName(id));
const rangesOf = (person: Person): string[] =>
  person.served.filter(({ path }) => path.endsWith('/all')).map(({ range }) => range ?? '');

/** Accepts, and cuts the line once some of it is here; then nothing moves until the sender is back. */
async function halfway(root: string, bytes = 1_500_000): Promise<Transfer> {
  const { offer } = await sent(root);
  bob.cutAfter = bytes;
  await bob.service.accept(offer.id);
  await bob.when(() => bob.service.show(offer.id).progress > 0);
  await alice.down();
  await bob.when(() => bob.service.show(offer.id).state === 'accepted');
  return offer;
}

test('cut in the middle and killed, it goes on where it was, and believes only what hashes [F-24] [F-27]', async () => {
  const root = await plenty();
  const offer = await halfway(root);
  const before = bob.service.show(offer.id).progress;
  await bob.down();
  bob.store.prepare('UPDATE file_transfers SET marked = NULL').run();
  const [folder = ''] = (await readdir(staging(offer.id))).sort();
  const [damaged = ''] = await readdir(join(staging(offer.id), folder));
  const size = (await stat(join(staging(offer.id), folder, damaged))).size;
  await writeFile(join(staging(offer.id), folder, damaged), 'damaged');
  alice.served.length = 0;
  await bob.up();
  await alice.up();
  const done = await bob.until(offer.id, 'done');
  expect(await shown(done.path)).toEqual(await shown(root));
  const asked = rangesOf(alice).map((range) => {
    const [start = 0, end = 0] = range.slice('bytes='.length).split('-').map(Number);
    return end + 1 - start;
  });
  expect(asked.reduce((sum, bytes) => sum + bytes, 0)).toBe(offer.size - before + size);
});

test('a symlink or another file in the way of a file is not followed or kept [F-28]', async () => {
  const root = await plenty();
  const offer = await halfway(root);
  const victim = join(bob.home, 'victim');
  await writeFile(victim, 'untouched');
  const names = await readdir(join(root, 'd6'));
  let planted = 0;
  for (const name of names) {
    const path = join(staging(offer.id), 'd6', name);
    if (await lstat(path).catch(() => undefined)) continue;
    if (planted++ % 2) await link(victim, path);
    else await symlink(victim, path);
  }
  await symlink(victim, join(staging(offer.id), 'zz/large')).catch(() => {});
  expect(planted).toBeGreaterThan(0);
  await alice.up();
  const end = await bob.when(() => {
    const transfer = bob.service.show(offer.id);
    return ['done', 'failed'].includes(transfer.state) && transfer;
  });
  expect(await readFile(victim, 'utf8')).toBe('untouched');
  // The large file is opened where it is: what stands there instead ends it.
  expect(end).toMatchObject({ state: 'failed', error: { code: 'unwritable' } });
  expect(await readdir(bob.downloads)).toEqual([partName(offer.id)]);
});

test('a folder of the part that was swapped for a symlink is not written through [F-28]', async () => {
  const root = await plenty();
  const offer = await halfway(root);
  const elsewhere = join(bob.home, 'elsewhere');
  await mkdir(elsewhere);
  await rename(join(staging(offer.id), 'zz'), join(bob.home, 'moved'));
  await symlink(elsewhere, join(staging(offer.id), 'zz'));
  await alice.up();
  await bob.when(() => bob.service.show(offer.id).state === 'failed');
  expect(bob.service.show(offer.id).error?.code).toBe('unwritable');
  expect(await readdir(elsewhere)).toEqual([]);
});

test('what somebody else put into the part is not passed off as ours [F-28]', async () => {
  const offer = await halfway(await plenty());
  await writeFile(join(staging(offer.id), 'stranger'), 'x');
  await alice.up();
  await bob.when(() => bob.service.show(offer.id).state === 'failed');
  expect(bob.service.show(offer.id).error).toMatchObject({ code: 'unwritable' });
  expect(await readdir(bob.downloads)).toEqual([partName(offer.id)]);
  await rm(join(staging(offer.id), 'stranger'));
  await bob.service.accept(offer.id);
  await bob.until(offer.id, 'done');
});

test('a part that is taken away is a clear fault, and the folder can be accepted again [F-28]', async () => {
  const root = await plenty();
  const offer = await halfway(root);
  await rm(join(staging(offer.id), 'zz'), { recursive: true });
  await writeFile(staging('other'), '');
  await rm(staging(offer.id), { recursive: true });
  await symlink(bob.home, staging(offer.id));
  await alice.up();
  await bob.when(() => bob.service.show(offer.id).state === 'failed');
  expect(bob.service.show(offer.id).error?.code).toBe('unwritable');
  await rm(staging(offer.id));
  await rm(staging('other'));
  await bob.service.accept(offer.id);
  const done = await bob.until(offer.id, 'done');
  expect(await shown(done.path)).toEqual(await shown(root));
  expect(await readdir(bob.downloads)).toEqual(['photos']);
});

test('a cancelled folder leaves nothing, and follows no link when it goes', async () => {
  const offer = await halfway(await plenty());
  const kept = join(bob.home, 'kept');
  await mkdir(kept);
  await writeFile(join(kept, 'a'), 'a');
  await symlink(kept, join(staging(offer.id), 'link'));
  await bob.service.cancel(offer.id);
  expect(await readdir(bob.downloads)).toEqual([]);
  expect(await readdir(kept)).toEqual(['a']);
  await alice.up();
});

test('a source file that changed is told as that; what stands before it came all the same [F-14]', async () => {
  const root = await make({ a: 'first', b: 'second', c: 'third' });
  const { out, offer } = await sent(root);
  await writeFile(join(root, 'b'), 'another');
  await bob.service.accept(offer.id);
  await bob.when(() => bob.service.show(offer.id).state === 'failed');
  expect(bob.service.show(offer.id)).toMatchObject({ error: { code: 'changed' }, progress: 5 });
  expect(bob.service.show(offer.id).contents).toMatchObject({ filesDone: 1 });
  await alice.when(() => alice.service.show(out.id).error?.code === 'changed');
  expect(await readdir(bob.downloads)).toEqual([partName(offer.id)]);
});

test.each(['file', 'link', 'nothing'])(
  'a source file that became a %s is not served as what it was [F-14]',
  async (what) => {
    const root = await make({ a: 'first' });
    const { offer } = await sent(root);
    await rename(join(root, 'a'), join(alice.home, 'a'));
    if (what === 'file') await writeFile(join(root, 'a'), 'fifth');
    if (what === 'link') await symlink(join(alice.home, 'a'), join(root, 'a'));
    await bob.service.accept(offer.id);
    await bob.when(() => bob.service.show(offer.id).state === 'failed');
    expect(bob.service.show(offer.id).error?.code).toBe('changed');
  },
);

test('what is no file or folder, or leads out, is left out and told', async () => {
  const root = await make({ a: '1', 'back\\slash': '2', '.netapp-aaaaaaaaaaaaaaaa.part': '3' });
  await symlink('/etc/passwd', join(root, 'out'));
  await symlink('..', join(root, 'up'));
  expect(spawnSync('mkfifo', [join(root, 'pipe')]).status).toBe(0);
  const { out } = await sent(root);
  expect(out.contents?.leftOut.count).toBe(5);
  expect(out.contents?.leftOut.paths.map(({ path }) => path).sort()).toEqual(
    ['.netapp-aaaaaaaaaaaaaaaa.part', 'back\\slash', 'out', 'pipe', 'up'].sort(),
  );
  expect(out.contents?.files).toBe(1);
});

test('a link below the folder to the folder that is sent is followed once, as its user said it', async () => {
  const root = await make({ a: '1' });
  await symlink(root, join(alice.home, 'own', 'shortcut'));
  const done = await fetched(join(alice.home, 'own', 'shortcut'));
  expect(await shown(done.path)).toEqual(await shown(root));
});

test('wrong bytes are not believed, and a holder that gives them is given up [F-13]', async () => {
  const root = await plenty();
  const { offer } = await sent(root);
  let seen = 0;
  bob.onBulk = (buffer, length) => {
    seen += length;
    if (seen > 100_000) buffer[0] = (buffer[0] ?? 0) ^ 1;
  };
  await bob.service.accept(offer.id);
  await bob.when(() => bob.service.show(offer.id).state === 'failed');
  expect(['hash_mismatch', 'malformed']).toContain(bob.service.show(offer.id).error?.code);
  expect(await readdir(bob.downloads)).toEqual([partName(offer.id)]);
  bob.onBulk = undefined;
  await bob.service.accept(offer.id);
  expect(await shown((await bob.until(offer.id, 'done')).path)).toEqual(await shown(root));
});

/** Alice offers whatever manifest she likes. */
async function lie(manifest: Partial<Manifest>, ticket: { size?: number; entries?: number } = {}): Promise<Transfer> {
  const { out } = await sent(await make({ a: 'x' }));
  const value: Manifest = { v: 1, name: 'photos', folder: true, size: 0, chunk: CHUNK_BYTES, files: [], ...manifest };
  const { bytes, hash } = encodeManifest(value);
  alice.store.prepare('INSERT INTO file_manifests (hash, bytes) VALUES (?, ?)').run(hash, bytes);
  await alice.down();
  alice.store.prepare('UPDATE file_transfers SET hash = ? WHERE id = ?').run(hash, out.id);
  await alice.up();
  const entries = value.files.length + (value.folders?.length ?? 0) + (value.links?.length ?? 0);
  const got = bob.service.takeTicket({
    entryId: `lie-${hash}`,
    from: alice.id,
    ticket: { hash, name: 'photos', size: ticket.size ?? value.size, folder: { entries: ticket.entries ?? entries } },
  });
  await bob.service.accept(got.id);
  return await bob.when(() => {
    const transfer = bob.service.show(got.id);
    return ['done', 'failed'].includes(transfer.state) && transfer;
  });
}

test.each([
  ['leads out', { files: [{ path: '../evil', size: 0, chunks: [] }] }, {}, 'bad_name'],
  ['is absolute', { files: [{ path: '/tmp/evil', size: 0, chunks: [] }] }, {}, 'bad_name'],
  [
    'has a file in a link',
    { files: [{ path: 'l/evil', size: 0, chunks: [] }], links: [{ path: 'l', target: '..' }] },
    {},
    'malformed',
  ],
  ['has more than its ticket says', { folders: [{ path: 'a' }, { path: 'b' }] }, { entries: 1 }, 'malformed'],
  ['has another size than its ticket says', {}, { size: 7 }, 'malformed'],
  [
    'is of a single file',
    { folder: false, name: 'photos', files: [{ path: 'photos', size: 0, chunks: [] }] },
    {},
    'malformed',
  ],
  ['has a petabyte', { size: 2 ** 50, files: [{ path: 'a', size: 2 ** 50, chunks: [] }] }, { size: 5 }, 'malformed'],
] as const)(
  'a manifest that %s is refused, and nothing is written [F-4] [F-7]',
  async (_what, manifest, ticket, code) => {
    expect(await lie(structuredClone(manifest) as Partial<Manifest>, ticket)).toMatchObject({
      state: 'failed',
      error: { code },
    });
    expect(await readdir(bob.downloads)).toEqual([]);
    expect((await readdir(bob.home)).sort()).toEqual(['downloads', 'own', 'store.db', 'store.db-shm', 'store.db-wal']);
  },
);

test('names that would harm are written as harmless ones, side by side [F-20] [F-25]', async () => {
  const files = ['con', 'a\u202etxt.exe', 'a_txt.exe', `${'x'.repeat(300)}.jpg`, 'Sub/File', 'sub/file', '.netapp-x/y'];
  const done = await lie({ files: files.map((path) => ({ path, size: 0, chunks: [] })) });
  expect(done).toMatchObject({ state: 'done' });
  const names = (await readdir(done.path, { recursive: true })).sort();
  expect(names).toEqual(
    [
      '_.netapp-x',
      '_.netapp-x/y',
      '_con',
      'Sub',
      'Sub/File',
      'sub',
      'sub/file',
      'a_txt (2).exe',
      'a_txt.exe',
      `${'x'.repeat(251)}.jpg`,
    ].sort(),
  );
});

test('a link that leads out is not made, and told [F-26]', async () => {
  const done = await lie({
    links: [
      { path: 'l', target: '../../../etc/passwd' },
      { path: 'm', target: 'l' },
    ],
  });
  expect(done).toMatchObject({ state: 'done', contents: { leftOut: { count: 1, paths: [{ path: 'l' }] } } });
  expect(await shown(done.path)).toEqual({ m: '-> l' });
});

test('many empty files are not taken unasked for nothing', async () => {
  bob.service.setAutoAccept(alice.id, 100_000);
  const offered = (entries: number) =>
    bob.service.takeTicket({
      entryId: `many-${entries}`,
      from: alice.id,
      ticket: { hash: 'a'.repeat(52), name: 'many', size: 0, folder: { entries } },
    });
  const many = offered(1_000_000);
  const few = offered(3);
  await bob.when(() => bob.service.show(few.id).state !== 'offered');
  expect(bob.service.show(many.id).state).toBe('offered');
});

test('a manifest of many pieces comes whole, and again from the store after a restart', async () => {
  const files: Files = {};
  for (let n = 0; n < 9000; n++) files[`${n % 50}/${'long-name-'.repeat(4)}${n}`] = '';
  const root = await make(files);
  const { out, offer } = await sent(root);
  expect(out.contents).toMatchObject({ files: 9000 });
  await bob.service.accept(offer.id);
  const done = await bob.until(offer.id, 'done');
  expect(await shown(done.path)).toEqual(await shown(root));
  const pieces = alice.store.prepare<{ count: number }>('SELECT count(*) AS count FROM file_manifest_pieces').get();
  expect(pieces?.count).toBeGreaterThan(1);
  await alice.down();
  await alice.up();
  const again = bob.service.takeTicket({
    entryId: 'again',
    from: alice.id,
    ticket: { hash: out.hash, name: out.name, size: out.size, folder: { entries: out.contents?.entries ?? 0 } },
  });
  await bob.service.accept(again.id);
  expect((await bob.until(again.id, 'done')).path).toBe(join(bob.downloads, 'photos (2)'));
});

test('of a folder that was here before, only what is new is fetched [F-46]', async () => {
  const all = (): number =>
    alice.served.filter(({ path }) => path.endsWith('/all')).reduce((sum, { bytes }) => sum + bytes, 0);
  const data: Files = { 'a/big': randomBytes(3 * CHUNK_BYTES + 7) };
  for (let n = 0; n < 300; n++) data[`a/small-${n}`] = randomBytes(1 + n);
  const root = await make(data);
  const first = await fetched(root);
  // Once more with a file changed, one more, and one gone; and what came first has been spoilt in one place since.
  await writeFile(join(root, 'a/small-7'), randomBytes(500));
  await writeFile(join(root, 'new'), randomBytes(70));
  await rm(join(root, 'a/small-3'));
  await writeFile(join(first.path, 'a/small-9'), randomBytes(10));
  alice.served.length = 0;
  const second = await fetched(root);
  expect(await shown(second.path)).toEqual(await shown(root));
  expect(all()).toBe(500 + 70 + 10);
  // One of its files alone.
  alice.served.length = 0;
  const { id } = await alice.service.send(bob.id, join(root, 'a/big'));
  const { entry } = await alice.until(id, 'offered');
  const alone = await bob.when(() => bob.service.list().find((each) => each.entry === entry));
  await bob.service.accept(alone.id);
  expect(await readFile((await bob.until(alone.id, 'done')).path)).toEqual(data['a/big']);
  expect(alice.served.filter(({ path }) => path.endsWith('/0')).reduce((sum, { bytes }) => sum + bytes, 0)).toBe(0);
});

test('what is half here of a folder, in a part, is not fetched again for another one [F-46]', async () => {
  const root = await make({ a: randomBytes(40 * CHUNK_BYTES), b: 'b' });
  const { offer } = await sent(root);
  bob.cutAfter = 12 * CHUNK_BYTES;
  await bob.service.accept(offer.id);
  await bob.when(() => bob.service.show(offer.id).progress > 0);
  await bob.service.control.pause(offer.id);
  const had = bob.service.show(offer.id).progress;
  bob.cutAfter = Number.POSITIVE_INFINITY;
  await writeFile(join(root, 'c'), 'c');
  alice.served.length = 0;
  const second = await fetched(root);
  expect(await shown(second.path)).toEqual(await shown(root));
  const served = alice.served.filter(({ path }) => path.endsWith('/all')).reduce((sum, { bytes }) => sum + bytes, 0);
  expect(served).toBeLessThanOrEqual(40 * CHUNK_BYTES + 2 - had);
});
