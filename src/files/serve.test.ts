import { execFile, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import type { IncomingHttpHeaders } from 'node:http';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { hash } from '../base/encoding.ts';
import { bind } from '../link/binding.ts';
import { createIdentity, type Identity } from '../link/certificate.ts';
import { dial } from '../link/dial.ts';
import { Key } from '../link/identity.ts';
import { Person, type Town } from './fixture.ts';
import { namesEtag, readRange } from './range.ts';
import type { Transfer } from './transfer.ts';
import { ACCOUNT_HEADER, encodeAccount } from './wire.ts';

const MiB = 1024 * 1024;

let town: Town;
let alice: Person;
let bob: Person;
let agent: Agent;

beforeEach(async () => {
  town = new Map();
  alice = await Person.create(town);
  bob = await Person.create(town);
  agent = new Agent({ keepAlive: true, maxSockets: 1 });
});
afterEach(async () => {
  agent.destroy();
  await alice[Symbol.asyncDispose]();
  await bob[Symbol.asyncDispose]();
});

async function offered(data: Buffer): Promise<{ sent: Transfer; url: string; path: string }> {
  const path = join(alice.home, 'own', 'a.bin');
  await writeFile(path, data);
  const { id } = await alice.service.send(bob.id, path);
  const sent = await alice.until(id, 'offered');
  return { sent, url: `https://${alice.address}/blobs/${sent.hash}/0`, path };
}

type Got = { status: number; headers: IncomingHttpHeaders; body: Buffer };

/** A plain HTTPS client with a certificate: any that speaks HTTP/1.1 would do. */
async function get(
  url: string,
  headers: Record<string, string> = {},
  options: { method?: string; identity?: Identity | null; account?: string | null } = {},
): Promise<Got> {
  const identity = options.identity === undefined ? bob.identity : options.identity;
  const account = options.account === undefined ? encodeAccount(bob.binding()) : options.account;
  const asked = request(url, {
    method: options.method ?? 'GET',
    agent: identity === bob.identity ? agent : new Agent(),
    rejectUnauthorized: false,
    ...(identity && { key: identity.key.pem, cert: identity.cert }),
    headers: { ...headers, ...(account !== null && { [ACCOUNT_HEADER]: account }) },
  });
  asked.end();
  const [response] = await once(asked, 'response');
  const pieces: Buffer[] = [];
  for await (const piece of response) pieces.push(piece);
  return { status: response.statusCode, headers: response.headers, body: Buffer.concat(pieces) };
}

test('ranges, conditions and keep-alive are those of HTTP [F-11]', async () => {
  const data = randomBytes(3 * MiB + 5);
  const { sent, url } = await offered(data);
  const whole = await get(url);
  expect(whole).toMatchObject({
    status: 200,
    headers: { etag: `"${sent.hash}.0"`, 'accept-ranges': 'bytes', 'content-length': String(data.length) },
  });
  expect(whole.body.equals(data)).toBe(true);
  const part = await get(url, { range: 'bytes=100-299' });
  expect(part).toMatchObject({ status: 206, headers: { 'content-range': `bytes 100-299/${data.length}` } });
  expect(part.body.equals(data.subarray(100, 300))).toBe(true);
  expect((await get(url, { range: 'bytes=-7' })).body.equals(data.subarray(-7))).toBe(true);
  expect((await get(url, { range: `bytes=${data.length - 3}-` })).body.equals(data.subarray(-3))).toBe(true);
  expect(await get(url, { range: `bytes=${data.length}-` })).toMatchObject({
    status: 416,
    headers: { 'content-range': `bytes */${data.length}` },
  });
  const etag = `"${sent.hash}.0"`;
  expect(await get(url, { 'if-none-match': etag })).toMatchObject({ status: 304, body: Buffer.alloc(0) });
  expect((await get(url, { range: 'bytes=0-0', 'if-range': etag })).status).toBe(206);
  expect((await get(url, { range: 'bytes=0-0', 'if-range': '"other"' })).status).toBe(200);
  const head = await get(url, { range: 'bytes=0-0' }, { method: 'HEAD' });
  expect(head).toMatchObject({
    status: 200,
    headers: { 'content-length': String(data.length) },
    body: Buffer.alloc(0),
  });
  expect(await get(url, {}, { method: 'DELETE' })).toMatchObject({ status: 405, headers: { allow: 'GET, HEAD' } });
  const manifest = await get(url.slice(0, -2));
  expect(manifest.headers).toMatchObject({ etag: `"${sent.hash}"`, 'content-type': 'application/json' });
  expect(hash(manifest.body)).toBe(sent.hash);
});

test.each([
  [undefined, 'all'],
  ['bytes=0-9', { start: 0, end: 10 }],
  ['bytes=5-', { start: 5, end: 100 }],
  ['bytes=90-500', { start: 90, end: 100 }],
  ['bytes=-10', { start: 90, end: 100 }],
  ['bytes=-500', { start: 0, end: 100 }],
  ['bytes=-0', 'outside'],
  ['bytes=100-', 'outside'],
  ['bytes=9-5', 'all'],
  ['bytes=0-1,5-6', 'all'],
  ['lines=1-2', 'all'],
  ['bytes=1e3-', 'all'],
  ['bytes=99999999999999999999-', 'all'],
])('the range %j of 100 bytes is %j [F-11]', (header, range) => {
  expect(readRange(header, 100)).toEqual(range);
});

test('of no bytes there is no range; an etag is named by itself, weakly, in a list or by a star [F-11]', () => {
  expect(readRange('bytes=0-', 0)).toBe('outside');
  for (const header of ['"a"', 'W/"a"', '"b", "a"', '*']) expect(namesEtag(header, '"a"')).toBe(true);
  for (const header of [undefined, '', 'a', '"ab"']) expect(namesEtag(header, '"a"')).toBe(false);
});

test('a zero-byte file is served as one', async () => {
  const { url } = await offered(Buffer.alloc(0));
  expect(await get(url)).toMatchObject({ status: 200, headers: { 'content-length': '0' } });
  expect((await get(url, { range: 'bytes=0-' })).status).toBe(416);
});

test('only the account that was offered a file gets it, and others learn nothing [F-10]', async () => {
  const { url } = await offered(randomBytes(1000));
  const mallory = await createIdentity();
  const key = Key.generate();
  const own = encodeAccount(bind(key, 'm@test', mallory.id, Date.now()));
  const refused = async (code: string, options: Parameters<typeof get>[2], at = url): Promise<Got> => {
    const got = await get(at, {}, options);
    expect(got.headers['x-netapp-fault']).toBe(code);
    return got;
  };
  expect((await refused('unauthenticated', { identity: null })).status).toBe(401);
  expect((await refused('unauthenticated', { account: null })).status).toBe(401);
  await refused('unauthenticated', { account: 'x' });
  await refused('unauthenticated', { account: 'x'.repeat(5000) });
  const stranger = await refused('forbidden', { identity: mallory, account: own });
  const nothing = await refused(
    'forbidden',
    { identity: mallory, account: own },
    url.replace(/\/[a-z2-7]{52}\//, `/${hash('?')}/`),
  );
  expect(stranger.status).toBe(403);
  expect(nothing.body).toEqual(stranger.body);
  await refused('forbidden', { identity: mallory, account: encodeAccount(bob.binding()) }); // bob's, from another node
  const forged = { ...bob.binding(), node: mallory.id };
  await refused('forbidden', { identity: mallory, account: encodeAccount(forged) });
  const old = bind(bob.account, 'x@test', bob.identity.id, 0);
  await refused('forbidden', { account: encodeAccount(old) });
  await refused('unknown_id', {}, url.replace(/0$/, '1'));
  await refused('unknown_operation', {}, url.replace(/0$/, 'x'));
  expect((await get(url)).status).toBe(200);
});

test('a withdrawn offer is no longer served', async () => {
  const { url, sent } = await offered(randomBytes(1000));
  await alice.service.cancel(sent.id);
  expect(await get(url)).toMatchObject({ status: 403 });
});

test('a file that changed is refused with 409 [F-14]', async () => {
  const { url, path } = await offered(randomBytes(1000));
  await writeFile(path, 'other');
  expect(await get(url)).toMatchObject({ status: 409, headers: { 'x-netapp-fault': 'changed' } });
});

async function raw(): Promise<{ socket: import('node:tls').TLSSocket; ask(url: string, range?: string): void }> {
  const socket = await dial({ address: alice.address, expect: alice.identity.id, identity: bob.identity });
  const account = encodeAccount(bob.binding());
  return {
    socket,
    ask: (url, range) => {
      const more = range ? `range: ${range}\r\n` : '';
      socket.write(`GET ${new URL(url).pathname} HTTP/1.1\r\nhost: x\r\n${ACCOUNT_HEADER}: ${account}\r\n${more}\r\n`);
    },
  };
}

test('a reader that takes nothing is cut after a while, and costs no more than what was read ahead [F-15]', async () => {
  await alice.down();
  alice.stallMs = 300;
  await alice.up();
  const { url } = await offered(randomBytes(64 * MiB));
  const { socket, ask } = await raw();
  socket.pause();
  ask(url);
  await alice.when(() => alice.events.some(({ transfer }) => transfer.state === 'serving'));
  const closed = once(socket, 'close');
  await alice.when(() => alice.service.list()[0]?.state === 'accepted'); // nobody is served any more
  const [seen] = alice.served;
  expect(seen?.bytes).toBeLessThan(48 * MiB);
  socket.resume();
  await closed;
});

test('one node has a bounded number of requests under way [F-15]', async () => {
  const { url } = await offered(randomBytes(32 * MiB));
  const { socket, ask } = await raw();
  socket.pause();
  for (let n = 0; n < 40; n++) ask(url, 'bytes=0-33554430');
  await expect
    .poll(async () => (await get(url, { range: 'bytes=0-0' })).headers['x-netapp-fault'], { timeout: 20_000 })
    .toBe('too_many');
  socket.destroy();
  await expect.poll(async () => (await get(url, { range: 'bytes=0-0' })).status, { timeout: 20_000 }).toBe(206);
});

const hasCurl = spawnSync('curl', ['--version']).status === 0;

test.skipIf(!hasCurl)('curl with a client certificate fetches, resumes and revalidates [F-11]', async () => {
  const data = randomBytes(5 * MiB + 1);
  const { url, sent } = await offered(data);
  const [cert, key, out] = ['c.pem', 'k.pem', 'out'].map((name) => join(bob.home, name)) as [string, string, string]; // three
  await writeFile(cert, bob.identity.cert);
  await writeFile(key, bob.identity.key.pem);
  const header = `${ACCOUNT_HEADER}: ${encodeAccount(bob.binding())}`;
  const curl = async (...args: string[]): Promise<string> => {
    const base = ['-sk', '--cert', cert, '--key', key, '-H', header, '-o', out, '-w', '%{http_code}'];
    return (await promisify(execFile)('curl', [...base, ...args, url])).stdout;
  };
  expect(await curl()).toBe('200');
  expect((await readFile(out)).equals(data)).toBe(true);
  await writeFile(out, data.subarray(0, 1234567));
  expect(await curl('-C', '-')).toBe('206');
  expect((await readFile(out)).equals(data)).toBe(true);
  expect(await curl('-H', `if-none-match: "${sent.hash}.0"`)).toBe('304');
});

test('a folder is served as one row of bytes and file by file, by ranges [F-16]', async () => {
  const root = join(alice.home, 'own', 'f');
  await mkdir(join(root, 'sub'), { recursive: true });
  const data = [randomBytes(10), Buffer.alloc(0), randomBytes(2 * MiB + 1), randomBytes(3)];
  for (const [n, bytes] of data.entries()) await writeFile(join(root, n === 2 ? 'sub/2' : `s${n}`), bytes);
  const { id } = await alice.service.send(bob.id, root);
  const sent = await alice.until(id, 'offered');
  const url = `https://${alice.address}/blobs/${sent.hash}`;
  const manifest = await get(url);
  expect(hash(manifest.body)).toBe(sent.hash);
  const order: { path: string }[] = JSON.parse(manifest.body.toString()).files;
  const whole = Buffer.concat(order.map(({ path }) => data[Number(path.at(-1))] ?? Buffer.alloc(0)));
  const all = await get(`${url}/all`);
  expect(all).toMatchObject({ status: 200, headers: { etag: `"${sent.hash}.all"`, 'accept-ranges': 'bytes' } });
  expect(all.body.equals(whole)).toBe(true);
  const part = await get(`${url}/all`, { range: `bytes=5-${MiB + 100}` });
  expect(part).toMatchObject({ status: 206, headers: { 'content-range': `bytes 5-${MiB + 100}/${whole.length}` } });
  expect(part.body.equals(whole.subarray(5, MiB + 101))).toBe(true);
  expect((await get(`${url}/all`, { range: 'bytes=-4' })).body.equals(whole.subarray(-4))).toBe(true);
  expect(await get(`${url}/all`, { range: `bytes=${whole.length}-` })).toMatchObject({
    status: 416,
    headers: { 'content-range': `bytes */${whole.length}` },
  });
  expect(await get(`${url}/all`, { range: 'bytes=999999999999999-' })).toMatchObject({ status: 416 });
  for (const [n, { path }] of order.entries()) {
    expect((await get(`${url}/${n}`)).body.equals(data[Number(path.at(-1))] ?? Buffer.alloc(0))).toBe(true);
  }
  expect(await get(`${url}/${order.length}`)).toMatchObject({ status: 404 });
  expect(await get(`${url}/9999999`)).toMatchObject({ status: 404 });
  expect(await get(`${url}/all`, { 'if-none-match': `"${sent.hash}.all"` })).toMatchObject({ status: 304 });
  const stranger = encodeAccount(bind(Key.generate(), 'x@test', bob.identity.id, Date.now()));
  expect(await get(`${url}/all`, {}, { account: stranger })).toMatchObject({ status: 403 });
  await writeFile(join(root, 'sub/2'), 'changed');
  const at = order.findIndex(({ path }) => path === 'sub/2');
  const refused = await get(`${url}/${at}`);
  expect([refused.status, refused.headers['x-netapp-fault']]).toEqual([409, 'changed']);
});

test('a single file has one row of bytes too [F-16]', async () => {
  const data = randomBytes(1000);
  const { sent } = await offered(data);
  expect((await get(`https://${alice.address}/blobs/${sent.hash}/all`)).body.equals(data)).toBe(true);
});

test('a thousand requests that are begun and not ended cost a connection each, and others are served [F-15]', async () => {
  const data = randomBytes(100_000);
  const { sent } = await offered(data);
  const sockets = [];
  for (let n = 0; n < 20; n++) {
    const socket = await dial({ address: alice.address, expect: alice.identity.id, identity: bob.identity });
    socket.on('error', () => {});
    for (let m = 0; m < 50; m++) {
      const end = m < 49 ? '\r\n\r\n' : '\r\nx-half: ';
      socket.write(`GET /blobs/${sent.hash}/all HTTP/1.1\r\nhost: netapp\r\nx-other: ${m}${end}`);
    }
    sockets.push(socket);
  }
  const got = bob.service.list().find(({ direction }) => direction === 'in');
  await bob.service.accept(got?.id ?? '');
  await bob.until(got?.id ?? '', 'done');
  for (const socket of sockets) socket.destroy();
});
