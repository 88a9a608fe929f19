import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { connectFrom } from './connect-from.ts';
import { openTogether } from './together.ts';

const [say, hear] = [Buffer.alloc(32, 'a'), Buffer.alloc(32, 'b')];

/** Somebody at an address who does `what` with each connection; counts them. */
async function listener(what: (socket: Socket) => void) {
  const connections: number[] = [];
  const server = createServer((socket) => {
    connections.push(socket.remotePort ?? 0);
    socket.on('error', () => {});
    what(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') return expect.fail('a TCP server has a port');
  const target = `127.0.0.1:${address.port}`;
  return { target, connections, [Symbol.dispose]: () => void server.close() };
}

/** A local port that nobody has. */
async function freePort(): Promise<number> {
  using other = await listener(() => {});
  const socket = await connectFrom({
    host: '127.0.0.1',
    port: Number(other.target.split(':')[1]),
    localPort: 0,
    signal: AbortSignal.timeout(10_000),
  });
  const { localPort } = socket;
  socket.destroy();
  return localPort ?? expect.fail('a connected socket has a port');
}

const open = async (targets: string[], taken: (socket: Socket) => void = () => expect.fail('nobody is let in')) =>
  await openTogether({ port: await freePort(), targets, say, hear, open: taken, signal: AbortSignal.timeout(20_000) });

test('all go out from one port; what follows the greeting is the stream’s [N-35] [N-36]', async () => {
  const greeting = (socket: Socket) => {
    socket.once('data', (heard: Buffer) => socket.write(Buffer.concat([hear, heard.subarray(0, 4)])));
  };
  using one = await listener(greeting);
  using two = await listener(greeting);
  const got: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const failures = await open([one.target, two.target], (socket) => {
    socket.on('data', (data: Buffer) => {
      got.push(String(data));
      socket.destroy();
      if (got.length === 2) resolve();
    });
  });
  await promise;
  expect(failures).toEqual([]);
  expect(got).toEqual(['aaaa', 'aaaa']);
  expect(one.connections).toEqual(two.connections);
});

test('somebody else at the address is left alone after one connection [N-36]', async () => {
  using other = await listener((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'.padEnd(64)));
  expect(await open([other.target])).toEqual([expect.stringContaining('somebody else answers there')]);
  expect(other.connections).toHaveLength(1);
});

test('whoever cuts each connection is tried four times, and no more [N-37]', async () => {
  using other = await listener((socket) => socket.destroy());
  expect(await open([other.target])).toHaveLength(1);
  expect(other.connections).toHaveLength(4);
});
