/** Many who fetch the same file, over real TLS on loopback: what comes from whom, and what becomes of it when some go. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { join as joinPath } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { toBase64url } from '../base/encoding.ts';
import { begin, Person, room, type Town } from './fixture.ts';
import type { Transfer } from './transfer.ts';
import { ACCOUNT_HEADER, encodeAccount, join } from './wire.ts';

const MiB = 1024 * 1024;

let town: Town;
const people: Person[] = [];

async function person(): Promise<Person> {
  const made = await Person.create(town);
  people.push(made);
  return made;
}

/** A sender and receivers in one room, and a file that was offered to all. */
async function offered(count: number, size: number) {
  const sender = await person();
  const receivers: Person[] = [];
  while (receivers.length < count) receivers.push(await person());
  room(town, 'team', [sender, ...receivers]);
  const data = randomBytes(size);
  const path = joinPath(sender.home, 'own', 'a.bin');
  await writeFile(path, data);
  const { id } = await sender.service.send('team', path);
  const sent = await sender.until(id, 'offered');
  return { sender, receivers, data, sent };
}

async function arrives(receiver: Person, { id }: Transfer, data: Buffer): Promise<void> {
  const { path } = await receiver.until(id, 'done');
  expect((await readFile(path)).equals(data)).toBe(true);
}

const sum = (from: Map<string, number>): number => [...from.values()].reduce((all, bytes) => all + bytes, 0);

beforeEach(() => {
  town = new Map();
});
afterEach(async () => {
  for (const each of people.splice(0)) await each[Symbol.asyncDispose]();
});

test('those who fetch give each other what they have, and nothing is fetched twice [F-40] [F-41] [F-42] [F-43]', async () => {
  const { sender, receivers, data } = await offered(4, 24 * MiB);
  const begun = await Promise.all(receivers.map((receiver) => begin(receiver)));
  await Promise.all(receivers.map((receiver, n) => arrives(receiver, begun[n]?.got as Transfer, data)));
  let ofOthers = 0;
  for (const { from } of begun) {
    expect(sum(from)).toBeGreaterThanOrEqual(data.length);
    // A few slices may be asked of two at the end, and each answer has a head.
    expect(sum(from)).toBeLessThan(data.length * 1.2);
    ofOthers += sum(from) - (from.get(sender.id) ?? 0);
  }
  // What the sender gave is far from a copy for each.
  expect(ofOthers).toBeGreaterThan(1.5 * data.length);
});

test('who sent it leaves for ever, another is killed on the way and comes back, and a late one gets it all from the others [F-40] [F-44]', async () => {
  const { sender, receivers, data } = await offered(3, 16 * MiB);
  const [bob, carol, dave] = receivers as [Person, Person, Person]; // as many as were asked for
  const begun = await Promise.all([begin(bob), begin(carol)]);
  await carol.when(() => carol.service.show(begun[1].got.id).progress > 2 * MiB);
  await carol.down();
  await arrives(bob, begun[0].got, data);
  await sender.down();
  await carol.up();
  await arrives(carol, begun[1].got, data);
  const late = await begin(dave);
  await arrives(dave, late.got, data);
  expect([...late.from.keys()].sort()).toEqual([bob.id, carol.id].sort());
});

test('a holder that lies is found out by the right bytes, and not believed for long [F-45]', async () => {
  const { sender, receivers, data } = await offered(3, 24 * MiB);
  const [bob, mallory, dave] = receivers as [Person, Person, Person]; // as many as were asked for
  for (const each of [bob, mallory]) await arrives(each, (await begin(each)).got, data);
  let lied = 0;
  const asked = Promise.withResolvers<void>();
  mallory.beforeServing = async () => asked.resolve();
  for (const each of [sender, bob]) {
    each.beforeServing = (path) => (path.endsWith('/0') ? asked.promise : Promise.resolve());
  }
  // What comes of Mallory is changed on its way, some bytes of each record but the heads of answers.
  dave.onBulk = (buffer, length, holder) => {
    if (holder !== mallory.id || length < 8000) return;
    for (let at = length - 1000; at < length; at += 100) buffer[at] = (buffer[at] ?? 0) ^ 1;
    lied += length;
  };
  const { got, from } = await begin(dave);
  await arrives(dave, got, data);
  // Chunks that were wrong come twice, and there are only so many until Mallory is not asked any more.
  expect(sum(from)).toBeLessThan(data.length * 2);
  expect(lied).toBeGreaterThan(0);
  expect(from.has(sender.id) || from.has(bob.id)).toBe(true);
});

test('what a holder owes for too long is fetched from another [F-44]', async () => {
  const { sender, receivers, data } = await offered(2, 12 * MiB);
  const [bob, dave] = receivers as [Person, Person]; // as many as were asked for
  await arrives(bob, (await begin(bob)).got, data);
  const silence = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  bob.beforeServing = () => {
    asked.resolve();
    return silence.promise;
  };
  sender.beforeServing = (path) => (path.endsWith('/0') ? asked.promise : Promise.resolve());
  const { got } = await begin(dave);
  await arrives(dave, got, data);
  await asked.promise;
  silence.resolve();
});

test('only members are served, and of a part only what is there [F-10] [F-40]', async () => {
  const { sender, receivers, sent, data } = await offered(2, 8 * MiB);
  const [bob, carol] = receivers as [Person, Person]; // as many as were asked for
  const stranger = await person();
  // Bob gets a part of it, then his connection is cut, and on the next one nothing comes.
  const silence = Promise.withResolvers<void>();
  bob.cutAfter = 5 * MiB;
  sender.beforeServing = async () => {
    if (bob.sockets.length > 1) await silence.promise;
  };
  const { got } = await begin(bob);
  await bob.when(() => bob.service.show(got.id).progress > 0);
  await vi.waitFor(() => expect(bob.sockets.length).toBeGreaterThan(1), 30_000);
  const ask = async (from: Person, range: string): Promise<number> => {
    const asked = request(`https://${bob.address}/blobs/${sent.hash}/0`, {
      rejectUnauthorized: false,
      agent: false,
      key: from.identity.key.pem,
      cert: from.identity.cert,
      headers: { range, [ACCOUNT_HEADER]: encodeAccount(from.binding()) },
    });
    asked.end();
    const [response] = await once(asked, 'response');
    response.resume();
    return response.statusCode;
  };
  expect(await ask(stranger, 'bytes=0-99')).toBe(403);
  expect(await ask(carol, `bytes=0-${data.length - 1}`)).toBe(409);
  const link = await stranger.link(bob.id);
  const params = { hash: sent.hash, have: toBase64url(new Uint8Array(1)) };
  await expect(link.request(join, params)).rejects.toMatchObject({ code: 'forbidden' });
  const told = await (await carol.link(bob.id)).request(join, params);
  expect(told.fetching).toBe(true);
  silence.resolve();
  await arrives(bob, got, data);
  expect(await ask(carol, 'bytes=0-99')).toBe(206);
  // Out of the room, she is a stranger too.
  room(town, 'team', [sender, bob]);
  expect(await ask(carol, 'bytes=0-99')).toBe(403);
});
