import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { type Answer, decode, encode } from 'dns-packet';
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import { silentLog } from '../base/log.ts';
import { type Advert, concernsUs, decodePacket, encodeAdverts, encodeQuestion } from './advert.ts';
import { type Found, Lan } from './lan.ts';
import { type Network, networkOf } from './networks.ts';

const GROUP = '224.0.0.251';
const SERVICE = '_netapp._tcp.local';

/** Loopback as a network: what is said there by multicast is heard by all of this machine, at one port by those of one test. */
const loopback = (): Network =>
  networkOf('lo', [
    { address: '127.0.0.1', netmask: '255.0.0.0', family: 'IPv4', mac: '', internal: true, cidr: '127.0.0.1/8' },
  ]);

const opened: AsyncDisposable[] = [];
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each[Symbol.asyncDispose]();
});

const idOf = (letter: string): string => letter.repeat(52);
const nodeOf = (letter: string, port = 4000): Advert => ({
  id: idOf(letter),
  role: 'node',
  port,
  account: idOf('z'),
  handle: `${letter}@lab`,
  software: 'netapp/test',
});

async function freePort(): Promise<number> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  return port;
}

/** Somebody who listens, and everything that they heard of so far. */
async function listen(port: number, adverts: Advert[] = []) {
  const heard: Found[] = [];
  const waiting = new Set<() => void>();
  const lan = new Lan({
    adverts: () => adverts,
    onFound: (found) => {
      heard.push(found);
      for (const look of waiting) look();
    },
    log: silentLog(),
    port,
    networks: () => [loopback()],
  });
  await lan.start();
  opened.push(lan);
  const hears = (fits: (found: Found) => boolean): Promise<Found> =>
    new Promise((resolve) => {
      const look = (): void => {
        const found = heard.find(fits);
        if (!found) return;
        waiting.delete(look);
        resolve(found);
      };
      waiting.add(look);
      look();
    });
  return { lan, heard, hears };
}

/** Somebody who says whatever they like, as an address of their own; `next` waits for what others say to all. */
async function stranger(port: number, address: string) {
  const socket = createSocket({ type: 'udp4', reuseAddr: true });
  socket.bind(port, address);
  await once(socket, 'listening');
  socket.setMulticastInterface('127.0.0.1');
  opened.push({ [Symbol.asyncDispose]: async () => void socket.close() });
  const say = (packet: Uint8Array): Promise<void> =>
    new Promise((done, fail) => socket.send(packet, port, GROUP, (error) => (error ? fail(error) : done())));
  return { say };
}

async function ear(port: number): Promise<Socket> {
  const socket = createSocket({ type: 'udp4', reuseAddr: true });
  socket.bind(port);
  await once(socket, 'listening');
  socket.addMembership(GROUP, '127.0.0.1');
  opened.push({ [Symbol.asyncDispose]: async () => void socket.close() });
  return socket;
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((done) => setTimeout(done, 10));
}

test('a node and a tracker find each other, and a goodbye is heard [N-50] [N-56]', async () => {
  const port = await freePort();
  const tracker: Advert = { id: idOf('t'), role: 'tracker', port: 22_236, zone: 'lab', software: 'netapp/test' };
  const alice = await listen(port, [nodeOf('a', 33_357)]);
  const host = await listen(port, [nodeOf('b', 33_358), tracker]);
  await Promise.all([
    alice.hears(({ role }) => role === 'tracker'),
    alice.hears(({ handle }) => handle === 'b@lab'),
    host.hears(({ handle }) => handle === 'a@lab'),
  ]);
  expect(host.lan.found()).toMatchObject([
    {
      id: idOf('a'),
      role: 'node',
      account: idOf('z'),
      handle: 'a@lab',
      addresses: ['127.0.0.1:33357'],
      networks: ['lo'],
    },
  ]);
  expect(alice.lan.found().find(({ role }) => role === 'tracker')).toMatchObject({
    zone: 'lab',
    addresses: ['127.0.0.1:22236'],
  });
  opened.splice(opened.indexOf(host.lan), 1);
  await host.lan[Symbol.asyncDispose]();
  await until(() => alice.lan.found().length === 0);
  expect(alice.lan.state.refused).toEqual({ too_many: 0, malformed: 0, queue_full: 0, forbidden: 0 });
});

test('whoever is there already answers one who asks later', async () => {
  const port = await freePort();
  await listen(port, [nodeOf('a')]);
  const late = await listen(port);
  expect((await late.hears(() => true)).id).toBe(idOf('a'));
});

test('what any resolver of DNS-SD needs stands in one packet: PTR, SRV, TXT and addresses [N-50]', () => {
  const packet = decode(Buffer.from(encodeAdverts([nodeOf('a')], ['192.0.2.7', 'fe80::7'])));
  const instance = `${idOf('a')}.${SERVICE}`;
  expect(packet.answers?.map(({ type, name }) => [type, name])).toEqual([
    ['PTR', SERVICE],
    ['SRV', instance],
    ['TXT', instance],
    ['A', `${idOf('a')}.local`],
    ['AAAA', `${idOf('a')}.local`],
    ['PTR', '_services._dns-sd._udp.local'],
  ]);
  const text = packet.answers?.flatMap((each) => (each.type === 'TXT' ? String(each.data).split(',') : []));
  expect(text).toEqual([
    'v=1',
    `id=${idOf('a')}`,
    'role=node',
    `account=${idOf('z')}`,
    'handle=a@lab',
    'sw=netapp/test',
  ]);
});

test('a stranger cannot send anybody elsewhere: the address is the one that the packet came from [N-53]', async () => {
  const port = await freePort();
  const alice = await listen(port);
  const mallory = await stranger(port, '127.0.0.9');
  await mallory.say(encodeAdverts([nodeOf('m', 4444)], ['203.0.113.80', '10.0.0.1']));
  expect((await alice.hears(() => true)).addresses).toEqual(['127.0.0.9:4444']);
});

test('what one says of another neither replaces nor ends what that one says itself [N-54]', async () => {
  const port = await freePort();
  const alice = await listen(port);
  const [bob, mallory] = [await stranger(port, '127.0.0.8'), await stranger(port, '127.0.0.9')];
  await bob.say(encodeAdverts([nodeOf('b', 1111)], []));
  await alice.hears(({ addresses }) => addresses.includes('127.0.0.8:1111'));
  await mallory.say(encodeAdverts([{ ...nodeOf('b', 6666), account: idOf('m') }], []));
  await alice.hears(({ account }) => account === idOf('m'));
  await mallory.say(encodeAdverts([nodeOf('b', 1111)], [], 0));
  await until(() => alice.lan.found().length === 1);
  expect(alice.lan.found()).toMatchObject([{ account: idOf('z'), addresses: ['127.0.0.8:1111'] }]);
});

test('somebody who speaks in a node’s own name is not believed, and the node says what is true [N-54]', async () => {
  const port = await freePort();
  const alice = await listen(port, [nodeOf('a', 1111)]);
  const [heard, mallory] = [await ear(port), await stranger(port, '127.0.0.9')];
  const said = new Promise<Buffer>((resolve) => {
    heard.on('message', (packet, { address }) => {
      if (address === '127.0.0.1' && decodePacket(packet)?.said[0]) resolve(packet);
    });
  });
  await mallory.say(encodeAdverts([nodeOf('a', 6666)], []));
  expect(decodePacket(await said)?.said).toMatchObject([{ id: idOf('a'), port: 1111 }]);
  expect(alice.lan.found()).toEqual([]);
  expect(alice.lan.state.refused.forbidden).toBe(1);
});

test('a thousand names from one address, a huge text and a flood are bounded, and the others are still heard [N-55]', async () => {
  const port = await freePort();
  const alice = await listen(port);
  const [mallory, bob] = [await stranger(port, '127.0.0.9'), await stranger(port, '127.0.0.8')];
  const letters = 'abcdefghijklmnopqrstuvwxyz';
  const many = Array.from({ length: 1000 }, (_, n) => ({
    ...nodeOf('c'),
    id: `${letters[n % 26]}${letters[Math.floor(n / 26) % 26]}${letters[Math.floor(n / 676)]}`.padEnd(52, 'q'),
  }));
  while (alice.lan.state.refused.too_many === 0) {
    for (let at = 0; at < many.length; at += 8) await mallory.say(encodeAdverts(many.slice(at, at + 8), []));
    await new Promise((done) => setImmediate(done));
  }
  expect(alice.lan.state.refused.queue_full).toBeGreaterThan(0);
  expect(alice.lan.found().length).toBe(16);
  await bob.say(encodeAdverts([nodeOf('b')], []));
  await alice.hears(({ handle }) => handle === 'b@lab');
  expect(alice.lan.found()).toHaveLength(17);
});

test('who asks without end is answered once a second', async () => {
  const port = await freePort();
  await listen(port, [nodeOf('a')]);
  const [heard, mallory] = [await ear(port), await stranger(port, '127.0.0.9')];
  const at: number[] = [];
  heard.on('message', (packet) => {
    if (decodePacket(packet)?.said[0]) at.push(performance.now());
  });
  const asking = setInterval(() => void mallory.say(encodeQuestion(new Map())), 5);
  await until(() => at.length >= 3);
  clearInterval(asking);
  const gaps = at.slice(1).map((each, index) => each - (at[index] ?? 0));
  for (const gap of gaps) expect(gap).toBeGreaterThan(900);
}, 20_000);

test('what cannot be read, or is not of the form, is nothing [N-51]', async () => {
  const text = (data: string[], of = {}): Buffer => {
    const name = `${idOf('a')}.${SERVICE}`;
    const answers: Answer[] = [
      { type: 'SRV', name, ttl: 120, data: { target: 'a.local', port: 1 } },
      { type: 'TXT', name, ttl: 120, data },
    ];
    return Buffer.from(encode({ type: 'response', answers, ...of }));
  };
  const good = ['v=1', `id=${idOf('a')}`, 'role=node', `account=${idOf('b')}`, 'handle=a@lab'];
  expect(decodePacket(text(good))?.said).toHaveLength(1);
  expect(decodePacket(text([...good, 'future=1', 'v=2']))?.said).toHaveLength(1);
  const wrong = [
    ['v=2', ...good.slice(1)],
    good.toSpliced(1, 1, `id=${idOf('b')}`),
    good.toSpliced(2, 1, 'role=admin'),
    good.toSpliced(3, 1, 'account=me'),
    good.toSpliced(4, 1, 'handle=\u202Ea@lab'),
    good.toSpliced(4, 1, `handle=${'a'.repeat(240)}`),
  ];
  for (const each of wrong) expect(decodePacket(text(each))?.said).toEqual([]);
  const records = Array.from({ length: 65 }, () => ({ type: 'A' as const, name: SERVICE, ttl: 1, data: '192.0.2.1' }));
  expect(decodePacket(text(good, { additionals: records }))).toBeUndefined();
  const packet = Buffer.from(encodeAdverts([nodeOf('a'), nodeOf('b')], ['192.0.2.7']));
  expect(concernsUs(packet)).toBe(true);
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(packet.length - 1), fc.nat(255)), { maxLength: 12 }), (flips) => {
      const broken = Buffer.from(packet);
      for (const [at, value] of flips) broken[at] = value;
      for (const said of decodePacket(broken)?.said ?? []) expect(said.id).toMatch(/^[a-z2-7]{52}$/);
    }),
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => void decodePacket(Buffer.from(bytes))));

  const port = await freePort();
  const alice = await listen(port);
  const mallory = await stranger(port, '127.0.0.9');
  await mallory.say(packet.subarray(0, packet.length - 3));
  await until(() => alice.lan.state.refused.malformed === 1);
  expect(alice.lan.found()).toEqual([]);
});
