import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { Splice } from './splice.ts';
import { Turns } from './turns.ts';

const turns = new Turns({ rates: { each: 0, all: 0 }, clock: systemClock });
const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

/** Both ends of a TCP connection. */
async function wire(): Promise<[near: Socket, far: Socket]> {
  const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // a TCP server's address is never a string
  const near = connect(port, '127.0.0.1');
  const [far] = (await once(server, 'connection')) as [Socket]; // what the event carries
  server.close();
  near.on('error', () => {});
  sockets.push(near, far);
  return [near, far];
}

async function joined(): Promise<{ a: Socket; b: Socket; splice: Splice; moved: () => number }> {
  const [[a, one], [b, two]] = [await wire(), await wire()];
  let bytes = 0;
  const splice = new Splice([one, two], { sit: (go) => turns.join('x', go), moved: (n) => (bytes += n) });
  const moved = (): number => {
    splice.tell();
    return bytes;
  };
  return { a, b, splice, moved };
}

async function read(socket: Socket, bytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for (let got = 0; got < bytes; ) {
    const chunk: unknown = socket.read();
    if (!Buffer.isBuffer(chunk)) {
      await once(socket, 'readable');
      continue;
    }
    chunks.push(chunk);
    got += chunk.length;
  }
  return Buffer.concat(chunks);
}

test('what one side says the other hears, whole and in order, both ways at once', async () => {
  const { a, b, moved } = await joined();
  const blocks = Array.from({ length: 40 }, (_, n) => Buffer.alloc(100_003, n));
  for (const block of blocks) {
    a.write(block);
    b.write(Buffer.from(block).reverse());
  }
  const all = Buffer.concat(blocks);
  const [atB, atA] = await Promise.all([read(b, all.length), read(a, all.length)]);
  expect(atB.equals(all)).toBe(true);
  expect(atA.equals(all)).toBe(true);
  expect(moved()).toBe(2 * all.length);
});

test('who does not read makes the other wait, and nothing piles up between them [N-22]', async () => {
  const { a, b, moved } = await joined();
  b.pause();
  const MiB = 1024 * 1024;
  const block = Buffer.alloc(MiB);
  for (let n = 0; n < 64; n++) a.write(block);
  let before = -1;
  while (moved() > before) {
    before = moved();
    await sleep(100); // until nothing moves any more
  }
  expect(moved()).toBeLessThan(32 * MiB); // the buffers of two sockets in the kernel, and a little
  expect((await read(b, 64 * MiB)).length).toBe(64 * MiB);
});

test('where one side ends the other hears its last words, and then the end', async () => {
  const { a, b, splice } = await joined();
  a.end('goodbye');
  const heard: Buffer[] = [];
  b.on('data', (chunk: Buffer) => heard.push(chunk));
  await once(b, 'end');
  expect(Buffer.concat(heard).toString()).toBe('goodbye');
  await splice.ended;
});

test('where one side is cut the other is ended, too', async () => {
  const { a, b, splice } = await joined();
  b.resume();
  a.resetAndDestroy();
  await once(b, 'close');
  await splice.ended;
});
