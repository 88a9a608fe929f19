import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { silentLog } from '../base/log.ts';
import { createIdentity, type Identity } from '../link/certificate.ts';
import { PROTOCOL } from '../link/hello.ts';
import { Listener } from '../link/listen.ts';
import { Router } from '../link/router.ts';
import { checkWith } from './check.ts';

let tracker: Identity;
let node: Identity;
let listener: Listener;
const { signal } = new AbortController();
const may = (): boolean => true;

beforeEach(async () => {
  [tracker, node] = await Promise.all([createIdentity(), createIdentity()]);
  listener = new Listener({
    host: '127.0.0.1',
    port: 0,
    identity: node,
    router: new Router(),
    self: () => ({ protocol: PROTOCOL, software: 'test', role: 'node', account: null }),
    clock: systemClock,
    log: silentLog(),
    onLink: () => {},
  });
  await listener.start();
});
afterEach(() => listener[Symbol.asyncDispose]());

test('an address is good where the named key answers, and only there [D-20]', async () => {
  const check = checkWith(tracker);
  expect(await check(`127.0.0.1:${listener.port}`, node.id, signal, may)).toBe(true);
  await expect(check(`127.0.0.1:${listener.port}`, tracker.id, signal, may)).rejects.toMatchObject({
    code: 'wrong_key',
  });
  await expect(check('127.0.0.1:1', tracker.id, signal, may)).rejects.toMatchObject({ code: 'peer_unreachable' });
});

test.each(['127.0.0.1', '::1', '10.0.0.1', '169.254.169.254', '::ffff:127.0.0.1'])(
  'a name that leads to %s is not dialled [D-21]',
  async (ip) => {
    const check = checkWith(tracker, async () => ip);
    expect(await check(`inside.example:${listener.port}`, node.id, signal, may)).toBe(false);
  },
);

test('names that lead to one host count as that host, which may have been dialled enough [D-20]', async () => {
  const check = checkWith(tracker, async () => '203.0.113.66');
  const asked: string[] = [];
  const mayNot = (host: string): boolean => {
    asked.push(host);
    return false;
  };
  expect(await check('one.example:22', node.id, signal, mayNot)).toBe(false);
  expect(await check('two.example:22', node.id, signal, mayNot)).toBe(false);
  expect(asked).toEqual(['203.0.113.66', '203.0.113.66']);
});
