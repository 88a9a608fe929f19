/** Connections that came about in another way than by dialling the port: TLS, links and plain HTTP on any stream. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { type Duplex, duplexPair } from 'node:stream';
import { afterEach, expect, test } from 'vitest';
import { z } from 'zod';
import { systemClock } from '../base/clock.ts';
import { silentLog } from '../base/log.ts';
import { createIdentity } from './certificate.ts';
import { dial, dialLink } from './dial.ts';
import type { Link } from './link.ts';
import { Listener } from './listen.ts';
import { method } from './message.ts';
import { Router } from './router.ts';

const upper = method('test.upper', {
  params: z.object({ text: z.string() }),
  result: z.object({ text: z.string() }),
  maxBytes: 2_000_000,
});
const origin = { address: '192.0.2.7:4', rung: 'relay' as const };

const cleanup: AsyncDisposable[] = [];
afterEach(async () => {
  for (const thing of cleanup.splice(0)) await thing[Symbol.asyncDispose]();
});

async function side() {
  const { promise: linked, resolve } = Promise.withResolvers<Link>();
  const base = {
    identity: await createIdentity(),
    router: new Router().handle(upper, ({ text }) => ({ text: text.toUpperCase() })),
    self: () => ({ protocol: { min: 1, max: 1 }, software: 'test', role: 'node' as const, account: null }),
    clock: systemClock,
    log: silentLog(),
  };
  const listener = new Listener({ ...base, host: '127.0.0.1', port: 0, onLink: resolve, handshakeMs: 2000 });
  listener.route('/size/', (_request, response, { path }) => {
    response.end(Buffer.alloc(Number(path.slice('/size/'.length)), 7));
  });
  await listener.start();
  cleanup.push(listener);
  return { ...base, listener, linked };
}

/** A stream in memory whose ends end together, as a connection does. */
function memory(): [Duplex, Duplex] {
  const [near, far] = duplexPair();
  near.once('close', () => far.destroy());
  far.once('close', () => near.destroy());
  return [near, far];
}

/** Both ends of a connection that was made by other means: in memory, or of TCP. */
const streams: Record<string, () => Promise<[Duplex, Duplex]>> = {
  'a stream in memory': async () => memory(),
  'a TCP socket': async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const place = server.address();
    const near = connect({ host: '127.0.0.1', port: typeof place === 'object' ? (place?.port ?? 0) : 0 });
    const [far] = await once(server, 'connection');
    server.close();
    return [near, far];
  },
};

test.each(Object.entries(streams))('a link over %s', async (_name, make) => {
  const [alice, bob] = [await side(), await side()];
  const [near, far] = await make();
  bob.listener.take(far, origin);
  const link = await dialLink({
    ...alice,
    address: 'relay by lab',
    expect: bob.identity.id,
    over: { stream: near, rung: 'relay' },
  });
  const other = await bob.linked;
  expect([link.peer, link.rung, link.address]).toEqual([bob.identity.id, 'relay', 'relay by lab']);
  expect([other.peer, other.rung, other.address]).toEqual([alice.identity.id, 'relay', '192.0.2.7:4']);
  const text = 'abc'.repeat(100_000);
  expect(await link.request(upper, { text })).toEqual({ text: text.toUpperCase() });
  expect(await other.request(upper, { text: 'to you, too' })).toEqual({ text: 'TO YOU, TOO' });

  near.destroy();
  await Promise.all([link.closed, other.closed]);
});

test.each(Object.entries(streams))('bytes over %s come in the buffer of whoever reads', async (_name, make) => {
  const [alice, bob] = [await side(), await side()];
  const [near, far] = await make();
  bob.listener.take(far, origin);
  const SIZE = 500_000;
  const { promise: all, resolve } = Promise.withResolvers<void>();
  let sevens = 0;
  const socket = await dial({
    address: 'relay by lab',
    expect: bob.identity.id,
    identity: alice.identity,
    over: { stream: near, rung: 'relay' },
    onread: {
      buffer: Buffer.alloc(1000),
      callback: (length, buffer) => {
        sevens += buffer.subarray(0, length).filter((byte) => byte === 7).length;
        if (sevens >= SIZE) resolve();
        return true;
      },
    },
  });
  socket.write(`GET /size/${SIZE} HTTP/1.1\r\nhost: x\r\n\r\n`);
  await all;
  expect(sevens).toBe(SIZE);
  socket.destroy();
});

test('the key is proved as at the port', async () => {
  const [alice, bob, eve] = [await side(), await side(), await side()];
  const [near, far] = memory();
  eve.listener.take(far, origin);
  const dialling = dialLink({
    ...alice,
    address: 'relay by lab',
    expect: bob.identity.id,
    over: { stream: near, rung: 'relay' },
  });
  await expect(dialling).rejects.toMatchObject({ code: 'wrong_key' });
});

test('who says nothing, or rubbish, is cut; and so is what stands when the listener ends', async () => {
  const bob = await side();
  const [silent, far] = memory();
  bob.listener.take(far, origin);
  silent.resume();
  await once(far, 'close');
  const [loud, other] = memory();
  bob.listener.take(other, origin);
  const cut = once(other, 'close');
  loud.on('error', () => {}).resume();
  loud.write('this is no TLS\n'.repeat(50));
  await cut;
  const [last, third] = memory();
  bob.listener.take(third, origin);
  last.resume();
  const ended = once(third, 'close');
  await bob.listener[Symbol.asyncDispose]();
  await ended;
  expect([far.destroyed, other.destroyed, third.destroyed]).toEqual([true, true, true]);
});
