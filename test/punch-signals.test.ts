/** What asks a node to make a hole, and is not meant well: it sends nothing anywhere, and does little. */

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Outlook } from '../src/reach/outlook.ts';
import type { Json } from '../src/reach/signal-wire.ts';
import { type Member, TestNet, until } from './testnet.ts';

let net: TestNet;
beforeEach(async () => {
  net = await TestNet.create();
});
afterEach(() => net[Symbol.asyncDispose]());

const secret = 'A'.repeat(22);
const at = ({ node }: Member) => ({ account: node.account, node: node.id });

async function two() {
  const tracker = await net.tracker();
  const [mallory, bob] = [await net.member('mallory', tracker), await net.member('bob', tracker)];
  await until(
    () => mallory.node.directory.get(bob.node.account)?.status,
    (status) => status === 'online',
  );
  const signal = AbortSignal.timeout(30_000);
  const known = { peer: tracker.peer, address: `127.0.0.1:${tracker.port}` };
  const look = (who: Member) => Outlook.take({ tracker: known, identity: who.node.identity, signal });
  const ask = (kind: string, body: Json) => mallory.node.signals.ask(at(bob), kind, body);
  return { tracker, mallory, bob, look, ask };
}

/** Counts connections and packets that come to an address. */
async function victim() {
  const server = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') return expect.fail('a TCP server has a port');
  const socket = createSocket('udp4').bind(address.port, '127.0.0.1');
  await once(socket, 'listening');
  let hits = 0;
  const hit = (): void => {
    hits += 1;
  };
  server.on('connection', hit);
  socket.on('message', hit);
  const end = (): void => {
    server.close();
    socket.close();
  };
  return { address: `127.0.0.1:${address.port}`, port: address.port, hits: () => hits, [Symbol.dispose]: end };
}

test('a node cannot be sent to an address that the tracker did not see the asker at [N-32] [N-41]', async () => {
  const { look, ask, mallory, bob } = await two();
  using somebody = await victim();
  using outlook = await look(mallory);
  using bobs = await look(bob);
  const [own] = outlook.sightings;
  const [foreign] = bobs.sightings;
  if (!own || !foreign) return expect.fail('the tracker has seen both');
  const side = {
    ufrag: 'abcd',
    pwd: 'a'.repeat(22),
    fingerprint: Array<string>(32).fill('C1').join(':'),
    candidates: [{ host: '127.0.0.2', port: somebody.port, type: 'srflx' }],
  };
  const nothing = { code: 'wrong_state', message: expect.stringContaining('no tracker has seen both') };
  for (const sighting of [{ ...own, address: somebody.address }, foreign]) {
    await expect(ask('punch.tcp', { sightings: [sighting], secret })).rejects.toMatchObject(nothing);
    const offer = { sightings: [sighting], side, nat: 'unknown' };
    await expect(ask('punch.udp', offer)).rejects.toMatchObject(nothing);
  }
  const elsewhere = { sightings: [{ ...own, tracker: mallory.node.id }], secret };
  await expect(ask('punch.tcp', elsewhere)).rejects.toMatchObject({ code: 'forbidden' });
  // The sighting is true, and what is named beside it is the victim: at another host, or as an own address of this network.
  await expect(ask('punch.udp', { sightings: [own], side, nat: 'unknown' })).rejects.toMatchObject(nothing);
  await ask('punch.tcp', { sightings: [own], secret });
  await ask('punch.go', { secret, locals: [somebody.address] });
  await expect(ask('punch.go', { secret, locals: [] }), 'it is good once').rejects.toMatchObject({
    code: 'unknown_id',
  });
  expect(somebody.hits()).toBe(0);
});

test('one account is answered so often and no more [N-37]', async () => {
  const { look, ask, mallory } = await two();
  using outlook = await look(mallory);
  const { sightings } = outlook;
  const answers = await Promise.allSettled(
    Array.from({ length: 20 }, (_, n) =>
      ask('punch.tcp', { sightings, secret: `${String.fromCodePoint(97 + n)}${'A'.repeat(21)}` }),
    ),
  );
  const refused = answers.filter((each) => each.status === 'rejected').map(({ reason }) => reason);
  expect(answers.length - refused.length).toBe(6);
  for (const fault of refused) expect(fault).toMatchObject({ code: 'too_many' });
});

test('a signal that is not of its form is refused [N-33]', async () => {
  const { look, ask, mallory } = await two();
  using outlook = await look(mallory);
  const [own] = outlook.sightings;
  if (!own) return expect.fail('the tracker has seen it');
  for (const body of [
    { sightings: [], secret },
    { sightings: [own, own, own], secret },
    { sightings: [own], secret: 'short' },
    { sightings: [{ ...own, address: 'nonsense' }], secret },
  ])
    await expect(ask('punch.tcp', body)).rejects.toMatchObject({ code: 'malformed' });
});
