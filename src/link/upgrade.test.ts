import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { silentLog } from '../base/log.ts';
import { createIdentity, type Identity } from './certificate.ts';
import { dialLink } from './dial.ts';
import { Router } from './router.ts';

let identity: Identity;
let answer = '';
let stop: (() => Promise<unknown>) | undefined;

beforeEach(async () => {
  identity = await createIdentity();
});
afterEach(() => stop?.());

/** What dialling a port comes to that answers a request for a link with `head`. */
async function refusedWith(head: string): Promise<unknown> {
  const server = createServer({ key: identity.key.pem, cert: identity.cert });
  const sockets = new Set<Socket>();
  server.on('upgrade', (_request, socket) => socket.end(`${answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`));
  server.on('secureConnection', (socket: Socket) => sockets.add(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  stop = async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  };
  answer = head;
  const { port } = server.address() as AddressInfo; // a TCP server's address is never a string
  return await dialLink({
    address: `127.0.0.1:${port}`,
    expect: identity.id,
    identity: await createIdentity(),
    router: new Router(),
    self: () => ({ protocol: { min: 1, max: 1 }, software: 'test', role: 'node', account: null }),
    clock: systemClock,
    log: silentLog(),
  }).then(
    () => expect.fail('it was let in'),
    (error: unknown) => error,
  );
}

test('a refusal says by its code why, and by Retry-After when to come back [L-3] [D-72]', async () => {
  expect(await refusedWith('HTTP/1.1 503 Moving\r\nx-netapp-fault: tracker_down\r\nretry-after: 30')).toMatchObject({
    code: 'tracker_down',
    data: { retryAfterMs: 30_000 },
  });
});

test('what a proxy says by itself is told from what a tracker says', async () => {
  expect(await refusedWith('HTTP/1.1 429 Slow down\r\nretry-after: 2')).toMatchObject({
    code: 'too_many',
    data: { retryAfterMs: 2000 },
  });
  await stop?.();
  expect(await refusedWith('HTTP/1.1 502 Bad Gateway')).toMatchObject({ code: 'tracker_down', data: undefined });
  await stop?.();
  expect(await refusedWith('HTTP/1.1 404 Not Found')).toMatchObject({ code: 'malformed' });
});
