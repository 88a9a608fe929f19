import { isIP } from 'node:net';
import { expect, test } from 'vitest';
import { defaultIp, interfaceIps } from './interfaces.ts';

test('the default IP is one that this machine has', async () => {
  const ip = await defaultIp();
  expect(isIP(ip)).toBeGreaterThan(0);
  expect([...interfaceIps(), '127.0.0.1']).toContain(ip);
});
