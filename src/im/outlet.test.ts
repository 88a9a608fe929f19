import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { expect, test, vi } from 'vitest';
import { Flush, Outlet } from './outlet.ts';

/** An outlet into a real connection, of which all is heard at the other end. */
async function connected(flush: Flush): Promise<
  {
    outlet: Outlet;
    heard: () => string;
    until: (text: string) => Promise<void>;
    writes: () => number;
    cuts: string[];
  } & Disposable
> {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const reader = connect((server.address() as AddressInfo).port, '127.0.0.1'); // of a TCP server
  const [socket]: Socket[] = await once(server, 'connection');
  if (!socket) throw new Error('nobody came');
  let heard = '';
  reader.on('data', (bytes) => {
    heard += bytes.toString();
  });
  const cuts: string[] = [];
  const write = vi.spyOn(socket, 'write');
  return {
    writes: () => write.mock.calls.length,
    outlet: new Outlet({ socket, flush, onCut: (why) => cuts.push(why) }),
    heard: () => heard,
    until: async (text) => {
      while (heard !== text) await once(reader, 'data');
    },
    cuts,
    [Symbol.dispose]: () => {
      reader.destroy();
      socket.destroy();
      server.close();
    },
  };
}

const turns = async (count: number): Promise<void> => {
  for (let n = 0; n < count; n++) await new Promise((done) => setImmediate(done));
};

test('what is told while earlier words wait for the disk waits for its own turn there', async () => {
  const disk: PromiseWithResolvers<void>[] = [];
  const flush = new Flush({
    settled: () => {
      const turn = Promise.withResolvers<void>();
      disk.push(turn);
      return turn.promise;
    },
    before: () => {},
  });
  using end = await connected(flush);
  end.outlet.push(Buffer.from('one '));
  end.outlet.push(Buffer.from('two '));
  await turns(2);
  end.outlet.push(Buffer.from('three '));
  await turns(2);
  expect([disk.length, end.outlet.waiting]).toEqual([2, 14]);
  disk[0]?.resolve();
  await end.until('one two ');
  await turns(10);
  expect([end.heard(), end.outlet.waiting]).toEqual(['one two ', 6]);
  disk[1]?.resolve();
  await end.until('one two three ');
});

test('what earlier ticks gathered and may leave at once goes to each client in one write', async () => {
  const disk = Promise.withResolvers<void>();
  const flush = new Flush({ settled: () => disk.promise, before: () => {} });
  using first = await connected(flush);
  using second = await connected(flush);
  const words = ['one ', 'two ', 'three '].map((word) => Buffer.from(word));
  for (const word of words) {
    first.outlet.push(word);
    second.outlet.push(word);
    await turns(2);
  }
  second.outlet.push(Buffer.from('four'));
  await turns(2);
  disk.resolve();
  await first.until('one two three ');
  await second.until('one two three four');
  expect([first.writes(), second.writes(), first.outlet.waiting]).toEqual([1, 1, 0]);
});

test('nothing overtakes what waits for the disk', async () => {
  const first = Promise.withResolvers<void>();
  const settled = [first.promise, Promise.resolve(), undefined];
  const flush = new Flush({ settled: () => settled.shift(), before: () => {} });
  using end = await connected(flush);
  for (const word of ['one ', 'two ', 'three ']) {
    end.outlet.push(Buffer.from(word));
    await turns(2);
  }
  end.outlet.end();
  await turns(10);
  expect([settled.length, end.heard()]).toEqual([0, '']);
  first.resolve();
  await end.until('one two three ');
});

test('what could not be kept is not told, and who was to hear it is cut', async () => {
  const disk = Promise.withResolvers<void>();
  const settled = [disk.promise, undefined];
  const flush = new Flush({ settled: () => settled.shift(), before: () => {} });
  using told = await connected(flush);
  using other = await connected(flush);
  told.outlet.push(Buffer.from('one '));
  await turns(2);
  other.outlet.push(Buffer.from('two '));
  await turns(2);
  disk.reject(new Error('the disk is full'));
  await other.until('two ');
  expect([told.heard(), told.cuts, other.cuts]).toEqual(['', ['what it was to hear could not be kept'], []]);
});
