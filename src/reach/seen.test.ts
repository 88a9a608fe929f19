import { expect, test } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { silentLog } from '../base/log.ts';
import { createIdentity } from '../link/certificate.ts';
import { Key } from '../link/identity.ts';
import { Listener } from '../link/listen.ts';
import { Router } from '../link/router.ts';
import { Outlook } from './outlook.ts';
import { notSeen, SEEN_PATH, seenHttp } from './seen.ts';
import { isOf, signSighting } from './sighting.ts';

const SIGNAL = AbortSignal.timeout(30_000);

async function tracker(handler: (key: Key) => ReturnType<typeof seenHttp>) {
  const identity = await createIdentity();
  const self = () => expect.fail('nobody makes a link');
  const listener = new Listener({
    host: '127.0.0.1',
    port: 0,
    identity,
    router: new Router(),
    self,
    clock: systemClock,
    log: silentLog(),
    onLink: () => {},
  }).route(SEEN_PATH, handler(identity.key));
  await listener.start();
  const known = { peer: identity.id, address: `127.0.0.1:${listener.port}` };
  return { known, [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose]() };
}

const plain = (key: Key) =>
  seenHttp({
    key,
    clock: systemClock,
    addresses: () => ['wss://lab.example:443', '192.0.2.7:22236'],
    stun: () => 22_236,
  });

test('a tracker says where it sees the connection that asks, and signs it [N-30] [N-31]', async () => {
  await using made = await tracker(plain);
  const identity = await createIdentity();
  using outlook = await Outlook.take({ tracker: made.known, identity, signal: SIGNAL });
  const [sighting] = outlook.sightings;
  expect(sighting).toMatchObject({ node: identity.id, tracker: made.known.peer, address: `127.0.0.1:${outlook.port}` });
  expect(outlook.locals).toEqual([`127.0.0.1:${outlook.port}`]);
  expect(outlook.stun).toEqual({ host: '127.0.0.1', port: 22_236 });
});

test('a tracker behind a proxy cannot, and says so [N-30]', async () => {
  await using made = await tracker(() => notSeen);
  const identity = await createIdentity();
  await expect(Outlook.take({ tracker: made.known, identity, signal: SIGNAL })).rejects.toMatchObject({
    code: 'wrong_state',
  });
  const proxied = { peer: made.known.peer, address: 'wss://lab.example:443' };
  await expect(Outlook.take({ tracker: proxied, identity, signal: SIGNAL })).rejects.toMatchObject({
    code: 'wrong_state',
  });
});

test('a sighting counts for the node, the tracker and the time that it names [N-32]', () => {
  const [tracker, other, node] = [Key.generate(), Key.generate(), Key.generate()];
  const address = '203.0.113.7:4000';
  const mine = signSighting(tracker, { node: other.id, address: '203.0.113.8:4000', at: 1_000_000 });
  const theirs = signSighting(tracker, { node: node.id, address, at: 1_030_000 });
  expect(isOf(node.id, theirs, mine)).toBe(true);
  expect(isOf(other.id, theirs, mine), 'of another node').toBe(false);
  expect(isOf(node.id, { ...theirs, address: '198.51.100.1:80' }, mine), 'of an address that was not seen').toBe(false);
  expect(isOf(node.id, signSighting(tracker, { node: node.id, address, at: 900_000 }), mine), 'of long ago').toBe(
    false,
  );
  expect(isOf(node.id, signSighting(other, { node: node.id, address, at: 1_030_000 }), mine), 'by somebody else').toBe(
    false,
  );
  expect(
    isOf(node.id, { ...signSighting(other, { node: node.id, address, at: 1_030_000 }), tracker: tracker.id }, mine),
  ).toBe(false);
});
