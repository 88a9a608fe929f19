import { randomBytes } from 'node:crypto';
import { rmSync, symlinkSync } from 'node:fs';
import { mkdir, readdir, readFile, stat, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { hash } from '../base/encoding.ts';
import { eachWithTwo, type Person } from './fixture.ts';
import { CHUNK_BYTES, encodeManifest } from './manifest.ts';
import type { Transfer } from './transfer.ts';

const MiB = 1024 * 1024;

let alice: Person;
let bob: Person;
eachWithTwo((two) => {
  ({ alice, bob } = two);
});

async function file(name: string, data: Buffer | number): Promise<{ path: string; data: Buffer }> {
  const path = join(alice.home, 'own', name);
  const bytes = typeof data === 'number' ? randomBytes(data) : data;
  await writeFile(path, bytes);
  return { path, data: bytes };
}

/** Offers a file from alice to bob. */
async function offer(
  name: string,
  data: Buffer | number,
): Promise<{ sent: Transfer; got: Transfer; data: Buffer; path: string }> {
  const made = await file(name, data);
  const { id } = await alice.service.send(bob.id, made.path);
  const sent = await alice.until(id, 'offered');
  return { sent, got: await bob.offered(), ...made };
}

const parts = async (): Promise<string[]> => (await readdir(bob.downloads)).filter((name) => name.includes('.part'));

test.each([
  ['nothing', 0],
  ['one byte', 1],
  ['5 MiB and a byte', 5 * MiB + 1],
  ['70 MiB', 70 * MiB],
])('%s arrives whole, and both sides know it [F-13] [F-30]', async (_what, size) => {
  const { sent, got, data } = await offer('a.bin', size);
  expect(got).toMatchObject({ state: 'offered', name: 'a.bin', size, peer: alice.id, hash: sent.hash, path: '' });
  const accepted = await bob.service.accept(got.id);
  expect(accepted).toMatchObject({ state: 'accepted', path: join(bob.downloads, 'a.bin') });
  const done = await bob.until(got.id, 'done');
  expect(done).toMatchObject({ progress: size, error: null });
  expect((await readFile(done.path)).equals(data)).toBe(true);
  expect(await alice.until(sent.id, 'done')).toMatchObject({ progress: size });
  expect(await parts()).toEqual([]);
  const bytes = alice.served.filter(({ path }) => path.endsWith('/0')).reduce((sum, { bytes }) => sum + bytes, 0);
  expect(bytes).toBe(size);
});

test('send answers at once, and events tell each step', async () => {
  const { path } = await file('a', 3 * MiB);
  expect(await alice.service.send(bob.id, path)).toMatchObject({ state: 'preparing', hash: '', size: 3 * MiB });
  const got = await bob.offered();
  await bob.service.accept(got.id);
  await bob.until(got.id, 'done');
  await alice.when(() => alice.events.some(({ type }) => type === 'file.done'));
  const types = (person: Person): string[] => [...new Set(person.events.map(({ type }) => type))];
  expect(types(alice).slice(0, 2)).toEqual(['file.preparing', 'file.offered']);
  expect(types(bob)).toEqual(['file.offered', 'file.progress', 'file.done']);
});

test('what cannot be sent is refused at once', async () => {
  const send = (path: string): Promise<Transfer> => alice.service.send(bob.id, path);
  await expect(send('a.bin')).rejects.toMatchObject({ code: 'invalid_argument' });
  await expect(send('/dev/null')).rejects.toMatchObject({ code: 'invalid_argument' });
  await expect(send(join(alice.home, 'nothing'))).rejects.toMatchObject({ code: 'unreadable' });
  expect(alice.service.list()).toEqual([]);
});

test('a file is not fetched before consent; a declined one never', async () => {
  const { sent, got } = await offer('a', 10);
  expect(bob.service.decline(got.id)).toMatchObject({ state: 'declined' });
  expect(await alice.until(sent.id, 'declined')).toMatchObject({ progress: 0 });
  await expect(bob.service.accept(got.id)).rejects.toMatchObject({ code: 'wrong_state' });
  expect(alice.served).toEqual([]);
});

test('files up to the bound come unasked, larger ones and those of others do not', async () => {
  bob.service.setAutoAccept(alice.id, 100);
  expect(bob.service.autoAccept(alice.id)).toBe(100);
  const { got: small } = await offer('small', 100);
  await bob.until(small.id, 'done');
  const { got: large } = await offer('large', 101);
  expect(bob.service.show(large.id).state).toBe('offered');
  bob.service.setAutoAccept(alice.id, null);
  const { got: later } = await offer('later', 1);
  expect(bob.service.show(later.id).state).toBe('offered');
});

test('a ticket that comes again is the same file', async () => {
  const { got } = await offer('a', 10);
  const [entry] = alice.tickets;
  expect(entry && bob.service.takeTicket(entry)).toEqual(bob.service.show(got.id));
  await bob.service.accept(got.id);
  await bob.until(got.id, 'done');
  expect(entry && bob.service.takeTicket(entry)).toMatchObject({ state: 'done' });
  expect(bob.service.list()).toHaveLength(1);
});

test('cut again and again, it goes on where it was: no verified byte is fetched twice [F-13] [F-24]', async () => {
  const { got, data } = await offer('a', 40 * MiB);
  const cuts = [3.5, 0.2, 11, 7.3, 1.01].map((size) => Math.round(size * MiB));
  bob.cutAfter = cuts.shift();
  let lost = 0;
  let received = 0;
  bob.onBulk = (_buffer, length) => {
    received += length;
  };
  const follow = (async () => {
    for await (const { state } of bob.service.follow(got.id)) {
      if (state !== 'accepted' || bob.cutAfter !== undefined || bob.sockets.length === 0) continue;
      bob.cutAfter = cuts.shift();
      lost += 1;
    }
  })();
  await bob.service.accept(got.id);
  const done = await bob.until(got.id, 'done');
  await follow;
  expect(lost).toBeGreaterThanOrEqual(4);
  expect((await readFile(done.path)).equals(data)).toBe(true);
  // The file fits in one range: each connection asks for one, from the first byte that is not verified yet.
  const resumed: number[] = [];
  for (const [n, { transfer }] of bob.events.entries()) {
    const before = bob.events[n - 1]?.transfer.state;
    if (transfer.state === 'fetching' && before !== 'fetching') resumed.push(transfer.progress);
  }
  const ranges = alice.served.filter(({ path }) => path.endsWith('/0')).map(({ range }) => range);
  expect(ranges).toEqual(resumed.map((start) => `bytes=${start}-${40 * MiB - 1}`));
  expect(resumed).toEqual(resumed.toSorted((a, b) => a - b));
  // A cut costs the bytes of the chunk that was not whole yet, and no more.
  expect(received).toBeLessThanOrEqual(40 * MiB + lost * CHUNK_BYTES + 10_000);
});

test('what is here already, also half of it, is not fetched again [F-46]', async () => {
  const first = await offer('a', 6 * MiB);
  await bob.service.accept(first.got.id);
  const { path } = await bob.until(first.got.id, 'done');
  alice.served.length = 0;
  const fetched = (): number =>
    alice.served.filter(({ path }) => path.endsWith('/0')).reduce((sum, { bytes }) => sum + bytes, 0);
  const offerNext = async (name: string, data: Buffer): Promise<Transfer> => {
    const { sent } = await offer(name, data);
    return await bob.when(() =>
      bob.service.list().find(({ hash, direction }) => direction === 'in' && hash === sent.hash),
    );
  };
  const more = Buffer.concat([first.data.subarray(2 * MiB), randomBytes(3 * MiB)]);
  const second = await offerNext('b', more);
  await bob.service.accept(second.id);
  expect((await readFile((await bob.until(second.id, 'done')).path)).equals(more)).toBe(true);
  expect(fetched()).toBe(3 * MiB);
  // What lies there is not what it was: then it is fetched.
  await writeFile(path, 'rotten', { flag: 'r+' });
  const third = await offerNext('c', first.data);
  await bob.service.accept(third.id);
  expect((await readFile((await bob.until(third.id, 'done')).path)).equals(first.data)).toBe(true);
  expect(fetched()).toBeGreaterThan(3 * MiB);
});

test('a receiver that stops in the middle goes on after its start [F-24]', async () => {
  const { sent, got, data } = await offer('a', 60 * MiB);
  bob.cutAfter = 20 * MiB;
  await bob.service.accept(got.id);
  await bob.when(() => bob.service.show(got.id).progress > 0 && bob.service.show(got.id).state === 'accepted');
  await bob.down();
  const before = bob.service.show(got.id).progress;
  expect(await parts()).toHaveLength(1);
  alice.served.length = 0;
  await bob.up();
  const done = await bob.until(got.id, 'done');
  expect((await readFile(done.path)).equals(data)).toBe(true);
  const bytes = alice.served.reduce((sum, { bytes }) => sum + bytes, 0);
  expect(bytes).toBeLessThanOrEqual(60 * MiB - Math.floor(before / CHUNK_BYTES) * CHUNK_BYTES);
  await alice.until(sent.id, 'done');
});

test('what was written but not marked when the program was killed is found again, and nothing else believed [F-24]', async () => {
  const { got, data } = await offer('a', 20 * MiB);
  bob.cutAfter = 10 * MiB + 500;
  await bob.service.accept(got.id);
  await bob.when(() => bob.service.show(got.id).progress > 0 && bob.service.show(got.id).state === 'accepted');
  await bob.down();
  const verified = bob.service.show(got.id).progress;
  // As a kill leaves it: data in the file, no chunk marked.
  bob.store.prepare('UPDATE file_transfers SET marked = NULL').run();
  const [part = ''] = await parts();
  await writeFile(join(bob.downloads, part), 'what the disk lost', { flag: 'r+' });
  alice.served.length = 0;
  await bob.up();
  const done = await bob.until(got.id, 'done');
  expect((await readFile(done.path)).equals(data)).toBe(true);
  const again = alice.served.reduce((sum, { bytes }) => sum + bytes, 0);
  expect(again).toBe(20 * MiB - verified + CHUNK_BYTES);
});

test('a sender that restarts goes on hashing, offering and serving', async () => {
  const { path, data } = await file('a', 30 * MiB);
  const { id } = await alice.service.send(bob.id, path);
  await alice.down();
  expect(alice.service.show(id).state).toBe('preparing');
  await alice.up();
  await alice.until(id, 'offered');
  const got = await bob.offered();
  bob.cutAfter = 10 * MiB;
  await bob.service.accept(got.id);
  await bob.when(() => bob.sockets.length > 0 && bob.service.show(got.id).state === 'accepted');
  await alice.down();
  await bob.when(() => bob.service.show(got.id).error?.code === 'peer_unreachable');
  await alice.up();
  bob.service.peerOnline(alice.id);
  const done = await bob.until(got.id, 'done');
  expect((await readFile(done.path)).equals(data)).toBe(true);
  await alice.until(id, 'done');
});

test('a report that finds nobody is told later [F-30]', async () => {
  const { sent, got } = await offer('a', 10);
  await alice.down();
  bob.service.decline(got.id);
  await bob.down();
  await alice.up();
  expect(alice.service.show(sent.id).state).toBe('offered');
  await bob.up();
  await alice.until(sent.id, 'declined');
});

test('a file of a taken name is written beside it [F-22]', async () => {
  await mkdir(bob.downloads, { recursive: true });
  await writeFile(join(bob.downloads, 'a.txt'), 'mine');
  await symlink('/etc/passwd', join(bob.downloads, 'a (2).txt'));
  await symlink('/nowhere', join(bob.downloads, 'a (3).txt'));
  const { got, data } = await offer('a.txt', 1000);
  await bob.service.accept(got.id);
  const { path } = await bob.until(got.id, 'done');
  expect(path).toBe(join(bob.downloads, 'a (4).txt'));
  expect((await readFile(path)).equals(data)).toBe(true);
  expect(await readFile(join(bob.downloads, 'a.txt'), 'utf8')).toBe('mine');
});

test('a symlink where the part would be is not followed [F-21]', async () => {
  const { sent, got } = await offer('a', 1000);
  const victim = join(bob.home, 'victim');
  await writeFile(victim, 'precious');
  await mkdir(bob.downloads, { recursive: true });
  await symlink(victim, join(bob.downloads, `.netapp-${got.id}.part`));
  await bob.service.accept(got.id);
  expect((await bob.until(got.id, 'failed')).error).toMatchObject({ code: 'unwritable' });
  expect(await readFile(victim, 'utf8')).toBe('precious');
  expect((await alice.until(sent.id, 'failed')).error).toMatchObject({ code: 'unwritable' });
});

test('a symlink put in the part’s place during the transfer is not passed off as the file [F-21]', async () => {
  const { got } = await offer('a', 8 * MiB);
  const victim = join(bob.home, 'victim');
  await writeFile(victim, 'precious');
  const part = join(bob.downloads, `.netapp-${got.id}.part`);
  let left = 3 * MiB;
  bob.onBulk = (_buffer, length) => {
    left -= length;
    if (left > 0 || left + length <= 0) return;
    rmSync(part);
    symlinkSync(victim, part);
  };
  await bob.service.accept(got.id);
  expect((await bob.until(got.id, 'failed')).error).toMatchObject({ code: 'unwritable' });
  expect(await readFile(victim, 'utf8')).toBe('precious');
  expect(await readdir(bob.downloads)).toEqual([`.netapp-${got.id}.part`]);
});

test('a folder that goes away during the transfer is a clear fault, and the file can be accepted again', async () => {
  const { got, data } = await offer('a', 8 * MiB);
  let left = 3 * MiB;
  bob.onBulk = (_buffer, length) => {
    left -= length;
    if (left <= 0 && left + length > 0) rmSync(bob.downloads, { recursive: true });
  };
  await bob.service.accept(got.id);
  expect((await bob.until(got.id, 'failed')).error).toMatchObject({ code: 'unwritable' });
  const other = join(bob.home, 'other');
  await bob.service.accept(got.id, { to: other });
  expect((await readFile((await bob.until(got.id, 'done')).path)).equals(data)).toBe(true);
});

test('a holder whose data does not hash is given up after three strikes [F-13]', async () => {
  const { sent, got, path } = await offer('a', 4 * MiB);
  const { atime, mtime } = await stat(path);
  await writeFile(path, 'rotten', { flag: 'r+' });
  await utimes(path, atime, mtime);
  // The file system's times are finer than utimes: what was hashed is stamped anew, as if nobody could tell.
  const now = await stat(path, { bigint: true });
  const stamp = { dev: String(now.dev), ino: String(now.ino), mtimeNs: String(now.mtimeNs), size: Number(now.size) };
  alice.store.prepare('UPDATE file_shares SET stamp = ?').run(JSON.stringify(stamp));
  await bob.service.accept(got.id);
  const failed = await bob.until(got.id, 'failed');
  expect(failed).toMatchObject({ error: { code: 'hash_mismatch' }, progress: 3 * MiB });
  expect(alice.served.filter(({ range }) => range?.startsWith('bytes=0-'))).toHaveLength(3);
  expect((await alice.until(sent.id, 'failed')).error).toMatchObject({ code: 'hash_mismatch' });
});

test('a source that changed since is not served [F-14]', async () => {
  const { sent, got, path } = await offer('a', 4 * MiB);
  await truncate(path, 100);
  await bob.service.accept(got.id);
  expect((await bob.until(got.id, 'failed')).error).toMatchObject({ code: 'changed' });
  expect((await alice.until(sent.id, 'failed')).error).toMatchObject({ code: 'changed' });
});

test('a source that changes while it is served is noticed at the end [F-14]', async () => {
  const { got, path } = await offer('a', 150 * MiB);
  let touched: Promise<void> | undefined;
  bob.onBulk = () => {
    touched ??= utimes(path, 1, 1);
  };
  await bob.service.accept(got.id);
  expect((await bob.until(got.id, 'failed')).error).toMatchObject({ code: 'changed' });
  await touched;
});

test.each([
  ['its name', { name: 'other' }],
  ['its size', { size: 11 }],
])('a manifest that does not match its ticket in %s is malformed [F-4]', async (_what, lie) => {
  const { sent } = await offer('a', 10);
  const [entry] = alice.tickets;
  if (!entry) return expect.fail('no ticket');
  const entryId = 'forged';
  alice.store.prepare('UPDATE file_transfers SET entry = ? WHERE id = ?').run(entryId, sent.id);
  const got = bob.service.takeTicket({ ...entry, entryId, ticket: { ...entry.ticket, ...lie } });
  await bob.service.accept(got.id);
  expect((await bob.until(got.id, 'failed')).error).toMatchObject({ code: 'malformed' });
});

test.each(['../../evil', '/etc/evil', 'a\0b', '..'])(
  'a ticket called %j is refused, and the sender told [F-20]',
  async (name) => {
    const { sent } = await offer('a', 10);
    alice.store.prepare("UPDATE file_transfers SET entry = 'x' WHERE id = ?").run(sent.id);
    const ticket = { hash: hash('x'), name, size: 10 };
    const got = bob.service.takeTicket({ entryId: 'x', from: alice.id, ticket });
    expect(got).toMatchObject({ state: 'failed', error: { code: 'bad_name' } });
    await expect(bob.service.accept(got.id)).rejects.toMatchObject({ code: 'bad_name' });
    await alice.when(() => alice.service.list().find(({ error }) => error?.code === 'bad_name'));
  },
);

test('a cancelled fetch stays cancelled, leaves nothing, and the sender knows', async () => {
  const { sent, got } = await offer('a', 30 * MiB);
  bob.cutAfter = 10 * MiB;
  await bob.service.accept(got.id);
  await bob.when(() => bob.service.show(got.id).progress > 0);
  expect(await bob.service.cancel(got.id)).toMatchObject({ state: 'cancelled' });
  expect(await readdir(bob.downloads)).toEqual([]);
  await alice.until(sent.id, 'cancelled');
  await bob.down();
  await bob.up();
  expect(bob.service.show(got.id).state).toBe('cancelled');
  await expect(bob.service.accept(got.id)).rejects.toMatchObject({ code: 'wrong_state' });
});

test('a withdrawn offer is cut, and the receiver knows', async () => {
  const { sent, got } = await offer('a', 30 * MiB);
  bob.cutAfter = 10 * MiB;
  await bob.service.accept(got.id);
  await bob.when(() => bob.service.show(got.id).progress > 0);
  await alice.service.cancel(sent.id);
  await bob.when(() => bob.service.show(got.id).state === 'cancelled');
  await vi.waitFor(async () => expect(await parts()).toEqual([]));
  expect(alice.service.show(sent.id).state).toBe('cancelled');
});

test('a holder that falls silent is left and dialled again [F-13]', async () => {
  await bob.down();
  bob.stallMs = 200;
  await bob.up();
  const { got, data } = await offer('a', 20 * MiB);
  let taken = 0;
  let silent: (() => void) | undefined;
  bob.onBulk = (_buffer, length) => {
    taken += length;
    if (taken < 5 * MiB || silent) return;
    silent = () => {};
    bob.sockets.at(-1)?.pause();
    const socket = bob.sockets.at(-1);
    setImmediate(() => socket?.pause());
  };
  await bob.service.accept(got.id);
  const done = await bob.until(got.id, 'done');
  expect((await readFile(done.path)).equals(data)).toBe(true);
  expect(bob.events.some(({ transfer }) => transfer.error?.code === 'timeout')).toBe(true);
});

test('many files at once all arrive, three at a time, in order', async () => {
  bob.service.setAutoAccept(alice.id, MiB);
  const made = await Promise.all(Array.from({ length: 10 }, (_, n) => file(`f${n}`, 50_000 + n)));
  const sent: Transfer[] = [];
  for (const { path } of made) sent.push(await alice.service.send(bob.id, path));
  for (const { id } of sent) await alice.until(id, 'done');
  let most = 0;
  const moving = new Set<string>();
  for (const { transfer } of bob.events) {
    if (transfer.state === 'fetching') moving.add(transfer.id);
    else moving.delete(transfer.id);
    most = Math.max(most, moving.size);
  }
  expect(most).toBeLessThanOrEqual(3);
  for (const { path, data } of made) {
    const written = await readFile(join(bob.downloads, path.slice(path.lastIndexOf('/') + 1)));
    expect(written.equals(data)).toBe(true);
  }
});

test('chunks larger than a block are verified piece by piece, also after a restart [F-3] [F-13]', async () => {
  const { sent, data } = await offer('a', 23 * MiB + 3);
  const chunk = 4 * MiB;
  const chunks: string[] = [];
  for (let at = 0; at < data.length; at += chunk) chunks.push(hash(data.subarray(at, at + chunk)));
  const { size, name } = sent;
  const made = encodeManifest({ v: 1, name, size, chunk, files: [{ path: name, size, chunks }] });
  alice.store.prepare('INSERT INTO file_manifests (hash, bytes) VALUES (?, ?)').run(made.hash, made.bytes);
  alice.store.prepare('UPDATE file_shares SET hash = ?').run(made.hash);
  await alice.down();
  alice.store.prepare("UPDATE file_transfers SET hash = ?, entry = 'large'").run(made.hash);
  await alice.up();
  const got = bob.service.takeTicket({ entryId: 'large', from: alice.id, ticket: { hash: made.hash, name, size } });
  bob.cutAfter = 14 * MiB;
  await bob.service.accept(got.id);
  await bob.when(() => bob.service.show(got.id).progress > 0 && bob.service.show(got.id).state === 'accepted');
  await bob.down();
  bob.store.prepare('UPDATE file_transfers SET marked = NULL').run();
  await bob.up();
  const done = await bob.until(got.id, 'done');
  expect((await readFile(done.path)).equals(data)).toBe(true);
  const starts = alice.served.filter(({ path }) => path.endsWith('/0')).map(({ range }) => range?.split('-')[0]);
  expect(starts).toEqual(['bytes=0', `bytes=${12 * MiB}`]);
});

test('unknown ids and wrong states are coded', async () => {
  expect(() => bob.service.show('x')).toThrow(expect.objectContaining({ code: 'unknown_id' }));
  await expect(bob.service.accept('x')).rejects.toMatchObject({ code: 'unknown_id' });
  const { sent, got } = await offer('a', 1);
  await expect(alice.service.accept(sent.id)).rejects.toMatchObject({ code: 'wrong_state' });
  expect(() => alice.service.decline(sent.id)).toThrow(expect.objectContaining({ code: 'wrong_state' }));
  await expect(bob.service.accept(got.id, { to: 'relative' })).rejects.toMatchObject({ code: 'invalid_argument' });
  await expect(bob.service.accept(got.id, { to: '/proc/nothing' })).rejects.toMatchObject({ code: 'unwritable' });
  await bob.service.accept(got.id);
  await bob.until(got.id, 'done');
  await expect(bob.service.cancel(got.id)).rejects.toMatchObject({ code: 'wrong_state' });
});
