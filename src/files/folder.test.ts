/** Folders from one to another, over real TLS: what comes is what was there, and nothing else. */
import { randomBytes } from 'node:crypto';
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Person, type Town } from './fixture.ts';
import { CHUNK_BYTES } from './manifest.ts';
import type { Transfer } from './transfer.ts';

let town: Town;
let alice: Person;
let bob: Person;
beforeEach(async () => {
  town = new Map();
  alice = await Person.create(town);
  bob = await Person.create(town);
});
afterEach(async () => {
  await alice[Symbol.asyncDispose]();
  await bob[Symbol.asyncDispose]();
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
  for (const path of ['a.txt', 'sub/deep/b.bin', 'bare']) {
    expect((await stat(join(done.path, path))).mtimeMs).toBe((await stat(join(root, path))).mtimeMs);
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
