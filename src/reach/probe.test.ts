/** The measuring client, against servers that behave, and against such as do not. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { EchoServer } from './echo.ts';
import { probe } from './probe.ts';

let opened = new AsyncDisposableStack();
afterEach(async () => {
  await opened.disposeAsync();
  opened = new AsyncDisposableStack();
});

/** A server that does to its connections what `serve` says. */
async function serverThat(serve: (socket: Socket, server: Server) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    serve(socket, server);
  }).listen(0, '127.0.0.1');
  opened.defer(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  await once(server, 'listening');
  return `127.0.0.1:${(server.address() as AddressInfo).port}`; // of TCP
}

async function echo(): Promise<EchoServer> {
  const server = opened.use(new EchoServer({ port: 0 }));
  await server.start();
  return server;
}

const none = { asked: 1, made: 1, failed: 0, dropped: 0, silent: 0, wrong: 0 };

test('it measures connections, round trips and throughput', async () => {
  const server = await echo();
  const result = await probe({ address: server.address, connections: 5, seconds: 1 });
  expect(result.connections).toEqual({ ...none, asked: 5, made: 5 });
  expect(result.reasons).toEqual([]);
  const { connect, roundTrips, throughput } = result;
  expect(roundTrips?.count).toBeGreaterThan(5);
  expect(throughput?.bytes).toBeGreaterThan(64 * 1024);
  expect(throughput?.bytesPerSecond).toBeGreaterThan(0);
  for (const spread of [connect, roundTrips]) {
    expect(spread?.p50Ms).toBeGreaterThan(0);
    expect(spread?.p99Ms).toBeGreaterThanOrEqual(spread?.p50Ms ?? 0);
    expect(spread?.mostMs).toBeGreaterThanOrEqual(spread?.p99Ms ?? 0);
  }
  // All that was said came to the server; it saw each connection end.
  expect(server.counts).toMatchObject({ taken: 5 });
  expect(server.counts.bytes).toBeGreaterThanOrEqual(throughput?.bytes ?? 0);
});

test('told to end, it answers with what was measured so far', async () => {
  const server = await echo();
  const stop = new AbortController();
  const probing = probe({ address: server.address, connections: 1, seconds: 3600, signal: stop.signal });
  while (server.counts.bytes < 640) await new Promise((done) => setTimeout(done, 5));
  stop.abort();
  const result = await probing;
  expect(result.connections).toEqual(none);
  expect(result.roundTrips?.count).toBeGreaterThanOrEqual(9);
  expect(result.seconds).toBeLessThan(60);
});

test('bytes are known by their place, whatever pieces they come in', async () => {
  const address = await serverThat((socket) =>
    socket.on('data', (chunk) => {
      for (let at = 0; at < chunk.length; at += 7_001) socket.write(chunk.subarray(at, at + 7_001));
    }),
  );
  const result = await probe({ address, connections: 1, seconds: 0.5 });
  expect(result.connections).toEqual(none);
  expect(result.throughput?.bytes).toBeGreaterThan(64 * 1024);
});

test('nobody there, one who ends, one who resets', async () => {
  const gone = await echo();
  const { address } = gone;
  await gone[Symbol.asyncDispose]();
  const nobody = await probe({ address, connections: 3, seconds: 60 });
  expect(nobody.connections).toEqual({ ...none, asked: 3, made: 0, failed: 3 });
  expect(nobody).toMatchObject({ connect: null, roundTrips: null, throughput: null });
  expect(nobody.reasons).toEqual([{ says: expect.stringContaining('ECONNREFUSED'), count: 3 }]);

  const ending = await serverThat((socket) => socket.end());
  const ended = await probe({ address: ending, connections: 2, seconds: 60 });
  expect(ended.connections).toEqual({ ...none, asked: 2, made: 2, dropped: 2, silent: 2 });

  const resetting = await serverThat((socket) => socket.once('data', () => socket.resetAndDestroy()));
  const reset = await probe({ address: resetting, connections: 1, seconds: 60 });
  expect(reset.connections).toMatchObject({ made: 1, dropped: 1 });
});

test('one who never reads, and one who never answers, cost no more than the time', async () => {
  const deaf = await serverThat((socket) => socket.pause());
  const mute = await serverThat((socket) => socket.resume());
  for (const address of [deaf, mute]) {
    const result = await probe({ address, connections: 2, seconds: 0.4 });
    expect(result.connections).toEqual({ ...none, asked: 2, made: 2, silent: 2 });
    expect(result).toMatchObject({ roundTrips: null, throughput: null });
  }
});

test('one who says something else, or more than was asked, is left at once', async () => {
  const lying = await serverThat((socket) => socket.on('data', (chunk) => socket.write(chunk.fill(0x78))));
  const flood = await serverThat((socket) => {
    const more = (): void => {
      while (socket.write(Buffer.alloc(65_536)));
    };
    socket.on('drain', more);
    more();
  });
  const twice = await serverThat((socket) => socket.on('data', (chunk) => socket.write(Buffer.concat([chunk, chunk]))));
  for (const address of [lying, flood, twice]) {
    const result = await probe({ address, connections: 1, seconds: 60 });
    expect(result.connections).toMatchObject({ made: 1, wrong: 1, dropped: 0 });
    expect(result.throughput).toBeNull();
  }
});

test('an address must be one', async () => {
  await expect(probe({ address: 'nowhere', connections: 1, seconds: 1 })).rejects.toMatchObject({
    code: 'invalid_argument',
  });
});
