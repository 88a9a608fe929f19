/** Folders that many fetch, and what one may say of a fetch meanwhile: over real TLS on loopback. */
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { begin, Person, room, type Town } from './fixture.ts';
import { CHUNK_BYTES } from './manifest.ts';
import type { Transfer } from './transfer.ts';

let town: Town;
const people: Person[] = [];
beforeEach(() => {
  town = new Map();
});
afterEach(async () => {
  for (const each of people.splice(0)) await each[Symbol.asyncDispose]();
});

type Files = Record<string, Buffer>;

async function person(): Promise<Person> {
  const made = await Person.create(town);
  people.push(made);
  return made;
}

/** A sender and receivers in one room, and a folder that was offered to all. */
async function offered(count: number, files: Files) {
  const sender = await person();
  const receivers: Person[] = [];
  while (receivers.length < count) receivers.push(await person());
  room(town, 'team', [sender, ...receivers]);
  const root = join(sender.home, 'own', 'photos');
  for (const [path, data] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), data);
  }
  const { id } = await sender.service.send('team', root);
  const sent = await sender.until(id, 'offered');
  return { sender, receivers, sent };
}

/** `names`: those under which files are written, where they are others. */
async function arrives(receiver: Person, { id }: Transfer, files: Files, names: Record<string, string> = {}) {
  const { path } = await receiver.until(id, 'done');
  for (const [name, data] of Object.entries(files)) {
    expect((await readFile(join(path, names[name] ?? name))).equals(data)).toBe(true);
  }
  return path;
}

const sum = (from: Map<string, number>): number => [...from.values()].reduce((all, bytes) => all + bytes, 0);

function mixed(): Files {
  const files: Files = {
    'large/one': randomBytes(6 * CHUNK_BYTES + 11),
    'con/aux': randomBytes(700_000),
    none: Buffer.alloc(0),
  };
  for (let n = 0; n < 300; n++) files[`small/${n}`] = randomBytes(1 + ((n * 37) % 9000));
  return files;
}
const written = { 'con/aux': '_con/_aux' };
const bytesOf = (files: Files): number => Object.values(files).reduce((all, data) => all + data.length, 0);

test('a folder comes from all who have some of it; who sent it goes on the way, and a late one has it from the others [F-5] [F-40]', async () => {
  const files = mixed();
  const { sender, receivers } = await offered(4, files);
  const [late, ...early] = receivers;
  if (!late) throw new Error('nobody');
  const begun = await Promise.all(early.map((receiver) => begin(receiver)));
  // It goes when each of its bytes may be somebody's.
  const came = (): number => begun.reduce((all, { from }) => all + (from.get(sender.id) ?? 0), 0);
  await sender.when(() => came() > 0);
  await Promise.all(early.map((receiver, n) => arrives(receiver, begun[n]?.got as Transfer, files, written)));
  for (const { from } of begun) expect(sum(from)).toBeLessThan(bytesOf(files) * 1.5 + 500_000);
  expect(came()).toBeLessThan(3 * bytesOf(files));
  await sender.down();
  const { got, from } = await begin(late);
  await arrives(late, got, files, written);
  expect(from.get(sender.id)).toBeUndefined();
  expect(from.size).toBeGreaterThan(0);
});

test('who sent a folder leaves for ever while it is fetched: what is out goes on to all [F-44]', async () => {
  const files = mixed();
  const { sender, receivers } = await offered(3, files);
  const [first, ...others] = receivers;
  if (!first) throw new Error('nobody');
  const { got } = await begin(first);
  await arrives(first, got, files, written);
  const begun = await Promise.all(others.map((receiver) => begin(receiver)));
  await Promise.all(others.map((other, n) => other.when(() => sum(begun[n]?.from ?? new Map()) > 1000)));
  await sender.down();
  await Promise.all(others.map((other, n) => arrives(other, begun[n]?.got as Transfer, files, written)));
});

test('a folder of many small files needs few requests also from many holders [F-16]', async () => {
  const files: Files = {};
  for (let n = 0; n < 3000; n++) files[`${n % 30}/${n}`] = randomBytes(100);
  const { sender, receivers } = await offered(2, files);
  const begun = await Promise.all(receivers.map((receiver) => begin(receiver)));
  await Promise.all(receivers.map((receiver, n) => arrives(receiver, begun[n]?.got as Transfer, files)));
  const asked = [sender, ...receivers].reduce(
    (all, { served }) => all + served.filter(({ path }) => path.endsWith('/all')).length,
    0,
  );
  expect(asked).toBeGreaterThan(0);
  expect(asked).toBeLessThan(3000);
});

test('a holder that gives wrong small files is found out, and the folder is right [F-45]', async () => {
  const files: Files = {};
  for (let n = 0; n < 40; n++) files[`${n}`] = randomBytes(1000);
  const { sender, receivers } = await offered(2, files);
  const [one, two] = receivers;
  if (!one || !two) throw new Error('nobody');
  await arrives(one, (await begin(one)).got, files);
  two.onBulk = (buffer, length, holder) => {
    if (holder === one.id) for (let at = 0; at < length; at += 500) buffer[at] = (buffer[at] ?? 0) ^ 1;
  };
  await arrives(two, (await begin(two)).got, files);
  expect(sender.served.length).toBeGreaterThan(0);
});

test('a folder that is still fetched is served as far as it is there [F-40]', async () => {
  const files: Files = {};
  for (let n = 0; n < 12; n++) files[`${n}`] = randomBytes(CHUNK_BYTES);
  const { sender, receivers } = await offered(2, files);
  const [one, two] = receivers;
  if (!one || !two) throw new Error('nobody');
  const gate = Promise.withResolvers<void>();
  const isBegun = (): boolean => one.service.list().some(({ progress }) => progress > 0);
  sender.beforeServing = async (path) => {
    if (path.endsWith('/all') && isBegun()) await gate.promise;
  };
  one.service.control.setLimits({ down: 3_000_000 });
  const { got } = await begin(one);
  await one.when(isBegun);
  const second = await begin(two);
  await two.when(() => (second.from.get(one.id) ?? 0) > CHUNK_BYTES / 2);
  expect(one.service.show(got.id).state).toBe('fetching');
  gate.resolve();
  one.service.control.setLimits({ down: null });
  await Promise.all([arrives(one, got, files), arrives(two, second.got, files)]);
});

test('what is here as a file is not fetched again in a folder [F-46]', async () => {
  const data = randomBytes(3 * CHUNK_BYTES + 5);
  const sender = await person();
  const receiver = await person();
  const path = join(sender.home, 'own', 'data');
  await writeFile(path, data);
  await sender.service.send(receiver.id, path);
  const first = await receiver.offered();
  await receiver.service.accept(first.id);
  await receiver.until(first.id, 'done');
  const root = join(sender.home, 'own', 'photos');
  await mkdir(root);
  await writeFile(join(root, 'copy'), data);
  await writeFile(join(root, 'other'), randomBytes(1000));
  const { id } = await sender.service.send(receiver.id, root);
  const { entry } = await sender.until(id, 'offered');
  const got = await receiver.when(() => receiver.service.list().find((each) => each.entry === entry));
  sender.served.length = 0;
  await receiver.service.accept(got.id);
  await arrives(receiver, got, { copy: data });
  const bytes = sender.served
    .filter(({ path: asked }) => asked.endsWith('/all'))
    .reduce((all, each) => all + each.bytes, 0);
  expect(bytes).toBe(1000);
});

test('while many serve, all holders are shown with their rates; a limit holds for their sum, a pause ends all, an order takes the place', async () => {
  const files: Files = { a: randomBytes(12 * CHUNK_BYTES) };
  const { receivers } = await offered(3, files);
  const last = receivers.pop();
  if (!last) throw new Error('nobody');
  const begun = await Promise.all(receivers.map((receiver) => begin(receiver)));
  await Promise.all(receivers.map((receiver, n) => arrives(receiver, begun[n]?.got as Transfer, files)));
  const { control } = last.service;
  const offer = await last.offered();
  control.setLimits({ down: 2_000_000, atOnce: 1 });
  const { got, from } = await begin(last);
  await last.when(() => control.moving(got.id).filter(({ rate }) => rate > 0).length > 1);
  expect(new Set(control.moving(got.id).map(({ peer }) => peer)).size).toBe(control.moving(got.id).length);
  const at = performance.now();
  const before = sum(from);
  await last.when(() => sum(from) - before > 2_000_000);
  expect(performance.now() - at).toBeGreaterThan(500);
  await control.pause(got.id);
  expect(control.moving(got.id)).toEqual([]);
  const paused = last.service.show(got.id);
  expect(paused.state).toBe('accepted');
  expect(paused.progress).toBeGreaterThan(0);
  control.resume(got.id);
  await last.when(() => control.moving(got.id).length > 0);
  // What is more urgent takes the place, also of one that many serve.
  const sender = people[0];
  if (!sender) throw new Error('nobody');
  const path = join(sender.home, 'own', 'urgent');
  await writeFile(path, randomBytes(CHUNK_BYTES));
  const { id } = await sender.service.send(last.id, path);
  const { entry } = await sender.until(id, 'offered');
  const urgent = await last.when(() => last.service.list().find((each) => each.entry === entry));
  await last.service.accept(urgent.id);
  control.prioritize(urgent.id, 'high');
  await last.when(() => last.service.show(got.id).state === 'accepted');
  control.setLimits({ down: null });
  await last.until(urgent.id, 'done');
  await arrives(last, offer, files);
  expect((await readdir(last.downloads)).sort()).toEqual(['photos', 'urgent']);
});
