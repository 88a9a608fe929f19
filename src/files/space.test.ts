/** A full disk, on a real one of 2 MiB; where none can be mounted these fail under CI and are skipped elsewhere. */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import { eachWithTwo, type Person } from './fixture.ts';
import type { Transfer } from './transfer.ts';

const KiB = 1024;
const small = mkdtempSync(join(tmpdir(), 'netapp-small-'));
const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', small]).status === 0;
const mustRun = process.env.CI === 'true';

afterAll(() => {
  if (mounted) spawnSync('umount', [small]);
  rmSync(small, { recursive: true, force: true });
});

// Before the next lines, so that it is done after the two are gone.
afterEach(async () => {
  for (const name of mounted ? await readdir(small) : []) await rm(join(small, name));
});
let alice: Person;
let bob: Person;
eachWithTwo((two) => {
  ({ alice, bob } = two);
});

async function offer(size: number): Promise<{ got: Transfer; sent: string; data: Buffer }> {
  const data = randomBytes(size);
  const path = join(alice.home, 'own', 'a');
  await writeFile(path, data);
  const { id } = await alice.service.send(bob.id, path);
  await alice.until(id, 'offered');
  return { got: await bob.offered(), sent: id, data };
}

test('a small disk can be mounted here, or nobody relies on it', () => {
  expect(mounted || !mustRun, 'mount -t tmpfs failed: run as root, or without CI=true').toBe(true);
});

test.skipIf(!mounted)('without room nothing is fetched; it goes on by itself when there is room [F-23]', async () => {
  await writeFile(join(small, 'other'), Buffer.alloc(1500 * KiB));
  const { got, data } = await offer(1000 * KiB);
  await bob.service.accept(got.id, { to: small });
  await bob.when(() => bob.service.show(got.id).error?.code === 'disk_full');
  expect(bob.service.show(got.id).state).toBe('accepted');
  expect(alice.served.filter(({ path }) => path.endsWith('/0'))).toEqual([]);
  await rm(join(small, 'other'));
  const done = await bob.until(got.id, 'done');
  expect((await readFile(done.path)).equals(data)).toBe(true);
});

test.skipIf(!mounted)('a disk that fills up meanwhile pauses the fetch, and what is there is kept [F-23]', async () => {
  const { got, sent, data } = await offer(1536 * KiB); // two chunks
  const part = join(small, `.netapp-${got.id}.part`);
  bob.onBulk = () => {
    if (!existsSync(part) || existsSync(join(small, 'other'))) return;
    try {
      writeFileSync(join(small, 'other'), Buffer.alloc(2048 * KiB));
    } catch {
      // as much as fits
    }
  };
  await bob.service.accept(got.id, { to: small });
  await bob.when(() => bob.service.show(got.id).error?.code === 'disk_full');
  expect(bob.service.show(got.id).state).toBe('accepted');
  bob.onBulk = undefined;
  await rm(join(small, 'other'));
  const done = await bob.until(got.id, 'done');
  expect((await readFile(done.path)).equals(data)).toBe(true);
  await alice.until(sent, 'done');
});

test.skipIf(!mounted)(
  'a folder pauses on a full disk, and goes on with what is there when there is room [F-23]',
  async () => {
    const root = join(alice.home, 'own', 'many');
    await mkdir(root);
    const data = new Map<string, Buffer>();
    for (let n = 0; n < 60; n++) data.set(`file-${n}`, randomBytes(16 * KiB));
    for (const [name, bytes] of data) await writeFile(join(root, name), bytes);
    const { id } = await alice.service.send(bob.id, root);
    await alice.until(id, 'offered');
    const got = await bob.offered();
    let filled = false;
    bob.onBulk = () => {
      if (filled) return;
      filled = true;
      writeFileSync(join(small, 'other'), Buffer.alloc(1500 * KiB));
    };
    await bob.service.accept(got.id, { to: small });
    await bob.when(() => bob.service.show(got.id).error?.code === 'disk_full');
    expect(bob.service.show(got.id).state).toBe('accepted');
    await rm(join(small, 'other'));
    const done = await bob.until(got.id, 'done');
    for (const [name, bytes] of data) expect((await readFile(join(done.path, name))).equals(bytes)).toBe(true);
    await rm(done.path, { recursive: true });
  },
);

test.skipIf(!mounted)('a folder of more files than the disk can count is not begun [F-23]', async () => {
  const got = bob.service.takeTicket({
    entryId: 'many',
    from: alice.id,
    ticket: { hash: 'a'.repeat(52), name: 'many', size: 0, folder: { entries: 1_000_000 } },
  });
  await bob.service.accept(got.id, { to: small });
  await bob.when(() => bob.service.show(got.id).error?.code === 'disk_full');
  expect(await readdir(small)).toEqual([]);
});
