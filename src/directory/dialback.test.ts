import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { silentLog } from '../base/log.ts';
import { Store } from '../base/sqlite.ts';
import { bind } from '../link/binding.ts';
import { createIdentity, type Identity } from '../link/certificate.ts';
import { dial, dialLink } from '../link/dial.ts';
import { Key } from '../link/identity.ts';
import { Listener } from '../link/listen.ts';
import { Router } from '../link/router.ts';
import { type Check, candidates, DialBack } from './dialback.ts';
import * as messages from './messages.ts';
import { signRecord } from './record.ts';
import type { Row } from './row.ts';
import { DirectoryServer } from './server.ts';
import { DirectoryTable } from './table.ts';
import { Guest, HandClock, helloOf, Lab } from './testing.ts';
import { entryFor } from './view.ts';

const node = Key.generate().id;

test('an announcer is dialled where it is seen, and nowhere nearer to the tracker than that [D-20] [D-21]', () => {
  const announced = ['127.0.0.1:22', '[::ffff:127.0.0.1]:22', '0.0.0.0:22', '10.0.0.5:33357', '198.51.100.9:33357'];
  expect(candidates(announced, '203.0.113.7')).toEqual(['203.0.113.7:22', '203.0.113.7:33357', '198.51.100.9:33357']);
  expect(candidates(announced, '10.0.0.7')).toEqual([
    '10.0.0.7:22',
    '10.0.0.7:33357',
    '10.0.0.5:33357',
    '198.51.100.9:33357',
  ]);
  expect(candidates(['127.0.0.1:9', '10.0.0.5:9'], '127.0.0.1')).toEqual(['127.0.0.1:9', '10.0.0.5:9']);
  expect(
    candidates(
      Array.from({ length: 8 }, (_, n) => `198.51.100.${n}:1`),
      '203.0.113.7',
    ),
  ).toHaveLength(8);
});

test('an address is dialled once for all who ask, and again only after a while [D-20]', async () => {
  const clock = new HandClock();
  const dials: string[] = [];
  let good = false;
  const check: Check = async (address) => {
    dials.push(address);
    return good;
  };
  const dialBack = new DialBack({ check, clock });
  const verify = (): Promise<void> => dialBack.verify(node, ['198.51.100.9:1'], 'memory', () => {});
  await Promise.all([verify(), verify()]);
  await verify();
  expect(dials).toEqual(['198.51.100.9:1']);
  expect(dialBack.reached(node, ['198.51.100.9:1'], 'memory')).toEqual([]);
  clock.pass(60_000);
  good = true;
  await verify();
  expect(dialBack.reached(node, ['198.51.100.9:1'], 'memory')).toEqual(['198.51.100.9:1']);
  expect(dialBack.reached(Key.generate().id, ['198.51.100.9:1'], 'memory')).toEqual([]);
  clock.pass(599_999);
  await verify();
  expect(dials).toHaveLength(2);
});

test('a host gets at most 8 dials in a minute, whoever asks, and 120 for those who are seen there [D-20]', async () => {
  const dials: string[] = [];
  const check: Check = async (address) => {
    dials.push(address);
    return false;
  };
  const dialBack = new DialBack({ clock: new HandClock(), check });
  const ask = async (observed: string): Promise<void> => {
    for (let n = 0; n < 50; n++) {
      const addresses = Array.from({ length: 8 }, (_, port) => `198.51.100.9:${n * 8 + port + 1}`);
      await dialBack.verify(Key.generate().id, addresses, observed, () => {});
    }
  };
  await ask('memory');
  expect(dials).toHaveLength(8);
  await ask('198.51.100.9');
  expect(dials).toHaveLength(8 + 120);
});

test('at most 4 dials at once go out for one announcer, and 32 in all [D-20]', async () => {
  let [now, most] = [0, 0];
  const release: (() => void)[] = [];
  const dialBack = new DialBack({
    clock: new HandClock(),
    check: async () => {
      most = Math.max(most, ++now);
      await new Promise<void>((resolve) => release.push(resolve));
      now -= 1;
      return true;
    },
  });
  const addresses = Array.from({ length: 8 }, (_, n) => `198.51.100.${n}:1`);
  const one = dialBack.verify(node, addresses, 'memory', () => {});
  await new Promise(setImmediate);
  expect(now).toBe(4);
  const others = Array.from({ length: 20 }, () => dialBack.verify(Key.generate().id, addresses, 'memory', () => {}));
  let settled = false;
  const all = Promise.all([one, ...others]).then(() => {
    settled = true;
  });
  while (!settled) {
    await new Promise(setImmediate);
    for (const go of release.splice(0)) go();
  }
  await all;
  expect(most).toBe(32);
});

test('an answer that comes late is pushed as a change [D-11]', async () => {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const lab = new Lab({ check: (address) => (address.startsWith('198') ? promise : Promise.resolve(true)) });
  const alice = new Guest('alice', lab.clock);
  const [link] = await lab.link(alice);
  await link.request(messages.watch, {});
  const record = alice.record({ addresses: ['198.51.100.9:1', '203.0.113.7:2'] });
  expect(await link.request(messages.announce, { record })).toMatchObject({ checked: ['203.0.113.7:2'] });
  resolve(true);
  const both = ['198.51.100.9:1', '203.0.113.7:2'];
  await alice.hears((heard) => heard.at(-1)?.entries[0]?.verified.length === 2);
  expect(alice.heard.at(-1)?.entries[0]?.verified).toEqual(both);
});

test('who is seen at the same host may see all; others see what was reached, and no loopback [D-22] [D-23]', () => {
  const account = Key.generate();
  const row: Row = {
    account: account.id,
    record: signRecord(account, {
      handle: 'alice@lab',
      node,
      addresses: ['10.0.0.5:1'],
      status: 'online',
      text: '',
      seq: 1,
      until: 2,
    }),
    verified: ['127.0.0.1:1', '203.0.113.7:1'],
    observed: '203.0.113.7',
    online: true,
    lastSeen: 1,
    changed: 1,
  };
  const far = { near: false, observed: null, verified: ['203.0.113.7:1'] };
  expect(entryFor(row, '198.51.100.1')).toMatchObject(far);
  expect(entryFor(row, '10.0.0.9')).toMatchObject(far);
  expect(entryFor(row, '203.0.113.7')).toMatchObject({ near: true, observed: '203.0.113.7', verified: row.verified });
  expect(entryFor({ ...row, observed: '10.0.0.5' }, '10.0.0.9')).toMatchObject({ near: false, observed: '10.0.0.5' });
});

test('a victim’s address is not offered, and gets one short connection [D-20] [D-22]', async () => {
  await using stack = new AsyncDisposableStack();
  const listen = async (identity: Identity, router: Router, role: 'node' | 'tracker'): Promise<number> => {
    const listener = new Listener({
      host: '127.0.0.1',
      port: 0,
      identity,
      router,
      self: () => helloOf(role),
      clock: systemClock,
      log: silentLog(),
      onLink: () => {},
    });
    await listener.start();
    stack.use(listener);
    return listener.port;
  };
  const [tracker, alice, stranger] = await Promise.all([createIdentity(), createIdentity(), createIdentity()]);
  const alicePort = await listen(alice, new Router(), 'node');
  const strangerPort = await listen(stranger, new Router(), 'node');
  let connections = 0;
  const { promise: hungUp, resolve } = Promise.withResolvers<void>();
  const victim = createServer((socket) => {
    connections += 1;
    socket.resume().on('error', () => {});
    socket.once('close', () => resolve());
  });
  await new Promise<void>((listening) => victim.listen(0, '127.0.0.1', listening));
  stack.defer(() => void victim.close());
  const at = victim.address();
  const victimPort = typeof at === 'object' && at ? at.port : expect.fail();

  const table = new DirectoryTable({ store: stack.use(new Store(':memory:')), clock: systemClock });
  const check: Check = async (address, expectKey, signal) => {
    (await dial({ address, expect: expectKey, identity: tracker, signal })).destroy();
    return true;
  };
  const dialBack = new DialBack({ check, clock: systemClock, checkMs: 300 });
  const router = new Router();
  const zones = ['lab'];
  const server = new DirectoryServer({ table, dialBack, zones, clock: systemClock, log: silentLog() });
  const trackerPort = await listen(tracker, server.attach(router) && router, 'tracker');
  const account = Key.generate();
  const link = await dialLink({
    address: `127.0.0.1:${trackerPort}`,
    expect: tracker.id,
    identity: alice,
    router: new Router(),
    self: () => helloOf('node', bind(account, 'alice@lab', alice.id, Date.now())),
    clock: systemClock,
    log: silentLog(),
  });
  const announce = (seq: number): Promise<{ checked: string[]; observed: string }> =>
    link.request(messages.announce, {
      record: signRecord(account, {
        handle: 'alice@lab',
        node: alice.id,
        addresses: [alicePort, strangerPort, victimPort].map((port) => `127.0.0.1:${port}`),
        status: 'online',
        text: '',
        seq,
        until: Date.now() + 60_000,
      }),
    });
  const good = `127.0.0.1:${alicePort}`;
  expect(await announce(1)).toMatchObject({ checked: [good], observed: '127.0.0.1' });
  await hungUp;
  await announce(2);
  expect(connections).toBe(1);
  expect((await link.request(messages.find, { handle: 'alice@lab' })).entry.verified).toEqual([good]);
  expect(entryFor(table.find('alice@lab'), '192.168.1.5').verified).toEqual([]); // loopback is of no use there
  link.close();
});
