import { expect, test } from 'vitest';
import type { Fault } from '../base/fault.ts';
import { Guard, type Limits, networkOf } from './guard.ts';

const clock = { at: 1_800_000_000_000, now: () => clock.at };
const guard = (limits: Partial<Limits>) => new Guard({ limits, clock });
const tooMany = (retryAfterMs: unknown) => expect.objectContaining({ code: 'too_many', data: { retryAfterMs } });

test.each([
  ['192.0.2.7', '192.0.2.7'],
  ['2001:db8::1', '2001:db8:0:0::/64'],
  ['2001:db8:0:0:ffff::1', '2001:db8:0:0::/64'],
  ['2001:0db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:DB8:1:2::', '2001:db8:1:2::/64'],
  ['::1', '0:0:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['64:ff9b::192.0.2.7', '64:ff9b:0:0::/64'],
  ['1:2:3:4:5:6:7::', '1:2:3:4::/64'],
])('%s counts as %s [A-40]', (ip, network) => expect(networkOf(ip)).toBe(network));

test('one address has so many connections, whatever it does in its /64; others have theirs [A-40]', () => {
  const it = guard({ connectionsPerAddress: 2 });
  const ends = [it.connect('2001:db8::1'), it.connect('2001:db8::2')];
  expect(it.connect('2001:db8::3')).toBeUndefined();
  expect(it.connect('2001:db8:0:1::3')).toBeDefined();
  expect(it.refused).toMatchObject({ connections: 1, handshakes: 0 });
  ends[0]?.();
  ends[0]?.(); // the end of one connection makes one place
  expect(it.connect('2001:db8::3')).toBeDefined();
  expect(it.connect('2001:db8::4')).toBeUndefined();
});

test('one address begins so many connections in a minute [A-40]', () => {
  const it = guard({ handshakesPerAddress: 60 });
  for (let n = 0; n < 60; n++) it.connect('192.0.2.1')?.();
  expect(it.connect('192.0.2.1')).toBeUndefined();
  expect(it.connect('192.0.2.2')).toBeDefined();
  clock.at += 1000;
  expect(it.connect('192.0.2.1')).toBeDefined();
  expect(it.connect('192.0.2.1')).toBeUndefined();
  expect(it.refused.handshakes).toBe(2);
});

test('this machine is not counted, unless that is wanted; 0 bounds nothing', () => {
  const free = guard({ connectionsPerAddress: 1 });
  expect([free.connect('127.0.0.1'), free.connect('127.0.0.1'), free.connect('::1')]).not.toContain(undefined);
  const strict = guard({ connectionsPerAddress: 1, loopback: true });
  strict.connect('127.0.0.1');
  expect(strict.connect('127.0.0.1')).toBeUndefined();
  const open = guard({ connectionsPerAddress: 0, handshakesPerAddress: 0, requestsPerAddress: 0, requestsPerKey: 0 });
  for (let n = 0; n < 5000; n++) {
    expect(open.connect('192.0.2.1')).toBeDefined();
    open.request('192.0.2.1');
  }
});

test('a request too many is told how long to wait, and that is true [A-41]', () => {
  const it = guard({ requestsPerAddress: 30 });
  for (let n = 0; n < 30; n++) it.request('192.0.2.1');
  expect(() => it.request('192.0.2.1')).toThrow(tooMany(2000));
  it.request('192.0.2.2');
  clock.at += 1999;
  expect(() => it.request('192.0.2.1')).toThrow(tooMany(1));
  clock.at += 1;
  it.request('192.0.2.1');
});

test('one key has so many links, and asks so much on all of them; who goes on asking in vain is cut [A-42] [A-43]', () => {
  const it = guard({ linksPerKey: 1, requestsPerKey: 10 });
  const leave = it.link('alice');
  expect(() => it.link('alice')).toThrow(tooMany(60_000));
  it.link('bob');
  leave();
  it.link('alice');
  const closed: Fault[] = [];
  const link = { peer: 'alice', close: (fault: Fault) => void closed.push(fault) };
  for (let n = 0; n < 10; n++) it.call(link);
  for (let n = 0; n < 999; n++) expect(() => it.call(link)).toThrow(tooMany(6000));
  it.call({ ...link, peer: 'bob' });
  expect(closed).toEqual([]);
  expect(() => it.call(link)).toThrow(tooMany(6000));
  expect(closed).toMatchObject([{ code: 'too_many' }]);
});

test('limits that are set anew hold for who is there already', () => {
  const it = guard({ requestsPerAddress: 1 });
  it.request('192.0.2.1');
  expect(() => it.request('192.0.2.1')).toThrow(tooMany(60_000));
  it.limits = { requestsPerAddress: 2 };
  it.request('192.0.2.1');
  it.request('192.0.2.1');
  expect(() => it.request('192.0.2.1')).toThrow(tooMany(30_000));
});

test('a hundred thousand and more addresses that come once are forgotten, one that is here is not', () => {
  const it = guard({ connectionsPerAddress: 1 });
  const leave = it.connect('192.0.2.1');
  for (let n = 0; n < 120_000; n++) it.connect(`10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`)?.();
  expect(it.connect('192.0.2.1')).toBeUndefined();
  leave?.();
  expect(it.connect('192.0.2.1')).toBeDefined();
});
