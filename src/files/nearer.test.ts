/** A transfer that began by a far way goes on by a nearer one, and asks for nothing twice that was verified; and who gets how much. */
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { type Duplex, duplexPair } from 'node:stream';
import { afterEach, expect, test } from 'vitest';
import { parseAddress } from '../link/address.ts';
import { begin, Person, room, type Town } from './fixture.ts';

const MIB = 1024 * 1024;
/** What may have been on its way, or of chunks that were not whole: a chunk, and what TLS and the kernel had read, each way. */
const LOST_BYTES = 4 * MIB;

async function until(holds: () => boolean): Promise<void> {
  await expect.poll(holds, { timeout: 20_000, interval: 5 }).toBe(true);
}

let town: Town;
const people: Person[] = [];
afterEach(async () => {
  for (const person of people.splice(0)) await person[Symbol.asyncDispose]();
});

async function come(count: number): Promise<Person[]> {
  town = new Map();
  for (let n = 0; n < count; n++) people.push(await Person.create(town));
  return [...people];
}

/** A connection through which no more than `most` bytes ever come; then it stands still, as a relay that is used up. */
function still(address: string, most: number): Duplex {
  const [near, far] = duplexPair();
  const socket = connect(parseAddress(address));
  let left = most;
  far.pipe(socket);
  socket.on('data', (chunk: Buffer) => {
    if (left > 0) far.write(chunk.subarray(0, left));
    left -= chunk.length;
    if (left <= 0) socket.pause();
  });
  for (const end of [near, far, socket]) {
    end.on('error', () => {});
    end.once('close', () => {
      for (const each of [near, far, socket]) each.destroy();
    });
  }
  return near;
}

test('a file goes on by the nearer way with what is missing [N-78]', async () => {
  const [alice, bob] = await come(2);
  if (!alice || !bob) return expect.unreachable();
  const file = join(alice.home, 'own', 'data');
  await writeFile(file, randomBytes(24 * MIB));
  await alice.service.send(bob.id, file);
  bob.way = (address) => ({ stream: still(address, 9 * MIB), rung: 'relay' });
  const { got, from } = await begin(bob);
  const rungs = (): string[] => bob.service.control.moving(got.id).map(({ rung }) => rung);
  await until(() => (from.get(alice.id) ?? 0) > 8 * MIB);
  expect(rungs()).toEqual(['relay']);
  for (const hint of bob.hints) hint(); // there is none yet: it stays where it is
  bob.way = undefined;
  await until(() => {
    for (const hint of bob.hints) hint();
    return !rungs().includes('relay');
  });
  const done = await bob.until(got.id, 'done');
  expect((await readFile(done.path)).equals(await readFile(file))).toBe(true);
  expect(bob.sockets.at(-1)?.destroyed).toBe(true);
  expect(from.get(alice.id)).toBeLessThan(24 * MIB + LOST_BYTES);
  expect(bob.events.map(({ transfer }) => transfer.error).filter(Boolean)).toEqual([]); // and nobody saw it stop
});

test('a file from several holders goes on by the nearer way to each [N-78]', async () => {
  const [alice, bob, carol] = await come(3);
  if (!alice || !bob || !carol) return expect.unreachable();
  const file = join(alice.home, 'own', 'data');
  await writeFile(file, randomBytes(24 * MIB));
  room(town, 'room', [alice, bob, carol]);
  await alice.service.send('room', file);
  const first = await begin(carol);
  await carol.until(first.got.id, 'done');
  bob.way = (address) => ({ stream: still(address, 4 * MIB), rung: 'relay' });
  const { got, from } = await begin(bob);
  const came = (): number => [...from.values()].reduce((sum, bytes) => sum + bytes, 0);
  await until(() => came() > 6 * MIB);
  bob.way = undefined;
  const hinting = setInterval(() => {
    for (const hint of bob.hints) hint();
  }, 20);
  const done = await bob.until(got.id, 'done').finally(() => clearInterval(hinting));
  expect((await readFile(done.path)).equals(await readFile(file))).toBe(true);
  expect(came()).toBeLessThan(24 * MIB + 2 * LOST_BYTES);
});

test('who fetches three files of a node that serves at a limit gets no more of it than who fetches one [N-80]', async () => {
  const [alice, bob, carol] = await come(3);
  if (!alice || !bob || !carol) return expect.unreachable();
  alice.service.control.setLimits({ up: 3_000_000 });
  const got = new Map<string, number>();
  for (const person of [bob, carol]) {
    person.onBulk = (_buffer, length) => got.set(person.id, (got.get(person.id) ?? 0) + length);
  }
  for (const [to, count] of [
    [bob, 3],
    [carol, 1],
  ] as const) {
    for (let n = 0; n < count; n++) {
      const file = join(alice.home, 'own', `${to.id}-${n}`);
      await writeFile(file, randomBytes(8 * MIB));
      await alice.service.send(to.id, file);
    }
    await to.when(() => to.service.list().length === count);
  }
  await Promise.all([bob, carol].flatMap((to) => to.service.list().map(({ id }) => to.service.accept(id))));
  const bytesOf = (person: Person): number => got.get(person.id) ?? 0;
  await until(() => bytesOf(bob) > 0 && bytesOf(carol) > 0);
  const before = [bytesOf(bob), bytesOf(carol)] as const; // what the kernel takes at the start is in no line
  await until(() => bytesOf(bob) + bytesOf(carol) > before[0] + before[1] + 9 * MIB);
  const [ofBob, ofCarol] = [bytesOf(bob) - before[0], bytesOf(carol) - before[1]];
  expect(ofBob).toBeLessThan(1.6 * ofCarol);
});
