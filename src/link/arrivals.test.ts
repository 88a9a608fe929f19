import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { silentLog } from '../base/log.ts';
import { Arrivals } from './arrivals.ts';
import { createIdentity } from './certificate.ts';
import { dial } from './dial.ts';
import type { HelloInfo } from './hello.ts';
import { Listener } from './listen.ts';
import { Router } from './router.ts';

const cleanup: (() => unknown)[] = [];
afterEach(async () => {
  for (const undo of cleanup.splice(0).reverse()) await undo();
});

/** Ends of so many connections, as a server has them. */
async function arrived(count: number): Promise<Socket[]> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanup.push(() => server.close());
  const sockets: Socket[] = [];
  while (sockets.length < count) {
    const far = connect((server.address() as AddressInfo).port, '127.0.0.1');
    const [near]: Socket[] = await once(server, 'connection');
    if (!near) throw new Error('no connection');
    far.on('error', () => {});
    cleanup.push(
      () => far.destroy(),
      () => near.destroy(),
    );
    sockets.push(near);
  }
  return sockets;
}

test('a crowd is begun in its order, some in each turn, so that what has begun goes on in between', async () => {
  const arrivals = new Arrivals({ onLate: () => {} });
  const begun: number[] = [];
  const sockets = await arrived(20);
  for (const [n, socket] of sockets.entries()) arrivals.add(socket, () => begun.push(n));
  expect(begun).toEqual([]);
  const counts: number[] = [];
  while (begun.length < sockets.length) {
    await turn();
    counts.push(begun.length);
  }
  expect(counts).toEqual([8, 16, 20]);
  expect(begun).toEqual(sockets.map((_, n) => n));
});

test('who has gone meanwhile is not begun, and takes no place', async () => {
  const arrivals = new Arrivals({ onLate: () => {} });
  const begun: number[] = [];
  const sockets = await arrived(10);
  for (const [n, socket] of sockets.entries()) arrivals.add(socket, () => begun.push(n));
  for (const socket of sockets.slice(0, 3)) socket.destroy();
  await turn();
  expect(begun).toEqual([3, 4, 5, 6, 7, 8, 9]);
});

test('who waited so long that they would be gone before the end is let go of without a handshake', async () => {
  let [now, late] = [0, 0];
  const arrivals = new Arrivals({ onLate: () => (late += 1), now: () => now });
  const begun: number[] = [];
  const sockets = await arrived(200);
  for (const [n, socket] of sockets.entries()) {
    arrivals.add(socket, () => {
      begun.push(n);
      now += 25;
    });
  }
  while (begun.length + late < sockets.length) await turn();
  // Eight in 200 ms: the last who begin have waited for 4 s.
  expect({ begun, late }).toEqual({ begun: sockets.slice(0, 168).map((_, n) => n), late: 32 });
  expect(sockets.map(({ destroyed }) => destroyed)).toEqual(sockets.map((_, n) => n >= 168));
});

test('that this process stood still is nobody’s lateness', async () => {
  let [now, late] = [0, 0];
  const arrivals = new Arrivals({ onLate: () => (late += 1), now: () => now });
  const begun: number[] = [];
  for (const [n, socket] of (await arrived(2)).entries()) {
    arrivals.add(socket, () => begun.push(n));
    now += 60_000;
  }
  await turn();
  expect({ begun, late }).toEqual({ begun: [0, 1], late: 0 });
});

test('what ends ends all that wait', async () => {
  const arrivals = new Arrivals({ onLate: () => {} });
  const [socket] = await arrived(1);
  if (socket) arrivals.add(socket, () => expect.unreachable());
  arrivals[Symbol.dispose]();
  await turn();
  expect(socket?.destroyed).toBe(true);
});

test('silent connections keep nobody out: a handshake that has nothing to do holds no place', async () => {
  const [identity, node] = [await createIdentity(), await createIdentity()];
  const hello: HelloInfo = { protocol: { min: 1, max: 1 }, software: 'test', role: 'tracker', account: null };
  const listener = new Listener({
    host: '127.0.0.1',
    port: 0,
    identity,
    router: new Router(),
    self: () => hello,
    clock: systemClock,
    log: silentLog(),
    onLink: () => {},
  });
  await listener.start();
  cleanup.push(() => listener[Symbol.asyncDispose]());
  for (let n = 0; n < 300; n++) {
    const silent = connect(listener.port, '127.0.0.1');
    await once(silent, 'connect');
    silent.on('error', () => {});
    cleanup.push(() => silent.destroy());
  }
  const all = await Promise.all(
    Array.from({ length: 20 }, () =>
      dial({ address: `127.0.0.1:${listener.port}`, expect: identity.id, identity: node, timeoutMs: 60_000 }),
    ),
  );
  expect(all.map((socket) => socket.authorized || socket.encrypted)).toEqual(all.map(() => true));
  for (const socket of all) socket.destroy();
});
