/** The smallest server, with clients that behave, and with such as do not. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, expect, test } from 'vitest';
import { parseAddress } from '../link/address.ts';
import { type EchoOptions, EchoServer } from './echo.ts';

let opened = new AsyncDisposableStack();
afterEach(async () => {
  await opened.disposeAsync();
  opened = new AsyncDisposableStack();
});

async function serve(limits: EchoOptions['limits'] = {}): Promise<EchoServer> {
  const server = opened.use(new EchoServer({ port: 0, limits }));
  await server.start();
  return server;
}

async function dial(server: EchoServer): Promise<Socket> {
  const socket = connect({ ...parseAddress(server.address), allowHalfOpen: true });
  opened.defer(() => void socket.destroy());
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

/** The other side has ended it, one way or another. */
const gone = (socket: Socket): Promise<unknown> =>
  new Promise((resolve) => socket.once('end', resolve).once('close', resolve));

/** Asks again and again until it holds: what a server notices by itself has no event of its own. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((done) => setTimeout(done, 5));
}

test('it says again what it is told, also after the other side has ended its half', async () => {
  const server = await serve();
  const socket = await dial(server);
  const said = 'x'.repeat(3_000_000);
  socket.end(said);
  expect(await text(socket)).toBe(said);
  await until(() => server.counts.open === 0);
  expect(server.counts).toEqual({ taken: 1, open: 0, refused: 0, idle: 0, overlong: 0, bytes: said.length });
});

test('it listens on this machine alone, and says which port is taken', async () => {
  const server = await serve();
  expect(server.address).toMatch(/^127\.0\.0\.1:\d+$/);
  const second = new EchoServer({ port: parseAddress(server.address).port });
  await expect(second.start()).rejects.toMatchObject({ code: 'port_taken' });
  await expect(new EchoServer({ host: '192.0.2.1', port: 0 }).start()).rejects.toMatchObject({
    code: 'invalid_argument',
  });
});

test('who sends and never reads is made to wait, and ended when nothing moves', async () => {
  const server = await serve({ idleMs: 300 });
  const flood = await dial(server);
  const block = Buffer.alloc(1 << 20);
  const before = process.memoryUsage().rss;
  // Never reads: past what kernels hold and the server's own bound, nothing is taken from it any more.
  let sent = 0;
  while (flood.write(block) || flood.writableLength < 64 << 20) sent += block.length;
  await gone(flood);
  await until(() => server.counts.open === 0);
  expect(server.counts).toMatchObject({ idle: 1 });
  expect(server.counts.bytes).toBeLessThan(sent);
  expect(process.memoryUsage().rss - before).toBeLessThan(256 << 20);
});

test('connections that say nothing, or half an end, do not stay', async () => {
  const server = await serve({ idleMs: 200 });
  const silent = await dial(server);
  const half = await dial(server);
  half.pause();
  half.end(Buffer.alloc(16 << 20));
  half.on('close', () => {});
  await once(silent, 'end');
  await until(() => server.counts.open === 0);
  expect(server.counts).toMatchObject({ taken: 2, idle: 2 });
});

test('one too many is ended, and the others go on', async () => {
  const server = await serve({ connections: 2 });
  const [one] = [await dial(server), await dial(server)];
  const third = await dial(server);
  third.resume();
  await once(third, 'end');
  expect(server.counts).toMatchObject({ open: 2, refused: 1 });
  one?.write('still here');
  expect(String(...(await once(one ?? third, 'data')))).toBe('still here');
});

test('who says too much is ended', async () => {
  const server = await serve({ bytes: 100_000 });
  const socket = await dial(server);
  socket.resume();
  socket.write(Buffer.alloc(100_001));
  await gone(socket);
  expect(server.counts).toMatchObject({ overlong: 1 });
});

test('a reset ends one connection, not the server', async () => {
  const server = await serve();
  const socket = await dial(server);
  socket.write('x');
  await once(socket, 'data');
  socket.resetAndDestroy();
  await until(() => server.counts.open === 0);
  const other = await dial(server);
  other.end('y');
  expect(await text(other)).toBe('y');
});

test('it ends with connections open, of which one does not read', async () => {
  const server = await serve();
  const [good, bad] = [await dial(server), await dial(server)];
  bad.pause();
  bad.write(Buffer.alloc(32 << 20));
  good.write('last words');
  expect(String(...(await once(good, 'data')))).toBe('last words');
  good.resume();
  const ended = once(good, 'end');
  await server[Symbol.asyncDispose]();
  await ended;
  await until(() => server.counts.open === 0);
});
