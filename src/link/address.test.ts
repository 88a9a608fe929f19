import { expect, test } from 'vitest';
import { addressText, formatAddress, parseAddress, scopeOf, trackerAddressText } from './address.ts';

test.each([
  ['127.0.0.1', 'loopback'],
  ['127.9.9.9', 'loopback'],
  ['0.0.0.0', 'loopback'],
  ['::', 'loopback'],
  ['::1', 'loopback'],
  ['0:0:0:0:0:0:0:1', 'loopback'],
  ['::ffff:127.0.0.1', 'loopback'],
  ['::ffff:7f00:1', 'loopback'],
  ['LOCALHOST', 'loopback'],
  ['10.1.2.3', 'private'],
  ['172.31.0.1', 'private'],
  ['192.168.1.1', 'private'],
  ['::ffff:192.168.1.1', 'private'],
  ['100.64.0.1', 'private'],
  ['169.254.169.254', 'private'],
  ['224.0.0.1', 'private'],
  ['255.255.255.255', 'private'],
  ['fd00::1', 'private'],
  ['fe80::1', 'private'],
  ['fe80::1%eth0', 'private'],
  ['ff02::1', 'private'],
  ['8.8.8.8', 'public'],
  ['172.32.0.1', 'public'],
  ['100.128.0.1', 'public'],
  ['2001:db8::1', 'public'],
  ['example.org', 'public'],
])('%s is %s', (host, scope) => {
  expect(scopeOf(host)).toBe(scope);
});

test('a link-local address names its interface here, and is not taken from others [N-59]', () => {
  const text = '[fe80::1%eth0]:33357';
  expect(parseAddress(text)).toEqual({ host: 'fe80::1%eth0', port: 33_357 });
  expect(formatAddress(parseAddress(text))).toBe(text);
  expect([addressText, trackerAddressText].map((schema) => schema.safeParse(text).success)).toEqual([false, false]);
  expect(addressText.safeParse('[fe80::1]:33357').success).toBe(true);
  for (const wrong of ['[fe80::1%]:1', '[fe80::1%e/0]:1', '[%eth0]:1', 'host%eth0:1']) {
    expect(() => parseAddress(wrong)).toThrow('expected host:port');
  }
});
