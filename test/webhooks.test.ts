import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { verifyWebhook } from '../src/api/webhook-check.ts';
import { silentLog } from '../src/base/log.ts';
import { Store } from '../src/base/sqlite.ts';
import { webhookMac } from '../src/base/webhook.ts';
import { EventLog } from '../src/node/events.ts';
import { checkTarget } from '../src/node/post.ts';
import { Webhooks } from '../src/node/webhooks.ts';
import { until } from './testnet.ts';
import vectors from './vectors/webhook.json' with { type: 'json' };

type Got = { headers: IncomingMessage['headers']; body: string; cursor: number; type: string };

let store: Store;
let events: EventLog;
let server: Server;
let url: string;
let got: Got[];
/** Answers with this status; by default, with 204. */
let answer: (got: Got, response: ServerResponse) => void;
let opened: Webhooks[];
/** Milliseconds that the clock is ahead. */
let ahead: number;
const clock = { now: () => Date.now() + ahead };

beforeEach(async () => {
  store = new Store(':memory:');
  ahead = 0;
  events = new EventLog(store, clock);
  got = [];
  opened = [];
  answer = (_, response) => response.writeHead(204).end();
  server = createServer(async (request, response) => {
    const body = await text(request);
    const one = { headers: request.headers, body, ...JSON.parse(body) };
    got.push(one);
    answer(one, response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`; // a TCP server's address is one of these
});
afterEach(async () => {
  for (const hooks of opened) await hooks[Symbol.asyncDispose]();
  server.close();
  server.closeAllConnections();
  store[Symbol.dispose]();
});

function open({ targets = [] }: { targets?: string[] } = {}): Webhooks {
  const retry = { firstMs: 1, mostMs: 20 };
  const hooks = new Webhooks({ store, events, targets, clock, log: silentLog(), retry });
  hooks.start();
  opened.push(hooks);
  return hooks;
}

function emit(...types: string[]): void {
  for (const [n, type] of types.entries()) events.emit(type, { n });
}
const taken = () => got.map(({ cursor }) => cursor);

test('events that match are posted in order, signed, and only what happens after the hook was made [E-6]', async () => {
  const hooks = open();
  emit('message.sent');
  const { id, secret } = hooks.create(url, ['message.*', 'file.done']);
  emit('message.received', 'link.up', 'file.done', 'message.read');
  await until(
    () => got.length,
    (count) => count === 3,
  );
  expect(got.map(({ type }) => type)).toEqual(['message.received', 'file.done', 'message.read']);
  const [first] = got;
  if (!first) throw new Error('nothing came');
  const event = verifyWebhook(secret, first.headers, first.body);
  expect(event).toMatchObject({ type: 'message.received', cursor: 2, data: { n: 0 }, timestamp: expect.any(String) });
  expect(first.headers['webhook-id']).toBe(`${id}-2`);
  await until(
    () => hooks.show(id),
    ({ cursor, delivered }) => cursor === 5 && delivered === 3,
  );
});

test('a body, a time or a secret that was changed is not taken for the agent’s [E-7]', async () => {
  const { secret } = open().create(url, []);
  emit('a.b');
  const [{ headers, body }] = (await until(
    () => [...got],
    ({ length }) => length === 1,
  )) as [Got];
  const check = (change: object = {}, text = body, key = secret, now = Date.now()) =>
    verifyWebhook(key, { ...headers, ...change }, text, now);
  expect(check()).toMatchObject({ type: 'a.b' });
  const wrong = expect.objectContaining({ code: 'bad_signature' });
  expect(() => check({}, body.replace('a.b', 'a.c'))).toThrow(wrong);
  expect(() => check({ 'webhook-timestamp': '1' })).toThrow(wrong);
  expect(() => check({ 'webhook-id': 'x' })).toThrow(wrong);
  expect(() => check({ 'webhook-signature': undefined })).toThrow(wrong);
  expect(() => check({}, body, `whsec_${Buffer.alloc(32).toString('base64')}`)).toThrow(wrong);
  expect(() => check({}, body, secret, Date.now() + 3_600_000)).toThrow(wrong);
});

test.each(vectors.signed)(
  'the vector of $headers.webhook-id is signed as others sign it [E-7]',
  ({ secret, headers, body }) => {
    const now = Number(headers['webhook-timestamp']) * 1000;
    expect(verifyWebhook(secret, headers, body, now)).toEqual(JSON.parse(body));
    const letter = { id: headers['webhook-id'], at: headers['webhook-timestamp'], body };
    expect(`v1,${webhookMac(secret, letter).toString('base64')}`).toBe(headers['webhook-signature']);
    expect(() => verifyWebhook(secret, headers, `${body} `, now)).toThrow(
      expect.objectContaining({ code: 'bad_signature' }),
    );
  },
);

test('what is not taken is tried again with the same id, and nothing overtakes it [E-8]', async () => {
  let left = 3;
  answer = (_, response) => response.writeHead(left-- > 0 ? 503 : 200).end();
  const hooks = open();
  const { id } = hooks.create(url, []);
  emit('a.one', 'a.two', 'a.three');
  await until(
    () => hooks.show(id),
    ({ delivered }) => delivered === 3,
  );
  expect(taken()).toEqual([1, 1, 1, 1, 2, 3]);
  expect(new Set(got.slice(0, 4).map(({ headers }) => headers['webhook-id'])).size).toBe(1);
  expect(hooks.show(id)).toMatchObject({ failingSince: null, error: null, dead: 0 });
});

test('a target that is down is waited for, across a restart; nothing is lost', async () => {
  answer = (_, response) => response.destroy();
  const before = open();
  const { id } = before.create(url, []);
  emit('a.one', 'a.two');
  await until(
    () => before.show(id),
    ({ state, error }) => state === 'retrying' && error !== null,
  );
  await before[Symbol.asyncDispose]();
  emit('a.three');
  got = [];
  answer = (_, response) => response.writeHead(200).end();
  const after = open();
  await until(
    () => after.show(id),
    ({ delivered }) => delivered === 3,
  );
  // The try that the end cut off may have come, too: at least once, never out of order.
  expect(taken().filter((cursor, at, all) => cursor !== all[at - 1])).toEqual([1, 2, 3]);
});

test('what is refused again and again is a dead letter; the next goes on; replaying posts it again', async () => {
  answer = ({ type }, response) => response.writeHead(type === 'a.bad' ? 422 : 200).end();
  const hooks = open();
  const { id } = hooks.create(url, []);
  emit('a.bad', 'a.good');
  await until(
    () => hooks.show(id),
    ({ delivered, dead }) => delivered === 1 && dead === 1,
  );
  expect(taken()).toEqual([1, 1, 1, 1, 1, 2]);
  const [letter] = hooks.dead(id);
  expect(letter).toMatchObject({ cursor: 1, type: 'a.bad', attempts: 5, code: 'malformed' });
  expect(await hooks.replay(id, {})).toMatchObject({ replayed: 0, left: 1, error: { code: 'malformed' } });
  answer = (_, response) => response.writeHead(200).end();
  await expect(hooks.replay(id, { letter: 999 })).rejects.toMatchObject({ code: 'unknown_id' });
  expect(await hooks.replay(id, { letter: letter?.letter })).toEqual({ replayed: 1, left: 0, error: null });
  expect(got.at(-1)?.headers['webhook-id']).toBe(`${id}-1`);
});

test('while a target fails for more than a day, old events are given up and new ones wait [E-9]', async () => {
  answer = (_, response) => response.writeHead(500).end();
  const hooks = open();
  const { id } = hooks.create(url, []);
  emit('a.one', 'a.two');
  await until(
    () => hooks.show(id),
    ({ attempts }) => attempts > 8,
  );
  ahead = 25 * 3_600_000;
  await until(
    () => hooks.show(id),
    ({ dead }) => dead === 2,
  );
  expect(hooks.dead(id).map(({ cursor, code }) => [cursor, code])).toEqual([
    [1, 'peer_unreachable'],
    [2, 'peer_unreachable'],
  ]);
  answer = (_, response) => response.writeHead(200).end();
  emit('a.three');
  await until(
    () => hooks.show(id),
    ({ delivered, error }) => delivered === 1 && error === null,
  );
});

test('events that left the log before they could be posted are told of', async () => {
  const first = open();
  const { id } = first.create(url, []);
  emit('a.one');
  await until(
    () => first.show(id),
    ({ delivered }) => delivered === 1,
  );
  await first[Symbol.asyncDispose]();
  store.transaction(() => {
    for (let n = 0; n < 22_000; n++) events.emit('b.x', {});
  });
  const hooks = open();
  await until(
    () => hooks.show(id),
    ({ dead }) => dead === 1,
  );
  expect(hooks.dead(id)).toMatchObject([{ type: null, code: 'cursor_gone' }]);
  expect(await hooks.replay(id, {})).toEqual({ replayed: 0, left: 0, error: null });
});

test('a test event is posted once and told; a deleted hook posts nothing more', async () => {
  const hooks = open();
  const { id } = hooks.create(url, ['never.*']);
  expect(await hooks.test(id, {})).toMatchObject({ delivered: true, status: 204, error: null });
  expect(got.map(({ type }) => type)).toEqual(['webhook.test']);
  answer = (_, response) => response.writeHead(302, { location: '/else' }).end();
  expect(await hooks.test(id, {})).toMatchObject({ delivered: false, status: 302, error: { code: 'malformed' } });
  server.close();
  server.closeAllConnections();
  expect(await hooks.test(id, {})).toMatchObject({
    delivered: false,
    status: null,
    error: { code: 'peer_unreachable' },
  });
  await hooks.remove(id);
  expect(hooks.list()).toEqual([]);
  expect(() => hooks.show(id)).toThrow(expect.objectContaining({ code: 'unknown_id' }));
});

test.each([
  ['ftp://127.0.0.1/x', 'invalid_argument'],
  ['file:///etc/passwd', 'invalid_argument'],
  ['http://user:password@127.0.0.1/', 'invalid_argument'],
  ['no address', 'invalid_argument'],
  ['http://example.com/', 'forbidden'],
  ['http://169.254.169.254/latest/meta-data', 'forbidden'],
  ['http://10.0.0.1/', 'forbidden'],
  ['http://0.0.0.0/', 'forbidden'],
  ['http://[::ffff:10.0.0.1]/', 'forbidden'],
  ['http://localhost.example.com/', 'forbidden'],
  ['http://127.0.0.1.example.com/', 'forbidden'],
  ['http://hooks.example.org:81/', 'forbidden'],
])('posting to %s is refused with %s [E-10]', (target, code) => {
  expect(() => checkTarget(target, ['hooks.example.org:8443'])).toThrow(expect.objectContaining({ code }));
});

test('this machine and configured hosts may be posted to', () => {
  // 2130706433 is 127.0.0.1, which is what it is read as.
  for (const target of [
    'http://127.0.0.1:1/',
    'https://localhost/x',
    'http://[::1]:5/',
    'http://127.9.9.9/',
    'http://2130706433/',
  ]) {
    expect(checkTarget(target, []).href).toMatch(/^https?:/);
  }
  expect(checkTarget('https://hooks.example.org:8443/a', ['hooks.example.org:8443']).port).toBe('8443');
  expect(checkTarget('https://hooks.example.org/a', ['hooks.example.org']).pathname).toBe('/a');
});

test('a hook whose target is no longer allowed posts nothing, and says so', async () => {
  const allowed = open({ targets: ['hooks.example.org'] });
  const { id } = allowed.create('http://hooks.example.org/', []);
  await allowed[Symbol.asyncDispose]();
  const hooks = open();
  emit('a.one');
  await until(
    () => hooks.show(id),
    ({ error }) => error?.code === 'forbidden',
  );
});
