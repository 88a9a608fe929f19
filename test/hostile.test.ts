/** What strangers and broken programs send to the one open port: each costs little, is coded, and harms nobody else. */
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { z } from 'zod';
import { systemClock } from '../src/base/clock.ts';
import { FAULTS, type FaultCode } from '../src/base/fault.ts';
import { silentLog } from '../src/base/log.ts';
import { createIdentity, type Identity } from '../src/link/certificate.ts';
import { dialLink } from '../src/link/dial.ts';
import type { HelloInfo } from '../src/link/hello.ts';
import type { Link } from '../src/link/link.ts';
import { Listener } from '../src/link/listen.ts';
import { method, notice } from '../src/link/message.ts';
import { Router } from '../src/link/router.ts';

const echo = method('test.echo', { params: z.string(), result: z.string() });
const slow = method('test.slow', { params: z.null(), result: z.null() });
const blast = notice('test.blast', { params: z.string() });
const self: HelloInfo = { protocol: { min: 1, max: 1 }, software: 'test', role: 'node', account: null };

let listener: Listener;
let identity: Identity;
let links: Link[];
let under = { way: 0, most: 0 };
const sockets: { destroy(): void }[] = [];

beforeEach(async () => {
  identity = await createIdentity();
  links = [];
  under = { way: 0, most: 0 };
  listener = new Listener({
    host: '127.0.0.1',
    port: 0,
    identity,
    router: new Router()
      .handle(echo, (text) => text)
      .handle(slow, async () => {
        under.most = Math.max(under.most, ++under.way);
        await new Promise((resolve) => setImmediate(resolve));
        under.way--;
        return null;
      }),
    self: () => self,
    clock: systemClock,
    log: silentLog(),
    onLink: (link) => links.push(link),
    handshakeMs: 200,
  });
  await listener.start();
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await listener[Symbol.asyncDispose]();
});

const closeOf = (code: FaultCode): number => 4000 + FAULTS[code].exit;

/** Resolves when the other side has ended the connection. */
function ended(socket: Socket): Promise<string> {
  let text = '';
  socket.on('error', () => {}); // a reset is an end too
  socket.on('data', (data) => (text += data.toString()));
  return new Promise((resolve) => socket.once('close', () => resolve(text)));
}

function tcp(): Socket {
  const socket = connectTcp(listener.port, '127.0.0.1');
  sockets.push(socket);
  return socket;
}

async function tls(options: { key?: string; cert?: string; maxVersion?: 'TLSv1.2' } = {}): Promise<TLSSocket> {
  const socket = connectTls({ port: listener.port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
  sockets.push(socket);
  await new Promise<void>((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  return socket;
}

/** A WebSocket without a Link behind it, so that it can say what a Link never would. */
async function raw(greet = true): Promise<{ ws: WebSocket; closed: Promise<{ code: number; reason: string }> }> {
  const { key, cert } = await createIdentity();
  const ws = new WebSocket(`wss://127.0.0.1:${listener.port}/link`, 'netapp.1', {
    key: key.pem,
    cert,
    rejectUnauthorized: false,
  });
  sockets.push({ destroy: () => ws.terminate() });
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    ws.once('close', (code, reason) => resolve({ code, reason: reason.toString() }));
  });
  await new Promise((resolve, reject) => ws.once('open', resolve).once('error', reject));
  ws.on('error', () => {}); // tests look at the close
  if (greet) {
    const answer = new Promise((resolve) => ws.once('message', resolve));
    ws.send(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'hello', params: self }));
    await answer;
  }
  return { ws, closed };
}

async function stillServes(): Promise<void> {
  const link = await dialLink({
    address: `127.0.0.1:${listener.port}`,
    expect: identity.id,
    identity: await createIdentity(),
    router: new Router(),
    self: () => self,
    clock: systemClock,
    log: silentLog(),
  });
  expect(await link.request(echo, 'alive')).toBe('alive');
  link.close();
}

test('garbage instead of TLS ends that connection alone', async () => {
  const socket = tcp();
  const end = ended(socket);
  socket.write(Buffer.alloc(70_000, 0x5a));
  await end;
  await stillServes();
});

test('a connection that says nothing, or drips, is ended [L-3]', async () => {
  const silent = ended(tcp());
  const socket = await tls();
  const dripping = ended(socket);
  const timer = setInterval(() => socket.write('G'), 20);
  await Promise.all([silent, dripping]);
  clearInterval(timer);
  await stillServes();
});

test('older TLS is refused [L-1]', async () => {
  await expect(tls({ maxVersion: 'TLSv1.2' })).rejects.toThrow(/protocol version/i);
});

const request = (path: string, headers: string): string => `GET ${path} HTTP/1.1\r\nhost: x\r\n${headers}\r\n`;
const upgrade = (protocol: string): string =>
  `connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: ${Buffer.alloc(16).toString('base64')}\r\nsec-websocket-protocol: ${protocol}\r\n`;

test('a link without a certificate, of another version, or elsewhere is refused with a code [L-3]', async () => {
  const cases: [object, string, string, FaultCode][] = [
    [{}, '/link', 'netapp.1', 'unauthenticated'],
    [{ key: identity.key.pem, cert: identity.cert }, '/link', 'netapp.99', 'unsupported_version'],
    [{ key: identity.key.pem, cert: identity.cert }, '/elsewhere', 'netapp.1', 'unknown_operation'],
  ];
  for (const [options, path, protocol, code] of cases) {
    const socket = await tls(options);
    const end = ended(socket);
    socket.write(request(path, upgrade(protocol)));
    expect(await end).toMatch(new RegExp(`^HTTP/1.1 ${FAULTS[code].http} [\\s\\S]*x-netapp-fault: ${code}`));
  }
});

test('plain HTTP to a path that is not there is a coded 404', async () => {
  const socket = await tls();
  const end = ended(socket);
  socket.write(request('/nothing', 'connection: close\r\n'));
  expect(await end).toMatch(/^HTTP\/1.1 404 [\s\S]*"code":"unknown_operation"/);
});

const malformed: [string, (ws: WebSocket) => void, number][] = [
  ['not JSON', (ws) => ws.send('{"jsonrpc'), closeOf('malformed')],
  ['not JSON-RPC', (ws) => ws.send('{"hello":1}'), closeOf('malformed')],
  ['a batch [L-20]', (ws) => ws.send('[{"jsonrpc":"2.0","method":"a"}]'), closeOf('malformed')],
  ['deep nesting', (ws) => ws.send(`${'['.repeat(100_000)}`), closeOf('malformed')],
  [
    'a second hello [L-10]',
    (ws) => ws.send(JSON.stringify({ jsonrpc: '2.0', id: 2, method: 'hello', params: self })),
    closeOf('malformed'),
  ],
  ['a binary frame [L-20]', (ws) => ws.send(Buffer.from([0, 1, 2])), 1003],
  ['an oversize frame [L-22]', (ws) => ws.send('x'.repeat(1024 * 1024 + 1)), 1009],
  ['text that is not UTF-8', (ws) => ws.send(Buffer.from([0xff, 0xfe]), { binary: false }), 1007],
];

for (const [what, send, code] of malformed) {
  test(`${what} closes the link with its reason [L-27]`, async () => {
    const { ws, closed } = await raw();
    send(ws);
    expect(await closed).toMatchObject({ code });
    await stillServes();
  });
}

test('a frame before hello closes the link [L-11]', async () => {
  const { ws, closed } = await raw(false);
  ws.send(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'test.echo', params: 'x' }));
  expect(await closed).toMatchObject({ code: closeOf('wrong_state'), reason: expect.stringContaining('hello') });
});

test('a hello with a version that does not meet is refused with its code [L-10]', async () => {
  const { ws, closed } = await raw(false);
  const params = { ...self, protocol: { min: 7, max: 9 } };
  ws.send(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'hello', params }));
  expect(await closed).toMatchObject({ code: closeOf('unsupported_version') });
});

test('a cut in the middle of a frame ends the link and nothing else', async () => {
  const socket = await tls({ key: identity.key.pem, cert: identity.cert });
  const opened = new Promise((resolve) => socket.once('data', resolve));
  socket.write(request('/link', upgrade('netapp.1')));
  await opened;
  const [link] = [...listener.links];
  socket.write(Buffer.from([0x81, 0xfe, 0x40, 0x00, 1, 2, 3, 4, 5])); // 16 KiB announced, one byte sent
  socket.destroy();
  expect(await link?.closed).toMatchObject({ code: 'link_closed' });
  await stillServes();
});

test('a side that does not read is cut at the bound [L-26]', async () => {
  const { ws } = await raw();
  ws.pause();
  const [link] = links;
  if (!link) return expect.fail('no link arrived');
  const chunk = 'x'.repeat(60_000);
  for (let sent = 0; sent < 64 * 1024 * 1024 && link.open; sent += chunk.length) link.notify(blast, chunk);
  expect(await link.closed).toMatchObject({ code: 'queue_full' });
  await stillServes();
});

test('requests past the bound wait, and all are answered [L-25]', async () => {
  const { ws } = await raw();
  const answers = new Set<number>();
  const all = new Promise<void>((resolve) => {
    ws.on('message', (data) => {
      answers.add(JSON.parse(data.toString()).id);
      if (answers.size === 1000) resolve();
    });
  });
  for (let id = 10; id < 1010; id++) ws.send(JSON.stringify({ jsonrpc: '2.0', id, method: 'test.slow', params: null }));
  await all;
  expect([answers.size, under.most]).toEqual([1000, 64]);
});
