import { spawnSync } from 'node:child_process';
import { isIP } from 'node:net';
import { expect, test } from 'vitest';
import { defaultIp, interfaceIps } from './interfaces.ts';

test('the default IP is one that this machine has', async () => {
  const ip = await defaultIp();
  expect(isIP(ip)).toBeGreaterThan(0);
  expect([...interfaceIps(), '127.0.0.1']).toContain(ip);
});

test('without a route, it is an address all the same that one can dial', async ({ skip }) => {
  const script = `import('${import.meta.dirname}/interfaces.ts').then(async ({ defaultIp }) => console.log(await defaultIp()))`;
  // A network namespace of its own, in which there is no interface but loopback.
  const { status, stdout, stderr } = spawnSync('unshare', ['--net', process.execPath, '--eval', script], {
    encoding: 'utf8',
  });
  if (status !== 0 && process.env.CI !== 'true') skip(`no network namespace can be made here: ${stderr}`);
  expect([stdout.trim(), stderr]).toEqual(['127.0.0.1', '']);
});
